//! `cargo xtask mutants`: faults put one by one into what decides, each of which a test must notice.

mod constant;
mod plant;
mod trial;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::{cargo, root, target_dir};
use constant::Constants;
use plant::{Fault, Planter};
use trial::{FAULT, Killer, Tests};

/// What is mutated: parsing, sessions and the look-up.
const PLACES: [&str; 3] = [
    "firewall-common/src/parse/",
    "firewall-common/src/session/",
    "firewall-common/src/policy/",
];

/// Tests that need no kernel, the quickest first.
const TESTS: [Tests; 4] = [
    ("firewall-common", &["--lib"], &[]),
    ("ringwall-tests", &["--test", "cases"], &["host::"]),
    ("firewall-common", &["--test", "corpus"], &[]),
    ("firewall-user", &["--lib"], &["policy::oracle::"]),
];

/// Faults that change nothing that anybody could see, each with the reason.
const EQUIVALENT: &str = "xtask/src/mutants/equivalent.txt";

/// Where those are told that no test noticed.
const SURVIVORS: &str = "survivors.txt";

/// What `mutants` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only files whose path contains this; may be given again
    #[arg(long, value_name = "WORD")]
    file: Vec<String>,
    /// Only those that survived the last run
    #[arg(long)]
    again: bool,
    /// How many are tried at once
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Only name them
    #[arg(long)]
    list: bool,
}

/// True if every fault was noticed, or is known to change nothing. Those that survive stay in
/// `target/xtask/mutants/survivors.txt`.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let place = target_dir().join("xtask/mutants");
    let tree = place.join("tree");
    copy(&tree)?;
    let faults = plant(&tree)?;
    let wanted = wanted(args, &place, &faults)?;
    if args.list {
        wanted
            .iter()
            .for_each(|number| println!("{number}: {}", line(&faults[number - 1])));
        return Ok(true);
    }
    let mut left = wanted.clone();
    for tests in TESTS {
        let killer = Killer::build(cargo_in(&tree), &tree, tests)?;
        left = killer.survivors(&left, args.jobs)?;
        let lines = left
            .iter()
            .map(|number| format!("{}\n", line(&faults[number - 1])));
        std::fs::write(place.join(SURVIVORS), lines.collect::<String>())?;
        println!("{} of {} survive", left.len(), wanted.len());
    }
    report(&place, &faults, &wanted, &left)
}

/// The numbers of those that are asked for.
fn wanted(args: &Args, place: &Path, faults: &[Fault]) -> Result<Vec<usize>> {
    let left = match args.again {
        true => std::fs::read_to_string(place.join(SURVIVORS)).context("the last run")?,
        false => String::new(),
    };
    let left: BTreeSet<&str> = left.lines().collect();
    let chosen = |fault: &Fault| {
        let named = args.file.is_empty() || args.file.iter().any(|word| fault.file.contains(word));
        named && (!args.again || left.contains(line(fault).as_str()))
    };
    let numbered = faults.iter().enumerate();
    Ok(numbered
        .filter(|(_, fault)| chosen(fault))
        .map(|(at, _)| at + 1)
        .collect())
}

fn line(fault: &Fault) -> String {
    format!("{}: {}: {}", fault.file, fault.function, fault.what)
}

/// The faults of the list; a line is a fault's, then ` # ` and the reason.
fn equivalent() -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join(EQUIVALENT)).context(EQUIVALENT)?;
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (fault, reason) = line.split_once(" # ").unwrap_or((line, ""));
            ensure!(!reason.trim().is_empty(), "{EQUIVALENT}: no reason: {line}");
            Ok(fault.trim().to_owned())
        })
        .collect()
}

