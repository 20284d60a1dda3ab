//! The agent: who owns what, reload, signals, restart without letting go.

pub mod config;
pub mod history;
pub mod net;
pub mod paths;
pub mod plane;
pub mod revision;
pub mod store;
