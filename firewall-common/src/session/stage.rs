//! A packet of a live session: found, moved on, judged anew where the policy has changed.

use crate::config::Generation;
use crate::flow::{FlowKey, Hook, Side};
use crate::judge;
use crate::pipeline::{At, Scratch, monitors};
use crate::policy::lookup::{Answer, lookup};
use crate::reason::Reason;
use crate::session::{self, Entry, Step};
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
        ..
    } = scratch;
    packet.session_tuple(tuple);
    let side = tuple.key(key);
    let (handle, table) = tables.find(key)?;
    tables.read(handle, entry);
    if entry.is_over(at.now, tables.timeout(entry.track.state)) || !crosses(at, entry, side) {
        return None;
    }
    let from_opener = entry.is_opener(side);
    match session::step(&mut entry.track, from_opener, packet) {
        Step::Foreign | Step::Reopens => return None,
        Step::Idle => (),
        Step::Live => entry.last_seen = at.now,
    }
    if stale(head, entry, at.now) {
        key.tuple(entry.opener_side(), tuple);
        judge::ask_again(tuple, entry, at.now, question);
        lookup(tables, at.slot, head, question, search);
        if let Some(refusal) = renew(tables, head, key, handle, at.now, &search.answer, entry) {
            return Some(refusal);
        }
    }
    if matches!(table, Table::HalfOpen) && entry.track.is_verified() {
        return Some(verified(tables, at, key, from_opener, entry));
    }
    tables.write(handle, &entry.track, entry.last_seen);
    tables.account(handle, !from_opener, at.packets, at.bytes);
    Some(in_session(Reason::Session, entry))
}

/// Must the session be judged anew: another policy is in force, or its rule has expired?
#[inline(always)]
const fn stale(head: &Generation, entry: &Entry, now: u64) -> bool {
    entry.permit.epoch != head.epoch || (entry.permit.expires != 0 && now >= entry.permit.expires)
}

#[inline(always)]
fn renew<T: Tables>(
    tables: T,
    head: &Generation,
    key: &FlowKey,
    handle: T::Handle,
    now: u64,
    answer: &Answer,
    entry: &mut Entry,
) -> Option<Decision> {
    match judge::again(head, answer, entry, now) {
        Ok(permit) => {
            entry.permit = permit;
            tables.permit(handle, &permit);
            None
        }
        Err(reason) => {
            // In monitor mode the session goes on, so that it can be judged again.
            if !monitors(head) {
                tables.close(key);
            }
            Some(in_session(reason, entry))
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
) -> Decision {
    let counts = if from_opener {
        &mut entry.counts[0]
    } else {
        &mut entry.counts[1]
    };
    counts.packets += u64::from(at.packets);
    counts.bytes += u64::from(at.bytes);
    match tables.promote(key, entry) {
        Put::There => in_session(Reason::Session, entry),
        Put::Full => in_session(Reason::SessionTableFull, entry),
    }
}

/// Does a packet from `side` belong at this hook? A packet that arrives in the name of this host's own
/// end is none of the session's.
#[inline(always)]
fn crosses(at: &At, entry: &Entry, side: Side) -> bool {
    let ingress = matches!(at.hook, Hook::Ingress);
    match entry.course() {
        Course::Inbound => entry.is_opener(side) == ingress,
        Course::Outbound => entry.is_opener(side) != ingress,
        Course::Routed => true,
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
