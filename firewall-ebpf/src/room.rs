//! Room in the session tables: what `firewall_common::session::room` decides by, counted here.
//!
//! Who counts: what puts an entry into a table adds, and what takes it out subtracts, programs and agent alike. Of
//! many that take one entry out at once the kernel says to one that it was there, so nothing is subtracted twice.
//! An agent that dies between the two leaves a count too high; the next one puts it right.

use aya_ebpf::bindings::BPF_NOEXIST;
use firewall_common::config::closed_counter;
use firewall_common::flow::FlowKey;
use firewall_common::session::Entry;
use firewall_common::session::end::Cause;
use firewall_common::session::room::{
    self, CAPPED, CURSOR, MANAGED, OF_MANAGEMENT, OF_OTHERS, SEED, TRIES,
};
use firewall_common::tables::{Bounds, Put};

use crate::maps::{HALF_OPEN, OPENINGS, SESSIONS, SETTINGS, SOURCES, TALLY};
use crate::tables::put;
use crate::{atomics, cookie, event, limits, marks};

/// Puts a new entry among the half-open ones, or at once among the verified ones, if there is room.
// In functions beside each other, since one frame on the stack for all of it would be one too much.
#[inline(always)]
pub(crate) fn open(key: &FlowKey, entry: &Entry, bounds: Bounds) -> Put {
    let Bounds {
        reserves,
        most,
        verified,
        ..
    } = bounds;
    match admit(key, entry, reserves, verified) {
        ADMITTED => {}
        FULL => return Put::Full,
        _ => return Put::Crowded,
    }
    if most != 0 && !limits::hold(key, entry, most) {
        give_back(key, entry, verified, false);
        return Put::Held;
    }
    let place = if verified {
        AMONG_VERIFIED
    } else {
        place(entry.opened, room::is_favoured(entry))
    };
    let place = if place < AMONG_VERIFIED && place & HELD != 0 {
        evict(place ^ HELD)
    } else {
        place
    };
    let put = insert(key, entry, place);
    if !matches!(put, Put::There) {
        give_back(key, entry, verified, true);
    }
    put
}

/// Ends a session; says whether it was there. Of many that delete one key at once, the kernel says to one that it was.
// Not inlined, for the kernel's stack.
#[inline(never)]
pub(crate) fn close(key: &FlowKey, entry: &Entry) -> bool {
    // What is left of it is put in after it was taken out, when a set of marks may have been filled without it.
    marks::note(key);
    let half_open = HALF_OPEN.remove(key).is_ok();
    if half_open {
        release(key, entry);
    }
    let verified = SESSIONS.remove(key).is_ok();
    if verified {
        count_verified(entry, u64::MAX);
    }
    if half_open || verified {
        limits::release(key, entry);
    }
    verified || half_open
}

const ADMITTED: u32 = 0;
const FULL: u32 = 1;
const CROWDED: u32 = 2;

/// Is there room for it as a verified session, and as one more half-open one of its source? Then it is counted for
/// that.
#[inline(never)]
fn admit(key: &FlowKey, entry: &Entry, reserves: bool, verified: bool) -> u32 {
    let Some(settings) = SETTINGS.get(0) else {
        return CROWDED;
    };
    let (managed, others) = (tally(OF_MANAGEMENT), tally(OF_OTHERS));
    if !room::is_there(&settings.room, managed, others, entry, reserves) {
        FULL
    } else if verified || charge(key, entry, settings.room.half_open_per_source) {
        ADMITTED
    } else {
        CROWDED
    }
}

/// Puts it into its table, and a half-open one into a place of the ring.
#[inline(never)]
fn insert(key: &FlowKey, entry: &Entry, place: u32) -> Put {
    if place == NOWHERE {
        return Put::Crowded;
    }
    marks::note(key);
    let put = match place {
        AMONG_VERIFIED => put(SESSIONS.insert(key, entry, BPF_NOEXIST.into())),
        _ => put(HALF_OPEN.insert(key, entry, BPF_NOEXIST.into())),
    };
    if !matches!(put, Put::There) {
        // Adopted sessions have no place in the ring, so the table may be full before the ring is.
        return if matches!(put, Put::Full) {
            Put::Crowded
        } else {
            put
        };
    }
    if place == AMONG_VERIFIED {
        count_verified(entry, 1);
        return put;
    }
    if let Some(opening) = OPENINGS.get_ptr_mut(place) {
        // SAFETY: an entry of a map. Two CPUs write one place only if all places were given out in between: then the
        // ring forgets one session, which keeps its entry until it is answered or over.
        unsafe {
            (*opening).key = *key;
            (*opening).opened = entry.opened;
        }
    }
    put
}

/// It was not put there after all.
#[inline(never)]
fn give_back(key: &FlowKey, entry: &Entry, verified: bool, held: bool) -> u32 {
    if !verified {
        release(key, entry);
    }
    if held {
        limits::release(key, entry);
    }
    CROWDED
}

