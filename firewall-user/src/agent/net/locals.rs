//! Addresses that the kernel's routing delivers here: the local and broadcast routes of all tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context;
use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType,
};

/// What an address that is delivered here is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocalKind {
    /// One of this machine's own.
    Unicast,
    /// A broadcast address of one of its links.
    Broadcast,
}

/// A prefix that is delivered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Local {
    /// The prefix; mostly one address.
    pub net: IpNet,
    /// What it is.
    pub kind: LocalKind,
}

/// All prefixes that are delivered here, sorted, each once.
pub async fn locals() -> anyhow::Result<Vec<Local>> {
    let handle = super::connect().context("cannot open a netlink socket")?;
    let mut found = Vec::new();
    for (v6, kind) in [
        (false, RouteType::Local),
        (false, RouteType::Broadcast),
        (true, RouteType::Local),
        (true, RouteType::Anycast),
    ] {
        let message = request(v6, kind);
        let routes: Vec<RouteMessage> = handle
            .route()
            .get(message)
            .execute()
            .try_collect()
            .await
            .context("cannot list the local routes")?;
        found.extend(routes.iter().filter_map(local));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Asks for the routes of a type in all tables. The kernel filters by it where it can; what it cannot has to be
/// filtered again.
pub(super) fn request(v6: bool, kind: RouteType) -> RouteMessage {
    let mut message = if v6 {
        RouteMessageBuilder::<Ipv6Addr>::new().build()
    } else {
        RouteMessageBuilder::<Ipv4Addr>::new().build()
    };
    message.header.table = RouteHeader::RT_TABLE_UNSPEC;
    message.header.protocol = rtnetlink::packet_route::route::RouteProtocol::Unspec;
    message.header.scope = rtnetlink::packet_route::route::RouteScope::Universe;
    message.header.kind = kind;
    message
}

/// Is a route of a kind that says what is delivered here?
pub(super) const fn is_local(route: &RouteMessage) -> bool {
    matches!(
        route.header.kind,
        RouteType::Local | RouteType::Broadcast | RouteType::Anycast
    )
}

fn local(route: &RouteMessage) -> Option<Local> {
    if !is_local(route) {
        return None;
    }
    let kind = match route.header.kind {
        RouteType::Broadcast => LocalKind::Broadcast,
        _ => LocalKind::Unicast,
    };
    let address = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
            _ => None,
        })?;
    let net = IpNet::new(address, route.header.destination_prefix_length).ok()?;
    Some(Local {
        net: net.trunc(),
        kind,
    })
}
