//! Fragments: a later one goes the way of its first.

use crate::config::Generation;
use crate::flow::FragmentKey;
use crate::judge;
use crate::packet::{Packet, WHOLE};
use crate::pipeline::{At, Scratch, monitors};
use crate::reason::Reason;
use crate::tables::Tables;
use crate::verdict::Decision;

#[inline(always)]
pub(crate) fn fragment_key(packet: &Packet, key: &mut FragmentKey) {
    key.source = packet.tuple.source;
    key.destination = packet.tuple.destination;
    key.id = packet.fragment_id;
    key.protocol = if packet.family == 4 {
        u32::from(packet.tuple.protocol)
    } else {
        0
    };
}

/// A later fragment passes where its first one did, at either hook; it has no ports of its own.
#[inline(always)]
pub(crate) fn later_fragment<T: Tables>(tables: T, at: &At, scratch: &mut Scratch) -> Decision {
    if let Some(reason) = judge::false_source(tables, at.hook, &scratch.packet.tuple.source) {
        return Decision::plain(reason);
    }
    fragment_key(&scratch.packet, &mut scratch.fragment);
    if tables.knows_fragment(&scratch.fragment, at.now) {
        return Decision::plain(Reason::Session);
    }
    Decision::plain(Reason::FragmentWithoutFirst)
}

/// Where a fragment is refused, the rest of its packet is, too. A receiver that had it all would put nothing together,
/// if this overlaps another (RFC 5722), or lacks a part; without it, what is left might be whole.
#[inline(always)]
pub(crate) fn spoil<T: Tables>(tables: T, head: &Generation, scratch: &mut Scratch) {
    let refused = !scratch.decision.passes() && !monitors(head);
    if refused && scratch.packet.fragment != WHOLE {
        fragment_key(&scratch.packet, &mut scratch.fragment);
        tables.forget_fragment(&scratch.fragment);
    }
}
