//! How full the session tables may get, and who may still open when they are.
//!
//! There are two tables. Half-open sessions have places in a ring: a new one takes the place that was given longest
//! ago, and where that is still used, its holder gives way if it has had [`GRACE`] to be answered. So a flood
//! of openings shortens how long each may wait, and keeps nobody out who answers in time.
//!
//! Verified sessions never give way. Whether there is room for one more is asked when a session **opens**, so
//! that no handshake completes in vain; the table has places for all that may be half-open at that moment
//! ([`places`]). Sessions of management zones are counted apart: those of others can never use up what is kept
//! for them.

use crate::addr::Addr;
use crate::config::Room;
use crate::flow::FlowKey;
use crate::policy::limits::{LimitKey, Per};
use crate::session::Entry;
use crate::zone::Course;

/// Set in [`Entry::counted`]: of a management zone.
pub const MANAGED: u8 = 1;
/// Set in [`Entry::counted`]: counted for its source while it is half open.
pub const CAPPED: u8 = 2;
/// Set in [`Entry::counted`]: counted for the rule [`Entry::held`].
pub const HELD_BY_RULE: u8 = 4;
/// Set in [`Entry::counted`]: counted for its source at the rule [`Entry::held`].
pub const HELD_BY_SOURCE: u8 = 8;

/// Nanoseconds for which an opening keeps its place whatever comes: longer than any round trip, and as long as TCP
/// waits before it asks again (RFC 6298 section 2).
pub const GRACE: u64 = 1_000_000_000;

/// Places of the ring that a newcomer looks at: the next ones may have become free since.
pub const TRIES: u32 = 4;

/// Openings that may be past the question for room while the last place is taken: one for each CPU.
const UNDER_WAY: u32 = 256;

/// Words of the table of counts.
pub const TALLIES: u32 = 16;
/// Which place of the ring is the next.
pub const CURSOR: u32 = 0;
/// Verified sessions of management zones.
pub const OF_MANAGEMENT: u32 = 1;
/// All other verified sessions.
pub const OF_OTHERS: u32 = 2;
/// Openings that were charged to a bucket that sources without one share.
pub const SHARED: u32 = 4;
/// Nanoseconds since boot until when SYN cookies are given out.
pub const PRESSURE_UNTIL: u32 = 5;
/// Nanoseconds since boot until when SYN cookies may come back.
pub const COOKIES_UNTIL: u32 = 6;
/// SYN cookies given out.
pub const COOKIES_MADE: u32 = 7;
/// SYN cookies that came back.
pub const COOKIES_TAKEN: u32 = 8;
/// A number drawn when the tables were made, so that nobody knows which sources share a count.
pub const SEED: u32 = 3;

/// Counts of half-open sessions by source.
pub const SOURCES: u32 = 1 << 16;

/// A place of the ring: who has it, and since when. It is free if that session is not half open any more.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opening {
    /// Which session.
    pub key: FlowKey,
    /// [`Entry::opened`] of it.
    pub opened: u64,
}

/// Places of the table of verified sessions, so that every opening that found room also finds a place.
#[must_use]
pub const fn places(max: u32, half_open_max: u32) -> u32 {
    max.saturating_add(half_open_max).saturating_add(UNDER_WAY)
}

/// What [`places`] was made of.
#[must_use]
pub const fn max_of(places: u32, half_open_max: u32) -> u32 {
    places
        .saturating_sub(half_open_max)
        .saturating_sub(UNDER_WAY)
}

/// What is kept for management zones: never more than an eighth.
#[must_use]
pub const fn reserve(wanted: u32, max: u32) -> u32 {
    if wanted < max / 8 { wanted } else { max / 8 }
}

/// Is there room for one more verified session? `reserves`: there are management zones at all.
///
/// The counts may be read while others change them, so one opening more may find room on each CPU; [`places`]
/// allows for them.
#[inline(always)]
#[must_use]
pub const fn is_there(
    room: &Room,
    managed: u64,
    others: u64,
    entry: &Entry,
    reserves: bool,
) -> bool {
    let (managed, others) = (not_negative(managed), not_negative(others));
    let max = room.max as u64;
    let kept = if reserves { room.reserve as u64 } else { 0 };
    if entry.counted & MANAGED != 0 {
        managed < kept || managed + others < max
    } else {
        others + kept < max && managed + others < max
    }
}

/// A count that was put right while sessions ended may be below zero for a moment.
#[inline(always)]
const fn not_negative(count: u64) -> u64 {
    if count >> 63 == 0 { count } else { 0 }
}

/// Who may take the place of an opening that still has its grace: operators, the host itself, and what was
/// let in elsewhere. None of them can be made up by who floods.
#[inline(always)]
#[must_use]
pub const fn is_favoured(entry: &Entry) -> bool {
    entry.counted & MANAGED != 0 || entry.stands_in() || entry.course == Course::Outbound as u8
}

/// Must the holder of a place give way?
#[inline(always)]
#[must_use]
pub const fn gives_way(opened: u64, now: u64, favoured: bool) -> bool {
    favoured || now.saturating_sub(opened) >= GRACE
}

/// Who opened a session.
#[inline(always)]
#[must_use]
pub const fn opener<'k>(key: &'k FlowKey, entry: &Entry) -> &'k Addr {
    if entry.opener == 0 {
        &key.low
    } else {
        &key.high
    }
}

/// Where a session counts for its rule's `max_sessions`; `None` where it does not. What is left of one that the policy
/// has ended counts no more.
#[inline(always)]
#[must_use]
pub const fn held_at(key: &FlowKey, entry: &Entry) -> Option<LimitKey> {
    if entry.is_ended() {
        return None;
    }
    held_by(opener(key, entry), entry.counted, entry.held)
}

/// The same of a session that this source has opened; `counted` is its [`Entry::counted`], `held` its [`Entry::held`].
#[inline(always)]
#[must_use]
pub const fn held_by(source: &Addr, counted: u8, held: u32) -> Option<LimitKey> {
    let per = match counted & (HELD_BY_RULE | HELD_BY_SOURCE) {
        0 => return None,
        HELD_BY_RULE => Per::RULE,
        _ => Per::SOURCE,
    };
    Some(LimitKey {
        source: per.of(source),
        rule: held,
        pad: 0,
    })
}

/// The two counts that a source is in. It has too many if both say so, so that it takes two busy strangers to be
/// taken for one. Of IPv6 the first 64 bits are the source (a host may have any address of its network).
#[inline(always)]
#[must_use]
pub const fn counts_of(source: &Addr, seed: u64) -> [u32; 2] {
    let who = if source.is_v4() { source.lo } else { source.hi };
    let mixed = mix(who ^ seed);
    let first = (mixed >> 48) as u32 & (SOURCES - 1);
    let second = (mixed >> 24) as u32 & (SOURCES - 1);
    // Never twice the same.
    [first, if second == first { first ^ 1 } else { second }]
}

/// Spreads every bit over all (the finalizer of `SplitMix64`, Steele, Lea and Flood 2014).
#[inline(always)]
const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

const _: () = assert!(size_of::<Opening>() == 48);

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
