//! `/metrics`: a snapshot of the tables at each scrape, as families, as text.

mod collector;
mod events;
mod family;
mod limits;
mod policy;
mod process;
mod rules;
mod server;
mod snapshot;
#[cfg(test)]
mod tests;
mod text;
mod traffic;

pub use server::serve;
pub use snapshot::Snapshot;
pub use text::{classic, open_metrics};
