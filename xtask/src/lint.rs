//! `cargo xtask lint`: format, then clippy with warnings as errors, on both sides of the kernel's border.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{cargo, root, run as run_command, target_dir};
use crate::setup::{self, Group};
use crate::toolchain::{self, Chosen};

/// Stops at the first complaint.
pub(crate) fn run() -> Result<bool> {
    if !setup::ensure(&[Group::Build, Group::Lint])? {
        return Ok(false);
    }
    run_command(cargo().args(["fmt", "--all", "--check"]))?;
    let host = [
        "clippy",
        "--workspace",
        "--exclude",
        "firewall-ebpf",
        "--all-targets",
    ];
    run_command(cargo().args(host).args(["--", "-D", "warnings"]))?;
    kernel_side(&toolchain::choose().context("no tool chain for BPF: run `cargo xtask setup`")?)?;
    Ok(true)
}

/// The tool chain that builds the object lints it, with the flags that it is built with. Debian's has no
/// clippy; then the compiler's own lints must do.
fn kernel_side(chosen: &Chosen) -> Result<()> {
    let has_clippy = succeeds(on(chosen, "cargo").args(["clippy", "--version"]));
    let mut cargo = on(chosen, "cargo");
    cargo.arg(if has_clippy { "clippy" } else { "check" });
    cargo.args([
        "--package",
        "firewall-ebpf",
        "--release",
        "--target",
        "bpfel-unknown-none",
    ]);
    cargo
        .arg("--target-dir")
        .arg(target_dir().join("xtask/bpf-lint"));
    if !chosen.prebuilt_core {
        cargo.arg("-Zbuild-std=core");
    }
    let arch = format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH);
    let flags = [arch.as_str(), "-Dwarnings"].join("\x1f");
    cargo
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("RUSTC_BOOTSTRAP", chosen.bootstrap());
    run_command(&mut cargo)
}

fn on(chosen: &Chosen, program: &str) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", &chosen.name, program])
        .current_dir(root());
    // What cargo sets for us must not choose the compiler of another tool chain.
    for variable in [
        "RUSTC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTUP_TOOLCHAIN",
        "CARGO",
    ] {
        command.env_remove(variable);
    }
    command
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|out| out.status.success())
}
