//! By which interface this machine would send to an address: what `ip route get` says.

use std::collections::HashMap;
use std::net::IpAddr;

use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
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
        let found = self.ask(Some(local), far);
        self.known.insert((local, far), found);
        found
    }

    /// The interface to an address, from whichever of ours.
    pub fn to(&mut self, far: IpAddr) -> Option<u32> {
        self.ask(None, far)
    }

    fn ask(&mut self, local: Option<IpAddr>, far: IpAddr) -> Option<u32> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        let request = RouteNetlinkMessage::GetRoute(question(local, far));
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.netlink.send(&bytes, 0).ok()?;
        let size = self.netlink.recv(&mut &mut self.buffer[..], 0).ok()?;
        let answer = self.buffer.get(..size)?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer).ok()?;
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) = answer.payload
        else {
            return None;
        };
        route
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            })
    }
}

fn question(local: Option<IpAddr>, far: IpAddr) -> RouteMessage {
    let address = |address: IpAddr| match address {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    };
    let (family, length) = match far {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.destination_prefix_length = length;
    message.attributes = vec![RouteAttribute::Destination(address(far))];
    if let Some(local) = local {
        message.header.source_prefix_length = length;
        message
            .attributes
            .push(RouteAttribute::Source(address(local)));
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
