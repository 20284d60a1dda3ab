//! A kernel thread of its own for what arrives at one end of a wire, so that its time on a processor is what the receiving
//! side costs, and nobody else's work is in it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::End;
use super::offloads::{Offload, switch};

/// The thread that receives at an end of a wire (threaded NAPI).
#[derive(Debug)]
pub struct Receiver(u32);

impl Receiver {
    /// Makes it: the end gets a ring of its own, and what the other end sends goes there and not through the backlog of
    /// the sender's processor.
    ///
    /// # Errors
    /// It cannot be made, or is not found.
    pub fn start(end: &End, other: &End) -> Result<Self> {
        switch(other, Offload::Segments, false)?;
        switch(end, Offload::Merge, true)?;
        let prefix: String = format!("napi/{}-", end.interface);
        let before = kernel_threads(&prefix);
        // `ip netns exec` shows the namespace's own /sys.
        let threaded = format!("echo 1 > /sys/class/net/{}/threaded", end.interface);
        let ran = std::process::Command::new("ip")
            .args(["netns", "exec", end.ns.name(), "sh", "-c", &threaded])
            .output()?;
        let error = String::from_utf8_lossy(&ran.stderr);
        ensure!(ran.status.success(), "threaded NAPI: {error}");
        let mut after = kernel_threads(&prefix).into_iter();
        let thread = after.find(|pid| !before.contains(pid));
        Ok(Self(thread.context("the wire has no receiving thread")?))
    }

    /// How long it has run so far.
    #[must_use]
    pub fn busy(&self) -> Duration {
        on_processor(Path::new(&format!("/proc/{}/schedstat", self.0)))
    }

    /// Binds it to a processor, as far as there are several.
    pub fn bind(&self, processor: usize) {
        bind(self.0, processor);
    }
}

/// How long a process has run so far, all of its threads that live.
#[must_use]
pub fn busy(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    tasks
        .map(|task| on_processor(&task.path().join("schedstat")))
        .sum()
}

/// How long a thread of this process has run so far.
#[must_use]
pub fn busy_thread(thread: u32) -> Duration {
    on_processor(Path::new(&format!("/proc/self/task/{thread}/schedstat")))
}

/// The first number of a `schedstat` file.
#[must_use]
pub fn on_processor(path: &Path) -> Duration {
    let text = fs::read_to_string(path).unwrap_or_default();
    let first = text.split_whitespace().next();
    let nanoseconds = first.and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Kernel threads whose names begin so.
#[must_use]
pub fn kernel_threads(prefix: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.starts_with(prefix)
    })
    .collect()
}

/// Binds a thread (0: the caller) to a processor, as far as there are several.
pub fn bind(thread: u32, processor: usize) {
    // SAFETY: cpu_set_t is plain data, for which all zeros is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the processor is below the size of the set, and the set outlives the call.
    unsafe {
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(thread as i32, size_of_val(&set), &raw const set);
    }
}

/// Packets that an end has received, whoever judged them.
///
/// # Errors
/// The kernel does not say.
pub fn received(end: &End) -> Result<u64> {
    count(end, "rx", "packets")
}

/// Frames that the other end of a wire could not take.
///
/// # Errors
/// The kernel does not say.
pub fn lost(end: &End) -> Result<u64> {
    count(end, "tx", "dropped")
}

fn count(end: &End, way: &str, what: &str) -> Result<u64> {
    let words = ["-j", "-s", "link", "show", &end.interface];
    let ran = end.ns.exec("ip", &words)?;
    let shown: serde_json::Value = serde_json::from_str(&ran.out)?;
    let count = shown[0]["stats64"][way][what].as_u64();
    count.with_context(|| format!("{way} {what} of {}", end.interface))
}
