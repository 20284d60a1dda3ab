//! `cargo xtask kernels`: the agent on Debian's kernels, each booted in an emulator.
//!
//! What a kernel without modules cannot show (VLAN devices, bonds, tunnels, clsact in earnest) is shown
//! here. Nothing of it needs root, but the packages that `setup` installs.

mod boot;
mod debian;
mod image;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::command::{cargo, run as run_command, target_dir};
use crate::setup::{self, Group};
use report::Row;

/// What `kernels` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this kernel
    #[arg(long, value_parser = VERSIONS)]
    only: Option<String>,
    /// Keep the image that was booted, to boot it again by hand
    #[arg(long)]
    keep: bool,
    /// Minutes that one kernel may take; emulation on a busy machine is slow
    #[arg(long, default_value_t = 10)]
    minutes: u64,
}

/// Those that are tried, the oldest that is supported first.
const VERSIONS: [&str; 2] = ["6.1", "6.12"];

/// The command itself; false if any check failed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("only for x86_64 so far: the kernels are Debian's for amd64");
    }
    if !setup::ensure(&[Group::Build, Group::Kernels])? {
        return Ok(false);
    }
    run_command(cargo().arg("build"))?;
    let wanted = |version: &&str| args.only.as_ref().is_none_or(|only| only == version);
    let mut rows = Vec::new();
    for version in VERSIONS.into_iter().filter(wanted) {
        rows.extend(try_kernel(version, args)?);
    }
    report::print(&rows);
    Ok(!rows.is_empty() && rows.iter().all(Row::is_good))
}

/// Downloads, boots and reads the results of one kernel.
fn try_kernel(version: &str, args: &Args) -> Result<Vec<Row>> {
    let cache = cache();
    std::fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    let kernel = debian::kernel(version, &cache)?;
    let image = cache.join(format!("{version}.cpio.gz"));
    let console = cache.join(format!("{version}.console"));
    image::make(&kernel, &image)?;
    let begin = Instant::now();
    let patience = Duration::from_secs(60 * args.minutes);
    let rows = boot::boot(&kernel, &image, &console, patience)?;
    eprintln!(
        "{} took {} s; its console: {}",
        kernel.release,
        begin.elapsed().as_secs(),
        console.display()
    );
    if args.keep {
        eprintln!(
            "kept: {} and {}",
            kernel.vmlinuz().display(),
            image.display()
        );
    } else {
        let _ = std::fs::remove_file(&image);
    }
    Ok(rows)
}

/// Where downloaded and unpacked kernels stay for the next time.
fn cache() -> PathBuf {
    target_dir().join("xtask/kernels")
}
