//! A packet of a live session: found, moved on, judged anew where the policy has changed.

use crate::addr::Addr;
use crate::config::Generation;
use crate::event::{BOTH, Happened, SENDER};
use crate::flow::{FlowKey, Hook, Side};
use crate::judge;
use crate::packet::{Packet, Role, protocol};
use crate::pipeline::{At, Scratch, monitors};
use crate::policy::lookup::{Answer, lookup};
use crate::reason::Reason;
use crate::session::end::Cause;
use crate::session::{
    self, ENDED, Entry, MONITORED, Moved, OnChange, REPLIES_ARRIVE, State, Step, Track,
};
use crate::tables::{Put, Table, Tables};
use crate::verdict::Decision;
use crate::zone::Course;

#[inline(always)]
pub(crate) fn sessions<T: Tables>(
    tables: T,
    at: &At,
    head: &Generation,
    scratch: &mut Scratch,
) -> Option<Decision> {
    let Scratch {
        packet,
        tuple,
        key,
        entry,
        question,
        search,
        occupied,
        onward,
        ended,
        happened,
        step,
        ..
    } = scratch;
    packet.session_tuple(tuple);
    let side = tuple.key(key);
    let found = tables.find(key);
    *occupied = found.is_some();
    let (handle, table) = found?;
    tables.read(handle, entry);
    let over = entry.is_over(at.now, tables.timeout(entry.track.state));
    if over || !crosses(tables, at, entry, side, &packet.tuple.source) {
        return None;
    }
    let from_opener = entry.is_opener(side);
    if entry.is_ended() {
        if is_told(key, entry) && !matches!(packet.role, Role::Opens) {
            happened.told = SENDER;
            return Some(in_session(Reason::Revoked, entry));
        }
        return recognised(tables, at, handle, entry, *onward);
    }
    if *onward && entry.seen_on_arrival(from_opener) {
        return Some(in_session(Reason::Session, entry));
    }
    if matches!(at.hook, Hook::Ingress) && !from_opener {
        entry.track.flags |= REPLIES_ARRIVE;
    }
    follow(&mut entry.track, from_opener, packet, step);
    match Step::from_number(*step) {
        Step::Foreign | Step::Reopens => return None,
        // What leaves under new addresses was judged by its numbers where it came in.
        Step::Outside if *onward && entry.stands_in() => (),
        Step::Outside => return Some(in_session(Reason::OutOfWindow, entry)),
        Step::Idle => (),
        Step::Live | Step::Anew => entry.last_seen = at.now,
    }
    let mut reason = Reason::Session;
    if stale(head, entry, at.now) {
        let adopted = entry.is_adopted();
        if adopted && from_opener {
            crossed(entry, at.interface);
        }
        key.tuple(entry.opener_side(), tuple);
        judge::ask_again(tuple, entry, at.now, question);
        lookup(tables, at.slot, head, question, search);
        reason = anew(tables, head, handle, at.now, &search.answer, entry);
        if adopted {
            placed(tables, handle, &search.answer, entry);
            if matches!(reason, Reason::Session) {
                reason = Reason::Adopted;
            } else {
                entry.track.flags |= MONITORED;
            }
        }
        // In monitor mode the session goes on, so that it can be judged again.
        if !matches!(reason, Reason::Session | Reason::Adopted) && !monitors(head) {
            end(tables, key, entry, ended, happened, reason, at.now);
            return Some(in_session(reason, entry));
        }
    }
    let stepped = (from_opener, *step);
    if !written(tables, at, key, (handle, table), stepped, entry) {
        reason = Reason::SessionTableFull;
    }
    let decision = in_session(reason, entry);
    happened.asks = u8::from(entry.welcomes() && from_opener && decision.passes());
    Some(decision)
}

/// The zones of an adopted session, by what the policy said of it.
#[inline(always)]
fn placed<T: Tables>(tables: T, handle: T::Handle, answer: &Answer, entry: &mut Entry) {
    entry.source_zone = answer.source_zone.0;
    entry.destination_zone = answer.destination_zone.0;
    tables.place(handle, entry);
}

/// Moves a session on, and says in `step` what came of it.
// Not inlined, and its answer in working memory: so the verifier forgets on which of many ways it came about, and
// looks at what follows once.
#[inline(never)]
fn follow(track: &mut Track, from_opener: bool, packet: &Packet, step: &mut u8) {
    *step = session::step(track, from_opener, packet) as u8;
}

/// Writes down what the packet has changed; `false` where it completes a handshake and there is no room for the
/// session.
#[inline(always)]
fn written<T: Tables>(
    tables: T,
    at: &At,
    key: &FlowKey,
    (handle, table): (T::Handle, Table),
    (from_opener, step): (bool, u8),
    entry: &mut Entry,
) -> bool {
    if matches!(table, Table::HalfOpen) && entry.track.is_verified() {
        return !matches!(verified(tables, at, key, from_opener, entry), Put::Full);
    }
    // Read from memory only here, so that the verifier does not go through all before once for each.
    let moved = match step == Step::Anew as u8 {
        true => Moved::Anew,
        false => Moved::by(from_opener),
    };
    tables.write(handle, &entry.track, moved, entry.last_seen);
    tables.account(handle, !from_opener, at.packets, at.bytes);
    true
}

/// Where the opener's packets of an adopted session really come or go: routing may be asymmetric, and the agent
/// could only ask for the way back.
#[inline(always)]
fn crossed(entry: &mut Entry, interface: u32) {
    match entry.course() {
        Course::Inbound => entry.interface_in = interface,
        Course::Outbound => entry.interface_out = interface,
        Course::Routed => {}
    }
}

