//! `cargo xtask setup`: finds what is missing, says what and why, then installs it.

mod packages;
mod policy_rc;
mod rust;

use anyhow::{Result, bail};

use crate::command;
pub(crate) use packages::Group;
use packages::Package;
use rust::Part;

/// What `setup` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only say what is missing; exit status 1 if something is
    #[arg(long)]
    check: bool,
    /// Only the Debian packages: the part that needs root
    #[arg(long, conflicts_with = "check")]
    packages: bool,
    /// Debian's Rust compiler with its built core for BPF, where rustup cannot fetch `rust-src`
    #[arg(long, requires = "packages")]
    debian_rust: bool,
}

/// The command itself: every group.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if args.packages {
        let mut missing = packages::missing(&Group::ALL);
        missing.extend(packages::DEBIAN_RUST.iter().filter(|_| args.debian_rust));
        return install_packages(&missing);
    }
    if args.check {
        return Ok(check());
    }
    let done = ensure(&Group::ALL)?;
    if done {
        println!("Everything that building, testing and the demo need is here.");
    }
    Ok(done)
}

fn check() -> bool {
    let packages = packages::missing(&Group::ALL);
    let parts = rust::missing(&Group::ALL);
    say(&packages, &parts);
    if packages.is_empty() && parts.is_empty() {
        println!("Nothing is missing.");
    }
    packages.is_empty() && parts.is_empty()
}

/// Makes sure that the groups' needs are met; false if that takes a command only the user can type,
/// which has then been named.
pub(crate) fn ensure(groups: &[Group]) -> Result<bool> {
    let packages = packages::missing(groups);
    let parts = rust::missing(groups);
    say(&packages, &parts);
    // What needs root comes first: the linker is built against a library among the packages.
    if !install_packages(&packages)? {
        return Ok(false);
    }
    for part in &parts {
        if !install_part(part)? {
            return Ok(false);
        }
    }
    let left = rust::missing(groups);
    if let Some(part) = left.first() {
        bail!("still missing after the installation: {}", part.name());
    }
    Ok(true)
}

fn say(packages: &[&Package], parts: &[Part]) {
    if packages.is_empty() && parts.is_empty() {
        return;
    }
    println!("Missing here:");
    for package in packages {
        println!("  {:<28} Debian package: {}", package.name, package.why);
    }
    for part in parts {
        println!("  {:<28} {}", part.name(), part.why());
    }
}

fn install_packages(missing: &[&Package]) -> Result<bool> {
    if missing.is_empty() {
        return Ok(true);
    }
    if !command::is_root() {
        name_command("");
        return Ok(false);
    }
    packages::install(missing)?;
    Ok(true)
}

fn install_part(part: &Part) -> Result<bool> {
    if rust::install(part)? {
        return Ok(true);
    }
    // Only the core for the target has a second way: Debian's compiler, which ships one.
    println!("rustup cannot fetch rust-src here; Debian's compiler serves as well:");
    let wanted: Vec<_> = packages::DEBIAN_RUST
        .iter()
        .filter(|p| p.is_missing())
        .collect();
    say(&wanted, &[]);
    if !wanted.is_empty() && !command::is_root() {
        name_command(" --debian-rust");
        return Ok(false);
    }
    install_packages(&wanted)?;
    rust::link_debian()?;
    Ok(true)
}

fn name_command(more: &str) {
    let this = std::env::current_exe().unwrap_or_else(|_| "target/debug/xtask".into());
    println!("\nInstalling packages needs root. Type this, then the same command again:\n");
    println!("    sudo {} setup --packages{more}\n", this.display());
}
