//! `cargo xtask demo`: sets up, builds, and hands over to the demo's own program, which needs the agent
//! and the eBPF tool chain where this crate may not.

use anyhow::Result;

use crate::command::{cargo, hand_over_as_root, run as run_command};
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
    hand_over_as_root("demo", &["--policy".into(), args.policy.clone().into()])
}
