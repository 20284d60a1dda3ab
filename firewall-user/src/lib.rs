//! Ringwall's agent and command line, as a library; the binary only calls [`cli`].
#![allow(
    unreachable_pub,
    reason = "a library with one user: its own binary and tests"
)]

pub mod agent;
pub mod api;
mod attribute;
pub mod cli;
pub mod dataplane;
pub mod detect;
pub mod diagnose;
pub mod events;
pub mod heap;
pub mod log;
pub mod metrics;
pub mod policy;
pub mod sessions;
pub mod sets;
pub mod version;
