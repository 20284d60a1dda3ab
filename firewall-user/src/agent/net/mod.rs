//! What the kernel says of links and addresses, now and at every change.

mod beside;
mod connected;
mod conntrack;
mod events;
mod feasible;
pub mod guard;
pub mod hook;
mod links;
mod locals;
mod routes;
mod sockets;
mod way;

pub use beside::Filter;
pub use connected::connected;
pub use conntrack::{Published, published};
pub use events::{Changed, watch};
pub use feasible::{Feasible, feasible};
pub use links::{Link, Vlan, links};
pub use locals::{Local, LocalKind, locals};
pub use routes::{Route, To, routes};
pub use sockets::{Socket, Standing, connection, listening, sockets};
pub use way::{Path, Ways};

use crate::policy::hosts::Connected;

/// All interfaces, for who has no event loop.
pub fn links_now() -> anyhow::Result<Vec<Link>> {
    now(links())
}

/// The networks on the links of all interfaces, for who has no event loop.
pub fn connected_now() -> anyhow::Result<Connected> {
    now(async { connected(&links().await?).await })
}

/// Addresses that are delivered here, for who has no event loop.
pub fn locals_now() -> anyhow::Result<Vec<Local>> {
    now(locals())
}

/// Filters in clsact qdiscs, for who has no event loop.
pub fn filters_now(links: &[Link]) -> anyhow::Result<Vec<Filter>> {
    now(beside::filters(links))
}

/// The addresses that no route leads to, for who has no event loop.
pub fn unrouted_now(addresses: &[std::net::IpAddr]) -> anyhow::Result<Vec<std::net::IpAddr>> {
    now(beside::unrouted(addresses))
}

/// The sockets of this network namespace, those of connections with the interface that leads to their far end.
pub fn living() -> anyhow::Result<Vec<(Socket, Option<u32>)>> {
    let mut ways = Ways::new()?;
    let mut way = |socket: Socket| {
        let connected = socket.far.port() != 0;
        let index = connected.then(|| ways.interface(socket.local.ip(), socket.far.ip()));
        (socket, index.flatten())
    };
    Ok(sockets()?.into_iter().map(&mut way).collect())
}

fn now<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build()?;
    runtime.block_on(work)
}

/// A netlink connection whose requests may be filtered by the kernel; its driver runs as a task.
fn connect() -> std::io::Result<rtnetlink::Handle> {
    let (connection, handle, _) =
        rtnetlink::new_connection_with_strict_check().or_else(|_| rtnetlink::new_connection())?;
    tokio::spawn(connection);
    Ok(handle)
}
