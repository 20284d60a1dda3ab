//! The sockets of this network namespace, as the kernel lists them (sock_diag(7)).

use std::io;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail};
use firewall_common::packet::protocol;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use rtnetlink::packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::sys::protocols::NETLINK_SOCK_DIAG;
use rtnetlink::sys::{Socket as Netlink, SocketAddr as Kernel};

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

fn dump(family: u8, number: u8, all: &mut Vec<Socket>) -> anyhow::Result<()> {
    let mut netlink = Netlink::new(NETLINK_SOCK_DIAG)?;
    netlink.bind_auto()?;
    netlink.connect(&Kernel::new(0, 0))?;
    send(&netlink, request(family, number))?;
    let mut buffer = vec![0; RECEIVE];
    loop {
        let size = netlink.recv(&mut &mut buffer[..], 0)?;
        let mut rest = buffer.get(..size).unwrap_or_default();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)?;
            let length = (message.header.length as usize).next_multiple_of(4);
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(found)) => {
                    all.extend(socket(number, &found));
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

fn request(family: u8, number: u8) -> NetlinkMessage<SockDiagMessage> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let socket_id = if family == AF_INET {
        SocketId::new_v4()
    } else {
        SocketId::new_v6()
    };
    let request = InetRequest {
        family,
        protocol: number,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all() - StateFlags::TIME_WAIT,
        socket_id,
    };
    NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into())
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
