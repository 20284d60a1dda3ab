//! `cargo xtask fuzz`: every target under libFuzzer, from the corpus in the tree; and what the corpus covers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::{cargo, root, run as run_command, target_dir};
use crate::tools;

/// What `fuzz` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each target runs
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// One target only; may be given again
    #[arg(long, value_name = "TARGET")]
    target: Vec<String>,
    /// Take the smallest set of what was found into the corpus of the tree, at the end
    #[arg(long)]
    keep: bool,
    /// Fuzz nothing: tell which lines of the parsers the corpus and the unit tests reach
    #[arg(long)]
    coverage: bool,
}

/// Where the crate is, with its corpus and its crashes.
fn home() -> PathBuf {
    root().join("tests/fuzz")
}

/// True if no target crashed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if args.coverage {
        return coverage();
    }
    tools::ensure("cargo-fuzz", "runs libFuzzer")?;
    let all = targets()?;
    let unknown = args.target.iter().find(|name| !all.contains(name));
    ensure!(
        unknown.is_none(),
        "no target {unknown:?}; there are {}",
        all.join(", ")
    );
    let wanted = all
        .iter()
        .filter(|name| args.target.is_empty() || args.target.contains(name));
    let mut good = true;
    for target in wanted {
        good &= fuzz(target, args)?;
    }
    Ok(good)
}

/// The programs of the crate.
fn targets() -> Result<Vec<String>> {
    let files = std::fs::read_dir(home().join("fuzz_targets")).context("the fuzz targets")?;
    let names = files.map(|file| {
        Ok(file?
            .path()
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned())
    });
    let mut names: Vec<String> = names.collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

fn fuzz(target: &str, args: &Args) -> Result<bool> {
    let found = target_dir().join("xtask/fuzz").join(target);
    let (corpus, crashes) = (
        home().join("corpus").join(target),
        home().join("crashes").join(target),
    );
    for dir in [&found, &corpus, &crashes] {
        std::fs::create_dir_all(dir)?;
    }
    let before = count(&crashes)?;
    let mut command = cargo_fuzz("run")?;
    command.arg(target).args([&found, &corpus]).arg("--");
    command.arg(format!("-artifact_prefix={}/", crashes.display()));
    let dictionary = home().join(format!("{target}.dict"));
    if dictionary.exists() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    command.arg(format!("-max_total_time={}", (args.minutes * 60.0).ceil()));
    command.args(["-rss_limit_mb=4096", "-timeout=20", "-print_final_stats=1"]);
    let ran = run_command(&mut command);
    let crashed = count(&crashes)? - before;
    println!(
        "{target}: {} inputs found, {crashed} crashes",
        count(&found)?
    );
    if args.keep && ran.is_ok() {
        keep(target, &found, &corpus)?;
    }
    ensure!(ran.is_ok() || crashed > 0, "{target} does not run");
    Ok(crashed == 0)
}

/// On the stable compiler: nothing that is instrumented here needs another, and the targets are safe Rust.
fn cargo_fuzz(what: &str) -> Result<Command> {
    let object = target_dir().join("xtask/no-object");
    std::fs::create_dir_all(target_dir().join("xtask"))?;
    std::fs::write(&object, [])?;
    let mut command = cargo();
    command.args(["fuzz", what, "--sanitizer", "none"]);
    command.arg("--fuzz-dir").arg(home());
    command.arg("--target-dir").arg(target_dir().join("fuzz"));
    // Nothing is loaded into the kernel here.
    command.env("RINGWALL_EBPF_OBJECT", object);
    // cargo-fuzz passes options that the stable compiler calls unstable.
    command.env("RUSTC_BOOTSTRAP", "1");
    Ok(command)
}

/// Into the tree goes the least that reaches as much.
fn keep(target: &str, found: &Path, corpus: &Path) -> Result<()> {
    let mut command = cargo_fuzz("run")?;
    command
        .arg(target)
        .args([corpus, found])
        .args(["--", "-merge=1"]);
    run_command(&mut command)?;
    println!("{target}: {} inputs in the corpus", count(corpus)?);
    Ok(())
}

fn count(dir: &Path) -> Result<usize> {
    let files = std::fs::read_dir(dir)?.filter_map(Result::ok);
    Ok(files
        .filter(|file| !file.file_name().to_string_lossy().starts_with('.'))
        .count())
}

/// The files whose lines are counted.
const PARSERS: &str = "firewall-common/src/parse/";

/// True if more than 95 of 100 lines of the parsers are reached.
fn coverage() -> Result<bool> {
    tools::ensure("cargo-llvm-cov", "counts the lines that tests reach")?;
    let mut command = cargo();
    command.args([
        "llvm-cov",
        "--package",
        "firewall-common",
        "--json",
        "--summary-only",
    ]);
    eprintln!("$ {}", crate::command::text(&command));
    let out = command.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(out.status.success(), "the tests fail");
    let report: serde_json::Value = serde_json::from_slice(&out.stdout)?;
    let files = report["data"][0]["files"]
        .as_array()
        .context("no files in the report")?;
    let (mut all, mut reached) = (0, 0);
    for file in files {
        let name = file["filename"].as_str().unwrap_or_default();
        let Some((_, name)) = name
            .split_once(PARSERS)
            .filter(|(_, name)| !name.ends_with("tests.rs"))
        else {
            continue;
        };
        let lines = &file["summary"]["lines"];
        let (count, covered) = (lines["count"].as_u64(), lines["covered"].as_u64());
        let (count, covered) = (count.unwrap_or_default(), covered.unwrap_or_default());
        println!("{name:<12} {covered:>4} of {count:>4} lines");
        (all, reached) = (all + count, reached + covered);
    }
    ensure!(all > 0, "no parser in the report");
    println!(
        "parsers      {reached:>4} of {all:>4} lines, {:.1} %",
        100.0 * reached as f64 / all as f64
    );
    Ok(reached * 100 > all * 95)
}
