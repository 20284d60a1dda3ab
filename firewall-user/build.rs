//! Builds the eBPF object that the agent embeds. Without a tool chain for it: one line that says what to type.

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

use aya_build::{Package, Toolchain};

fn main() -> anyhow::Result<()> {
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
        return Ok(());
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
    )
}
