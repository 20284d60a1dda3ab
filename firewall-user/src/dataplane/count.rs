//! Counters, summed over all CPUs.

use std::collections::BTreeMap;

use firewall_common::config::{Count, RuleCount};
use firewall_common::config::{PACKET_COUNTERS, packet_counter};
use firewall_common::flow::Hook;
use firewall_common::reason::{REASONS, Reason};
use firewall_common::verdict::Verdict;
use firewall_common::zone::{ZONES, ZoneId};

use super::error::Result;
use super::maps::Maps;

/// Packets with the same verdict, hook, peer zone and reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketCount {
    /// What was done.
    pub verdict: Verdict,
    /// Where.
    pub hook: Hook,
    /// Zone of the other end.
    pub zone: ZoneId,
    /// Why.
    pub reason: Reason,
    /// How many.
    pub count: Count,
}

/// Packet counters that are not zero.
pub(super) fn packets(maps: &Maps) -> Result<Vec<PacketCount>> {
    let all = packets_by_place(maps)?;
    Ok(all
        .into_iter()
        .filter_map(|(place, count)| place_of(place, count))
        .collect())
}

/// The same by their places: what these tables have counted, and what those before them had.
pub(super) fn packets_by_place(maps: &Maps) -> Result<BTreeMap<u32, Count>> {
    let mut all: BTreeMap<u32, Count> = maps.carried_packets.list()?.into_iter().collect();
    maps.packets.list(|place, cpus| {
        let sum = sum_packets(cpus);
        if sum.packets != 0 {
            let count = all.entry(place).or_default();
            count.packets += sum.packets;
            count.bytes += sum.bytes;
        }
    })?;
    Ok(all)
}

/// Over all CPUs.
pub(super) fn sum_packets(cpus: &[Count]) -> Count {
    let mut sum = Count::default();
    for cpu in cpus {
        sum.packets += cpu.packets;
        sum.bytes += cpu.bytes;
    }
    sum
}

/// The reverse of [`packet_counter`].
fn place_of(place: u32, count: Count) -> Option<PacketCount> {
    let (reasons, zones) = (REASONS as u32, ZONES as u32);
    let upper = place / (reasons * zones);
    Some(PacketCount {
        verdict: Verdict::from_number(u8::try_from(upper / 2).ok()?)?,
        hook: if upper.is_multiple_of(2) {
            Hook::Ingress
        } else {
            Hook::Egress
        },
        zone: ZoneId((place / reasons % zones) as u8),
        reason: Reason::from_number((place % reasons) as u8)?,
        count,
    })
}

/// Rule counters that are not zero, by number, with what the tables before these had counted.
pub(super) fn rules(maps: &Maps) -> Result<Vec<(u32, RuleCount)>> {
    let mut all: BTreeMap<u32, RuleCount> = maps.carried_rules.list()?.into_iter().collect();
    for (first, page) in maps.counter_pages()? {
        page.list(|place, cpus| {
            let sum = sum_rules(cpus);
            if sum.packets != 0 || sum.would_packets != 0 {
                let count = all.entry(first + place).or_default();
                *count = sum_rules(&[*count, sum]);
            }
        })?;
    }
    Ok(all.into_iter().collect())
}

/// Over all CPUs.
pub(super) fn sum_rules(cpus: &[RuleCount]) -> RuleCount {
    let mut sum = RuleCount::default();
    for cpu in cpus {
        sum.packets += cpu.packets;
        sum.bytes += cpu.bytes;
        sum.would_packets += cpu.would_packets;
        sum.would_bytes += cpu.would_bytes;
        sum.last_hit = sum.last_hit.max(cpu.last_hit);
    }
    sum
}

const _: () =
    assert!(packet_counter(3, 1, ZONES as u8 - 1, REASONS as u8 - 1) == PACKET_COUNTERS - 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_counted() {
        for (verdict, hook, zone, reason) in [
            (Verdict::Forwarded, Hook::Ingress, 3, Reason::RuleAllow),
            (Verdict::Audit, Hook::Egress, 63, Reason::NoPolicyLoaded),
        ] {
            let place = packet_counter(verdict as u8, hook as u8, zone, reason as u8);
            let read = place_of(place, Count::default()).unwrap();
            let zone = ZoneId(zone);
            let found = (read.verdict, read.hook, read.zone, read.reason);
            assert_eq!(found, (verdict, hook, zone, reason));
        }
    }
}
