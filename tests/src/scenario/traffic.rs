//! Traffic that goes on while something is done to the firewall.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{PATIENCE, Worker};
use crate::net::Netns;
use crate::net::sock::{self, Seen};

/// What a long conversation came to.
#[derive(Debug, Default)]
pub struct Talked {
    /// Bytes that came back as they were sent.
    pub bytes: u64,
    /// The longest exchange.
    pub longest: Duration,
    /// What ended it before its time.
    pub error: Option<String>,
}

/// Talks with an echo server without end: numbered blocks, each of which must come back unchanged.
pub fn talk(stream: TcpStream) -> Worker<Talked> {
    talk_every(stream, Duration::from_millis(2))
}

/// The same, with a pause behind each block.
pub fn talk_every(mut stream: TcpStream, pause: Duration) -> Worker<Talked> {
    Worker::start(move |stop| {
        let mut talked = Talked::default();
        while !stop.load(Ordering::Relaxed) && talked.error.is_none() {
            let begin = Instant::now();
            match exchange(&mut stream, talked.bytes) {
                Ok(n) => talked.bytes += n,
                Err(error) => talked.error = Some(error.to_string()),
            }
            talked.longest = talked.longest.max(begin.elapsed());
            std::thread::sleep(pause);
        }
        talked
    })
}

fn exchange(stream: &mut TcpStream, number: u64) -> std::io::Result<u64> {
    let block: Vec<u8> = (number..number + 100).flat_map(u64::to_be_bytes).collect();
    stream.set_read_timeout(Some(2 * PATIENCE))?;
    stream.write_all(&block)?;
    let mut back = vec![0; block.len()];
    stream.read_exact(&mut back)?;
    if back != block {
        return Err(std::io::Error::other("other bytes came back"));
    }
    Ok(block.len() as u64)
}

/// What knocking at closed doors came to.
#[derive(Debug, Default)]
pub struct Probed {
    /// Connections tried and datagrams sent.
    pub sent: u64,
    /// Attempts that were answered in any way: the doors should be silent.
    pub answered: Vec<String>,
}

/// Knocks at doors that should be closed, without end: a SYN and a datagram to each address, every few
/// milliseconds.
pub fn probe(ns: &Netns, tcp: Vec<SocketAddr>, udp: Vec<SocketAddr>) -> Worker<Probed> {
    let ns = ns.clone();
    Worker::start(move |stop| {
        ns.enter().expect("the namespace can be entered");
        let mut probed = Probed::default();
        let resent = || Resent::read(&ns).map_or(0, |resent| resent.syns);
        let before = resent();
        let socket = UdpSocket::bind("[::]:0").expect("a UDP socket");
        while !stop.load(Ordering::Relaxed) {
            probe_once(&socket, &tcp, &udp, &mut probed);
        }
        // On a machine that holds us up for a second the kernel sends a SYN again before it is given up.
        probed.sent += resent() - before;
        probed
    })
}

fn probe_once(socket: &UdpSocket, tcp: &[SocketAddr], udp: &[SocketAddr], probed: &mut Probed) {
    for to in udp {
        let _ = socket.send_to(b"knock", mapped(*to));
        probed.sent += 1;
    }
    for to in tcp {
        probed.sent += 1;
        // Given up long before the kernel would send the SYN again.
        match TcpStream::connect_timeout(to, Duration::from_millis(8)).map_err(Seen::from) {
            Err(Seen::Silence) => {}
            other => probed.answered.push(format!("{to}: {other:?}")),
        }
    }
}

/// An IPv4 address as a socket of both families takes it.
fn mapped(to: SocketAddr) -> SocketAddr {
    match to {
        SocketAddr::V4(v4) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        v6 @ SocketAddr::V6(_) => v6,
    }
}

/// What calling again and again came to.
#[derive(Debug, Default)]
pub struct Called {
    /// Calls that were answered.
    pub answered: u64,
    /// Those that were not, and how.
    pub failed: Vec<String>,
    /// The longest call.
    pub longest: Duration,
}

/// Opens new connections to echo servers without end, each with a word that must come back.
pub fn call(ns: &Netns, to: Vec<SocketAddr>) -> Worker<Called> {
    let ns = ns.clone();
    Worker::start(move |stop| {
        let mut called = Called::default();
        for to in to.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let begin = Instant::now();
            match sock::tcp(&ns, *to, PATIENCE) {
                Seen::Answered => called.answered += 1,
                other => called.failed.push(format!("{to}: {other}")),
            }
            called.longest = called.longest.max(begin.elapsed());
            std::thread::sleep(Duration::from_millis(10));
        }
        called
    })
}

/// What TCP had to send again in a namespace: a lost packet that the retry would hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resent {
    /// SYNs and SYN-ACKs. One is sent again only after a second, so on a machine that is not stuck each
    /// stands for a lost one.
    pub syns: u64,
    /// Segments of any kind. A slow machine alone makes some.
    pub segments: u64,
}

impl Resent {
    /// As counted so far.
    pub fn read(ns: &Netns) -> Result<Self> {
        let counter = |file: &str, group: &str, name: &str| {
            let text =
                ns.run(|| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")))?;
            counter_in(&text, group, name).with_context(|| format!("a counter {name}"))
        };
        Ok(Self {
            syns: counter("netstat", "TcpExt:", "TCPSynRetrans")?,
            segments: counter("snmp", "Tcp:", "RetransSegs")?,
        })
    }
}

/// A counter of the kernel's two-line tables: names above, values below.
pub fn counter_in(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let (names, values) = lines.next().zip(lines.next())?;
    let mut pairs = names.split(' ').zip(values.split(' '));
    pairs.find(|(n, _)| *n == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sock::Echo;
    use crate::net::{Lab, wait_until};
    use crate::scenario::{Door, at_lan, at_wan};

    /// With no firewall at all, what judges one must find fault.
    #[test]
    fn the_judges_notice_an_open_host() {
        crate::need_root!();
        let lab = Lab::quiet().unwrap();
        let doors = [
            Door::tcp(lab.host(), 22).unwrap(),
            Door::udp(lab.host(), 161).unwrap(),
        ];
        let both = |port| vec![at_wan(false, port), at_wan(true, port)];
        let knocks = probe(&lab.stranger.ns, both(22), both(161));
        let calls = call(&lab.trusted.ns, vec![at_lan(false, 443)]);
        let entered = || doors.iter().all(|door| door.entered() > 10).then_some(());
        assert!(wait_until(PATIENCE, entered).is_some());
        let (knocked, called) = (knocks.finish(), calls.finish());
        assert!(!knocked.answered.is_empty() && !called.failed.is_empty());
    }

    #[test]
    fn a_conversation_that_is_cut_is_told() {
        crate::need_root!();
        let lab = Lab::quiet().unwrap();
        let echo = Echo::tcp(lab.host(), at_lan(true, 443)).unwrap();
        let stream = sock::connect(&lab.trusted.ns, at_lan(true, 443), PATIENCE).unwrap();
        let talking = talk(stream);
        std::thread::sleep(Duration::from_secs(1));
        drop(echo);
        std::thread::sleep(Duration::from_secs(1));
        let talked = talking.finish();
        assert!(talked.bytes > 1000 && talked.error.is_some(), "{talked:?}");
    }
}
