//! A conversation up to one segment, as people want to see it who ask why two firewalls judge that one differently.

use std::collections::BTreeMap;

use firewall_common::flow::FlowKey;
use firewall_common::packet::{Packet, protocol};
use firewall_common::parse;
use firewall_common::parse::tcp::{ACK, FIN, PSH, RST, SYN};
use firewall_common::source::Slice;

use super::step::Step;
use super::world::Seen;

/// What each firewall let by, in each direction.
pub(super) type Both<'a> = [&'a [Seen; 2]; 2];

/// A line for each step with the ends of this one, as far as it: direction, flags, numbers, and how many came through
/// Ringwall and through nftables. Numbers count from each side's first.
pub(super) fn story(steps: &[Step], last: &Step, both: Both<'_>) -> Vec<String> {
    let Some((_, session)) = read(last) else {
        return Vec::new();
    };
    let end = steps
        .iter()
        .rposition(|step| step.key == last.key)
        .map_or(0, |at| at + 1);
    let of = steps.iter().take(end).filter_map(|step| {
        let (packet, found) = read(step)?;
        (found == session).then_some((step, packet))
    });
    let mut first = BTreeMap::new();
    of.map(|(step, packet)| line(step, &packet, both, &mut first))
        .collect()
}

fn line(step: &Step, packet: &Packet, both: Both<'_>, first: &mut BTreeMap<bool, u32>) -> String {
    let own = *first.entry(step.leaves).or_insert(packet.sequence);
    let other = first.get(&!step.leaves).copied().unwrap_or_default();
    let flags: String = [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (PSH, 'P'), (ACK, 'A')]
        .into_iter()
        .filter(|(bit, _)| packet.tcp_flags & bit != 0)
        .map(|(_, letter)| letter)
        .collect();
    let came = both.map(|seen| {
        seen[usize::from(step.leaves)]
            .get(&step.key)
            .map_or(0, Vec::len)
    });
    format!(
        "{} {flags:<3} {} +{} ack {} win {} came {came:?} {}",
        if step.leaves { "out" } else { "in " },
        packet.sequence.wrapping_sub(own) as i32,
        packet.payload_length(),
        packet.acknowledgement.wrapping_sub(other) as i32,
        packet.window,
        step.class,
    )
}

/// The session that a segment names.
pub(super) fn session(step: &Step) -> Option<FlowKey> {
    read(step).map(|(_, session)| session)
}

/// A TCP segment and the session it names.
fn read(step: &Step) -> Option<(Packet, FlowKey)> {
    let (mut packet, mut key, bytes) = (Packet::default(), FlowKey::default(), step.framed());
    let source = Slice {
        bytes: &bytes,
        tag: None,
    };
    parse::parse(&source, &mut packet).ok()?;
    packet.tuple.key(&mut key);
    (packet.tuple.protocol == protocol::TCP).then_some((packet, key))
}
