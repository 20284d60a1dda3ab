//! `cargo xtask build`.

use anyhow::Result;

use crate::command::{cargo, run as run_command, target_dir};
use crate::setup::{self, Group};

/// What `build` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Optimised, as it is shipped
    #[arg(long)]
    release: bool,
}

/// Tool chain, then cargo, whose progress is shown.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if !setup::ensure(&[Group::Build])? {
        return Ok(false);
    }
    let profile = if args.release { "release" } else { "debug" };
    let flag = args.release.then_some("--release");
    run_command(cargo().arg("build").args(flag))?;
    println!(
        "Built: {}",
        target_dir().join(profile).join("ringwall").display()
    );
    Ok(true)
}
