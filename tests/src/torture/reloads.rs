//! Fifty policies come into force while bytes are transferred, sessions talk, new ones are opened and closed
//! doors are knocked at: nothing that is allowed may notice, nothing that is denied may get through.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::{Effort, Figure};
use crate::net::Netns;
use crate::net::sock::{Echo, connect};
use crate::scenario::{
    Called, Door, PATIENCE, Probed, Resent, Scene, Talked, Worker, allow, at_lan, at_wan, call,
    metric, policy, probe, talk,
};

const APPLIES: u64 = 50;
const AT_LEAST: u64 = 100_000_000;

fn rules(n: u64) -> [String; 2] {
    [
        allow("web", "tcp/443, tcp/8443"),
        allow("more", &format!("tcp/{}", 3000 + n)),
    ]
}

pub(super) fn run(_effort: &Effort) -> Result<Vec<Figure>> {
    let scene = Scene::guarded(&rules(1))?;
    let host = scene.lab.host();
    let _echo = Echo::tcp(host, ([0_u16; 8], 443).into())?;
    let doors = [Door::tcp(host, 22)?, Door::udp(host, 161)?];
    let traffic = Traffic::start(&scene)?;
    let resent = || -> Result<u64> {
        let [peer, own] = [scene.trusted(), host].map(Resent::read);
        Ok(peer?.syns + own?.syns)
    };
    let before = resent()?;
    for revision in 2..2 + APPLIES {
        scene.put(&policy(revision, &rules(revision)))?;
    }
    let seen = traffic.conclude()?;
    let dropped = metric(
        &scene.host.metrics()?,
        "ringwall_dropped_packets_total",
        &[],
    );
    let through: u64 = doors.iter().map(Door::entered).sum();
    let mut figures = seen.figures();
    figures.extend([
        Figure::exactly("SYNs that had to be sent again", 0, resent()? - before),
        Figure::exactly("denied packets that got through", 0, through),
        Figure::exactly(
            "packets dropped: the denied ones",
            seen.knocked.sent,
            dropped as u64,
        ),
    ]);
    Ok(figures)
}

/// What goes on meanwhile.
struct Traffic {
    transfer: Transfer,
    session: Worker<Talked>,
    calls: Worker<Called>,
    knocks: Worker<Probed>,
}

/// What came of it.
struct Outcome {
    transferred: u64,
    lost: u64,
    talked: Talked,
    called: Called,
    knocked: Probed,
}

impl Traffic {
    fn start(scene: &Scene) -> Result<Self> {
        let transfer = Transfer::start(scene.trusted(), scene.lab.host())?;
        let session = connect(scene.trusted(), at_lan(true, 443), PATIENCE);
        let both = |port| vec![at_wan(false, port), at_wan(true, port)];
        Ok(Self {
            transfer,
            session: talk(session.ok().context("no session")?),
            calls: call(scene.trusted(), vec![at_lan(false, 443), at_lan(true, 443)]),
            knocks: probe(scene.stranger(), both(22), both(161)),
        })
    }

    fn conclude(self) -> Result<Outcome> {
        let (sent, received) = self.transfer.conclude()?;
        Ok(Outcome {
            transferred: received,
            lost: sent.abs_diff(received),
            talked: self.session.finish(),
            called: self.calls.finish(),
            knocked: self.knocks.finish(),
        })
    }
}

impl Outcome {
    fn figures(&self) -> Vec<Figure> {
        let broken = u32::from(self.talked.error.is_some());
        let answered = self.knocked.answered.len();
        vec![
            Figure::at_least("bytes transferred meanwhile", AT_LEAST, self.transferred),
            Figure::exactly("bytes lost", 0, self.lost),
            Figure::exactly("sessions cut", 0, broken),
            Figure::at_least("connections opened meanwhile", 1, self.called.answered),
            Figure::exactly("of them refused", 0, self.called.failed.len()),
            Figure::at_least("denied packets sent", 1, self.knocked.sent),
            Figure::exactly("of them answered", 0, answered),
        ]
    }
}

/// Bytes without end from the trusted peer to the host, checked one by one as they arrive.
struct Transfer {
    received: Arc<AtomicU64>,
    enough: Arc<AtomicBool>,
    sender: Worker<std::io::Result<u64>>,
    receiver: Worker<std::io::Result<u64>>,
}

/// 251 is prime: a lost or doubled piece of any likely size shifts the pattern.
fn pattern(at: u64) -> u8 {
    (at % 251) as u8
}

impl Transfer {
    fn start(from: &Netns, to: &Netns) -> Result<Self> {
        let at = at_lan(false, 8443);
        let listener = to.run(|| TcpListener::bind(at))?;
        let stream = connect(from, at, PATIENCE).ok().context("no transfer")?;
        let peer = listener.accept()?.0;
        let received = Arc::new(AtomicU64::new(0));
        let enough = Arc::new(AtomicBool::new(false));
        let (count, last) = (Arc::clone(&received), Arc::clone(&enough));
        Ok(Self {
            received,
            enough,
            sender: Worker::start(move |_| send(stream, &last)),
            receiver: Worker::start(move |_| receive(peer, &count)),
        })
    }

    /// Lets it reach its size and end in order; bytes sent and received.
    fn conclude(self) -> Result<(u64, u64)> {
        let end = Instant::now() + 8 * PATIENCE;
        while self.received.load(Ordering::Relaxed) < AT_LEAST && Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        self.enough.store(true, Ordering::Relaxed);
        Ok((self.sender.finish()?, self.receiver.finish()?))
    }
}

fn send(mut stream: TcpStream, enough: &AtomicBool) -> std::io::Result<u64> {
    let mut sent = 0;
    stream.set_write_timeout(Some(2 * PATIENCE))?;
    while !enough.load(Ordering::Relaxed) {
        let block: Vec<u8> = (sent..sent + 50_000).map(pattern).collect();
        stream.write_all(&block)?;
        sent += block.len() as u64;
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    Ok(sent)
}

fn receive(mut stream: TcpStream, count: &AtomicU64) -> std::io::Result<u64> {
    let mut buffer = vec![0; 1 << 16];
    let mut received = 0;
    stream.set_read_timeout(Some(2 * PATIENCE))?;
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(received);
        }
        for byte in &buffer[..n] {
            if *byte != pattern(received) {
                return Err(std::io::Error::other(format!("byte {received} is another")));
            }
            received += 1;
        }
        count.store(received, Ordering::Relaxed);
    }
}
