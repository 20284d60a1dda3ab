//! How often the session tables are read whole: once a second, unless that takes so long that it would cost more than a
//! hundredth of a processor. Packets go by the times in the entries, so nothing that is over passes meanwhile; what waits is
//! only that it is taken out and told.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A rest is so many times what a look has taken.
const REST: u32 = 100;
/// But not longer than this.
const LONGEST: Duration = Duration::from_secs(5);
/// Rests that are shorter than the time between two sweeps are none.
const SHORTEST: Duration = Duration::from_secs(1);

/// When the next look is due.
#[derive(Debug, Default)]
pub(super) struct Pace {
    next: Option<Instant>,
}

impl Pace {
    /// Is it time?
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// A look that ended now has taken so much of a processor.
    pub(super) fn took(&mut self, now: Instant, spent: Duration) {
        let rest = (spent * REST).min(LONGEST);
        self.next = (rest > SHORTEST).then(|| now + rest);
    }
}

/// The time that this thread has spent on a processor.
pub(super) fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_takes_long_is_followed_by_a_long_rest() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert!(pace.is_due(now));
        pace.took(now, Duration::from_millis(10));
        assert!(pace.is_due(now), "a second is no rest");
        pace.took(now, Duration::from_millis(30));
        assert!(!pace.is_due(now + Duration::from_millis(2999)));
        assert!(pace.is_due(now + Duration::from_secs(3)));
        pace.took(now, Duration::from_secs(2));
        assert!(pace.is_due(now + LONGEST));
    }

    #[test]
    fn work_is_seen_on_this_threads_clock() {
        let before = spent();
        let begun = Instant::now();
        while spent() == before {
            assert!(begun.elapsed() < Duration::from_secs(60), "no time passes");
        }
    }
}
