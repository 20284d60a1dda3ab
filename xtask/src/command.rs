//! Running other programs, said before it is done.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// Runs a command with its output shown; an error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = text(command);
    eprintln!("$ {text}");
    let status = command
        .status()
        .with_context(|| format!("starting `{text}`"))?;
    ensure!(status.success(), "`{text}`: {status}");
    Ok(())
}

/// The cargo that started us, so that `cargo +toolchain xtask` stays with its tool chain.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// The workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root().join(chosen.unwrap_or_else(|| "target".into()))
}

/// Whether we may install packages and make namespaces.
pub(crate) fn is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Becomes one of the workspace's programs as built, which is told where the agent is: so a signal to us reaches it.
/// It makes namespaces, for which it gets root where we are not. Returns only where that cannot be.
pub(crate) fn hand_over_as_root(program: &str, args: &[OsString]) -> Result<bool> {
    hand_over(&target_dir().join("debug/ringwall"), program, args)
}

/// The same with another agent.
pub(crate) fn hand_over(agent: &Path, program: &str, args: &[OsString]) -> Result<bool> {
    let debug = target_dir().join("debug");
    let mut command = Command::new(if is_root() { "env" } else { "sudo" });
    if !is_root() {
        command.arg("env");
    }
    command.arg(format!("RINGWALL_BIN={}", agent.display()));
    command.arg(debug.join(program)).args(args);
    if !is_root() {
        println!(
            "Making namespaces needs root. The command for it, as root:\n\n    {}\n",
            text(&command)
        );
        if find("sudo").is_none() {
            return Ok(false);
        }
    }
    bail!("starting {program}: {}", command.exec())
}

/// Where a program is: in PATH, or where Debian keeps those of the administrator.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    let dirs = std::env::split_paths(&path).chain(extra);
    dirs.map(|dir| dir.join(program)).find(|p| p.is_file())
}

/// A command as one would type it.
pub(crate) fn text(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|w| quoted(&w.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_-.,:=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_as_typed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo it's", ""]);
        assert_eq!(text(&command), r"sh -c 'echo it'\''s' ''");
    }
}
