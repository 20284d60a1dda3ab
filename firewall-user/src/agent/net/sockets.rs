//! The sockets of this network namespace, as the kernel lists them (sock_diag(7)).

use std::io;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail};
use firewall_common::packet::protocol;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use rtnetlink::packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::sys::protocols::NETLINK_SOCK_DIAG;
use rtnetlink::sys::{Socket as Netlink, SocketAddr as Kernel};

use crate::detect::Listener;

/// TCP states that a listing tells apart (`include/net/tcp_states.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Waits for connections; of UDP, bound and not connected.
    Listens,
    /// Has sent a SYN.
    SynSent,
    /// Has answered a SYN.
    SynReceived,
    /// Lives.
    Established,
    /// The local end has finished.
    Finished,
    /// The far end has finished.
    FarFinished,
    /// Both have finished.
    Over,
}

/// A socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// [`protocol::TCP`] or [`protocol::UDP`].
    pub protocol: u8,
    /// The local end.
    pub local: SocketAddr,
    /// The far end; unspecified where there is none.
    pub far: SocketAddr,
    /// Where it stands.
    pub standing: Standing,
    /// Its inode, by which processes hold it; 0: nobody does.
    pub inode: u32,
}

const RECEIVE: usize = 1 << 18;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// All sockets of TCP and UDP, but those in TIME_WAIT, which have nothing more to say.
pub fn sockets() -> anyhow::Result<Vec<Socket>> {
    let mut all = Vec::new();
    for (family, number) in [
        (AF_INET, protocol::TCP),
        (AF_INET6, protocol::TCP),
        (AF_INET, protocol::UDP),
        (AF_INET6, protocol::UDP),
    ] {
        dump(family, number, &mut all)
            .context("the kernel does not list its sockets (sock_diag)")?;
    }
    Ok(all)
}

/// Sockets that listen for TCP, with their queues, and the inode of each.
pub fn listening() -> anyhow::Result<Vec<(Listener, u32)>> {
    let mut all = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let request = InetRequest {
            states: StateFlags::LISTEN,
            ..request(family, protocol::TCP)
        };
        ask(request, NLM_F_REQUEST | NLM_F_DUMP, |found| {
            let only_v6 = found.nlas.contains(&Nla::SkV6Only(true));
            let id = &found.header.socket_id;
            let listener = Listener {
                address: canonical(id.source_address),
                port: id.source_port,
                only_v6,
                // What the kernel says of a listener in their place (`tcp_diag_get_info`).
                waiting: found.header.recv_queue,
                most: found.header.send_queue,
            };
            all.push((listener, found.header.inode));
        })
        .context("the kernel does not list its listeners (sock_diag)")?;
    }
    Ok(all)
}

/// The socket of a TCP connection, by its own end and the far one; `None`: there is none.
#[must_use]
pub fn connection(local: SocketAddr, far: SocketAddr) -> Option<Socket> {
    let (family, mut socket_id) = if local.is_ipv4() {
        (AF_INET, SocketId::new_v4())
    } else {
        (AF_INET6, SocketId::new_v6())
    };
    (socket_id.source_address, socket_id.source_port) = (local.ip(), local.port());
    (socket_id.destination_address, socket_id.destination_port) = (far.ip(), far.port());
    // `INET_DIAG_NOCOOKIE`: whichever it is.
    socket_id.cookie = [0xff; 8];
    let request = InetRequest {
        socket_id,
        ..request(family, protocol::TCP)
    };
    let mut socket_there = None;
    ask(request, NLM_F_REQUEST, |found| {
        // Where there is no such connection the kernel gives the listener.
        socket_there = socket(protocol::TCP, found).filter(|socket| socket.far.port() != 0);
    })
    .ok()?;
    socket_there
}

fn dump(family: u8, number: u8, all: &mut Vec<Socket>) -> anyhow::Result<()> {
    let flags = NLM_F_REQUEST | NLM_F_DUMP;
    ask(request(family, number), flags, |found| {
        all.extend(socket(number, found));
    })
}