/// Must the session be judged anew: another policy is in force, or its rule has expired?
#[inline(always)]
const fn stale(head: &Generation, entry: &Entry, now: u64) -> bool {
    // What stands in for another is judged where that one is.
    let judged = !entry.stands_in();
    let changed = entry.permit.epoch != head.epoch;
    judged && (changed || (entry.permit.expires != 0 && now >= entry.permit.expires))
}

/// The policy ends a session.
#[inline(always)]
fn end<T: Tables>(
    tables: T,
    key: &FlowKey,
    entry: &mut Entry,
    ended: &mut Entry,
    happened: &mut Happened,
    reason: Reason,
    now: u64,
) {
    if tables.close(key, entry) {
        *ended = *entry;
        happened.closed = Cause::of_refusal(reason) as u8;
        leave_a_trace(tables, key, entry, now);
    }
    if is_told(key, entry) {
        happened.told = BOTH;
    }
}

/// What is left of a session that the policy has ended.
///
/// Where any packet may open, one of the responder would open the next, if it comes translated and its
/// stand-in still lives: nothing else tells it from an opening (see [`crate::onward`]). So such a session
/// stays to be recognised, for as long as it would have lived in silence. It is no session any more. If
/// another CPU has opened the next one in this instant, it is lost, and its next packet opens it anew.
///
/// A TCP session whose ends are to be told stays for as long as one that is closed: whoever sends a segment of
/// it meanwhile is answered with a reset. So a reset that came with another sequence number than expected, and is
/// questioned (RFC 5961 section 3.2), is followed by the right one. And while conversations are taken up from their
/// middle, any TCP session stays: what its responder sends would leave in this host's own name, like a masqueraded
/// conversation that is to be taken up.
#[inline(always)]
fn leave_a_trace<T: Tables>(tables: T, key: &FlowKey, entry: &mut Entry, now: u64) {
    if is_told(key, entry) {
        entry.track.state = State::Close as u8;
        entry.last_seen = now;
    } else if key.protocol == protocol::TCP && now >= tables.strays().midstream_until {
        return;
    }
    entry.track.flags |= ENDED;
    // Where the table is full there is no trace; what would pass by that is refused for want of room.
    let _put = tables.promote(key, entry);
}

/// Are the ends of this session told that it has ended?
#[inline(always)]
const fn is_told(key: &FlowKey, entry: &Entry) -> bool {
    matches!(entry.on_change(), OnChange::Reset) && key.protocol == protocol::TCP
}

/// A packet of a session that the policy has ended. On its way onward it belongs to nothing; elsewhere
/// it is judged like any other.
#[inline(always)]
fn recognised<T: Tables>(
    tables: T,
    at: &At,
    handle: T::Handle,
    entry: &Entry,
    onward: bool,
) -> Option<Decision> {
    if !onward {
        return None;
    }
    tables.write(handle, &entry.track, Moved::Neither, at.now);
    Some(in_session(Reason::NoSession, entry))
}

/// What the list says now of the session's opening: that it goes on, or why it is refused.
#[inline(always)]
fn anew<T: Tables>(
    tables: T,
    head: &Generation,
    handle: T::Handle,
    now: u64,
    answer: &Answer,
    entry: &mut Entry,
) -> Reason {
    let judged = judge::again(head, answer, entry, now);
    let kept = matches!(entry.on_change(), OnChange::Keep);
    if kept && judged.is_err() {
        // Not asked again before the next change.
        entry.permit.epoch = head.epoch;
        entry.permit.expires = 0;
    }
    match judged {
        Err(refusal) if !kept => refusal,
        _ => {
            tables.permit(handle, entry);
            Reason::Session
        }
    }
}

/// The handshake is complete, or the first answer came: the session moves to its own table. Where that
/// is full the packet is refused and the session stays as it was, so that the next one tries again.
#[inline(always)]
fn verified<T: Tables>(
    tables: T,
    at: &At,
    key: &FlowKey,
    from_opener: bool,
    entry: &mut Entry,
) -> Put {
    let counts = if from_opener {
        &mut entry.counts[0]
    } else {
        &mut entry.counts[1]
    };
    counts.packets += u64::from(at.packets);
    counts.bytes += u64::from(at.bytes);
    tables.promote(key, entry)
}

/// Does a packet from `side` belong at this hook? A packet that arrives in the name of this host's own
/// end is none of the session's, nor is one in the name of a group.
#[inline(always)]
fn crosses<T: Tables>(tables: T, at: &At, entry: &Entry, side: Side, source: &Addr) -> bool {
    let ingress = matches!(at.hook, Hook::Ingress);
    let from_opener = entry.is_opener(side);
    match entry.course() {
        _ if entry.group() && !from_opener => false,
        _ if entry.awaits() => false,
        // Its opener leaves here, and its responder arrives.
        _ if entry.stands_in() => from_opener != ingress,
        Course::Inbound => from_opener == ingress,
        Course::Outbound => from_opener != ingress,
        // Either side may arrive, but where the traffic is masqueraded one end is an address of ours.
        Course::Routed => judge::false_source(tables, at.hook, source).is_none(),
    }
}

#[inline(always)]
pub(crate) fn in_session(reason: Reason, entry: &Entry) -> Decision {
    let (source_zone, destination_zone) = entry.zones();
    let plain = Decision::plain(reason);
    Decision {
        source_zone,
        destination_zone,
        rule: entry.permit.rule,
        ..plain
    }
}
