//! What Rust itself must have: a core for the BPF target, the linker, and the checkers.

use std::process::{Command, Stdio};

use anyhow::Result;

use super::Group;
use super::packages::{LLVM_LIBRARY, library_or_err};
use crate::command::{cargo, run, target_dir};
use crate::toolchain;

const PACKAGER: &str = "cargo-deb@3.8.0";
const LINKER: &str = "bpf-linker@0.13.0";
/// Newer than any LLVM in the compilers that we take; the library is a package, see `LLVM_LIBRARY`.
const LLVM_FEATURE: &str = "llvm-22";

/// A part of the tool chain.
pub(super) enum Part {
    /// `core`, as source, to be built for the BPF target.
    Source,
    /// The linker that makes one BPF object.
    Linker,
    /// A rustup component: `clippy` or `rustfmt`.
    Component(&'static str),
    /// What makes Debian packages.
    Packager,
}

impl Part {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Source => "rust-src",
            Self::Linker => "bpf-linker 0.13.0",
            Self::Component(name) => name,
            Self::Packager => "cargo-deb 3.8.0",
        }
    }

    pub(super) fn why(&self) -> &'static str {
        match self {
            Self::Source => "rustup component: core for the BPF target is built from it",
            Self::Linker => "built by cargo in 1 to 3 minutes: links the BPF object",
            Self::Component(_) => "rustup component: for `cargo xtask lint`",
            Self::Packager => "built by cargo in 1 to 3 minutes: makes the Debian package",
        }
    }
}

/// What is missing, in the order in which it must come.
pub(super) fn missing(groups: &[Group]) -> Vec<Part> {
    let mut parts = Vec::new();
    if groups.contains(&Group::Package) && !answers("cargo-deb") {
        parts.push(Part::Packager);
    }
    // What is built already can be packaged without a tool chain.
    if groups == [Group::Package] {
        return parts;
    }
    if toolchain::with_core().is_none() {
        parts.push(Part::Source);
    }
    if !toolchain::linker_works() {
        parts.push(Part::Linker);
    }
    if groups.contains(&Group::Lint) {
        let absent = |name: &&str| !answers(&format!("cargo-{name}"));
        parts.extend(
            ["clippy", "fmt"]
                .iter()
                .filter(|n| absent(n))
                .map(|n| component(n)),
        );
    }
    parts
}

fn component(subcommand: &str) -> Part {
    Part::Component(if subcommand == "fmt" {
        "rustfmt"
    } else {
        "clippy"
    })
}

fn answers(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|s| s.success())
}

/// Installs a part; false if it cannot be had this way.
pub(super) fn install(part: &Part) -> Result<bool> {
    match part {
        Part::Source => Ok(add("rust-src").is_ok()),
        Part::Component(name) => add(name).map(|()| true),
        Part::Linker => install_linker().map(|()| true),
        Part::Packager => install_packager().map(|()| true),
    }
}

fn add(component: &str) -> Result<()> {
    let active = toolchain::active();
    run(Command::new("rustup").args(["component", "add", component, "--toolchain", &active]))
}

/// The linker wants LLVM's library under its plain name, which only the far larger development package
/// has: a link in a directory of ours does as well. It is not needed afterwards.
fn install_linker() -> Result<()> {
    let prefix = target_dir().join("xtask/llvm");
    let link = prefix.join("lib/libLLVM.so");
    std::fs::create_dir_all(prefix.join("lib"))?;
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(library_or_err(LLVM_LIBRARY)?, &link)?;
    run(cargo()
        .args(["install", LINKER, "--locked", "--no-default-features"])
        .args(["--features", LLVM_FEATURE])
        .env("LLVM_PREFIX", &prefix))
}

/// Without libraries of its own for compression: Debian has the programs.
fn install_packager() -> Result<()> {
    run(cargo().args(["install", PACKAGER, "--locked", "--no-default-features"]))
}

/// Makes Debian's compiler one of rustup's tool chains.
pub(super) fn link_debian() -> Result<()> {
    run(Command::new("rustup").args(["toolchain", "link", "debian", "/usr"]))
}
