//! The list: what it allows opens a session.

use crate::answers::welcome;
use crate::bounded::{bounded, holds};
use crate::config::Generation;
use crate::cookie;
use crate::event::pick;
use crate::judge;
use crate::packet::LATER;
use crate::pipeline::{At, Scratch, monitors};
use crate::reason::{Outcome, Reason};
use crate::session::end::Cause;
use crate::session::room::{CAPPED, HELD_BY_SOURCE, MANAGED};
use crate::session::{self, Entry, GROUP, LEAVING, LOGGED, MONITORED, QUIET, STANDS_IN};
use crate::stray::{Fate, stray};
use crate::tables::{Bounds, Put, Tables};
use crate::verdict::{Decision, Verdict};
use crate::zone::Course;

/// No session: the ordered list decides, and what it allows opens one.
#[inline(always)]
pub(crate) fn list<T: Tables>(
    tables: T,
    at: &At,
    head: &Generation,
    scratch: &mut Scratch,
) -> Decision {
    if let Some(reason) = judge::false_source(tables, at.hook, &scratch.packet.tuple.source) {
        return Decision::plain(reason);
    }
    judge::ask(tables, at, &scratch.packet, &mut scratch.question);
    (scratch.decision, scratch.opens) = judge::judge(tables, at.slot, head, scratch);
    let scratch = forgotten(scratch);
    if scratch.search.answer.martian && !scratch.opens {
        return scratch.decision;
    }
    let decision = bounded(tables, at, head, scratch, scratch.decision);
    let opens = scratch.opens && (decision.passes() || monitors(head));
    let (decision, begins) = match stray(tables, at, head, scratch, decision) {
        Fate::TakenUp { decision, begins } => {
            judge::charge(tables, at, &decision);
            (decision, begins)
        }
        Fate::Stays(decision) => {
            judge::charge(tables, at, &decision);
            let decision = Decision {
                answer: decision.answer && answerable(scratch),
                ..decision
            };
            if !opens {
                return decision;
            }
            (decision, Begins::Opening)
        }
    };
    if scratch.occupied {
        scratch.ended = scratch.entry;
    }
    scratch.entry = Entry::default();
    judge::permit(&scratch.search.answer, head.epoch, &mut scratch.entry);
    scratch.entry.opening = welcome(&scratch.search.answer, scratch.question.group);
    scratch.decision = decision;
    scratch.entry.counted = u8::from(manages(head, &decision)) * MANAGED;
    let anew = matches!(begins, Begins::Opening) && !scratch.occupied;
    if anew && decision.passes() && cookie::answers(tables, at, head, scratch) {
        return Decision {
            answer: true,
            ..decision
        };
    }
    let most = match begins {
        Begins::Opening | Begins::Cookie => holds(tables, head, scratch),
        _ => 0,
    };
    let bounds = Bounds {
        reserves: head.management != 0,
        most,
        verified: matches!(begins, Begins::Cookie),
        uncapped: false,
    };
    let put = open(tables, at, begins, bounds, scratch);
    let refused = no_room(put, &scratch.entry);
    if let Some(reason) = refused
        && monitors(head)
        && matches!(put, Put::Held | Put::Crowded)
    {
        // What only a bound refuses is let in, too, and counts for none: its replies would be strays.
        scratch.decision.reason = reason;
        scratch.entry.counted &= MANAGED;
        let bounds = Bounds {
            reserves: head.management != 0,
            uncapped: true,
            ..Bounds::default()
        };
        open(tables, at, begins, bounds, scratch);
    }
    if refused.is_none() {
        scratch.happened.asks = u8::from(scratch.entry.welcomes());
    }
    match refused {
        None => decision,
        Some(reason) => Decision {
            verdict: Verdict::Dropped,
            reason,
            ..decision
        },
    }
}

/// Working memory, of which the compiler may know nothing any more. What is read from it is any value then, and
/// the kernel's verifier looks at what follows once, instead of once for each way that leads here.
#[inline(always)]
fn forgotten(scratch: &mut Scratch) -> &mut Scratch {
    core::hint::black_box(scratch)
}

