//! Rules as cells of the space of packets: one range for each field. A rule with lists is several cells, which
//! do not overlap.

use firewall_common::policy::line::{Demands, Entry};

use super::super::conditions::{Conditions, Demand};
use super::super::prefixes::{Prefix, mask};
use super::super::ranges::PORTED;
use super::super::{Place, ranges};
use crate::policy::compile::mutation::{self, Mutation};
use crate::policy::model::Addresses;

/// Fields of an IPv4 packet: source, destination, service, source port.
pub(super) const V4: usize = 4;
/// Fields of an IPv6 packet: the addresses in four words each.
pub(super) const V6: usize = 10;
/// The numbers of an IPv4 packet's fields.
pub(super) const FIELDS_V4: [u8; V4] = [3, 7, 8, 9];
/// The numbers of an IPv6 packet's fields.
pub(super) const FIELDS_V6: [u8; V6] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/// The last value of each field.
pub(super) fn lasts<const D: usize>() -> [u32; D] {
    let mut lasts = [u32::MAX; D];
    lasts[D - 2] = ranges::ALL_SERVICES.1;
    lasts[D - 1] = ranges::ALL_PORTS.1;
    lasts
}

/// A cell of one family.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy::compile) struct Cell<const D: usize> {
    pub(super) low: [u32; D],
    pub(super) high: [u32; D],
    pub(in crate::policy::compile) entry: Entry,
    /// Every packet in it is decided by it: it expires never, does not only monitor, and demands no bits.
    pub(super) firm: bool,
}

impl<const D: usize> Cell<D> {
    /// Words of an address.
    const WORDS: usize = (D - 2) / 2;
    const BITS: u32 = 32 * Self::WORDS as u32;

    fn new(entry: Entry, firm: bool) -> Self {
        let (mut low, mut high) = ([0; D], lasts::<D>());
        for (start, (first, length)) in [(0, entry.source), (Self::WORDS, entry.destination)] {
            let last = first | !mask(length + 128 - Self::BITS) & (u128::MAX >> (128 - Self::BITS));
            for word in 0..Self::WORDS {
                let shift = Self::BITS - 32 * (word as u32 + 1);
                low[start + word] = (first >> shift) as u32;
                high[start + word] = (last >> shift) as u32;
            }
        }
        (low[D - 2], high[D - 2]) = entry.service;
        (low[D - 1], high[D - 1]) = (entry.source_port.0.into(), entry.source_port.1.into());
        Self {
            low,
            high,
            entry,
            firm,
        }
    }
}

/// The cells of a rule in both families.
#[derive(Debug, Default)]
pub(in crate::policy::compile) struct Cells {
    pub(in crate::policy::compile) v4: Vec<Cell<V4>>,
    pub(in crate::policy::compile) v6: Vec<Cell<V6>>,
}

/// Every address of a family.
const EVERYWHERE: &[Prefix] = &[(0, 0)];

impl Demand {
    /// The prefixes that are demanded, IPv4 and IPv6.
    fn prefixes(&self) -> (&[Prefix], &[Prefix]) {
        match self {
            Self::Any | Self::Bit(_) => (EVERYWHERE, EVERYWHERE),
            Self::Within(families) => (&families.v4, &families.v6),
        }
    }

    /// The bit that is demanded; 0: none.
    const fn bit(&self) -> u16 {
        match self {
            Self::Bit(bit) => *bit,
            Self::Any | Self::Within(_) => 0,
        }
    }
}

