//! Ordinary clients and servers inside a namespace.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Netns;
pub use super::icmp::{checksum, ping};

/// How an attempt looks to the client's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It got through: connected, or answered.
    Answered,
    /// A RST or a port unreachable came.
    Refused,
    /// Another ICMP error came (no route, prohibited).
    Unreachable,
    /// Nothing came in time.
    Silence,
    /// The peer cut an established connection (RST).
    Reset,
    /// The system call was not permitted.
    NotPermitted,
    /// Anything else, as the kernel said it.
    Other(String),
}

impl From<io::Error> for Seen {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::Unreachable,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::Silence,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Silence => "silence",
            Self::Reset => "reset",
            Self::NotPermitted => "not permitted",
            Self::Other(text) => text,
        })
    }
}

/// A server that sends back what it gets, over TCP or UDP, until it is dropped.
pub struct Echo {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Echo {
    /// Listens with TCP.
    pub fn tcp(ns: &Netns, at: SocketAddr) -> Result<Self> {
        let listener = ns
            .run(|| TcpListener::bind(at))
            .with_context(|| format!("tcp {at}"))?;
        listener.set_nonblocking(true)?;
        Ok(Self::serve(move |stop| accept_all(&listener, stop)))
    }

    /// Answers UDP.
    pub fn udp(ns: &Netns, at: SocketAddr) -> Result<Self> {
        let socket = ns
            .run(|| UdpSocket::bind(at))
            .with_context(|| format!("udp {at}"))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        Ok(Self::serve(move |stop| answer_all(&socket, stop)))
    }

    fn serve(work: impl FnOnce(&Arc<AtomicBool>) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        Self {
            stop,
            threads: vec![std::thread::spawn(move || work(&seen))],
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn accept_all(listener: &TcpListener, stop: &Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let stop = Arc::clone(stop);
                std::thread::spawn(move || echo_stream(stream, &stop));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn echo_stream(mut stream: TcpStream, stop: &AtomicBool) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
    let mut buffer = vec![0; 1 << 16];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) if stream.write_all(&buffer[..n]).is_ok() => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => return,
        }
    }
}

fn answer_all(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = vec![0; 1 << 16];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((n, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..n], from);
        }
    }
}

/// Connects over TCP, exchanges a word with an echo server, and keeps nothing.
pub fn tcp(ns: &Netns, to: SocketAddr, patience: Duration) -> Seen {
    tcp_from(ns, None, to, patience)
}

/// The same from one of the client's addresses.
pub fn tcp_from(ns: &Netns, from: Option<IpAddr>, to: SocketAddr, patience: Duration) -> Seen {
    match connect_from(ns, from, to, patience) {
        // The verdict is in the handshake; the echo waits for threads to have their turn.
        Ok(mut stream) => exchange(&mut stream, patience.max(Duration::from_secs(5))),
        Err(seen) => seen,
    }
}

/// Connects over TCP and keeps the connection.
pub fn connect(ns: &Netns, to: SocketAddr, patience: Duration) -> Result<TcpStream, Seen> {
    connect_from(ns, None, to, patience)
}

/// The same from one of the client's addresses.
pub fn connect_from(
    ns: &Netns,
    from: Option<IpAddr>,
    to: SocketAddr,
    patience: Duration,
) -> Result<TcpStream, Seen> {
    Ok(ns.run(|| match from {
        None => TcpStream::connect_timeout(&to, patience),
        Some(from) => connect_bound(SocketAddr::new(from, 0), to, patience),
    })?)
}

fn connect_bound(from: SocketAddr, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &from)?;
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    match connect(&socket, &to) {
        // How a connect ends that took longer than the send timeout.
        Err(rustix::io::Errno::INPROGRESS) => Err(ErrorKind::TimedOut.into()),
        other => other.map(|()| socket.into()).map_err(io::Error::from),
    }
}

