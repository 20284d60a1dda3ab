//! What the kernel says of links and addresses, now and at every change.

mod connected;
mod events;
pub mod guard;
mod links;
mod locals;

pub use connected::connected;
pub use events::{Changed, watch};
pub use links::{Link, Vlan, links};
pub use locals::{Local, LocalKind, locals};

use crate::policy::hosts::Connected;

/// All interfaces, for who has no event loop.
pub fn links_now() -> anyhow::Result<Vec<Link>> {
    now(links())
}

/// The networks on the links of all interfaces, for who has no event loop.
pub fn connected_now() -> anyhow::Result<Connected> {
    now(async { connected(&links().await?).await })
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
