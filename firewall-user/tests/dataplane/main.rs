//! The data plane in a real kernel: private namespaces, a private bpffs, the loaded programs. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod frames;
mod lab;
mod policy;
mod records;
mod runs;
mod traffic;
