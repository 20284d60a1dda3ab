//! `cargo xtask faults`: builds, and hands over to the program that does it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{cargo, is_root, run as run_command, target_dir};
use crate::setup::{self, Group};

/// What `faults` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each fault is made in each family
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// Healthy connections over a lossy path, of which none may be reported
    #[arg(long, default_value_t = 10_000)]
    healthy: u64,
    /// What chance begins with
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Ends by becoming the program, so that a signal to us reaches it.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if !setup::ensure(&[Group::Build, Group::Test])? {
        return Ok(false);
    }
    run_command(cargo().arg("build"))?;
    let debug = target_dir().join("debug");
    let mut command = Command::new(if is_root() { "env" } else { "sudo" });
    if !is_root() {
        command.arg("env");
    }
    command.arg(format!("RINGWALL_BIN={}", debug.join("ringwall").display()));
    command.arg(debug.join("faults"));
    command.args([args.rounds, args.healthy, args.seed].map(|number| number.to_string()));
    bail!("starting it: {}", command.exec())
}
