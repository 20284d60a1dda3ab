//! Records for the agent, made after the decision, and so never part of it. The same for every hook.

use aya_ebpf::maps::ring_buf::RingBufEntry;
use core::ptr::addr_of_mut;
use firewall_common::config::{closed_counter, opened_counter};
use firewall_common::event::layout::{Header, OfSession, Refused, VERSION};
use firewall_common::event::{EventCount, Happened, Kind, bucket, pick, rate};
use firewall_common::limit::take;
use firewall_common::pipeline::{At, Scratch};
use firewall_common::session::Entry;
use firewall_common::verdict::{Decision, Verdict};

use crate::clock;
use crate::maps::{EVENT_COUNTS, EVENT_LIMITS, EVENTS, GENERATIONS, SESSION_COUNTS};

/// Counts what a packet did to sessions, and records that, or that it was refused. For nearly every
/// packet there is nothing to do.
#[inline(always)]
pub(crate) fn tell(at: &At, decision: &Decision, scratch: &Scratch) {
    let happened = scratch.happened;
    if happened.closed != 0 {
        closed(at, decision, scratch);
    }
    if happened.opened {
        opened(at, decision, scratch);
    }
    if !matches!(decision.verdict, Verdict::Forwarded) {
        refused(at, decision, scratch);
    }
}

// Not inlined, so that what is rare takes no registers and no stack of what is common.
#[inline(never)]
fn closed(at: &At, decision: &Decision, scratch: &Scratch) {
    count(closed_counter(scratch.happened.closed));
    let entry = &scratch.ended;
    if admit(Kind::Close, entry.logged(), !entry.quiet(), at.now) {
        of_session(Kind::Close, at, decision, scratch, entry);
    }
}

#[inline(never)]
fn opened(at: &At, decision: &Decision, scratch: &Scratch) {
    let entry = &scratch.entry;
    count(opened_counter(entry.course, decision.peer(at.hook).0));
    if admit(Kind::Open, entry.logged(), !entry.quiet(), at.now) {
        of_session(Kind::Open, at, decision, scratch, entry);
    }
}

#[inline(never)]
fn refused(at: &At, decision: &Decision, scratch: &Scratch) {
    let packet = &scratch.packet;
    let Happened { log, .. } = scratch.happened;
    // By the exact time, since all packets of a flow and a tick would have one answer else.
    let picked = log < 2 || pick::picked(pick::of_packet(&packet.tuple, clock::exact()), log);
    if !admit(Kind::Drop, log != 0, picked, at.now) {
        return;
    }
    let Some(mut record) = reserve::<Refused>(Kind::Drop) else {
        return;
    };
    // Written field by field into the ring, since a record is too large to be built on the stack.
    let to = record.as_mut_ptr();
    // SAFETY: the memory is the ring's, of this size, and ours until it is submitted; every field is written.
    unsafe {
        header::<Refused>(addr_of_mut!((*to).header), Kind::Drop);
        addr_of_mut!((*to).tuple).write(packet.tuple);
        addr_of_mut!((*to).rule).write(decision.rule);
        addr_of_mut!((*to).epoch).write(epoch(at.slot));
        addr_of_mut!((*to).interface).write(at.interface);
        addr_of_mut!((*to).came_by).write(at.came_by);
        addr_of_mut!((*to).packets).write(at.packets);
        addr_of_mut!((*to).bytes).write(at.bytes);
        addr_of_mut!((*to).reason).write(decision.reason as u8);
        addr_of_mut!((*to).verdict).write(decision.verdict as u8);
        addr_of_mut!((*to).hook).write(at.hook as u8);
        addr_of_mut!((*to).source_zone).write(decision.source_zone.0);
        addr_of_mut!((*to).destination_zone).write(decision.destination_zone.0);
        addr_of_mut!((*to).family).write(packet.family);
        addr_of_mut!((*to).tcp_flags).write(packet.tcp_flags);
        addr_of_mut!((*to).fragment).write(packet.fragment);
        addr_of_mut!((*to).ethertype).write(packet.ethertype);
        addr_of_mut!((*to).role).write(packet.role as u8);
        addr_of_mut!((*to).pad).write([0; 5]);
    }
    record.submit(0);
}

