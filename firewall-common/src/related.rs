//! ICMP errors about packets of live sessions.

use crate::failsafe::about_failsafe;
use crate::flow::Hook;
use crate::judge;
use crate::packet::protocol;
use crate::pipeline::{At, Scratch};
use crate::reason::Reason;
use crate::session::stage::in_session;
use crate::session::{Entry, Moved, tcp};
use crate::tables::Tables;
use crate::verdict::Decision;
use crate::zone::Course;

/// An ICMP error passes only if it quotes a packet of a live session that went the other way, and goes
/// to that packet's sender (RFC 5927). It changes nothing about the session but a note that it came.
#[inline(always)]
pub(crate) fn related<T: Tables>(tables: T, at: &At, scratch: &mut Scratch) -> Decision {
    if let Some(reason) = judge::false_source(tables, at.hook, &scratch.packet.tuple.source) {
        return Decision::plain(reason);
    }
    if !scratch.quoted || scratch.packet.tuple.destination != scratch.tuple.source {
        return Decision::plain(Reason::NoSession);
    }
    match about_session(tables, at, scratch) {
        Some(decision) => decision,
        None if about_failsafe(tables, at, &scratch.tuple) => Decision::plain(Reason::Related),
        None => Decision::plain(Reason::NoSession),
    }
}

#[inline(always)]
fn about_session<T: Tables>(tables: T, at: &At, scratch: &mut Scratch) -> Option<Decision> {
    let side = scratch.tuple.key(&mut scratch.key);
    let (handle, _) = tables.find(&scratch.key)?;
    tables.read(handle, &mut scratch.entry);
    let entry = &scratch.entry;
    if entry.is_over(at.now, tables.timeout(entry.track.state)) || entry.is_ended() {
        return None;
    }
    let from_opener = entry.is_opener(side);
    let sequence = scratch.packet.sequence;
    if scratch.tuple.protocol == protocol::TCP
        && !tcp::may_be_quoted(&entry.track, from_opener, sequence)
    {
        return Some(in_session(Reason::OutOfWindow, entry));
    }
    // The quoted packet must have crossed here in the direction opposite to the error's.
    let quoted_hook = if from_opener == opener_arrives(entry) {
        Hook::Ingress
    } else {
        Hook::Egress
    };
    if !matches!(entry.course(), Course::Routed) && quoted_hook as u8 == at.hook as u8 {
        return None;
    }
    // Only a note for those who ask why nothing comes back: nothing is decided by it.
    scratch
        .entry
        .track
        .note_error(scratch.packet.tuple.destination_port);
    let (track, last_seen) = (&scratch.entry.track, scratch.entry.last_seen);
    tables.write(handle, track, Moved::Neither, last_seen);
    Some(in_session(Reason::Related, &scratch.entry))
}

/// Do the opener's packets arrive (rather than leave)?
#[inline(always)]
fn opener_arrives(entry: &Entry) -> bool {
    matches!(entry.course(), Course::Inbound)
}
