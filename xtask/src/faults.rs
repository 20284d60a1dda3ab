//! `cargo xtask faults`: builds, and hands over to the program that does it.

use anyhow::Result;

use crate::command::{cargo, hand_over_as_root, run as run_command};
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
    let numbers = [args.rounds, args.healthy, args.seed];
    hand_over_as_root("faults", &numbers.map(|number| number.to_string().into()))
}
