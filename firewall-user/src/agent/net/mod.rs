//! What the kernel says of links and addresses, now and at every change.

mod events;
pub mod guard;
mod links;
mod locals;

pub use events::{Changed, watch};
pub use links::{Link, links};
pub use locals::{Local, LocalKind, locals};

/// A netlink connection whose requests may be filtered by the kernel; its driver runs as a task.
fn connect() -> std::io::Result<rtnetlink::Handle> {
    let (connection, handle, _) =
        rtnetlink::new_connection_with_strict_check().or_else(|_| rtnetlink::new_connection())?;
    tokio::spawn(connection);
    Ok(handle)
}
