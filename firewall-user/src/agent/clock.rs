//! The two clocks.

use std::path::PathBuf;
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

use crate::policy::compiled::Clock;

/// A file with whole seconds that the wall clock is taken to be ahead, or with a sign behind: a test aid, for the real
/// one is shared by the whole machine. See docs/test-aids.md.
const AHEAD: &str = "RINGWALL_TEST_CLOCK_AHEAD";

/// Nanoseconds since boot, as the packet path counts them.
#[must_use]
pub fn boot_now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}

/// The wall clock: for dates and for people, never for how long something lasts. The agent asks no other.
#[must_use]
pub fn wall() -> Timestamp {
    static FILE: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os(AHEAD).map(PathBuf::from));
    let now = Timestamp::now();
    let ahead = FILE
        .as_ref()
        .and_then(|file| std::fs::read_to_string(file).ok());
    let ahead = ahead.and_then(|text| text.trim().parse().ok());
    ahead.map_or(now, |seconds| {
        now.saturating_add(SignedDuration::from_secs(seconds))
            .unwrap_or(now)
    })
}

/// Both clocks now.
#[must_use]
pub fn now() -> Clock {
    Clock {
        boot: boot_now(),
        wall: wall(),
    }
}
