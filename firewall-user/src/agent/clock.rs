//! The two clocks.

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::policy::compiled::Clock;

/// Nanoseconds since boot, as the packet path counts them.
#[must_use]
pub fn boot_now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}

/// Both clocks now.
#[must_use]
pub fn now() -> Clock {
    Clock {
        boot: boot_now(),
        wall: Timestamp::now(),
    }
}
