//! Network namespaces, wires between them, agents inside them, and packets by hand.
//!
//! Everything here is unique by process and number, so test processes run side by side, and leaves
//! nothing behind: on drop, by a janitor process when this one is killed, and by a sweep at the next
//! start should the janitor have been killed too.

mod cgroup;
mod clean;
mod dirs;
mod foreign;
mod host;
mod icmp;
mod lab;
pub mod meter;
mod netns;
pub mod packet;
mod process;
pub mod program;
mod site;
pub mod sock;
mod tun;
mod veth;
pub mod xdp;

pub use cgroup::{MemoryGroup, make_cgroup, remove_cgroup};
pub use clean::{remove_locks, sweep_dead, sweep_own};
pub use dirs::RunDir;
pub use foreign::{Foreign, Seat};
pub use host::{Host, METRICS, binary};
pub use lab::Lab;
pub use netns::Netns;
pub use process::{Command, Daemon, Ran, wait_until};
pub use site::Site;
pub use tun::{Pump, Tun};
pub use veth::{End, Veth};