/// Why a session was not opened.
#[inline(always)]
pub(crate) const fn no_room(put: Put, entry: &Entry) -> Option<Reason> {
    match put {
        Put::Held if entry.counted & HELD_BY_SOURCE != 0 => Some(Reason::SourceLimit),
        Put::Held => Some(Reason::SessionLimit),
        Put::There | Put::Already => None,
        Put::Full => Some(Reason::SessionTableFull),
        Put::Crowded => Some(Reason::HalfOpenLimit),
    }
}

/// Does it come from, or go to, where operators are?
#[inline(always)]
const fn manages(head: &Generation, decision: &Decision) -> bool {
    head.manages([decision.source_zone.0, decision.destination_zone.0])
}

/// Never to multicast or broadcast, nor in answer to a frame that was for all (RFC 1122 section 3.2.2).
#[inline(always)]
fn answerable(scratch: &Scratch) -> bool {
    let packet = &scratch.packet;
    !scratch.question.group && !packet.group && packet.fragment != LATER
}

/// How a session begins.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// By its first packet.
    Opening = 0,
    /// From its middle, by a packet of the one that counts as its opener.
    Midstream = 1,
    /// From its middle, by a packet of the other.
    MidstreamReply = 2,
    /// As a stand-in, by its first packet.
    StandIn = 3,
    /// As a stand-in from its middle, by a packet of its opener.
    MidstreamStandIn = 4,
    /// By a SYN cookie that came back.
    Cookie = 5,
}

/// Puts a session for the packet into the table, by the decision that was left in `scratch`.
// Not inlined, so that the kernel gives it a stack frame beside that of searching the policy.
#[inline(never)]
pub(crate) fn open<T: Tables>(
    tables: T,
    at: &At,
    begins: Begins,
    bounds: Bounds,
    scratch: &mut Scratch,
) -> Put {
    let Scratch {
        packet,
        tuple,
        key,
        entry,
        question,
        occupied,
        ended,
        happened,
        decision,
        ..
    } = scratch;
    packet.session_tuple(tuple);
    let sender = tuple.key(key);
    let by_opener = !matches!(begins, Begins::MidstreamReply);
    let side = if by_opener { sender } else { sender.other() };
    match begins {
        Begins::Opening | Begins::StandIn => session::begin(packet, &mut entry.track),
        Begins::Cookie => session::begin_by_cookie(packet, &mut entry.track),
        _ => session::begin_midstream(packet, by_opener, &mut entry.track),
    }
    if !matches!(decision.reason.outcome(), Outcome::Pass) {
        entry.track.flags |= MONITORED;
    }
    entry.opened = at.now;
    entry.last_seen = at.now;
    entry.opener = side as u8;
    entry.course = question.course;
    entry.interface_in = question.interface_in;
    entry.interface_out = question.interface_out;
    entry.opening |= match begins {
        Begins::StandIn | Begins::MidstreamStandIn => STANDS_IN,
        _ => 0,
    };
    entry.opening |=
        if question.leaving { LEAVING } else { 0 } | if question.group { GROUP } else { 0 };
    // Of the host's own openings the source says nothing, and those of a stand-in are counted where they came in.
    let counted_before = question.course == Course::Outbound as u8 || entry.stands_in();
    entry.counted |= if counted_before || bounds.uncapped {
        0
    } else {
        CAPPED
    };
    if happened.log != 0 {
        let seed = pick::of_session(key, at.now);
        let quiet = !pick::picked(seed, happened.log);
        entry.opening |= LOGGED | if quiet { QUIET } else { 0 };
    }
    entry.source_zone = decision.source_zone.0;
    entry.destination_zone = decision.destination_zone.0;
    let count = &mut entry.counts[usize::from(!by_opener) & 1];
    count.packets = u64::from(at.packets);
    count.bytes = u64::from(at.bytes);
    // What is left of an older session with this key (expired, or closing and opened anew) goes first.
    // Where nothing was found nothing is closed: another CPU may have opened the session since.
    if *occupied {
        let over = ended.is_over(at.now, tables.timeout(ended.track.state));
        if tables.close(key, ended) && ended.is_conversation() {
            happened.closed = Cause::of_replaced(ended, over) as u8;
        }
    }
    let put = tables.open(key, entry, bounds);
    happened.opened = matches!(put, Put::There);
    put
}