fn report(place: &Path, faults: &[Fault], wanted: &[usize], left: &[usize]) -> Result<bool> {
    let known = equivalent()?;
    let left: Vec<String> = left
        .iter()
        .map(|number| line(&faults[number - 1]))
        .collect();
    let (same, survivors): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|line| known.contains(line));
    let text: String = survivors
        .iter()
        .flat_map(|line| [line.as_str(), "\n"])
        .collect();
    std::fs::write(place.join(SURVIVORS), text)?;
    println!(
        "{} faults: {} noticed, {} change nothing, {} survive",
        wanted.len(),
        wanted.len() - same.len() - survivors.len(),
        same.len(),
        survivors.len()
    );
    survivors
        .iter()
        .for_each(|line| println!("survives: {line}"));
    Ok(survivors.is_empty())
}

/// The workspace as it stands, without what is built. Files that did not change keep their time, so that little is
/// built again.
fn copy(tree: &Path) -> Result<()> {
    for file in listed()? {
        let (from, to) = (root().join(&file), tree.join(&file));
        let Ok(bytes) = std::fs::read(&from) else {
            continue;
        };
        // What faults are planted in is written behind this.
        let rust = PLACES.iter().any(|place| file.starts_with(place));
        if !rust && std::fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        std::fs::create_dir_all(to.parent().context("a directory")?)?;
        std::fs::write(&to, bytes).with_context(|| file.clone())?;
    }
    Ok(())
}

fn listed() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root())
        .args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let out = git.output().context("git")?;
    ensure!(out.status.success(), "git knows no files here");
    Ok(String::from_utf8(out.stdout)?
        .lines()
        .map(str::to_owned)
        .collect())
}

/// Files of tests are told by the modules that name them.
fn plant(tree: &Path) -> Result<Vec<Fault>> {
    let (mut constants, mut targets) = (Constants::default(), Vec::new());
    let rust = listed()?.into_iter().filter(|file| file.ends_with(".rs"));
    for file in rust.filter(|file| file.contains("/src/") && tree.join(file).is_file()) {
        let text = std::fs::read_to_string(tree.join(&file))?;
        let planted = PLACES.iter().any(|place| file.starts_with(place)) && !is_tests(&file);
        constants
            .read(&text, planted)
            .with_context(|| file.clone())?;
        targets.extend(planted.then_some((file, text)));
    }
    let mut planter = Planter::new(constants.names());
    for (file, text) in targets {
        let text = planter.plant(&file, &text).with_context(|| file.clone())?;
        std::fs::write(tree.join(&file), text)?;
    }
    let lib = tree.join("firewall-common/src/lib.rs");
    let text = std::fs::read_to_string(&lib)?;
    let text = text.replacen("#![no_std]", ALLOWED, 1);
    std::fs::write(&lib, format!("{text}\n{PLANTED}"))?;
    Ok(planter.faults)
}

/// Is there `#[cfg(test)] mod NAME;` for it beside it?
fn is_tests(file: &str) -> bool {
    let path = PathBuf::from(file);
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let home = root().join(path.parent().unwrap_or(Path::new("")));
    let files = std::fs::read_dir(home).into_iter().flatten().flatten();
    let declared = format!("#[cfg(test)]\nmod {name};");
    let said = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path());
        text.is_ok_and(|text| text.contains(&declared))
    };
    name.ends_with("tests") || { files }.any(said)
}

/// Warnings of code with faults in it tell nothing.
const ALLOWED: &str = "#![no_std]\n#![allow(warnings, arithmetic_overflow, unconditional_panic)]";

/// What the planted code asks.
const PLANTED: &str = "
#[allow(missing_docs)]
pub mod planted {
    extern crate std;
    pub fn is(number: u32) -> bool {
        static ONE: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        let read = || std::env::var(\"RINGWALL_FAULT\").ok()?.parse().ok();
        *ONE.get_or_init(|| read().unwrap_or(0)) == number
    }
}
";

/// In the copy, but with what is built already.
fn cargo_in(tree: &Path) -> Command {
    let object = target_dir().join("xtask/no-object");
    let _ = std::fs::write(&object, []);
    let mut command = cargo();
    command.current_dir(tree);
    command.env("CARGO_TARGET_DIR", target_dir());
    command.env("RINGWALL_EBPF_OBJECT", object);
    command.env_remove(FAULT);
    command
}
