//! The networks on the links of interfaces: what `connected` of a zone stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::Context;
use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType,
};

use super::Link;
use super::locals::request;
use crate::policy::hosts::Connected;

/// Who makes routes to networks on a link: the kernel for an address, a router by its advertisement, and people.
/// The kernel filters by these, so that a full table of a routing daemon need not be read.
const MAKERS: [RouteProtocol; 4] = [
    RouteProtocol::Kernel,
    RouteProtocol::Ra,
    RouteProtocol::Boot,
    RouteProtocol::Static,
];

/// The networks on the links of all interfaces, by name: those of their addresses, also while the link is down,
/// and those that are routed to them without a gateway.
pub async fn connected(links: &[Link]) -> anyhow::Result<Connected> {
    let handle = super::connect().context("cannot open a netlink socket")?;
    let mut found: BTreeMap<u32, BTreeSet<IpNet>> = BTreeMap::new();
    let addresses: Vec<AddressMessage> = handle
        .address()
        .get()
        .execute()
        .try_collect()
        .await
        .context("cannot list the addresses")?;
    for (index, net) in addresses.iter().filter_map(of_address) {
        found.entry(index).or_default().insert(net);
    }
    for (v6, maker) in [false, true]
        .into_iter()
        .flat_map(|v6| MAKERS.map(|m| (v6, m)))
    {
        let mut message = request(v6, RouteType::Unicast);
        message.header.protocol = maker;
        let routes: Vec<RouteMessage> = handle
            .route()
            .get(message)
            .execute()
            .try_collect()
            .await
            .context("cannot list the routes to networks on links")?;
        for (index, net) in routes.iter().filter_map(of_route) {
            found.entry(index).or_default().insert(net);
        }
    }
    let named = links.iter().filter_map(|link| {
        let nets = found.get(&link.index)?.iter().copied().collect();
        Some((link.name.clone(), nets))
    });
    Ok(named.collect())
}

/// Is a route of a kind that says what is on a link?
pub(super) fn is_on_link(route: &RouteMessage) -> bool {
    of_route(route).is_some()
}

/// The other end of a point-to-point address is what is on the link.
fn of_address(message: &AddressMessage) -> Option<(u32, IpNet)> {
    let address = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    })?;
    network(message.header.index, address, message.header.prefix_len)
}

/// A gateway, several, or an encapsulation mean that the network is beyond the link.
fn of_route(route: &RouteMessage) -> Option<(u32, IpNet)> {
    use RouteAttribute as A;
    let beyond = |attribute: &A| {
        matches!(
            attribute,
            A::Gateway(_) | A::Via(_) | A::MultiPath(_) | A::Encap(_) | A::NhId(_)
        )
    };
    if route.header.kind != RouteType::Unicast || route.attributes.iter().any(beyond) {
        return None;
    }
    let mut index = None;
    let mut address = None;
    for attribute in &route.attributes {
        match attribute {
            A::Oif(oif) => index = Some(*oif),
            A::Destination(RouteAddress::Inet(v4)) => address = Some(IpAddr::V4(*v4)),
            A::Destination(RouteAddress::Inet6(v6)) => address = Some(IpAddr::V6(*v6)),
            _ => {}
        }
    }
    network(index?, address?, route.header.destination_prefix_length)
}

/// Not the whole world, which is behind a tunnel and not on its link; nor what belongs to no zone by prefix.
fn network(index: u32, address: IpAddr, length: u8) -> Option<(u32, IpNet)> {
    let net = IpNet::new(address, length).ok()?.trunc();
    let odd = match net.network() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_multicast() || v6.is_unicast_link_local(),
    };
    (length > 0 && !odd).then_some((index, net))
}