/// Sends a word on a connection and waits for its echo.
pub fn exchange(stream: &mut TcpStream, patience: Duration) -> Seen {
    let mut talk = || {
        let mut word = *b"ringwall";
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(&word)?;
        stream.read_exact(&mut word)
    };
    talk().map_or_else(Seen::from, |()| Seen::Answered)
}

/// Sends a datagram and waits for its echo.
pub fn udp(ns: &Netns, to: SocketAddr, patience: Duration) -> Seen {
    let any: IpAddr = if to.is_ipv4() {
        [0; 4].into()
    } else {
        [0; 16].into()
    };
    let talk = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(b"ringwall")?;
        socket.recv(&mut [0; 64])
    };
    ns.run(talk).map_or_else(Seen::from, |_| Seen::Answered)
}

/// More than two frames of 1500 bytes hold.
pub const LARGE: usize = 4000;

/// A large datagram to an echo server, and its echo; the bytes that came back.
pub fn large(ns: &Netns, to: SocketAddr, patience: Duration) -> io::Result<usize> {
    let any: IpAddr = if to.is_ipv4() {
        [0; 4].into()
    } else {
        [0; 16].into()
    };
    let data: Vec<u8> = (0..LARGE).map(|i| (i % 251) as u8).collect();
    ns.run(|| {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(&data)?;
        let mut back = vec![0; 2 * LARGE];
        let n = socket.recv(&mut back)?;
        let same = back[..n] == data;
        same.then_some(n)
            .ok_or_else(|| io::Error::other("the echo is another"))
    })
}

/// GET over plain HTTP/1.1 inside the namespace; the body of a 200 answer.
pub fn http_get(ns: &Netns, at: SocketAddr, path: &str) -> Result<String> {
    let mut stream = connect(ns, at, Duration::from_secs(20))
        .map_err(|seen| anyhow::anyhow!("http://{at}{path}: {seen}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("an HTTP answer")?;
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        bail!("http://{at}{path}: {status}");
    }
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Veth;

    const PATIENCE: Duration = Duration::from_millis(500);
    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn clients_tell_answer_refusal_and_silence_apart() {
        crate::need_root!();
        let (a, b) = (Netns::new("a").unwrap(), Netns::new("b").unwrap());
        let at = |n: u8| [format!("10.77.0.{n}/25"), format!("fd77::{n}/64")];
        let (one, two) = (at(1), at(2));
        let ends = ([&*one[0], &one[1]], [&*two[0], &two[1]]);
        Veth::between((&a, "eth0", &ends.0), (&b, "eth0", &ends.1))
            .create()
            .unwrap();
        for host in ["10.77.0.2", "[fd77::2]"] {
            let to = |port: u16| format!("{host}:{port}").parse::<SocketAddr>().unwrap();
            let _tcp = Echo::tcp(&b, to(80)).unwrap();
            let _udp = Echo::udp(&b, to(53)).unwrap();
            assert_eq!(tcp(&a, to(80), LONG), Seen::Answered);
            assert_eq!(tcp(&a, to(81), LONG), Seen::Refused);
            assert_eq!(udp(&a, to(53), LONG), Seen::Answered);
            assert_eq!(udp(&a, to(54), LONG), Seen::Refused);
            assert_eq!(ping(&a, to(0).ip(), LONG), Seen::Answered);
        }
        let nobody = "10.77.0.77:80".parse().unwrap();
        assert_eq!(tcp(&a, nobody, PATIENCE), Seen::Silence);
        let from = Some("10.77.0.1".parse().unwrap());
        assert_eq!(tcp_from(&a, from, nobody, PATIENCE), Seen::Silence);
        assert_eq!(
            tcp_from(&a, from, "10.77.0.2:81".parse().unwrap(), PATIENCE),
            Seen::Refused
        );
        assert_eq!(
            tcp(&a, "192.0.2.1:80".parse().unwrap(), PATIENCE),
            Seen::Unreachable
        );
    }
}
