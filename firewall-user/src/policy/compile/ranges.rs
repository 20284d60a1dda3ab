//! Runs of numbers: services and ports as rules name them, disjoint and in order.

use firewall_common::config::KIND_DESTINATION;
use firewall_common::packet::protocol;

use super::mutation::{self, Mutation};
use crate::policy::model::{Rule, Service};

/// First and last, both included.
pub type Run = (u32, u32);

/// Every service.
pub const ALL_SERVICES: Run = (0, 0x00ff_ffff);
/// Every source port; that of packets without ports is 0.
pub const ALL_PORTS: Run = (0, 0xffff);
/// Protocols whose packets have ports.
pub(super) const PORTED: [u8; 5] = [
    protocol::TCP,
    protocol::UDP,
    protocol::DCCP,
    protocol::SCTP,
    protocol::UDPLITE,
];

/// The packets of a service: protocol, shifted left by sixteen, and destination port (of ICMP: type, code).
#[must_use]
pub fn run(service: &Service) -> Run {
    let of = |protocol: u8, (low, high): (u16, u16)| {
        let start = u32::from(protocol) << 16;
        (start | u32::from(low), start | u32::from(high))
    };
    match *service {
        Service::Ports {
            protocol,
            low,
            high,
        } => of(protocol, shortened((low, high))),
        Service::Icmp { v6, kind, code } => {
            let bytes = |kind: u8, code: u8| u16::from_be_bytes([kind, code]);
            let low = bytes(kind.unwrap_or(0), code.unwrap_or(0));
            let high = bytes(kind.unwrap_or(u8::MAX), code.unwrap_or(u8::MAX));
            let number = if v6 { protocol::ICMPV6 } else { protocol::ICMP };
            of(number, (low, high))
        }
        Service::Protocol(number) => of(number, (0, u16::MAX)),
    }
}

/// The prefixes of a service as keys of the table of failsafe services: key, and length in bits.
#[must_use]
pub fn prefixes(service: &Service) -> Vec<(u32, u32)> {
    let (first, last) = run(service);
    let start = (first >> 16) << 24 | u32::from(KIND_DESTINATION) << 16;
    let (mut next, end) = (first & 0xffff, last & 0xffff);
    let mut prefixes = Vec::new();
    while next <= end {
        let size = next.trailing_zeros().min(16).min((end - next + 1).ilog2());
        prefixes.push((start | next, 32 - size));
        next += 1 << size;
    }
    prefixes
}

fn shortened((low, high): (u16, u16)) -> (u16, u16) {
    let early = mutation::is(Mutation::RangeEndsEarly) && low < high;
    (low, if early { high - 1 } else { high })
}

/// The runs of a rule's `services`, as far as a rule with `source_ports` can match them: only packets with
/// ports have source ports.
pub(super) fn services(rule: &Rule) -> Vec<Run> {
    let all = rule.services.as_ref().map_or_else(
        || vec![ALL_SERVICES],
        |services| joined(services.iter().map(run).collect()),
    );
    if rule.source_ports.is_none() {
        return all;
    }
    let ported = |number: u8| {
        let start = u32::from(number) << 16;
        (start, start | 0xffff)
    };
    let cuts = PORTED.into_iter().map(ported);
    joined(cuts.flat_map(|cut| within(&all, cut)).collect())
}

/// The runs of a rule's `source_ports`.
pub(super) fn source_ports(rule: &Rule) -> Vec<Run> {
    let run = |range: &(u16, u16)| {
        let (low, high) = shortened(*range);
        (low.into(), high.into())
    };
    let ports = rule.source_ports.as_ref();
    ports.map_or_else(
        || vec![ALL_PORTS],
        |all| joined(all.iter().map(run).collect()),
    )
}

fn within(runs: &[Run], (first, last): Run) -> Vec<Run> {
    let cut = runs.iter().map(|(a, b)| ((*a).max(first), (*b).min(last)));
    cut.filter(|(a, b)| a <= b).collect()
}

/// The fewest runs that hold the same numbers.
fn joined(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_unstable();
    let mut joined: Vec<Run> = Vec::new();
    for (first, last) in runs {
        match joined.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_touch_or_overlap_become_one() {
        assert_eq!(
            joined(vec![(5, 9), (1, 2), (3, 3), (8, 20)]),
            [(1, 3), (5, 20)]
        );
        assert_eq!(joined(vec![(0, u32::MAX), (7, 8)]), [(0, u32::MAX)]);
    }

    #[test]
    fn ranges_of_ports_are_covered_exactly_by_prefixes() {
        for (low, high) in [
            (0, 65535),
            (80, 80),
            (1, 65534),
            (8000, 8100),
            (65535, 65535),
            (0, 0),
        ] {
            let mut next = u32::from(low);
            for (key, length) in prefixes(&Service::Ports {
                protocol: 6,
                low,
                high,
            }) {
                assert_eq!(key, 6 << 24 | next);
                assert_eq!(next % (1 << (32 - length)), 0);
                next += 1 << (32 - length);
            }
            assert_eq!(next, u32::from(high) + 1);
        }
        let everything = Service::Ports {
            protocol: 17,
            low: 0,
            high: u16::MAX,
        };
        assert_eq!(prefixes(&everything), [(17 << 24, 16)]);
    }

    #[test]
    fn services_are_runs_of_protocol_and_port() {
        let web = Service::Ports {
            protocol: 6,
            low: 80,
            high: 81,
        };
        let ping = Service::Icmp {
            v6: false,
            kind: Some(8),
            code: None,
        };
        assert_eq!(run(&web), (0x06_0050, 0x06_0051));
        assert_eq!(run(&ping), (0x01_0800, 0x01_08ff));
        assert_eq!(run(&Service::Protocol(47)), (0x2f_0000, 0x2f_ffff));
    }
}
