//! Ringwall's own commands: `cargo xtask setup | build | lint | test | demo | bench | torture | fuzz | mutants | kernels |
//! package | pictures`.
//!
//! This crate needs nothing but Rust and a linker: it is what installs the rest.

mod bench;
mod build;
mod command;
mod demo;
mod faults;
mod fuzz;
mod kernels;
mod lint;
mod mutants;
mod package;
mod pictures;
mod setup;
mod test;
mod toolchain;
mod tools;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Ringwall's own commands"
)]
struct Args {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building, testing and the demo need; says first what and why
    Setup(setup::Args),
    /// Build the agent, `ringwall`, with the eBPF object in it
    Build(build::Args),
    /// Format check and clippy with warnings as errors, for the host crates and the bpf target
    Lint,
    /// Every test; asks for root once, for those that need it
    Test(test::Args),
    /// Three namespaces, the real agent, real packets, about a minute
    Demo(demo::Args),
    /// Every fault of a handshake, made on purpose and named; healthy connections over a lossy path
    Faults(faults::Args),
    /// What a packet, a look-up and an apply cost: a table, and a record in `bench/runs`
    Bench(bench::Args),
    /// The worst that can be done to it, row by row, and a table of what held; many minutes
    Torture(torture::Args),
    /// Every reader of strangers' bytes under libFuzzer; `--coverage`: which lines of the parsers are reached
    Fuzz(fuzz::Args),
    /// Faults put into what decides, one by one: a test must notice each; hours
    Mutants(mutants::Args),
    /// The Debian package, with manual and completions; `--check` installs, upgrades and removes it
    Package(package::Args),
    /// What the dashboards' queries find, drawn by a browser without a screen into `docs/pictures`
    Pictures(pictures::Args),
    /// The agent on Debian's 6.1 and 6.12 kernels, each booted in an emulator; a table of what held
    Kernels(kernels::Args),
    /// Run a list of test binaries; `test` starts it as root
    #[command(hide = true)]
    RunTests {
        /// The list, in JSON; the outcomes are written beside it
        list: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Task::Setup(args) => setup::run(&args),
        Task::Build(args) => build::run(&args),
        Task::Lint => lint::run(),
        Task::Test(args) => test::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Faults(args) => faults::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Torture(args) => torture::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Mutants(args) => mutants::run(&args),
        Task::Package(args) => package::run(&args),
        Task::Pictures(args) => pictures::run(&args),
        Task::Kernels(args) => kernels::run(&args),
        Task::RunTests { list } => test::run_list(&list),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
