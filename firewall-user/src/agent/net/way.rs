//! By which interface this machine would send to an address: what `ip route get` says.

use std::collections::HashMap;
use std::net::IpAddr;

use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};

/// Asks, and remembers what it was told.
#[derive(Debug)]
pub struct Ways {
    netlink: Socket,
    known: HashMap<(IpAddr, IpAddr), Option<u32>>,
    buffer: Vec<u8>,
}

/// A way to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// By this interface; 0: it is said to end on this host.
    pub interface: u32,
    /// The next hop, where the address is not on the link itself.
    pub gateway: Option<IpAddr>,
    /// The address of this host that is used, where the kernel says so.
    pub source: Option<IpAddr>,
}

impl Ways {
    /// Opens a socket to ask by.
    pub fn new() -> std::io::Result<Self> {
        let mut netlink = Socket::new(NETLINK_ROUTE)?;
        netlink.bind_auto()?;
        netlink.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            netlink,
            known: HashMap::new(),
            buffer: vec![0; 1 << 14],
        })
    }

    /// The interface from `local` to `far`; `None` where there is no way.
    pub fn interface(&mut self, local: IpAddr, far: IpAddr) -> Option<u32> {
        if let Some(known) = self.known.get(&(local, far)) {
            return *known;
        }
        let found = self.path(Some(local), far).ok().map(|path| path.interface);
        self.known.insert((local, far), found);
        found
    }

    /// The interface to an address, from whichever of ours.
    pub fn to(&mut self, far: IpAddr) -> Option<u32> {
        self.path(None, far).ok().map(|path| path.interface)
    }

    /// The way to `far`, from an address of this host or from whichever the kernel takes.
    ///
    /// # Errors
    /// What the kernel says: that there is no route (`ENETUNREACH`), or one that leads nowhere (`EHOSTUNREACH`,
    /// `EINVAL`, `EACCES`).
    pub fn path(&mut self, local: Option<IpAddr>, far: IpAddr) -> std::io::Result<Path> {
        let nowhere = || std::io::Error::from_raw_os_error(libc::ENETUNREACH);
        match self.exchange(RouteNetlinkMessage::GetRoute(question(local, far)))? {
            RouteNetlinkMessage::NewRoute(route) => leads(&route).ok_or_else(nowhere),
            _ => Err(std::io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Ways {
    /// Is the next hop known not to answer, or has it not answered yet?
    pub fn is_dead(&mut self, interface: u32, hop: IpAddr) -> bool {
        let address = match hop {
            IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
            IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
        };
        let mut question = NeighbourMessage::default();
        question.header.family = family(hop);
        question.header.ifindex = interface;
        question.attributes = vec![NeighbourAttribute::Destination(address)];
        let answer = self.exchange(RouteNetlinkMessage::GetNeighbour(question));
        match answer {
            Ok(RouteNetlinkMessage::NewNeighbour(found)) => matches!(
                found.header.state,
                NeighbourState::Failed | NeighbourState::Incomplete
            ),
            _ => false,
        }
    }

    /// One question, one answer.
    fn exchange(&mut self, request: RouteNetlinkMessage) -> std::io::Result<RouteNetlinkMessage> {
        let strange = || std::io::Error::from(std::io::ErrorKind::InvalidData);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.netlink.send(&bytes, 0)?;
        let size = self.netlink.recv(&mut &mut self.buffer[..], 0)?;
        let answer = self.buffer.get(..size).ok_or_else(strange)?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer);
        match answer.map_err(std::io::Error::other)?.payload {
            NetlinkPayload::InnerMessage(answer) => Ok(answer),
            NetlinkPayload::Error(error) => Err(error.into()),
            _ => Err(strange()),
        }
    }
}

const fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// IPv6 gives an unreachable route as an answer, not as an error.
fn leads(route: &RouteMessage) -> Option<Path> {
    let led = matches!(
        route.header.kind,
        RouteType::Unicast | RouteType::Local | RouteType::Unspec
    );
    let mut path = Path {
        interface: 0,
        gateway: None,
        source: None,
    };
    let ip = |address: &RouteAddress| match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    };
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => path.interface = *index,
            RouteAttribute::Gateway(address) => path.gateway = ip(address),
            RouteAttribute::PrefSource(address) => path.source = ip(address),
            RouteAttribute::Via(RouteVia::Inet6(v6)) => path.gateway = Some(IpAddr::V6(*v6)),
            _ => {}
        }
    }
    led.then_some(path)
}

fn question(local: Option<IpAddr>, far: IpAddr) -> RouteMessage {
    let address = |address: IpAddr| match address {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    };
    let length = if far.is_ipv4() { 32 } else { 128 };
    let mut message = RouteMessage::default();
    message.header.address_family = family(far);
    message.header.destination_prefix_length = length;
    message.attributes = vec![RouteAttribute::Destination(address(far))];
    if let Some(local) = local {
        message.header.source_prefix_length = length;
        let source = RouteAttribute::Source(address(local));
        message.attributes.push(source);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_oneself_is_loopback() {
        let mut ways = Ways::new().unwrap();
        for text in ["127.0.0.1", "::1"] {
            let own = text.parse().unwrap();
            assert_eq!(ways.interface(own, own), Some(1), "{text}");
            assert_eq!(ways.to(own), Some(1), "{text}, from anywhere");
            assert_eq!(ways.interface(own, own), Some(1), "{text}, remembered");
        }
    }
}
