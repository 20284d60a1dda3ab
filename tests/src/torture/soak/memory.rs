//! What the agent and its tables take.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aya::maps::MapInfo;
use std::os::fd::{AsFd as _, AsRawFd as _};

use crate::net::MemoryGroup;

/// What a process takes at a time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    /// Of its own memory, in kilobytes.
    pub own: u64,
    /// That the kernel holds for it, in kilobytes, where the machine says.
    pub kernel: Option<u64>,
    /// Open descriptors.
    pub descriptors: usize,
    /// CPU that it has used, in milliseconds.
    pub cpu: u64,
}

impl Taken {
    pub(super) fn of(pid: u32, group: Option<&MemoryGroup>) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let own = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let own = own.and_then(|text| text.trim().strip_suffix(" kB"));
        Ok(Self {
            own: own.context("RssAnon")?.trim().parse()?,
            kernel: group
                .and_then(MemoryGroup::kernel)
                .map(|bytes| bytes / 1024),
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            cpu: cpu(pid)?,
        })
    }
}

/// CPU of a process and of its children that have ended (proc(5): `utime` to `cstime`).
pub(super) fn cpu(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, behind) = stat.rsplit_once(')').context("a name in brackets")?;
    let ticks = behind.split_whitespace().skip(11).take(4);
    let ticks: u64 = ticks.map(|word| word.parse().unwrap_or(0)).sum();
    // A hundredth of a second on every architecture (USER_HZ).
    Ok(ticks * 10)
}

/// Bytes that the pinned tables of an agent take in the kernel.
pub(super) fn tables(bpf: &Path) -> Result<u64> {
    let mut sum = 0;
    for namespace in below(bpf) {
        for layout in below(&namespace) {
            for table in below(&layout.join("maps")) {
                sum += size(&table)?;
            }
        }
    }
    Ok(sum)
}

/// What is in a directory; nothing in what is none, as files of the kernel's own are.
fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn size(pin: &Path) -> Result<u64> {
    let info = MapInfo::from_pin(pin).with_context(|| pin.display().to_string())?;
    let fd = info.fd()?;
    let fd = fd.as_fd().as_raw_fd();
    let said = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    let bytes = said.lines().find_map(|line| line.strip_prefix("memlock:"));
    Ok(bytes.context("memlock")?.trim().parse()?)
}

/// By how many per cent something grew, rounded up; nothing shrinks here.
pub(super) fn growth(before: u64, after: u64) -> u64 {
    (after.saturating_sub(before) * 100).div_ceil(before.max(1))
}

/// The middle one of some samples.
pub(super) fn median(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_in_per_cent() {
        assert_eq!(
            [growth(100, 105), growth(100, 90), growth(1000, 1001)],
            [5, 0, 1]
        );
        assert_eq!(median(vec![9, 1, 5]), 5);
    }

    #[test]
    fn a_process_knows_what_it_takes() {
        let taken = Taken::of(std::process::id(), None).unwrap();
        assert!(taken.own > 100 && taken.descriptors > 2);
    }
}
