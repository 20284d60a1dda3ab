//! Connections to ports that a container engine publishes, as the kernel's connection tracking knows them.
//!
//! No socket of this host has them: they are translated on arrival, and end in a container. What the firewall judges
//! is the tuple before that, which only connection tracking can tell of a connection that is open already.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use firewall_common::packet::protocol;
use rtnetlink::sys::{Socket as Netlink, SocketAddr as Port};

use super::{Socket, Standing, Ways};
use crate::attribute::attribute;

/// `NETLINK_NETFILTER`.
const NETFILTER: isize = 12;
/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_GET`, and the flags of a dump.
const GET: u16 = 1 << 8 | 1;
const DUMP: u16 = 0x301;
/// `NLMSG_DONE`, `NLMSG_ERROR`.
const DONE: u16 = 3;
const ERROR: u16 = 2;
/// Attributes of linux/netfilter/nfnetlink_conntrack.h.
mod cta {
    pub(super) const TUPLE_ORIG: u16 = 1;
    pub(super) const TUPLE_REPLY: u16 = 2;
    pub(super) const STATUS: u16 = 3;
    pub(super) const PROTOINFO: u16 = 4;
    pub(super) const TUPLE_IP: u16 = 1;
    pub(super) const TUPLE_PROTO: u16 = 2;
    pub(super) const PROTO_NUM: u16 = 1;
    pub(super) const PROTO_SRC_PORT: u16 = 2;
    pub(super) const PROTO_DST_PORT: u16 = 3;
    pub(super) const PROTOINFO_TCP: u16 = 1;
    pub(super) const TCP_STATE: u16 = 1;
}
/// Bits of its status (linux/netfilter/nf_conntrack_common.h): an answer was seen; the destination is translated.
const SEEN_REPLY: u32 = 1 << 1;
const DST_NAT: u32 = 1 << 5;
/// Tells how many connections are tracked; asking further would load the module where it is not used.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

/// A connection to a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// As a socket of this host would have it: by the addresses before the translation.
    pub socket: Socket,
    /// Where it really ends.
    pub behind: SocketAddr,
    /// The interface that leads to the far end, and the one that leads to where it ends.
    pub interfaces: [Option<u32>; 2],
}

/// All that are open. None where connection tracking does not run.
pub fn published() -> io::Result<Vec<Published>> {
    let count = std::fs::read_to_string(COUNT).unwrap_or_default();
    if count.trim().parse().unwrap_or(0) == 0 {
        return Ok(Vec::new());
    }
    let mut ways = Ways::new()?;
    let mut found = Vec::new();
    for v6 in [false, true] {
        dump(v6, |entry| found.extend(of_entry(entry)))?;
    }
    for one in &mut found {
        let Socket { local, far, .. } = one.socket;
        one.interfaces = [
            ways.interface(local.ip(), far.ip()),
            ways.to(one.behind.ip()),
        ];
    }
    Ok(found)
}

/// Calls `each` with the attributes of every entry of a family.
fn dump(v6: bool, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut netlink = Netlink::new(NETFILTER)?;
    netlink.bind_auto()?;
    netlink.connect(&Port::new(0, 0))?;
    let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    let mut ask = Vec::new();
    ask.extend(20_u32.to_ne_bytes());
    ask.extend(GET.to_ne_bytes());
    ask.extend(DUMP.to_ne_bytes());
    ask.extend([0; 8]);
    ask.extend([family as u8, 0, 0, 0]);
    netlink.send(&ask, 0)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let size = netlink.recv(&mut &mut buffer[..], 0)?;
        let mut messages = buffer.get(..size).unwrap_or_default();
        while let Some((kind, body, rest)) = message(messages) {
            match kind {
                DONE => return Ok(()),
                ERROR => return Err(io::Error::other("connection tracking does not answer")),
                _ => each(body.get(4..).unwrap_or_default()),
            }
            messages = rest;
        }
    }
}

/// The kind and the body of the first message, and what is behind it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(16..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body, rest))
}

/// An entry whose destination was translated, and that was answered.
fn of_entry(entry: &[u8]) -> Option<Published> {
    let status = attribute(entry, cta::STATUS)?;
    let status = u32::from_be_bytes(status.get(..4)?.try_into().ok()?);
    if status & (DST_NAT | SEEN_REPLY) != DST_NAT | SEEN_REPLY {
        return None;
    }
    let (number, far, local) = tuple(attribute(entry, cta::TUPLE_ORIG)?)?;
    let (_, behind, _) = tuple(attribute(entry, cta::TUPLE_REPLY)?)?;
    let standing = match number {
        protocol::TCP => standing(entry)?,
        protocol::UDP => Standing::Established,
        _ => return None,
    };
    let socket = Socket {
        protocol: number,
        local,
        far,
        standing,
        inode: 0,
    };
    Some(Published {
        socket,
        behind,
        interfaces: [None; 2],
    })
}

/// `enum tcp_conntrack` of linux/netfilter/nf_conntrack_tcp.h. What is over needs no session.
fn standing(entry: &[u8]) -> Option<Standing> {
    let info = attribute(attribute(entry, cta::PROTOINFO)?, cta::PROTOINFO_TCP)?;
    match attribute(info, cta::TCP_STATE)?.first()? {
        2 => Some(Standing::SynReceived),
        3 => Some(Standing::Established),
        // Who has finished is not told.
        4..=6 => Some(Standing::FarFinished),
        _ => None,
    }
}

/// Protocol, source and destination of a tuple.
fn tuple(bytes: &[u8]) -> Option<(u8, SocketAddr, SocketAddr)> {
    let (ip, ports) = (
        attribute(bytes, cta::TUPLE_IP)?,
        attribute(bytes, cta::TUPLE_PROTO)?,
    );
    // Source and destination: 1 and 2 in IPv4, 3 and 4 in IPv6.
    let address = |v4: u16| {
        let four = attribute(ip, v4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let sixteen = attribute(ip, v4 + 2).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        let four = four.map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
        four.or_else(|| sixteen.map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes))))
    };
    let port = |kind| {
        let bytes = attribute(ports, kind)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    };
    let number = *attribute(ports, cta::PROTO_NUM)?.first()?;
    let source = SocketAddr::new(address(1)?, port(cta::PROTO_SRC_PORT)?);
    let destination = SocketAddr::new(address(2)?, port(cta::PROTO_DST_PORT)?);
    Some((number, source, destination))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
        bytes.extend((kind | 0x8000).to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn tuple(source: ([u8; 4], u16), destination: ([u8; 4], u16)) -> Vec<u8> {
        let ip = [nested(1, &source.0), nested(2, &destination.0)].concat();
        let ports = [
            nested(1, &[protocol::TCP]),
            nested(2, &source.1.to_be_bytes()),
            nested(3, &destination.1.to_be_bytes()),
        ];
        [nested(1, &ip), nested(2, &ports.concat())].concat()
    }

    fn entry(status: u32, state: u8) -> Vec<u8> {
        let (client, host, inside) = ([203, 0, 113, 9], [203, 0, 113, 1], [172, 17, 0, 2]);
        [
            nested(1, &tuple((client, 50_000), (host, 8080))),
            nested(2, &tuple((inside, 80), (client, 50_000))),
            nested(3, &status.to_be_bytes()),
            nested(4, &nested(1, &nested(1, &[state]))),
        ]
        .concat()
    }

    #[test]
    fn a_translated_and_answered_connection_is_told_by_its_addresses_before() {
        let found = of_entry(&entry(DST_NAT | SEEN_REPLY, 3)).unwrap();
        assert_eq!(found.socket.local, "203.0.113.1:8080".parse().unwrap());
        assert_eq!(found.socket.far, "203.0.113.9:50000".parse().unwrap());
        assert_eq!(found.behind, "172.17.0.2:80".parse().unwrap());
        assert_eq!(found.socket.standing, Standing::Established);
        assert_eq!(of_entry(&entry(SEEN_REPLY, 3)), None);
        assert_eq!(of_entry(&entry(DST_NAT, 3)), None);
        assert_eq!(of_entry(&entry(DST_NAT | SEEN_REPLY, 7)), None, "time-wait");
    }

    #[test]
    fn what_is_cut_off_is_no_entry() {
        let good = entry(DST_NAT | SEEN_REPLY, 3);
        for length in 0..good.len() - 8 {
            assert_eq!(of_entry(&good[..length]), None, "{length}");
        }
    }
}
