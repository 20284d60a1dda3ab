//! The table of services: protocol, kind and port, with the full answer at every prefix.

use std::collections::BTreeSet;

use firewall_common::config::{KIND_DESTINATION, KIND_SOURCE, ServiceKey, Vector};

use super::Place;
use super::bits::{self, Vectors};
use super::mutation::{self, Mutation};
use crate::policy::model::Service;

/// Bits of a key before the port: protocol and kind.
const BEFORE_PORT: u32 = 16;

/// The table, and what holds where it has nothing.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) entries: Vec<(u32, ServiceKey, u32)>,
    pub(super) any_service: u32,
    pub(super) any_source_port: u32,
}

/// A prefix of keys and a rule that names it, in the order of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    key: u32,
    length: u32,
    rule: u32,
}

pub(super) fn table(active: &[&Place<'_>], vectors: &mut Vectors) -> Services {
    let (mut destinations, mut sources) = (BTreeSet::new(), BTreeSet::new());
    for place in active {
        let (Some(rule), Some(index)) = (place.rule, place.index) else {
            continue;
        };
        for part in rule.services.iter().flatten() {
            let prefixes = prefixes(part).into_iter();
            destinations.extend(prefixes.map(|(key, length)| named(key, length, index)));
        }
        for (low, high) in rule.source_ports.iter().flatten() {
            let kind = u32::from(KIND_SOURCE) << 16;
            let prefixes = range(*low, *high).into_iter();
            sources
                .extend(prefixes.map(|(port, bits)| named(kind | port, BEFORE_PORT + bits, index)));
        }
    }
    let no_service = bits::of(active, |p| p.rule.is_none_or(|r| r.services.is_none()));
    let no_ports = bits::of(active, |p| p.rule.is_none_or(|r| r.source_ports.is_none()));
    let mut entries = Vec::new();
    answers(&destinations, no_service, vectors, &mut entries);
    answers(&sources, no_ports, vectors, &mut entries);
    Services {
        entries,
        any_service: vectors.number(no_service),
        any_source_port: vectors.number(no_ports),
    }
}

const fn named(key: u32, length: u32, rule: u32) -> Named {
    Named { key, length, rule }
}

const fn mask(length: u32) -> u32 {
    match length {
        0 => 0,
        _ => u32::MAX << (32 - length),
    }
}

/// Goes through the prefixes in order, with those that cover the present one on a stack.
fn answers(
    named: &BTreeSet<Named>,
    base: Vector,
    vectors: &mut Vectors,
    entries: &mut Vec<(u32, ServiceKey, u32)>,
) {
    let named: Vec<Named> = named.iter().copied().collect();
    let mut covering: Vec<(u32, u32, Vector)> = vec![(0, 0, base)];
    for same in named.chunk_by(|a, b| (a.key, a.length) == (b.key, b.length)) {
        let Some(Named { key, length, .. }) = same.first().copied() else {
            continue;
        };
        while covering
            .last()
            .is_some_and(|(k, l, _)| key & mask(*l) != *k)
        {
            covering.pop();
        }
        let mut vector = covering.last().map_or(base, |(_, _, vector)| *vector);
        same.iter().for_each(|one| bits::set(&mut vector, one.rule));
        covering.push((key, length, vector));
        entries.push((length, key.to_be_bytes(), vectors.number(vector)));
    }
}

/// The prefixes of keys that a service is: key, and length in bits.
pub fn prefixes(service: &Service) -> Vec<(u32, u32)> {
    match *service {
        Service::Ports {
            protocol,
            low,
            high,
        } => {
            let start = head(protocol);
            let ports = range(low, high).into_iter();
            ports
                .map(|(port, bits)| (start | port, BEFORE_PORT + bits))
                .collect()
        }
        Service::Icmp { v6, kind, code } => {
            let start = head(if v6 { 58 } else { 1 });
            let kind_bits = u32::from(kind.unwrap_or(0)) << 8;
            vec![match (kind, code) {
                (None, _) => (start, BEFORE_PORT),
                (Some(_), None) => (start | kind_bits, BEFORE_PORT + 8),
                (Some(_), Some(code)) => (start | kind_bits | u32::from(code), 32),
            }]
        }
        Service::Protocol(protocol) => vec![(head(protocol), BEFORE_PORT)],
    }
}

const fn head(protocol: u8) -> u32 {
    (protocol as u32) << 24 | (KIND_DESTINATION as u32) << 16
}

/// A range of ports, both ends included, as the fewest prefixes: port and length in bits.
fn range(low: u16, high: u16) -> Vec<(u32, u32)> {
    let (mut next, mut end) = (u32::from(low), u32::from(high));
    if mutation::is(Mutation::RangeEndsEarly) && next < end {
        end -= 1;
    }
    let mut prefixes = Vec::new();
    while next <= end {
        let aligned = next.trailing_zeros().min(16);
        let fitting = (end - next + 1).ilog2();
        let size = aligned.min(fitting);
        prefixes.push((next, 16 - size));
        next += 1 << size;
    }
    prefixes
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_covered_exactly() {
        for (low, high) in [
            (0, 65535),
            (80, 80),
            (1, 65534),
            (8000, 8100),
            (65535, 65535),
            (0, 0),
        ] {
            let mut next = u32::from(low);
            for (port, length) in range(low, high) {
                assert_eq!(port, next);
                assert_eq!(port % (1 << (16 - length)), 0);
                next += 1 << (16 - length);
            }
            assert_eq!(next, u32::from(high) + 1);
        }
        assert_eq!(range(0, 65535), [(0, 0)]);
        assert!(range(9, 8).is_empty());
    }
}
