//! Short exchanges of every kind with what the policy says of each, one after another without end.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::tally::Tally;
use crate::net::sock::{self, Echo, Seen};
use crate::net::{Lab, Netns};
use crate::scenario::{PATIENCE, Worker, at_lan, at_wan};

/// A question.
#[derive(Debug, Clone, Copy)]
enum What {
    Tcp,
    /// With so many bytes.
    Udp(usize),
    Ping,
}

/// A question, to a port, and what has to come of it.
type Ask = (What, u16, Seen);

const INBOUND: [Ask; 9] = [
    (What::Tcp, 443, Seen::Answered),
    (What::Udp(8), 53, Seen::Answered),
    (What::Tcp, 22, Seen::Silence),
    // In fragments.
    (What::Udp(4000), 53, Seen::Answered),
    (What::Udp(8), 161, Seen::Silence),
    (What::Ping, 0, Seen::Answered),
    // Allowed, and nobody is there: the error belongs to the session.
    (What::Udp(8), 7000, Seen::Refused),
    (What::Tcp, 8022, Seen::Refused),
    (What::Udp(8), 8023, Seen::Refused),
];
const OUTBOUND: [Ask; 3] = [
    (What::Tcp, 8080, Seen::Answered),
    (What::Udp(4000), 8053, Seen::Answered),
    (What::Ping, 0, Seen::Answered),
];

/// Between two questions of one place.
const PAUSE: Duration = Duration::from_millis(50);
/// A SYN is sent again after a second: what is refused in silence is given up long before.
const SILENCE: Duration = Duration::from_millis(40);

/// Who serves what is asked for.
pub(super) fn servers(lab: &Lab) -> Result<Vec<Echo>> {
    let any = |port| ([0_u16; 8], port).into();
    let (host, stranger) = (lab.host(), &lab.stranger.ns);
    // The kernel's own bound on errors is not the one that is tried here.
    for key in ["ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"] {
        host.sysctl(key, "0")?;
    }
    Ok(vec![
        Echo::tcp(host, any(443))?,
        Echo::udp(host, any(53))?,
        Echo::tcp(host, any(8443))?,
        Echo::udp(host, any(8443))?,
        Echo::udp(host, any(9053))?,
        Echo::tcp(stranger, any(8080))?,
        Echo::udp(stranger, any(8053))?,
    ])
}

/// Begins to ask in all three namespaces.
pub(super) fn start(lab: &Lab, tally: &Tally) -> Vec<Worker<()>> {
    let there = |v6| {
        let ip = if v6 { "2001:db8::9" } else { "203.0.113.9" };
        SocketAddr::new(ip.parse().expect("an address"), 0)
    };
    vec![
        ask(&lab.trusted.ns, &INBOUND, |v6| at_lan(v6, 0), tally),
        ask(&lab.stranger.ns, &INBOUND, |v6| at_wan(v6, 0), tally),
        ask(lab.host(), &OUTBOUND, there, tally),
    ]
}

fn ask(
    ns: &Netns,
    asks: &'static [Ask],
    at: impl Fn(bool) -> SocketAddr,
    tally: &Tally,
) -> Worker<()> {
    let (ns, tally) = (ns.clone(), tally.clone());
    let places = [false, true].map(at);
    Worker::start(move |stop| {
        ns.enter().expect("the namespace can be entered");
        for place in places.iter().cycle() {
            for (what, port, wanted) in asks {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let to = SocketAddr::new(place.ip(), *port);
                let seen = what.ask(&ns, to, patience(wanted));
                tally.note(wanted, &seen, || format!("{} {what:?} {to}", ns.name()));
                std::thread::sleep(PAUSE);
            }
        }
    })
}

/// How long to wait for what has to come.
pub(super) const fn patience(wanted: &Seen) -> Duration {
    match wanted {
        Seen::Silence => SILENCE,
        _ => PATIENCE,
    }
}

impl What {
    fn ask(self, ns: &Netns, to: SocketAddr, patience: Duration) -> Seen {
        match self {
            Self::Tcp => sock::tcp(ns, to, patience),
            Self::Udp(bytes) => match Caller::new(ns, None, to) {
                Ok(mut caller) => caller.exchange(bytes, patience),
                Err(error) => Seen::Other(format!("{error:#}")),
            },
            Self::Ping => sock::ping(ns, to.ip(), patience),
        }
    }
}

/// A socket that asks the same server again and again.
pub(super) struct Caller {
    socket: UdpSocket,
    number: u64,
}

impl Caller {
    /// From an address of choice, or any.
    pub(super) fn new(ns: &Netns, from: Option<&str>, to: SocketAddr) -> Result<Self> {
        let any = if to.is_ipv4() { "0.0.0.0" } else { "::" };
        let from: std::net::IpAddr = from.unwrap_or(any).parse()?;
        let make = || {
            let socket = UdpSocket::bind((from, 0))?;
            socket.connect(to)?;
            std::io::Result::Ok(socket)
        };
        let socket = ns.run(make).context("a UDP socket")?;
        Ok(Self { socket, number: 0 })
    }

    /// A numbered datagram of so many bytes and its echo. What came late for an earlier one does not count.
    pub(super) fn exchange(&mut self, bytes: usize, patience: Duration) -> Seen {
        self.number += 1;
        let mut word = vec![0; bytes.max(8)];
        word[..8].copy_from_slice(&self.number.to_be_bytes());
        let end = Instant::now() + patience;
        let mut back = vec![0; word.len()];
        let mut talk = || {
            self.socket.send(&word)?;
            loop {
                let left = end.saturating_duration_since(Instant::now());
                let left = left.max(Duration::from_millis(1));
                self.socket.set_read_timeout(Some(left))?;
                let length = self.socket.recv(&mut back)?;
                if back[..length] == word {
                    return std::io::Result::Ok(());
                }
            }
        };
        talk().map_or_else(Seen::from, |()| Seen::Answered)
    }
}
