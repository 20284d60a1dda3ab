//! Whether Ringwall holds on the running kernel, said line by line: the program that `cargo xtask kernels`
//! starts as the only one on a machine with another kernel. Exit status 0 only if every check held.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a check that cannot go on must stop with a message"
)]

mod devices;
mod early;
mod judged;
mod named;
mod programs;
mod report;
mod restart;
mod traffic;

use std::process::ExitCode;

use report::Report;

fn main() -> ExitCode {
    let mut report = Report::default();
    programs::check(&mut report);
    traffic::check(&mut report);
    early::check(&mut report);
    restart::check(&mut report);
    devices::check(&mut report);
    named::check(&mut report);
    if report.all_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
