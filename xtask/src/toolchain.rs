//! Which Rust tool chain builds the eBPF object. Used by `xtask setup` and by `firewall-user`'s build script.
//!
//! Two kinds serve: one with `rust-src` (core is built for the target), and one that ships a prebuilt
//! core for `bpfel-unknown-none`.
#![allow(unreachable_pub, reason = "two crates include this file")]
#![allow(dead_code, reason = "each of them uses its part")]

use std::path::PathBuf;
use std::process::Command;

/// Overrides the choice: the name of a rustup tool chain.
pub const ENV: &str = "RINGWALL_EBPF_TOOLCHAIN";

/// A tool chain that can build the object.
pub struct Chosen {
    /// Its rustup name.
    pub name: String,
    /// It has a prebuilt core, so core must not be built.
    pub prebuilt_core: bool,
}

impl Chosen {
    /// What RUSTC_BOOTSTRAP must be: `1` lets cargo build core; a crate's name opens unstable
    /// features to that crate alone and leaves the prebuilt core in use.
    pub fn bootstrap(&self) -> &'static str {
        if self.prebuilt_core {
            "aya_ebpf,firewall_ebpf,ringwall"
        } else {
            "1"
        }
    }
}

fn rustlib(toolchain: &str) -> Option<PathBuf> {
    let out = Command::new("rustup")
        .args(["run", toolchain, "rustc", "--print", "sysroot"])
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .ok()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&out.stdout).trim());
    out.status.success().then(|| sysroot.join("lib/rustlib"))
}

/// The tool chain that runs this build, by rustup's word.
pub fn active() -> String {
    std::env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "stable".to_owned())
}

/// Whether `bpf-linker` is there and finds its LLVM.
pub fn linker_works() -> bool {
    let ran = Command::new("bpf-linker").arg("--version").output();
    ran.is_ok_and(|out| out.status.success())
}

/// The first tool chain of the list that has a core for the target, as source or built.
pub fn with_core() -> Option<Chosen> {
    let mut names = match std::env::var(ENV) {
        Ok(wanted) => vec![wanted],
        Err(_) => vec![active(), "stable".into(), "nightly".into(), "debian".into()],
    };
    names.dedup();
    names.into_iter().find_map(|name| {
        let lib = rustlib(&name)?;
        let source = lib.join("src/rust/library/Cargo.lock").exists();
        let prebuilt_core = lib.join("bpfel-unknown-none/lib").exists();
        (source || prebuilt_core).then_some(Chosen {
            name,
            prebuilt_core,
        })
    })
}

/// The tool chain to build the object with, if `bpf-linker` is there too.
pub fn choose() -> Option<Chosen> {
    if linker_works() { with_core() } else { None }
}