/// The cells of a rule whose interfaces are those of the list with a number (0: all).
pub(in crate::policy::compile) fn cells<'p>(
    place: &Place<'p>,
    interfaces: u16,
    conditions: &mut Conditions<'p>,
    cells: &mut Cells,
) {
    let rule = place.rule;
    let demand = |conditions: &mut Conditions<'p>, named: Option<_>, except: Option<_>| {
        conditions.demand(named, except)
    };
    let source = demand(
        conditions,
        rule.and_then(|r| r.sources.as_ref()),
        rule.and_then(|r| r.except_sources.as_ref()),
    );
    let destination = demand(
        conditions,
        rule.and_then(|r| r.destinations.as_ref()),
        rule.and_then(|r| r.except_destinations.as_ref()),
    );
    let entry = Entry {
        demands: Demands {
            source: source.bit(),
            destination: destination.bit(),
            interface: interfaces,
        },
        rule: place.index.unwrap_or(0),
        ..Entry::default()
    };
    let lasting = place.expires().is_none() && !place.monitors();
    let firm = lasting && entry.demands == Demands::default();
    let firm = firm || mutation::is(Mutation::EveryRuleIsFirm);
    let ports = ports(place);
    let ((source4, source6), (destination4, destination6)) =
        (source.prefixes(), destination.prefixes());
    product((source4, destination4), &ports, entry, firm, &mut cells.v4);
    product((source6, destination6), &ports, entry, firm, &mut cells.v6);
}

type Ports = ((u32, u32), (u16, u16));

fn ports(place: &Place<'_>) -> Vec<Ports> {
    let Some(rule) = place.rule else {
        return vec![(ranges::ALL_SERVICES, (0, u16::MAX))];
    };
    if let (None, Some([service])) = (&rule.source_ports, rule.services.as_deref()) {
        return vec![(ranges::run(service), (0, u16::MAX))];
    }
    let sources = ranges::source_ports(rule);
    let services = ranges::services(rule).into_iter();
    services
        .flat_map(|service| {
            let sources = sources.iter();
            sources.map(move |(low, high)| (service, (*low as u16, *high as u16)))
        })
        .collect()
}

fn product<const D: usize>(
    (sources, destinations): (&[Prefix], &[Prefix]),
    ports: &[Ports],
    entry: Entry,
    firm: bool,
    cells: &mut Vec<Cell<D>>,
) {
    for source in sources {
        for destination in destinations {
            cells.extend(ports.iter().map(|(service, source_port)| {
                let entry = Entry {
                    source: *source,
                    destination: *destination,
                    service: *service,
                    source_port: *source_port,
                    ..entry
                };
                Cell::new(entry, firm)
            }));
        }
    }
}

/// No fewer than [`many`], found without taking lists apart: joined, a list never has more prefixes or runs than
/// it names.
pub(super) fn at_most<'p>(place: &Place<'p>, conditions: &Conditions<'p>) -> usize {
    let Some(rule) = place.rule else { return 1 };
    let end = |named: Option<&Addresses>, except: Option<&Addresses>| match (named, except) {
        (None, None) => 1,
        (Some(list), None) if list.sets.is_empty() => list.prefixes.len().max(1),
        _ => conditions.longest(),
    };
    let sources = end(rule.sources.as_ref(), rule.except_sources.as_ref());
    let destinations = end(
        rule.destinations.as_ref(),
        rule.except_destinations.as_ref(),
    );
    // With source ports, services are cut into those protocols that have them.
    let services = rule.services.as_ref().map_or(1, Vec::len).max(1) + PORTED.len();
    let ports = rule.source_ports.as_ref().map_or(1, Vec::len).max(1);
    sources
        .saturating_mul(destinations)
        .saturating_mul(if rule.source_ports.is_some() {
            services.saturating_mul(ports)
        } else {
            services - PORTED.len()
        })
}

/// How many cells a rule would be in the family where it is more.
pub(super) fn many<'p>(place: &Place<'p>, conditions: &mut Conditions<'p>) -> usize {
    let mut count = |named: Option<_>, except: Option<_>| match conditions.demand(named, except) {
        Demand::Within(families) => families.len(),
        _ => 1,
    };
    let rule = place.rule;
    let sources = count(
        rule.and_then(|r| r.sources.as_ref()),
        rule.and_then(|r| r.except_sources.as_ref()),
    );
    let destinations = count(
        rule.and_then(|r| r.destinations.as_ref()),
        rule.and_then(|r| r.except_destinations.as_ref()),
    );
    sources
        .saturating_mul(destinations)
        .saturating_mul(ports(place).len())
}
