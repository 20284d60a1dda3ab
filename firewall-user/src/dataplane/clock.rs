//! The clock that sessions and rules go by.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, time asleep included; the same clock as in the kernel's programs.
#[must_use]
pub fn boot_now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Does the kernel hold its clock for synchronised? (adjtimex(2); nothing is set.)
///
/// # Errors
/// It may not be asked.
pub fn synchronised() -> std::io::Result<bool> {
    // SAFETY: the structure is integers alone, for which zero is a value.
    let mut asked: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is ours and as the kernel expects it; `modes` is 0, so nothing is set.
    match unsafe { libc::adjtimex(&raw mut asked) } {
        -1 => Err(std::io::Error::last_os_error()),
        state => Ok(state != libc::TIME_ERROR),
    }
}
