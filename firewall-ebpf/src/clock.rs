//! What time it is: read once for each tick of the kernel's clock on each CPU, since reading it costs as much as finding
//! a session.
//!
//! A packet may be judged by a time that is one tick old, 1 to 10 milliseconds as the kernel is built (`CONFIG_HZ`), and two
//! CPUs may be as far apart. Timeouts, expiries and deadlines are seconds; subtractions of times saturate. What counts
//! finer asks for the time itself: buckets of `limit`, and the time that a record bears.

use aya_ebpf::helpers::generated as h;

/// A CPU's own view of the time, in working memory.
#[repr(C)]
pub(crate) struct Clock {
    /// The tick that it was read in.
    tick: u64,
    /// What was read.
    time: u64,
}

impl Clock {
    /// Nanoseconds since boot, suspended time included, as of this tick at the latest.
    #[inline(always)]
    pub(crate) fn now(&mut self) -> u64 {
        // SAFETY: takes nothing, returns a number; the kernel makes one load of it (since Linux 5.6).
        let tick = unsafe { h::bpf_jiffies64() };
        if self.tick != tick {
            self.tick = tick;
            self.time = exact();
        }
        self.time
    }
}

/// Nanoseconds since boot, suspended time included.
#[inline(always)]
pub(crate) fn exact() -> u64 {
    // SAFETY: takes nothing, returns a number.
    unsafe { h::bpf_ktime_get_boot_ns() }
}
