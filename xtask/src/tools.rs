//! Cargo's own tools that some commands need and nothing else does.

use anyhow::Result;

use crate::command::{cargo, find, run};

/// Installs a tool with cargo where it is not there, and says so.
pub(crate) fn ensure(name: &str, why: &str) -> Result<()> {
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let home =
        home.or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let own = home.map(|home| home.join("bin").join(name));
    if find(name).is_some() || own.is_some_and(|path| path.is_file()) {
        return Ok(());
    }
    println!("{name} is missing: it {why}. It is installed with cargo now.");
    run(cargo().args(["install", "--locked", name]))
}
