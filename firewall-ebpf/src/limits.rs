//! What rules bound, counted: buckets of `limit`, and open sessions of `max_sessions`.

use core::ptr::null_mut;

use aya_ebpf::bindings::BPF_NOEXIST;
use firewall_common::addr::Addr;
use firewall_common::flow::FlowKey;
use firewall_common::limit::pay;
use firewall_common::policy::limits::{LimitKey, rule_key};
use firewall_common::session::Entry;
use firewall_common::session::room::{
    HELD_BY_RULE, HELD_BY_SOURCE, SHARED, held_at, held_by, opener,
};

use crate::atomics;
use crate::maps::{HELD, HELD_AT, RATES, RULE_RATES, TALLY};

/// How often a packet asks for a bucket that other CPUs change at the same time.
const ATTEMPTS: u32 = 3;

/// Takes from a bucket, if there is as much.
///
/// Exact with any number of CPUs: a bucket is one word, which a CPU changes only if it is still what it has judged by
/// (BPF_CMPXCHG). When one fails another has taken meanwhile. Who fails so many times within one packet is refused though
/// there may be a token left, which the next one gets: too much is never given out, and nothing is lost.
// Not inlined, for the kernel's stack.
#[inline(never)]
pub(crate) fn take(key: &LimitKey, whole: bool, now: u64, price: u64, tolerance: u64) -> bool {
    let bucket = bucket(key, whole);
    if bucket.is_null() {
        return false;
    }
    for _ in 0..ATTEMPTS {
        // SAFETY: one aligned word of a map, read once. The agent takes away only buckets that have been full for a while:
        // whoever then still holds one finds the word changed, or takes from a full bucket of another.
        let before = unsafe { bucket.read_volatile() };
        let Some(after) = pay(before, now, price, tolerance) else {
            return false;
        };
        // SAFETY: as above.
        if unsafe { atomics::exchange(bucket, before, after) } == before {
            return true;
        }
    }
    false
}

/// A source's bucket, or one that sources share for which there was no place; null where there is none at all.
#[inline(always)]
fn bucket(key: &LimitKey, whole: bool) -> *mut u64 {
    if whole {
        return of_rule(rule_key(key.rule, false));
    }
    if let Some(found) = RATES.get_ptr_mut(key) {
        return found;
    }
    // Another CPU may be faster: then its bucket is the one.
    let _there_or_full = RATES.insert(key, 0, BPF_NOEXIST.into());
    if let Some(made) = RATES.get_ptr_mut(key) {
        return made;
    }
    if let Some(count) = TALLY.get_ptr_mut(SHARED) {
        // SAFETY: one aligned word of a map.
        unsafe { atomics::add(count, 1) };
    }
    of_rule(rule_key(key.rule, true))
}

#[inline(always)]
fn of_rule(key: u32) -> *mut u64 {
    if let Some(found) = RULE_RATES.get_ptr_mut(key) {
        return found;
    }
    let _there_or_full = RULE_RATES.insert(key, 0, BPF_NOEXIST.into());
    RULE_RATES.get_ptr_mut(key).unwrap_or(null_mut())
}

/// Counts a session for its rule, unless there are so many already.
///
/// Exact with any number of CPUs: each adds first and looks at what was there before, so no more are let in than
/// there may be; who is not takes back what it added. Where there is no place for a count the session is refused.
// Not inlined, for the kernel's stack.
#[inline(never)]
pub(crate) fn hold(key: &FlowKey, entry: &Entry, most: u32) -> bool {
    let Some(at) = held_at(key, entry).and_then(place) else {
        return entry.counted & (HELD_BY_RULE | HELD_BY_SOURCE) == 0;
    };
    let mut count = HELD.get_ptr_mut(at);
    if count.is_none() {
        let _there_or_full = HELD.insert(at, 0, BPF_NOEXIST.into());
        count = HELD.get_ptr_mut(at);
    }
    let Some(count) = count else {
        return false;
    };
    // SAFETY: one aligned word of a map. The agent takes away only counts that have been zero for a while, and puts
    // right what a packet did at that very moment.
    let before = unsafe { atomics::fetch_add(count, 1) } as i64;
    if before < i64::from(most) {
        return true;
    }
    // SAFETY: as above.
    unsafe { atomics::add(count, u64::MAX) };
    false
}

/// A session that was counted for its rule has ended. What took it out of its table calls this, and only that.
#[inline(always)]
pub(crate) fn release(key: &FlowKey, entry: &Entry) {
    if !entry.is_ended() {
        release_by(opener(key, entry), entry.counted, entry.held);
    }
}

/// The same of a session that this source has opened.
#[inline(always)]
pub(crate) fn release_by(source: &Addr, counted: u8, held: u32) {
    if let Some(at) = held_by(source, counted, held).and_then(place)
        && let Some(count) = HELD.get_ptr_mut(at)
    {
        // SAFETY: as above.
        unsafe { atomics::add(count, u64::MAX) };
    }
}

/// Where a session counts, written down outside the stack.
#[inline(always)]
fn place(at: LimitKey) -> Option<&'static LimitKey> {
    let place = HELD_AT.get_ptr_mut(0)?;
    // SAFETY: this CPU's value of that type. Who else may use it on this CPU, an agent's test run, is not interrupted by
    // packets while it does, since test runs have softirqs off, too.
    unsafe {
        *place = at;
        Some(&*place)
    }
}
