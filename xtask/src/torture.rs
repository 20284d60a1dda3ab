//! `cargo xtask torture`: builds, and hands over to the program that does it.

use anyhow::Result;

use crate::command::{cargo, hand_over_as_root, run as run_command};
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
    /// Mixed load for so long (`1h`), and no other row unless it is named
    #[arg(long, value_name = "TIME")]
    soak: Option<String>,
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
    let mut words = vec!["--seed".to_owned(), args.seed.to_string()];
    words.extend(["--seeds".to_owned(), args.seeds.to_string()]);
    let rows = args.only.iter();
    words.extend(rows.flat_map(|row| ["--only".to_owned(), row.clone()]));
    let soak = args.soak.iter();
    words.extend(soak.flat_map(|time| ["--soak".to_owned(), time.clone()]));
    words.extend(args.short.then(|| "--short".to_owned()));
    words.extend(args.json.then(|| "--json".to_owned()));
    let words: Vec<_> = words.into_iter().map(Into::into).collect();
    hand_over_as_root("torture", &words)
}
