//! Records: from the kernel's ring to history, followers and file.
//!
//! A thread of its own reads the ring ([`reader`]), so that no request and no apply waits for a flood. What
//! it reads gets its number and place ([`hub`]), and becomes a flow record ([`enrich`]) only for those who
//! want to see one.

pub mod community;
pub mod drops;
mod enrich;
pub mod file;
mod host;
pub mod hub;
mod hubble;
mod kept;
mod listening;
mod owners;
pub mod reader;
pub mod record;
mod subject;
mod units;
pub mod view;
pub mod watcher;

pub use hub::{Hub, Loss, Seen, Turned, What};
pub use record::Flow;
pub use subject::peer;
