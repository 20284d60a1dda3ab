//! One agent for one set of pins, and one for one state directory.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

use super::clock;
use super::paths::Paths;
use crate::dataplane::lock_soon;

/// Where the locks of network namespaces are: bpffs takes no files.
const RUN: &str = "/run/ringwall";

/// Held for as long as the agent lives; the kernel lets go however it dies.
#[derive(Debug)]
pub struct Locks {
    _files: [File; 2],
    namespace: PathBuf,
}

impl Drop for Locks {
    /// Namespaces come and go: their locks must not pile up. Removed while it is held, see [`lock`].
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.namespace);
    }
}

/// Takes both locks. The second one is the namespace's, whatever places an agent is given: two of them would
/// both judge what passes its interfaces.
pub fn take(paths: &Paths) -> anyhow::Result<Locks> {
    let state = &paths.state;
    super::store::make_private_dir(state)
        .with_context(|| format!("cannot make {}", state.display()))?;
    let file = lock(&state.join("agent.lock"), || {
        format!("works with {}", state.display())
    })?;
    std::fs::create_dir_all(RUN).with_context(|| format!("cannot make {RUN}"))?;
    tidy(Path::new(RUN));
    let namespace = namespace_lock()?;
    let held = lock(&namespace, || "guards this network namespace".to_owned())?;
    Ok(Locks {
        _files: [file, held],
        namespace,
    })
}

fn namespace_lock() -> anyhow::Result<PathBuf> {
    let namespace = std::fs::metadata("/proc/self/ns/net").context("no /proc/self/ns/net")?;
    Ok(Path::new(RUN).join(format!("netns-{}.lock", namespace.ino())))
}

/// Removes the locks that killed agents left in namespaces that may be gone. Each is removed while it is held,
/// so that nobody who is just taking it is deceived, see [`lock`].
fn tidy(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    for path in paths.filter(|path| path.extension().is_some_and(|e| e == "lock")) {
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && is_at(&file, &path) {
            let _somebody_else_did = std::fs::remove_file(&path);
        }
    }
}

/// The race: the file may be removed between our opening it and locking it, and then our lock would keep
/// nobody out. So it counts only if the locked file is still the one at the path.
fn lock(path: &Path, does: impl Fn() -> String) -> anyhow::Result<File> {
    loop {
        let file = try_lock(path, &does)?;
        if is_at(&file, path) {
            return Ok(file);
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let held = file.metadata().map(|held| (held.dev(), held.ino()));
    let there = std::fs::metadata(path).map(|there| (there.dev(), there.ino()));
    matches!((held, there), (Ok(held), Ok(there)) if held == there)
}

fn try_lock(path: &Path, does: &impl Fn() -> String) -> anyhow::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    if lock_soon(&file).is_err() {
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        bail!(
            "another agent ({}) {}: stop it first, or run this one in a network namespace and with places of its own (RINGWALL_STATE_DIR, RINGWALL_BPF_DIR, RINGWALL_SOCKET)",
            holder(&text),
            does()
        );
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}\n{:.0}", std::process::id(), clock::wall())?;
    Ok(file)
}

/// Who holds a lock, by what it wrote: its process and since when.
fn holder(text: &str) -> String {
    let mut lines = text.lines();
    let process = lines.next().unwrap_or("that has not said which");
    match lines.next() {
        Some(since) => format!("process {process}, since {since}"),
        None => format!("process {process}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn works() -> String {
        "works here".to_owned()
    }

    #[test]
    fn the_second_is_told_who_the_first_is_and_since_when() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.lock");
        let held = lock(&path, works).unwrap();
        let refused = lock(&path, works).unwrap_err().to_string();
        let year = clock::wall().strftime("%Y-").to_string();
        let who = format!("(process {}, since {year}", std::process::id());
        assert!(refused.contains(&who), "{refused}");
        drop(held);
        lock(&path, works).unwrap();
    }

    #[test]
    fn locks_that_nobody_holds_are_put_away() {
        let dir = tempfile::tempdir().unwrap();
        let [held, left, other] = ["a.lock", "b.lock", "c"].map(|name| dir.path().join(name));
        std::fs::write(&left, "1").unwrap();
        std::fs::write(&other, "1").unwrap();
        let _held = lock(&held, works).unwrap();
        tidy(dir.path());
        assert_eq!(
            [&held, &left, &other].map(|p| p.exists()),
            [true, false, true]
        );
    }
}
