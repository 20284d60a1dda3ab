//! `cargo xtask mutants`: faults put one by one into what decides, each of which a test must notice.

use std::process::Command;

use anyhow::Result;

use crate::command::{root, run as run_command, target_dir};
use crate::tools;

/// What is mutated: parsing, sessions and the look-up.
const FILES: [&str; 3] = [
    "firewall-common/src/parse/**",
    "firewall-common/src/session/**",
    "firewall-common/src/policy/**",
];

/// What `mutants` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Other files than parsing, sessions and the look-up; a glob, may be given again
    #[arg(long, value_name = "GLOB")]
    file: Vec<String>,
    /// Only a part of them: `1/8`
    #[arg(long)]
    shard: Option<String>,
    /// Only name them
    #[arg(long)]
    list: bool,
}

/// True if every fault was noticed by the tests of `firewall-common`. The outcome stays in `target/xtask/mutants.out`.
pub(crate) fn run(args: &Args) -> Result<bool> {
    tools::ensure("cargo-mutants", "puts faults into code")?;
    let mut command = Command::new("nice");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    command.current_dir(root()).args(["-n", "15"]).arg(cargo);
    command.args([
        "mutants",
        "--package",
        "firewall-common",
        "--no-shuffle",
        "--colors",
        "never",
    ]);
    command.arg("--output").arg(target_dir().join("xtask"));
    let files: Vec<&str> = match args.file.is_empty() {
        true => FILES.to_vec(),
        false => args.file.iter().map(String::as_str).collect(),
    };
    command.args(files.iter().flat_map(|file| ["--file", file]));
    command.args(args.shard.iter().flat_map(|shard| ["--shard", shard]));
    command.args(args.list.then_some("--list"));
    Ok(run_command(&mut command).is_ok())
}