#[inline(always)]
fn of_session(kind: Kind, at: &At, decision: &Decision, scratch: &Scratch, entry: &Entry) {
    let Some(mut record) = reserve::<OfSession>(kind) else {
        return;
    };
    let cause = match kind {
        Kind::Close => scratch.happened.closed,
        _ => 0,
    };
    let to = record.as_mut_ptr();
    // SAFETY: as in `refused`.
    unsafe {
        header::<OfSession>(addr_of_mut!((*to).header), kind);
        addr_of_mut!((*to).key).write(scratch.key);
        addr_of_mut!((*to).entry).write(*entry);
        addr_of_mut!((*to).interface).write(at.interface);
        addr_of_mut!((*to).cause).write(cause);
        addr_of_mut!((*to).reason).write(decision.reason as u8);
        addr_of_mut!((*to).hook).write(at.hook as u8);
        addr_of_mut!((*to).verdict).write(decision.verdict as u8);
    }
    record.submit(0);
}

/// # Safety
/// `to` points to a header that may be written.
#[inline(always)]
unsafe fn header<T>(to: *mut Header, kind: Kind) {
    // SAFETY: the caller vouches for the pointer.
    unsafe {
        addr_of_mut!((*to).size).write(size_of::<T>() as u32);
        addr_of_mut!((*to).version).write(VERSION);
        addr_of_mut!((*to).kind).write(kind as u8);
        addr_of_mut!((*to).pad).write(0);
        addr_of_mut!((*to).time).write(clock::exact());
        addr_of_mut!((*to).suppressed).write(suppressed(kind));
    }
}

/// May there be one more record of a kind? What is left out is counted.
///
/// The bucket is one word for all CPUs, so that a flood over many queues costs the agent no more than one
/// over a single queue. CPUs that take at once may take the same token: then there are a few records more
/// than the rate says, never more than one for each CPU and token. The counts are per CPU, with softirqs
/// off, and so exact.
#[inline(always)]
fn admit(kind: Kind, logged: bool, picked: bool, now: u64) -> bool {
    let Some(count) = counts(kind) else {
        return false;
    };
    if !picked {
        count.sampled += 1;
        count.suppressed += 1;
        return false;
    }
    let next = EVENT_LIMITS
        .get_ptr_mut(bucket(kind, logged))
        .and_then(|word| {
            // SAFETY: one aligned word of a map.
            let next = take(unsafe { word.read_volatile() }, now, rate(kind, logged))?;
            // SAFETY: as above.
            unsafe { word.write_volatile(next) };
            Some(())
        });
    if next.is_none() {
        count.limited += 1;
        count.suppressed += 1;
    }
    next.is_some()
}

/// Room in the ring. That there is none, since the agent is away or behind, is counted.
#[inline(always)]
fn reserve<T: 'static>(kind: Kind) -> Option<RingBufEntry<T>> {
    let room = EVENTS.reserve_untyped::<T>(0);
    let count = counts(kind);
    match (&room, count) {
        (Some(_), Some(count)) => count.recorded += 1,
        (None, Some(count)) => {
            count.full += 1;
            count.suppressed += 1;
        }
        _ => {}
    }
    room
}

/// Takes the number of records left out since the last.
#[inline(always)]
fn suppressed(kind: Kind) -> u64 {
    let Some(count) = counts(kind) else { return 0 };
    let since = count.suppressed;
    count.suppressed = 0;
    since
}

#[inline(always)]
fn counts(kind: Kind) -> Option<&'static mut EventCount> {
    let count = EVENT_COUNTS.get_ptr_mut(kind as u32)?;
    // SAFETY: this CPU's value of that type, which lives as long as the program runs; nobody else on this
    // CPU uses it meanwhile, since hooks run with softirqs off.
    Some(unsafe { &mut *count })
}

#[inline(always)]
pub(crate) fn count(place: u32) {
    if let Some(count) = SESSION_COUNTS.get_ptr_mut(place) {
        // SAFETY: this CPU's word, as above.
        unsafe { *count += 1 };
    }
}

#[inline(always)]
fn epoch(slot: u32) -> u32 {
    GENERATIONS.get(slot).map_or(0, |head| head.epoch)
}
