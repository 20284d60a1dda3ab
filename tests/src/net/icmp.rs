//! Ping, without the program.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::Netns;
use super::sock::Seen;

/// Sends an echo request (ping) and waits for the reply that carries its identifier.
pub fn ping(ns: &Netns, to: IpAddr, patience: Duration) -> Seen {
    ns.run(|| ping_here(to, patience))
        .map_or_else(Seen::from, |()| Seen::Answered)
}

fn ping_here(to: IpAddr, patience: Duration) -> io::Result<()> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another process may ping with the same number, but not in this namespace.
    let id = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let (family, protocol, request, reply) = match to {
        IpAddr::V4(_) => (libc::AF_INET, libc::IPPROTO_ICMP, 8, 0),
        IpAddr::V6(_) => (libc::AF_INET6, libc::IPPROTO_ICMPV6, 128, 129),
    };
    let socket = raw_ip_socket(family, protocol)?;
    let mut message = [request, 0, 0, 0, id[0], id[1], 0, 1, b'r', b'w'];
    // The kernel writes the ICMPv6 checksum itself, as it does for no other raw socket.
    if to.is_ipv4() {
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
    }
    socket.send_to(&message, SocketAddr::new(to, 0))?;
    let end = Instant::now() + patience;
    let mut buffer = [0; 1500];
    while let Some(left) = end
        .checked_duration_since(Instant::now())
        .filter(|l| !l.is_zero())
    {
        socket.set_read_timeout(Some(left))?;
        let n = socket.recv(&mut buffer)?;
        // An IPv4 raw socket shows the IP header too; ours has no options.
        let start = if to.is_ipv4() { 20 } else { 0 };
        if buffer[..n].get(start) == Some(&reply)
            && buffer[..n].get(start + 4..start + 6) == Some(&id)
        {
            return Ok(());
        }
    }
    Err(ErrorKind::TimedOut.into())
}

/// A raw IP socket behind the methods of a `UdpSocket`, whose calls are the same.
fn raw_ip_socket(family: i32, protocol: i32) -> io::Result<UdpSocket> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) })
}

/// The Internet checksum (RFC 1071).
pub fn checksum(data: &[u8]) -> u16 {
    let words = data
        .chunks(2)
        .map(|c| u32::from(c[0]) << 8 | u32::from(*c.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}
