//! Builds the eBPF object that the agent embeds. Without a tool chain for it: one line that says what to type.

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

use aya_build::{Package, Toolchain};
use sha2::{Digest as _, Sha256};

/// Which commit is built. A build that is not optimised does not say: it would have to be made anew for every
/// commit.
fn revision() -> Option<String> {
    if std::env::var("PROFILE").is_ok_and(|profile| profile != "release") {
        return Some("development".to_owned());
    }
    // Every commit, checkout and rebase writes a line there.
    println!(
        "cargo:rerun-if-changed={}",
        git(&["rev-parse", "--git-path", "logs/HEAD"])?
    );
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(args: &[&str]) -> Option<String> {
    let out = std::process::Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    out.status.success().then(|| text.trim().to_owned())
}

fn name_the_build() {
    println!("cargo:rerun-if-env-changed=RINGWALL_REVISION");
    let given = std::env::var("RINGWALL_REVISION").ok();
    let revision = given
        .or_else(revision)
        .unwrap_or_else(|| "unknown".to_owned());
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo:rustc-env=RINGWALL_REVISION={revision}");
    println!("cargo:rustc-env=RINGWALL_VERSION={version} ({revision})");
}

fn main() -> anyhow::Result<()> {
    name_the_build();
    println!("cargo:rerun-if-changed=../firewall-common");
    println!("cargo:rerun-if-changed=../xtask/src/toolchain.rs");
    println!("cargo:rerun-if-env-changed={}", toolchain::ENV);
    println!("cargo:rerun-if-env-changed=RINGWALL_EBPF_OBJECT");
    if let Some(object) = std::env::var_os("RINGWALL_EBPF_OBJECT") {
        // A package build, or a lint run on a machine without the tool chain, brings the object along.
        let out = std::env::var_os("OUT_DIR")
            .map(std::path::PathBuf::from)
            .unwrap_or_default();
        println!("cargo:rerun-if-changed={}", object.display());
        std::fs::copy(object, out.join("ringwall"))?;
        return name_the_object();
    }
    let Some(chosen) = toolchain::choose() else {
        // Cargo itself ends the build then; a failing script would have its whole output shown.
        println!(
            "cargo::error=no tool chain can build the eBPF object here: run `cargo xtask setup`"
        );
        return Ok(());
    };
    // Only for the nested cargo that aya-build starts: our own crates stay on stable features.
    // SAFETY: a build script is single-threaded here.
    unsafe { std::env::set_var("RUSTC_BOOTSTRAP", chosen.bootstrap()) };
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../firewall-ebpf");
    aya_build::build_ebpf(
        [Package {
            name: "firewall-ebpf",
            root_dir: root,
            ..Default::default()
        }],
        Toolchain::Custom(&chosen.name),
    )?;
    name_the_object()
}

/// An agent takes up pinned programs that were loaded from the same object.
fn name_the_object() -> anyhow::Result<()> {
    let out = std::env::var_os("OUT_DIR").map(std::path::PathBuf::from);
    let object = std::fs::read(out.unwrap_or_default().join("ringwall"))?;
    let digits: String = Sha256::digest(object)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!("cargo:rustc-env=RINGWALL_OBJECT_SHA256={digits}");
    Ok(())
}
