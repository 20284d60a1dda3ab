//! What others have put on the interfaces: filters in the clsact qdisc.

use std::net::IpAddr;

use anyhow::Context;
use futures::TryStreamExt;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::tc::{TcAttribute, TcMessage};

use super::{Link, connect};

/// A filter in the clsact qdisc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Index of the interface.
    pub index: u32,
    /// It sees what arrives.
    pub ingress: bool,
    /// `bpf`, `flower`, `u32` …
    pub kind: String,
    /// Lower ones come first.
    pub priority: u16,
}

/// Every filter in the clsact qdiscs of these interfaces, once each.
pub async fn filters(links: &[Link]) -> anyhow::Result<Vec<Filter>> {
    let handle = connect().context("cannot open a netlink socket")?;
    let mut found = Vec::new();
    for link in links {
        for ingress in [true, false] {
            let index = i32::try_from(link.index)?;
            let request = handle.traffic_filter(index).get();
            let request = if ingress {
                request.ingress()
            } else {
                request.egress()
            };
            // Without the qdisc the kernel says that there is nothing, in one way or another.
            let messages: Vec<TcMessage> =
                request.execute().try_collect().await.unwrap_or_default();
            let filters = messages
                .iter()
                .filter_map(|m| of_message(m, link.index, ingress));
            found.extend(filters);
        }
    }
    found.dedup();
    Ok(found)
}

/// The kernel lists a chain of filters, then each of them: what has no handle is the chain.
fn of_message(message: &TcMessage, index: u32, ingress: bool) -> Option<Filter> {
    let kind = message.attributes.iter().find_map(|a| match a {
        TcAttribute::Kind(kind) => Some(kind.clone()),
        _ => None,
    })?;
    let handle = message.header.handle;
    (u32::from(handle) != 0).then_some(Filter {
        index,
        ingress,
        kind,
        // The lower half is the protocol.
        priority: (message.header.info >> 16) as u16,
    })
}

/// The addresses among these that no route leads to.
pub async fn unrouted(addresses: &[IpAddr]) -> anyhow::Result<Vec<IpAddr>> {
    let handle = connect().context("cannot open a netlink socket")?;
    let mut found = Vec::new();
    for address in addresses {
        let question = match *address {
            IpAddr::V4(v4) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .destination_prefix(v4, 32)
                .build(),
            IpAddr::V6(v6) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .destination_prefix(v6, 128)
                .build(),
        };
        let routes: Result<Vec<_>, _> = handle.route().get(question).execute().try_collect().await;
        if routes.is_err_and(|error| no_route(&error)) {
            found.push(*address);
        }
    }
    Ok(found)
}

fn no_route(error: &rtnetlink::Error) -> bool {
    let rtnetlink::Error::NetlinkError(message) = error else {
        return false;
    };
    let code = message.to_io().raw_os_error();
    matches!(code, Some(libc::ENETUNREACH | libc::EHOSTUNREACH))
}
