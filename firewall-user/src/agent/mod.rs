//! The agent: who owns what, reload, signals, restart without letting go.

pub mod config;
