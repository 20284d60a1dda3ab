//! Debian packages: which, why, whether they are here, and how they come.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::policy_rc;
use crate::command::{find, run};

/// What one wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    /// Build the agent.
    Build,
    /// Watch it at work.
    Demo,
    /// Run every test.
    Test,
    /// Check format and lints.
    Lint,
    /// Make the Debian package. Nobody else needs that, so it is not in `ALL`.
    Package,
    /// Boot other kernels.
    Kernels,
    /// Draw what dashboards ask for.
    Pictures,
}

impl Group {
    /// What `setup` sees to by itself. Emulation and the browser are left to the commands that want them: they
    /// are large.
    pub(crate) const ALL: [Self; 4] = [Self::Build, Self::Demo, Self::Test, Self::Lint];
}

/// A package, known by something that it brings.
pub(super) struct Package {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
    groups: &'static [Group],
    brings: Brings,
}

enum Brings {
    Program(&'static str),
    Library(&'static str),
    Directory(&'static str),
}

use Brings::{Directory, Library, Program};
use Group::{Build, Demo, Kernels, Pictures, Test};

/// LLVM of the version that the linker is built for; see `rust::LLVM_FEATURE`.
pub(super) const LLVM_LIBRARY: &str = "libLLVM.so.22";

const PACKAGES: [Package; 16] = [
    Package::new("gcc", "links Rust programs", &[Build], Program("cc")),
    Package::new(
        "libc6-dev",
        "what they are linked with",
        &[Build],
        Library("crt1.o"),
    ),
    Package::new(
        "libllvm22",
        "makes BPF code, for bpf-linker",
        &[Build],
        Library(LLVM_LIBRARY),
    ),
    Package::new(
        "iproute2",
        "makes network namespaces",
        &[Demo, Test, Kernels],
        Program("ip"),
    ),
    Package::new(
        "nftables",
        "the other firewall in tests",
        &[Test, Kernels],
        Program("nft"),
    ),
    Package::new(
        "tcpdump",
        "judges checksums in tests",
        &[Test],
        Program("tcpdump"),
    ),
    Package::new(
        "procps",
        "looks at processes in tests",
        &[Test],
        Program("pgrep"),
    ),
    Package::new(
        "prometheus",
        "scrapes and checks /metrics in tests",
        &[Test],
        Program("promtool"),
    ),
    Package::new(
        "qemu-system-x86",
        "emulates a machine for other kernels",
        &[Kernels],
        Program("qemu-system-x86_64"),
    ),
    Package::new(
        "busybox-static",
        "is all of user space there",
        &[Kernels],
        Program("busybox"),
    ),
    Package::new("cpio", "packs its file system", &[Kernels], Program("cpio")),
    Package::new(
        "kmod",
        "knows which module needs which",
        &[Kernels],
        Program("depmod"),
    ),
    Package::new("xz-utils", "unpacks modules", &[Kernels], Program("xz")),
    Package::new(
        "wireguard-tools",
        "sets up WireGuard there",
        &[Kernels],
        Program("wg"),
    ),
    Package::new(
        "chromium-headless-shell",
        "is a browser without a screen, 220 MB",
        &[Pictures],
        Program("chromium-headless-shell"),
    ),
    Package::new(
        "fonts-dejavu-core",
        "are the letters it draws",
        &[Pictures],
        Directory("/usr/share/fonts/truetype/dejavu"),
    ),
];

/// The second way to a core for the target.
pub(super) const DEBIAN_RUST: [Package; 3] = [
    Package::new(
        "rustc-web",
        "a compiler for BPF",
        &[],
        Program("/usr/bin/rustc"),
    ),
    Package::new("cargo-web", "its cargo", &[], Program("/usr/bin/cargo")),
    Package::new(
        "libstd-rust-web-dev-bpf",
        "its core for BPF",
        &[],
        Directory("/usr/lib/rustlib/bpfel-unknown-none/lib"),
    ),
];

impl Package {
    const fn new(
        name: &'static str,
        why: &'static str,
        groups: &'static [Group],
        brings: Brings,
    ) -> Self {
        Self {
            name,
            why,
            groups,
            brings,
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        match self.brings {
            Program(name) => find(name).is_none(),
            Library(start) => library(start).is_none(),
            Directory(path) => !Path::new(path).is_dir(),
        }
    }
}

/// The packages of the groups that are not here. Only files are looked at: that takes no time.
pub(super) fn missing(groups: &[Group]) -> Vec<&'static Package> {
    let wanted = PACKAGES
        .iter()
        .filter(|p| p.groups.iter().any(|g| groups.contains(g)));
    wanted.filter(|p| p.is_missing()).collect()
}

/// A file in the system's library directories whose name starts so; the shortest, which is the link.
pub(super) fn library(start: &str) -> Option<std::path::PathBuf> {
    let multiarch = format!("{}-linux-gnu", std::env::consts::ARCH);
    let dirs = ["/usr/lib", "/lib", "/usr/lib64"].map(Path::new);
    let dirs = dirs
        .iter()
        .flat_map(|d| [d.join(&multiarch), d.to_path_buf()]);
    let entries = dirs
        .filter_map(|d| std::fs::read_dir(d).ok())
        .flatten()
        .flatten();
    let fits = entries.filter(|e| e.file_name().to_string_lossy().starts_with(start));
    fits.map(|e| e.path()).min_by_key(|p| p.as_os_str().len())
}

/// Installs packages, as root.
pub(super) fn install(missing: &[&Package]) -> Result<()> {
    let names: Vec<_> = missing.iter().map(|p| p.name).collect();
    // Debian starts a service that it installs, and again at every boot. Only tests want this one.
    let quiet = names
        .contains(&"prometheus")
        .then(policy_rc::Quiet::begin)
        .transpose()?;
    if !known(&names) {
        run(apt_get().arg("update"))?;
    }
    let first = install_named(&names);
    if first.is_err() {
        // The lists may name versions that the archive has replaced since.
        run(apt_get().arg("update"))?;
        install_named(&names)?;
    }
    if let Some(quiet) = quiet {
        quiet.end("prometheus");
    }
    Ok(())
}

fn install_named(names: &[&str]) -> Result<()> {
    // Nothing is removed to make room: a conflict is the user's to decide.
    run(apt_get()
        .args(["install", "-y", "--no-install-recommends", "--no-remove"])
        .args(names))
}

/// Whether the package lists, empty on a fresh machine, know all of these.
fn known(names: &[&str]) -> bool {
    let out = Command::new("apt-cache")
        .args(["madison"])
        .args(names)
        .output();
    let text = out
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
        .unwrap_or_default();
    names.iter().all(|n| {
        text.lines()
            .any(|l| l.trim_start().starts_with(&format!("{n} ")))
    })
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// A library that must be there by now.
pub(super) fn library_or_err(start: &str) -> Result<std::path::PathBuf> {
    library(start).with_context(|| format!("{start} is not where libraries are"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_needs_no_test_tools() {
        let names = |group| {
            let of = PACKAGES.iter().filter(move |p| p.groups.contains(&group));
            of.map(|p| p.name).collect::<Vec<_>>()
        };
        assert!(!names(Build).contains(&"prometheus"));
        assert!(!names(Demo).contains(&"nftables"));
        assert!(names(Test).contains(&"iproute2"));
    }

    #[test]
    fn absent_things_are_missing() {
        assert!(Package::new("x", "", &[], Program("no-such-program")).is_missing());
        assert!(Package::new("x", "", &[], Library("libnothing.so.99")).is_missing());
        assert!(Package::new("x", "", &[], Directory("/nowhere")).is_missing());
    }
}
