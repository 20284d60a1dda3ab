//! Debian's cloud kernels: the newest package of a version, downloaded and unpacked once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::run;

/// An unpacked kernel.
pub(super) struct Kernel {
    /// As `uname -r` says it.
    pub(super) release: String,
    /// Where the package's files are.
    root: PathBuf,
}

impl Kernel {
    pub(super) fn vmlinuz(&self) -> PathBuf {
        self.root.join(format!("boot/vmlinuz-{}", self.release))
    }

    pub(super) fn modules(&self) -> PathBuf {
        self.root.join("lib/modules").join(&self.release)
    }
}

/// Meta packages that may lead to the version wanted: which does depends on the Debian release.
const METAS: [&str; 3] = [
    "linux-image-cloud-amd64",
    "linux-image-6.1-cloud-amd64",
    "linux-image-6.12-cloud-amd64",
];

/// The newest kernel of a version (`6.1`) that apt knows, unpacked below `cache`.
pub(super) fn kernel(version: &str, cache: &Path) -> Result<Kernel> {
    let package = match newest(version) {
        Some(package) => package,
        None => {
            run(Command::new("apt-get").arg("update"))?;
            newest(version).with_context(|| {
                format!("apt knows no cloud kernel {version}; Debian's security or backports archive has it")
            })?
        }
    };
    let root = cache.join(&package);
    let kernel = Kernel {
        release: package.trim_start_matches("linux-image-").to_owned(),
        root,
    };
    if !kernel.modules().join("modules.dep").is_file() {
        unpack(&package, &kernel, cache)?;
    }
    Ok(kernel)
}

fn unpack(package: &str, kernel: &Kernel, cache: &Path) -> Result<()> {
    // As root apt would rather read as another user, who may not write here.
    let mut download = Command::new("apt-get");
    download.args(["-o", "APT::Sandbox::User=root", "download", package]);
    run(download.current_dir(cache))?;
    let archive = downloaded(package, cache)?;
    let _ = std::fs::remove_dir_all(&kernel.root);
    run(Command::new("dpkg")
        .arg("-x")
        .arg(&archive)
        .arg(&kernel.root))?;
    std::fs::remove_file(&archive)?;
    // Who needs whom among the modules; the package leaves that to its installation.
    let depmod = crate::command::find("depmod").context("depmod, of the package kmod")?;
    run(Command::new(depmod)
        .arg("-b")
        .arg(&kernel.root)
        .arg(&kernel.release))
}

fn downloaded(package: &str, cache: &Path) -> Result<PathBuf> {
    let start = format!("{package}_");
    let entries = std::fs::read_dir(cache)?.flatten();
    let mut fits = entries.filter(|e| e.file_name().to_string_lossy().starts_with(&start));
    let found = fits.next().map(|e| e.path());
    found.with_context(|| format!("apt-get downloaded no {package}"))
}

fn newest(version: &str) -> Option<String> {
    let found = METAS.iter().filter_map(|meta| shown(meta).ok());
    found
        .flat_map(|text| packages(&text, version))
        .max_by(|a, b| by_numbers(a).cmp(&by_numbers(b)))
}

fn shown(meta: &str) -> Result<String> {
    let out = Command::new("apt-cache").args(["show", meta]).output()?;
    ensure!(out.status.success(), "no package {meta}");
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The kernels of a version among what `apt-cache show` says that its packages depend on.
fn packages(text: &str, version: &str) -> Vec<String> {
    let start = format!("linux-image-{version}.");
    let depends = text.lines().filter_map(|l| l.strip_prefix("Depends: "));
    depends
        .flat_map(|line| line.split(','))
        .filter_map(|word| word.split_whitespace().next())
        .filter(|name| name.starts_with(&start) && name.ends_with("-cloud-amd64"))
        .map(str::to_owned)
        .collect()
}

fn by_numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meta_package_names_its_kernel() {
        let text = "Package: linux-image-cloud-amd64\n\
             Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n\
             Description: Linux\n\n\
             Depends: linux-image-6.12.117+deb12-cloud-amd64 (= 6.12.117-1), other\n";
        assert_eq!(packages(text, "6.1"), ["linux-image-6.1.0-56-cloud-amd64"]);
        assert_eq!(
            packages(text, "6.12"),
            ["linux-image-6.12.117+deb12-cloud-amd64"]
        );
        assert!(packages(text, "6.6").is_empty());
    }

    #[test]
    fn numbers_compare_as_numbers() {
        assert!(by_numbers("linux-image-6.1.0-100") > by_numbers("linux-image-6.1.0-56"));
    }
}
