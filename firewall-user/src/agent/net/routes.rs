//! The routes of all tables, as far as they say by which interface a packet may rightly come.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context;
use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};

use super::locals::request;

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Its table.
    pub table: u32,
    /// What it leads to.
    pub net: IpNet,
    /// Where packets go.
    pub to: To,
}

/// Where a route sends packets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum To {
    /// Out by these interfaces, by index. Empty: they are thrown away.
    By(Vec<u32>),
    /// The kernel does not say by which.
    Unsaid,
    /// On to the next table.
    NextTable,
}

/// All of them, sorted, each once. Those to this host itself are left out: nobody else has those addresses.
pub async fn routes() -> anyhow::Result<Vec<Route>> {
    let handle = super::connect().context("cannot open a netlink socket")?;
    let mut found = Vec::new();
    for v6 in [false, true] {
        let mut messages = handle.route().get(request(v6, RouteType::Unspec)).execute();
        // A full table of a routing daemon has a million: each is made small as it comes.
        while let Some(message) = messages
            .try_next()
            .await
            .context("cannot list the routes")?
        {
            found.extend(of_message(&message));
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Does a route say where packets go to others?
pub(super) const fn is_onward(route: &RouteMessage) -> bool {
    matches!(
        route.header.kind,
        RouteType::Unicast
            | RouteType::BlackHole
            | RouteType::Unreachable
            | RouteType::Prohibit
            | RouteType::Throw
    )
}

fn of_message(message: &RouteMessage) -> Option<Route> {
    use RouteAttribute as A;
    if !is_onward(message) {
        return None;
    }
    let header = &message.header;
    let mut table = u32::from(header.table);
    let mut address = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let mut by = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            A::Table(number) => table = *number,
            A::Destination(RouteAddress::Inet(v4)) => address = IpAddr::V4(*v4),
            A::Destination(RouteAddress::Inet6(v6)) => address = IpAddr::V6(*v6),
            A::Oif(index) => by.push(*index),
            A::MultiPath(hops) => by.extend(hops.iter().map(|hop| hop.interface_index)),
            _ => {}
        }
    }
    let net = IpNet::new(address, header.destination_prefix_length).ok()?;
    by.sort_unstable();
    by.dedup();
    let to = match header.kind {
        RouteType::Throw => To::NextTable,
        // Of a next hop that is an object of its own the kernel may tell the number only.
        RouteType::Unicast if by.is_empty() => To::Unsaid,
        RouteType::Unicast => To::By(by),
        // Those name the loopback device.
        _ => To::By(Vec::new()),
    };
    Some(Route {
        table,
        net: net.trunc(),
        to,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: RouteType, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.destination_prefix_length = 8;
        message.header.kind = kind;
        message.header.table = 252;
        message.attributes = vec![
            RouteAttribute::Destination(RouteAddress::Inet(Ipv4Addr::new(10, 0, 0, 0))),
            RouteAttribute::Table(1000),
        ];
        message.attributes.extend(attributes);
        message
    }

    #[test]
    fn a_route_is_a_table_a_prefix_and_where_to() {
        let of = |kind, attributes| of_message(&message(kind, attributes));
        let route = of(RouteType::Unicast, vec![RouteAttribute::Oif(3)]).unwrap();
        assert_eq!(
            (route.table, route.net.to_string(), route.to),
            (1000, "10.0.0.0/8".to_owned(), To::By(vec![3]))
        );
        let to = |kind, attributes| of(kind, attributes).map(|route| route.to);
        let lo = || vec![RouteAttribute::Oif(1)];
        let thrown_away = Some(To::By(Vec::new()));
        assert_eq!(to(RouteType::BlackHole, Vec::new()), thrown_away);
        assert_eq!(to(RouteType::Unreachable, lo()), thrown_away);
        assert_eq!(to(RouteType::Throw, Vec::new()), Some(To::NextTable));
        let object = vec![RouteAttribute::NhId(7)];
        assert_eq!(to(RouteType::Unicast, object), Some(To::Unsaid));
        assert_eq!(to(RouteType::Local, lo()), None);
    }
}
