//! Which Rust tool chain builds the eBPF object. Used by `xtask setup` and by `firewall-user`'s build script.
//!
//! Two kinds serve: one with `rust-src` (core is built for the target), and one that ships a prebuilt
//! core for `bpfel-unknown-none`.

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
    out.status
        .success()
        .then(|| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()).join("lib/rustlib"))
}

/// The first tool chain of the list that can build the object, if `bpf-linker` is there too.
pub fn choose() -> Option<Chosen> {
    Command::new("bpf-linker")
        .arg("--version")
        .output()
        .ok()
        .filter(|o| o.status.success())?;
    let wanted = std::env::var(ENV).ok();
    let names = wanted
        .as_deref()
        .map_or_else(|| vec!["stable", "nightly", "debian"], |w| vec![w]);
    names.into_iter().find_map(|name| {
        let lib = rustlib(name)?;
        let source = lib.join("src/rust/library/Cargo.lock").exists();
        let prebuilt_core = lib.join("bpfel-unknown-none/lib").exists();
        (source || prebuilt_core).then(|| Chosen {
            name: name.to_owned(),
            prebuilt_core,
        })
    })
}
