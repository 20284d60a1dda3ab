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
fn top() -> Option<PathBuf> {
    mounted(|kind, _| kind == "cgroup2")
}

/// Where the memory of groups is accounted for in the manner of version 1.
fn memory_top() -> Option<PathBuf> {
    mounted(|kind, options| kind == "cgroup" && options.split(',').any(|word| word == "memory"))
}

/// Where groups of ours may be.
pub(super) fn tops() -> impl Iterator<Item = PathBuf> {
    top().into_iter().chain(memory_top())
}

/// The mount point that a file system's kind and options pick.
fn mounted(is_it: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let found = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        is_it(kind, options).then_some(place)
    });
    found.map(PathBuf::from)
}

/// A control group that accounts for memory, the kernel's for our tables and programs included.
pub struct MemoryGroup {
    path: PathBuf,
    second: bool,
}

impl MemoryGroup {
    /// Makes one; `None` where the machine accounts for no group's memory.
    pub fn make(prefix: &str) -> Option<Self> {
        let second = top().filter(|top| {
            let given = std::fs::read_to_string(top.join("cgroup.subtree_control"));
            given.is_ok_and(|given| given.split_whitespace().any(|word| word == "memory"))
        });
        let path = second.clone().or_else(memory_top)?;
        let path = path.join(clean::unique(prefix));
        std::fs::create_dir(&path).ok()?;
        let second = second.is_some();
        Some(Self { path, second })
    }

    /// A program with its arguments that starts another one in the group.
    pub fn starter(&self) -> Vec<String> {
        let script = format!("echo $$ >{}/cgroup.procs; exec \"$@\"", self.path.display());
        ["sh", "-c", &script, "sh"].map(str::to_owned).into()
    }

    /// Bytes that the kernel holds for the group.
    pub fn kernel(&self) -> Option<u64> {
        let read = |file: &str| std::fs::read_to_string(self.path.join(file)).ok();
        if !self.second {
            return read("memory.kmem.usage_in_bytes")?.trim().parse().ok();
        }
        let stat = read("memory.stat")?;
        let line = stat.lines().find_map(|line| line.strip_prefix("kernel "));
        line?.parse().ok()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        remove_cgroup(&self.path);
    }
}
