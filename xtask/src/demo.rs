//! `cargo xtask demo`: sets up, builds, and hands over to the demo's own program, which needs the agent
//! and the eBPF tool chain where this crate may not.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{cargo, find, is_root, run as run_command, target_dir, text};
use crate::setup::{self, Group};

/// What `demo` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The example, or one that allows everything: with that the demo must fail
    #[arg(long, default_value = "default", value_parser = ["default", "open"])]
    policy: String,
}

/// Ends by becoming the demo, so that a signal to us reaches it.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if !setup::ensure(&[Group::Build, Group::Demo])? {
        return Ok(false);
    }
    run_command(cargo().arg("build"))?;
    let debug = target_dir().join("debug");
    let demo = [
        debug.join("demo").into_os_string(),
        "--policy".into(),
        args.policy.clone().into(),
    ];
    let binary = format!("RINGWALL_BIN={}", debug.join("ringwall").display());
    let mut command = Command::new("env");
    if !is_root() {
        command = Command::new("sudo");
        command.arg("env");
    }
    command.arg(binary).args(demo);
    if !is_root() && find("sudo").is_none() {
        println!(
            "Making namespaces needs root. Type this as root:\n\n    {}\n",
            text(&command)
        );
        return Ok(false);
    }
    if !is_root() {
        println!("Making namespaces needs root:\n    {}", text(&command));
    }
    bail!("starting the demo: {}", command.exec())
}