/// No place of the ring.
const NOWHERE: u32 = u32::MAX;
/// None is needed.
const AMONG_VERIFIED: u32 = NOWHERE - 1;
/// Set in a place whose holder is to be put out.
const HELD: u32 = 1 << 31;

/// Finds a place in the ring whose holder is gone or gives way; else [`NOWHERE`]. With [`HELD`] the holder is to be put
/// out first.
// Not inlined, for the kernel's stack.
#[inline(never)]
fn place(now: u64, favoured: bool) -> u32 {
    let places = SETTINGS
        .get(0)
        .map_or(0, |settings| settings.room.half_open_max);
    let Some(cursor) = TALLY.get_ptr_mut(CURSOR) else {
        return NOWHERE;
    };
    for _ in 0..TRIES {
        // SAFETY: one aligned word of a map. No two CPUs get the same number.
        let next = unsafe { atomics::fetch_add(cursor, 1) } as u32;
        let Some(place) = next.checked_rem(places) else {
            return NOWHERE;
        };
        match holder(place) {
            None => return place,
            Some((_, holder)) if room::gives_way(holder.opened, now, favoured) => {
                cookie::press(now);
                return place | HELD;
            }
            Some(_) => {}
        }
    }
    cookie::press(now);
    NOWHERE
}

/// Who has a place of the ring, if that session is half open still.
#[inline(always)]
fn holder(place: u32) -> Option<(&'static FlowKey, &'static Entry)> {
    let opening = OPENINGS.get_ptr(place)?;
    // SAFETY: an entry of a map, written by another CPU only as told in `insert`; then the key is of no session, or
    // the time is not that of its entry, and the place counts as free.
    let (key, opened) = unsafe { (&(*opening).key, (*opening).opened) };
    // SAFETY: an entry of a map, see `Handle`.
    let entry = unsafe { &*HALF_OPEN.get_ptr(key)? };
    (entry.opened == opened).then_some((key, entry))
}

/// Puts out the holder of a place, unless somebody else has done so, and says which place is free now.
///
/// What it counts by is read before, since after the removal the entry may be another's; its key stands in the ring.
///
/// The race: it is verified at this moment by another CPU. That one has read the entry already and puts it
/// among the verified ones, so the session lives; it is only counted as evicted though it goes on, and at its rule no
/// more, which the agent puts right.
// Not inlined, for the kernel's stack.
#[inline(never)]
fn evict(place: u32) -> u32 {
    let Some((key, entry)) = holder(place) else {
        return place;
    };
    let source = room::opener(key, entry);
    let (counted, held) = (entry.counted, entry.held);
    if HALF_OPEN.remove(key).is_err() {
        return place;
    }
    if counted & CAPPED != 0 {
        count_source(room::counts_of(source, tally(SEED)), u64::MAX);
    }
    limits::release_by(source, counted, held);
    event::count(closed_counter(Cause::Evicted as u8));
    place
}

/// Counts a half-open session for its source; not if that has too many.
///
/// Exact with any number of CPUs: each adds first and looks at what was there before, so of many that come at
/// once no more are let in than there is room for, and those that are not take back what they added. Meanwhile
/// another one of the same source may be refused though one has just ended: it is at its limit anyway.
#[inline(always)]
fn charge(key: &FlowKey, entry: &Entry, most: u32) -> bool {
    if entry.counted & CAPPED == 0 {
        return true;
    }
    let [first, second] = room::counts_of(room::opener(key, entry), tally(SEED));
    let (first, second) = (add_source(first, 1), add_source(second, 1));
    let before = if first < second { first } else { second };
    if before < i64::from(most) {
        return true;
    }
    release(key, entry);
    false
}

/// A half-open session is one no more.
#[inline(always)]
pub(crate) fn release(key: &FlowKey, entry: &Entry) {
    if entry.counted & CAPPED != 0 {
        let source = room::opener(key, entry);
        count_source(room::counts_of(source, tally(SEED)), u64::MAX);
    }
}

/// Adds to the number of verified sessions (`u64::MAX` takes one away).
#[inline(always)]
pub(crate) fn count_verified(entry: &Entry, amount: u64) {
    let place = if entry.counted & MANAGED != 0 {
        OF_MANAGEMENT
    } else {
        OF_OTHERS
    };
    if let Some(count) = TALLY.get_ptr_mut(place) {
        // SAFETY: one aligned word of a map.
        unsafe { atomics::add(count, amount) };
    }
}

#[inline(always)]
fn tally(place: u32) -> u64 {
    // SAFETY: one aligned word of a map, read once.
    TALLY
        .get_ptr(place)
        .map_or(0, |word| unsafe { word.read_volatile() })
}

#[inline(always)]
fn count_source([first, second]: [u32; 2], amount: u64) {
    add_source(first, amount);
    add_source(second, amount);
}

/// Adds to a count of a source; what it was before.
#[inline(always)]
fn add_source(place: u32, amount: u64) -> i64 {
    let Some(count) = SOURCES.get_ptr_mut(place) else {
        return 0;
    };
    // SAFETY: one aligned word of a map.
    unsafe { atomics::fetch_add(count, amount) as i64 }
}
