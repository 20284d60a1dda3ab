//! The clock that sessions and rules go by.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, time asleep included; the same clock as in the kernel's programs.
#[must_use]
pub fn boot_now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
