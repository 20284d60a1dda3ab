//! `cargo xtask torture`: builds, and hands over to the program that does it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{cargo, is_root, run as run_command, target_dir};
use crate::setup::{self, Group};

/// What `torture` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One row of the table only; may be given again
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Seconds instead of minutes for each row, as in the tests
    #[arg(long)]
    short: bool,
    /// What chance begins with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds the comparison with nftables tries
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Figures for machines
    #[arg(long)]
    json: bool,
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
    command.arg(debug.join("torture"));
    command.args(["--seed", &args.seed.to_string()]);
    command.args(["--seeds", &args.seeds.to_string()]);
    command.args(args.only.iter().flat_map(|row| ["--only", row]));
    command.args(args.short.then_some("--short"));
    command.args(args.json.then_some("--json"));
    bail!("starting it: {}", command.exec())
}