/// Asks, and hands on each answer: of a dump until its end, else one.
fn ask(
    request: InetRequest,
    flags: u16,
    mut each: impl FnMut(&InetResponse),
) -> anyhow::Result<()> {
    let mut netlink = Netlink::new(NETLINK_SOCK_DIAG)?;
    netlink.bind_auto()?;
    netlink.connect(&Kernel::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    send(&netlink, message)?;
    let mut buffer = vec![0; RECEIVE];
    loop {
        let size = netlink.recv(&mut &mut buffer[..], 0)?;
        let mut rest = buffer.get(..size).unwrap_or_default();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)?;
            let length = (message.header.length as usize).next_multiple_of(4);
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(found)) => {
                    each(&found);
                    if flags & NLM_F_DUMP != NLM_F_DUMP {
                        return Ok(());
                    }
                }
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    bail!(io::Error::from(error))
                }
                _ => {}
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

fn request(family: u8, number: u8) -> InetRequest {
    let socket_id = if family == AF_INET {
        SocketId::new_v4()
    } else {
        SocketId::new_v6()
    };
    InetRequest {
        family,
        protocol: number,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all() - StateFlags::TIME_WAIT,
        socket_id,
    }
}

fn send(netlink: &Netlink, mut message: NetlinkMessage<SockDiagMessage>) -> io::Result<()> {
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    netlink.send(&bytes, 0).map(drop)
}

fn socket(number: u8, found: &InetResponse) -> Option<Socket> {
    let header = &found.header;
    let id = &header.socket_id;
    Some(Socket {
        protocol: number,
        local: SocketAddr::new(canonical(id.source_address), id.source_port),
        far: SocketAddr::new(canonical(id.destination_address), id.destination_port),
        standing: standing(number, header.state)?,
        inode: header.inode,
    })
}

/// An IPv4 address in IPv6 clothes is an IPv4 address on the wire.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The numbers of `include/net/tcp_states.h`; UDP uses 1 for connected and 7 for not connected.
fn standing(number: u8, state: u8) -> Option<Standing> {
    Some(match (number, state) {
        (_, 1) => Standing::Established,
        (protocol::UDP, 7) => Standing::Listens,
        (_, 2) => Standing::SynSent,
        // 12 is a request that has no socket of its own yet.
        (_, 3 | 12) => Standing::SynReceived,
        (_, 4 | 5) => Standing::Finished,
        (_, 8) => Standing::FarFinished,
        (_, 9 | 11) => Standing::Over,
        (_, 10) => Standing::Listens,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn listeners_have_queues_and_connections_are_found_by_their_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let waiting = || {
            let all = listening().unwrap();
            let own = all.into_iter().find(|(one, _)| one.port == at.port());
            own.unwrap().0
        };
        assert_eq!((waiting().address, waiting().waiting), (at.ip(), 0));
        let client = TcpStream::connect(at).unwrap();
        assert_eq!(waiting().waiting, 1);
        assert!(waiting().most > 0);
        let from = client.local_addr().unwrap();
        let found = connection(from, at).unwrap();
        assert_eq!(found.standing, Standing::Established);
        assert_eq!(connection(SocketAddr::new(from.ip(), 1), at), None);
        assert_eq!(connection(at, SocketAddr::new(from.ip(), 1)), None);
        let only = TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap();
        assert_eq!(connection(only, SocketAddr::new(only.ip(), 1)), None);
    }

    #[test]
    fn what_this_process_has_open_is_listed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let client = TcpStream::connect(at).unwrap();
        let from = client.local_addr().unwrap();
        let wide = UdpSocket::bind("[::ffff:127.0.0.1]:0").unwrap();
        wide.connect(("127.0.0.1", at.port())).unwrap();
        let datagrams = wide.local_addr().unwrap();
        let all = sockets().unwrap();
        let find = |local: SocketAddr, number| {
            let same = |s: &&Socket| s.local == local && s.protocol == number;
            all.iter().find(same).copied()
        };
        let found = all.iter().find(|s| s.local == at && s.far.port() == 0);
        assert_eq!(found.unwrap().standing, Standing::Listens);
        let stream = find(from, protocol::TCP).unwrap();
        assert_eq!((stream.far, stream.standing), (at, Standing::Established));
        assert!(stream.inode != 0);
        let mapped = SocketAddr::new("127.0.0.1".parse().unwrap(), datagrams.port());
        let udp = find(mapped, protocol::UDP).unwrap();
        assert_eq!((udp.far, udp.standing), (at, Standing::Established));
    }
}
