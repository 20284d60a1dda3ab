//! Control groups of our own, for tests that boot a machine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::clean;

/// Makes a control group with a name that no living process uses.
pub fn make_cgroup(prefix: &str) -> Result<PathBuf> {
    let top = top().context("no cgroup2 is mounted")?;
    let path = top.join(clean::unique(prefix));
    std::fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
    Ok(path)
}

/// Removes a control group with all below it, once nothing runs there any more.
pub fn remove_cgroup(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(path);
}

/// Where the one hierarchy of version 2 is.
pub(super) fn top() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let found = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let place = fields.next()?;
        (fields.next()? == "cgroup2").then_some(place)
    });
    found.map(PathBuf::from)
}
