//! Dynamic sets: who is in them, until when, and how that is kept.

pub mod members;
pub mod saved;

pub use members::{Change, Members, Prefix};
