//! The Debian package under test.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::net::{Command, binary};

/// Why no package can be built here; `None` if one can.
pub fn missing() -> Option<String> {
    if let Err(error) = tool() {
        return Some(format!("{error:#}"));
    }
    let there = Command::outside(cargo()).args(["deb", "--version"]).run();
    let absent = !there.is_ok_and(|ran| ran.ok());
    absent.then(|| "cargo-deb is not installed: `cargo xtask package` does that".to_owned())
}

/// Packages the program under test as this version; the file is in `into`.
pub fn build(version: &str, into: &Path) -> Result<PathBuf> {
    let program = binary()?;
    let args = ["package", "--deb-version", version, "--fast", "--program"];
    let ran = Command::outside(tool()?)
        .args(args)
        .args([program.as_os_str(), "--output".as_ref(), into.as_os_str()])
        .run()?;
    ensure!(ran.ok(), "packaging {version}: {ran:?}");
    let path = ran.out.lines().last().context("the package's path")?;
    Ok(PathBuf::from(path.trim_start_matches("Packaged: ")))
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The project's own commands, built beside the program.
fn tool() -> Result<PathBuf> {
    let path = binary()?.with_file_name("xtask");
    ensure!(path.is_file(), "{} is not built", path.display());
    Ok(path)
}
