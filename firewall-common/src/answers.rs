//! `replies: any`: who asks a group does not know who will answer. So a question that a rule with these words let out
//! leaves a trace, by which answers to its port pass for a while, whoever sends them (mDNS, SSDP).
//!
//! The trace is an entry of the session tables, under a key that no packet has: the asking end, and nobody's. It is
//! no session: nothing is listed, counted or ended by it, and it goes when it is old. Each further question begins its
//! time anew. It holds for the policy that let the question out: under another one, the next question is judged first.
//!
//! Answers pass as packets of a session and open none. The race: of two CPUs that ask at once one finds the trace of the
//! other there, which is as good.

use crate::addr::Addr;
use crate::config::{GENERATION_REPLIES, Generation};
use crate::flow::{FlowKey, Hook, Tuple};
use crate::judge;
use crate::packet::{Role, protocol};
use crate::pipeline::{At, Scratch};
use crate::policy::lookup::Answer;
use crate::policy::rule::REPLIES;
use crate::reason::Reason;
use crate::session::stage::in_session;
use crate::session::{AWAITS, Entry, Moved, WELCOMES};
use crate::tables::{Bounds, Tables};
use crate::verdict::Decision;
use crate::zone::Course;

/// Nanoseconds for which answers pass after a question.
const LIFE: u64 = 10_000_000_000;

/// What [`Entry::opening`] says of a session that this answer of the list lets open.
#[inline(always)]
pub(crate) const fn welcome(answer: &Answer, group: bool) -> u8 {
    match answer.rule() {
        Some(rule) if group && rule.flags & REPLIES != 0 => WELCOMES,
        _ => 0,
    }
}

/// The key of a trace: the asking end, and nobody's.
#[inline(always)]
fn key_of(end: &Addr, port: u16, protocol: u8, key: &mut FlowKey) {
    let tuple = Tuple {
        source: *end,
        destination: Addr { hi: 0, lo: 0 },
        source_port: port,
        destination_port: 0,
        protocol,
        pad: [0; 3],
    };
    let _side = tuple.key(key);
}

/// A question passed: its answers may.
// Not inlined: few packets ask a group.
#[inline(never)]
pub(crate) fn asked<T: Tables>(tables: T, now: u64, scratch: &mut Scratch) -> u32 {
    let Scratch {
        packet,
        entry,
        awaited,
        ..
    } = scratch;
    let tuple = &packet.tuple;
    key_of(&tuple.source, tuple.source_port, tuple.protocol, awaited);
    match tables.find(awaited) {
        Some((handle, _)) => {
            tables.permit(handle, entry);
            tables.write(handle, &entry.track, Moved::Neither, now);
        }
        None => {
            let (flags, last_seen, counted) = (entry.track.flags, entry.last_seen, entry.counted);
            entry.track.flags |= AWAITS;
            entry.last_seen = now;
            entry.counted = 0;
            let _where_the_table_is_full_nobody_answers =
                tables.open(awaited, entry, Bounds::default());
            entry.track.flags = flags;
            entry.last_seen = last_seen;
            entry.counted = counted;
        }
    }
    0
}

/// Is it an answer that somebody here waits for?
#[inline(always)]
pub(crate) fn answers<T: Tables>(
    tables: T,
    at: &At,
    head: &Generation,
    scratch: &mut Scratch,
) -> Option<Decision> {
    let packet = &scratch.packet;
    let may = head.flags & GENERATION_REPLIES != 0
        && matches!(at.hook, Hook::Ingress)
        && matches!(packet.role, Role::Opens)
        && packet.tuple.protocol != protocol::TCP;
    if !may || packet.tuple.destination.is_multicast() {
        return None;
    }
    let tuple = &packet.tuple;
    let (end, port) = (&tuple.destination, tuple.destination_port);
    key_of(end, port, tuple.protocol, &mut scratch.awaited);
    let (handle, _) = tables.find(&scratch.awaited)?;
    // Not into the place of the packet's own session, of which an older one may still be there.
    let entry = &mut scratch.asked;
    tables.read(handle, entry);
    if !holds(entry, head, at.now)
        || judge::false_source(tables, at.hook, &scratch.packet.tuple.source).is_some()
    {
        return None;
    }
    Some(in_session(Reason::Session, entry))
}

#[inline(always)]
fn holds(entry: &Entry, head: &Generation, now: u64) -> bool {
    let ends = entry.permit.expires;
    entry.awaits()
        && matches!(entry.course(), Course::Outbound)
        && !entry.is_over(now, LIFE)
        && entry.permit.epoch == head.epoch
        && (ends == 0 || now < ends)
}
