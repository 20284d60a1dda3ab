//! How often the tables of sessions are looked through: every second, unless that takes too much.
//!
//! A look reads every entry, half a second's work for a million. What is over is over at once all the same, since
//! packets compare times; only its place is free later, and what is told of it comes later.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::state::Agent;
use crate::dataplane::clock::boot_now;

/// Looks take one part of a processor's time in so many.
const SHARE: u32 = 20;
/// What takes less is done every time.
const LITTLE: Duration = Duration::from_millis(50);

/// When the next look is due.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Nanoseconds since boot.
    due: u64,
}

impl Pace {
    fn is_due(&self, now: u64) -> bool {
        now >= self.due
    }

    fn took(&mut self, now: u64, spent: Duration) {
        self.due = match spent < LITTLE {
            true => now,
            false => now + (spent * SHARE).as_nanos() as u64,
        };
    }
}

impl Agent {
    /// Does what costs by the number of sessions, if it is due.
    pub(super) fn in_its_time(&mut self, work: impl FnOnce(&mut Self)) {
        if !self.pace.is_due(boot_now()) {
            return;
        }
        let before = spent();
        work(self);
        self.pace.took(boot_now(), spent().saturating_sub(before));
    }
}

/// The time that this thread has had a processor: what it waited for on a busy machine is not its work.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_done_less_often() {
        let mut pace = Pace::default();
        let (now, second) = (7_000_000_000, 1_000_000_000);
        pace.took(now, Duration::from_millis(49));
        assert!(pace.is_due(now));
        pace.took(now, Duration::from_millis(500));
        assert!(!pace.is_due(now + 9 * second) && pace.is_due(now + 10 * second));
    }
}
