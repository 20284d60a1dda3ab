//! One agent for one set of pins, and one for one state directory.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::paths::Paths;
use crate::dataplane::lock_soon;

/// Where the locks of pins are: bpffs takes no files.
const RUN: &str = "/run/ringwall";

/// Held for as long as the agent lives; the kernel lets go however it dies.
#[derive(Debug)]
pub struct Locks {
    _files: [File; 2],
    pins: PathBuf,
}

impl Drop for Locks {
    /// Namespaces come and go: their locks must not pile up. Removed while it is held, see [`lock`].
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.pins);
    }
}

/// Takes both locks.
pub fn take(paths: &Paths) -> anyhow::Result<Locks> {
    super::store::make_private_dir(&paths.state)
        .with_context(|| format!("cannot make {}", paths.state.display()))?;
    let state = lock(&paths.state.join("agent.lock"), &paths.state)?;
    std::fs::create_dir_all(RUN).with_context(|| format!("cannot make {RUN}"))?;
    let path = pins_lock(&paths.bpf)?;
    let pins = lock(&path, &paths.bpf)?;
    Ok(Locks {
        _files: [state, pins],
        pins: path,
    })
}

/// Pins are by network namespace, so the lock is, too.
fn pins_lock(bpf: &Path) -> anyhow::Result<PathBuf> {
    let namespace = std::fs::read_link("/proc/self/ns/net").context("no /proc/self/ns/net")?;
    let absolute = std::path::absolute(bpf)?;
    let mut hash = Sha256::new();
    hash.update(namespace.as_os_str().as_encoded_bytes());
    hash.update(absolute.as_os_str().as_encoded_bytes());
    let word: String = hash
        .finalize()
        .iter()
        .take(8)
        .map(|b| format!("{b:02x}"))
        .collect();
    Ok(Path::new(RUN).join(format!("pins-{word}.lock")))
}

/// The race: the file may be removed between our opening it and locking it, and then our lock would keep
/// nobody out. So it counts only if the locked file is still the one at the path.
fn lock(path: &Path, what: &Path) -> anyhow::Result<File> {
    loop {
        let file = try_lock(path, what)?;
        let held = file.metadata()?;
        let there = std::fs::metadata(path).ok();
        if there.is_some_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
            return Ok(file);
        }
    }
}

fn try_lock(path: &Path, what: &Path) -> anyhow::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    if lock_soon(&file).is_err() {
        let mut holder = String::new();
        file.read_to_string(&mut holder)?;
        bail!(
            "another agent (process {}) works with {}: stop it first, or give this one places of its own (RINGWALL_BPF_DIR, RINGWALL_STATE_DIR, RINGWALL_SOCKET)",
            holder.trim(),
            what.display()
        );
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.lock");
        let held = lock(&path, dir.path()).unwrap();
        let refused = lock(&path, dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())));
        drop(held);
        lock(&path, dir.path()).unwrap();
    }
}
