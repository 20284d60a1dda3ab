//! End-to-end tests: what they share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

pub mod bpf;
pub mod case;
pub mod cases;
pub mod classbench;
pub mod differential;
pub mod earlier;
pub mod faults;
pub mod fuzz;
pub mod loaded;
pub mod machine;
pub mod net;
pub mod package;
pub mod run;
pub mod scenario;
pub mod skip;
pub mod terminal;
pub mod torture;
pub mod wall;
