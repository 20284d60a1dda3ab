//! `cargo xtask bench`: builds in release and hands over to the benchmark's own program.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{cargo, is_root, run as run_command, target_dir};
use crate::setup::{self, Group};

/// What `bench` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One row of the table only: 1 packets in the loaded program, 4 rule sets of the field, 5 apply
    #[arg(long)]
    only: Option<u32>,
    /// Small sets and few samples
    #[arg(long)]
    quick: bool,
    /// A directory with more rule sets in the form of ClassBench; files whose names end in `k`
    #[arg(long)]
    sets: Option<PathBuf>,
    /// Where results are kept, by date and kernel
    #[arg(long, default_value = "bench/runs")]
    out: PathBuf,
}

/// Ends by becoming the benchmark.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if !setup::ensure(&[Group::Build])? {
        return Ok(false);
    }
    let build = [
        "build",
        "--release",
        "-p",
        "ringwall-tests",
        "--bin",
        "bench",
    ];
    run_command(cargo().args(build))?;
    let mut command = Command::new(if is_root() { "env" } else { "sudo" });
    command.arg(target_dir().join("release/bench"));
    command.arg("--out").arg(&args.out);
    if args.quick {
        command.arg("--quick");
    }
    if let Some(row) = args.only {
        command.arg("--only").arg(row.to_string());
    }
    if let Some(sets) = &args.sets {
        command.arg("--sets").arg(sets);
    }
    bail!("starting the benchmark: {}", command.exec())
}
