//! Floods: openings from sources that never were, as fast as asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{PATIENCE, Random, Scene, Worker, at_wan};
use crate::case::packet::{Packet, syn, udp};
use crate::net::packet::{Tap, Wire};
use crate::net::{End, wait_until};

/// Who the packets claim to be from.
#[derive(Debug, Clone, Copy)]
pub enum From {
    /// Anybody: a source of its own for each packet, from 198.18.0.0/15 or 2001:db8:bad::/48.
    Anybody,
    /// One address, with a port of its own for each packet.
    One(IpAddr),
}

/// Answers to whoever they claim to be go back by the interface that they come by. Returns when the agent knows.
///
/// # Errors
/// It does not come to know.
pub fn way_back_to_anybody(scene: &Scene) -> Result<()> {
    let routes = "route add default via 203.0.113.9\nroute add ::/0 via 2001:db8::9\n";
    scene.lab.host().ip(routes)?;
    for packet in [
        "tcp 198.18.0.1:4000 -> 203.0.113.1:443 in wan0",
        "tcp [2001:db8:bad::1]:4000 -> [2001:db8::1]:443 in wan0",
    ] {
        let judged = || scene.host.json(&["policy", "explain", packet]).ok();
        let known = || (!judged()?.to_string().contains("martian")).then_some(());
        ensure!(
            wait_until(2 * PATIENCE, known).is_some(),
            "{packet}: {:#?}",
            judged()
        );
    }
    Ok(())
}

/// Floods from anybody in both families at the same time, each on a CPU of its own where there are as many; how many
/// packets were sent.
///
/// # Errors
/// The wire cannot be opened.
pub fn at_once(scene: &Scene, port: u16, tcp: bool, each: u64) -> Result<u64> {
    let floods = [false, true, false, true]
        .map(|v6| Flood::burst(From::Anybody, at_wan(v6, port), tcp, each))
        .into_iter()
        .map(|flood| flood.start(&scene.lab.stranger, &scene.lab.wan));
    let floods = floods.collect::<Result<Vec<Worker<u64>>>>()?;
    floods.iter().for_each(Worker::wait);
    Ok(floods.into_iter().map(Worker::finish).sum())
}

static SEED: AtomicU64 = AtomicU64::new(7);

/// A flood that goes on until it is finished; then how many packets were sent.
pub struct Flood {
    /// Who they claim to be from.
    pub from: From,
    /// Where they go.
    pub to: SocketAddr,
    /// SYNs, else datagrams.
    pub tcp: bool,
    /// Packets a second; none: as fast as it goes.
    pub rate: Option<u64>,
    /// At most so many.
    pub most: u64,
}

impl Flood {
    /// Spoofed SYNs without end.
    #[must_use]
    pub const fn syns(to: SocketAddr, rate: u64) -> Self {
        Self {
            from: From::Anybody,
            to,
            tcp: true,
            rate: Some(rate),
            most: u64::MAX,
        }
    }

    /// So many openings, as fast as it goes.
    #[must_use]
    pub const fn burst(from: From, to: SocketAddr, tcp: bool, most: u64) -> Self {
        Self {
            from,
            to,
            tcp,
            rate: None,
            most,
        }
    }

    /// Begins, from one end of a wire to the other.
    ///
    /// # Errors
    /// The wire cannot be opened.
    pub fn start(self, near: &End, far: &End) -> Result<Worker<u64>> {
        let wire = Wire::open(near, Tap::Wire)?;
        let macs = (far.mac, near.mac);
        // Two floods at once are of other sources.
        let seed = SEED.fetch_add(2, Ordering::Relaxed);
        Ok(Worker::start(move |stop| {
            let (begin, mut sent) = (Instant::now(), 0);
            let mut random = Random::from_seed(seed);
            while sent < self.most && !stop.load(Ordering::Relaxed) {
                if !self.is_due(begin, sent) {
                    std::thread::sleep(Duration::from_micros(500));
                    continue;
                }
                wire.send(&self.frame(sent, &mut random, macs))
                    .expect("the wire takes it");
                sent += 1;
            }
            sent
        }))
    }

    /// The same, to its end; how many were sent.
    ///
    /// # Errors
    /// The wire cannot be opened.
    pub fn run(self, near: &End, far: &End) -> Result<u64> {
        let most = self.most;
        let flood = self.start(near, far)?;
        flood.wait();
        let sent = flood.finish();
        anyhow::ensure!(sent == most, "{sent} of {most} were sent");
        Ok(sent)
    }

    fn is_due(&self, begin: Instant, sent: u64) -> bool {
        let due = |rate: u64| begin.elapsed().as_micros() as u64 * rate / 1_000_000;
        self.rate.is_none_or(|rate| sent < due(rate))
    }

    fn frame(&self, number: u64, random: &mut Random, (to, from): ([u8; 6], [u8; 6])) -> Vec<u8> {
        let port = 1024 + (number % 60_000) as u16;
        let source = match self.from {
            From::One(address) => address,
            From::Anybody => anybody(self.to.is_ipv6(), random),
        };
        let (source, to_port) = ((source, port), (self.to.ip(), self.to.port()));
        let packet: Packet = if self.tcp {
            syn(source, to_port)
        } else {
            udp(source, to_port, b"flood")
        };
        let mut frame = packet.to_mac(to).frame();
        frame[6..12].copy_from_slice(&from);
        frame
    }
}

fn anybody(v6: bool, random: &mut Random) -> IpAddr {
    let bits = random.below(1 << 53);
    if v6 {
        // 65,536 networks, of which each counts as one source.
        let net = (0x2001_0db8_0bad_u128 << 80) | u128::from(bits as u16) << 64;
        Ipv6Addr::from(net | u128::from(bits >> 16) | 1).into()
    } else {
        Ipv4Addr::from(0xc612_0000 | (bits as u32 & 0x1_ffff)).into()
    }
}
