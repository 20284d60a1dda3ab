//! `cargo xtask test`: builds every test, runs each with the rights it needs, and counts.

mod collect;
mod libtest;
mod run;
mod skips;
mod tally;

use std::path::Path;

use anyhow::Result;

use crate::command::{self, cargo, find, is_root, root, target_dir};
use crate::setup::{self, Group};
use collect::Job;
use tally::{Outcome, Tally};

/// The crate whose tests make namespaces and load programs.
const END_TO_END: &str = "ringwall-tests";
const DOCUMENTED: [&str; 2] = ["firewall-common", "firewall-user"];

/// What `test` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Never ask for root: tests that need it are skipped
    #[arg(long)]
    no_root: bool,
}

/// The last line printed is always `N passed, N failed, N skipped`.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let mut tally = Tally::default();
    if let Err(error) = run_all(args, &mut tally) {
        tally.add(Outcome::trouble("xtask test", &format!("{error:#}")));
    }
    Ok(tally.conclude(&skips::Listed::read(&root().join("tests/skips.txt"))?))
}

fn run_all(args: &Args, tally: &mut Tally) -> Result<()> {
    if !setup::ensure(&[Group::Build, Group::Test])? {
        anyhow::bail!("the command above is needed first");
    }
    command::run(cargo().arg("build"))?;
    let jobs = collect::build(args.filter.as_deref())?;
    let (end_to_end, unit): (Vec<_>, Vec<_>) = jobs
        .into_iter()
        .partition(|j| j.name.starts_with(END_TO_END));
    run_here(&unit, tally)?;
    run_here(
        &collect::doc_tests(&DOCUMENTED, args.filter.as_deref()),
        tally,
    )?;
    run_as_root(&end_to_end, args, tally)
}

fn run_here(jobs: &[Job], tally: &mut Tally) -> Result<()> {
    for job in jobs {
        tally.add(run::run(job)?);
    }
    Ok(())
}

/// As root already, or through sudo, or else as we are: the tests that need root then say so themselves.
fn run_as_root(jobs: &[Job], args: &Args, tally: &mut Tally) -> Result<()> {
    if is_root() || args.no_root {
        return run_here(jobs, tally);
    }
    if find("sudo").is_none() {
        println!(
            "There is no sudo here: tests that need root are skipped. Run this as root for them."
        );
        return run_here(jobs, tally);
    }
    println!("The end-to-end tests make network namespaces and load programs: that needs root.");
    let list = target_dir().join("xtask/root-tests.json");
    let answer = answer_path(&list);
    let _ = std::fs::remove_file(&answer);
    std::fs::write(&list, serde_json::to_vec(jobs)?)?;
    // Not our own path: cargo may have put an equal file in its place meanwhile.
    let this = target_dir().join("debug/xtask");
    let ran = command::run(
        std::process::Command::new("sudo")
            .arg(this)
            .arg("run-tests")
            .arg(&list),
    );
    if ran.is_err() && !answer.exists() {
        println!("Root was refused: tests that need it are skipped.");
        return run_here(jobs, tally);
    }
    for outcome in serde_json::from_slice::<Vec<Outcome>>(&std::fs::read(&answer)?)? {
        tally.add(outcome);
    }
    Ok(())
}

fn answer_path(list: &Path) -> std::path::PathBuf {
    list.with_extension("outcomes.json")
}

/// The part of [`run`] that sudo starts.
pub(crate) fn run_list(list: &Path) -> Result<bool> {
    let jobs: Vec<Job> = serde_json::from_slice(&std::fs::read(list)?)?;
    let outcomes = jobs.iter().map(run::run).collect::<Result<Vec<_>>>()?;
    std::fs::write(answer_path(list), serde_json::to_vec(&outcomes)?)?;
    Ok(true)
}
