//! Token buckets, as one time stamp each (the generic cell rate algorithm, ITU-T I.371 annex A).

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds from one to the next in the long run.
    pub interval: u64,
    /// How many may come at once.
    pub burst: u64,
}

impl Rate {
    /// So many a second, with a burst of one second's worth.
    #[must_use]
    pub const fn per_second(count: u64) -> Self {
        Self {
            interval: 1_000_000_000 / count,
            burst: count,
        }
    }
}

/// Takes one token from the bucket whose state is `paid_until`, at `now` (nanoseconds since boot).
/// The new state, or `None` where the bucket is empty.
#[inline(always)]
#[must_use]
pub const fn take(paid_until: u64, now: u64, rate: Rate) -> Option<u64> {
    let from = if paid_until > now { paid_until } else { now };
    let next = from + rate.interval;
    if next > now + rate.interval * rate.burst {
        None
    } else {
        Some(next)
    }
}

/// Takes what costs so many nanoseconds from a bucket that holds `tolerance`. The new state, or `None` where there
/// is not enough.
///
/// What costs more than a bucket holds passes a full one and is paid in full afterwards: a large segment that stands for many
/// packets must be able to pass, and in the long run the rate holds.
#[inline(always)]
#[must_use]
pub const fn pay(paid_until: u64, now: u64, price: u64, tolerance: u64) -> Option<u64> {
    let from = if paid_until > now { paid_until } else { now };
    let asked = if price < tolerance { price } else { tolerance };
    // Nanoseconds since boot and a year's worth of them do not come near the end of a word.
    if from.wrapping_add(asked) > now.wrapping_add(tolerance) {
        return None;
    }
    Some(from.wrapping_add(price))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let rate = Rate::per_second(10);
        let (mut state, mut passed) = (0, 0);
        let start = 1_000_000_000_000;
        for millisecond in 0..2_000_u64 {
            if let Some(next) = take(state, start + millisecond * 1_000_000, rate) {
                state = next;
                passed += 1;
            }
        }
        assert_eq!(passed, 10 + 19);
    }

    #[test]
    fn what_is_dearer_than_the_bucket_passes_a_full_one_and_is_paid() {
        let (now, tolerance) = (1_000_000, 100);
        let next = pay(0, now, 1000, tolerance).unwrap();
        assert_eq!(next, now + 1000);
        assert!(pay(next, now + 999, 1, tolerance).is_some());
        assert_eq!(pay(next, now + 800, 1, tolerance), None);
        let mut state = 0;
        let mut passed = 0;
        while let Some(next) = pay(state, now, 10, tolerance) {
            state = next;
            passed += 1;
        }
        assert_eq!(passed, 10);
    }
}
