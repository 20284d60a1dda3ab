//! Rules as cells of the space of packets: one range for each field. A rule with lists is several cells, which
//! do not overlap.

use firewall_common::policy::line::{Demands, Entry};

use super::super::conditions::{Conditions, Demand};
use super::super::prefixes::{Prefix, mask};
use super::super::{Place, ranges};
use crate::policy::compile::mutation::{self, Mutation};

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

/// The prefixes of an end in each family, and the bit that it demands.
struct End {
    v4: Vec<Prefix>,
    v6: Vec<Prefix>,
    bit: u16,
}

impl From<&Demand> for End {
    fn from(demand: &Demand) -> Self {
        let everywhere = |bit| Self {
            v4: vec![(0, 0)],
            v6: vec![(0, 0)],
            bit,
        };
        match demand {
            Demand::Any => everywhere(0),
            Demand::Bit(bit) => everywhere(*bit),
            Demand::Within(families) => Self {
                v4: families.v4.clone(),
                v6: families.v6.clone(),
                bit: 0,
            },
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
    let (source, destination) = (End::from(&source), End::from(&destination));
    let entry = Entry {
        demands: Demands {
            source: source.bit,
            destination: destination.bit,
            interface: interfaces,
        },
        rule: place.index.unwrap_or(0),
        ..Entry::default()
    };
    let lasting = place.expires().is_none() && !place.monitors();
    let firm = lasting && entry.demands == Demands::default();
    let firm = firm || mutation::is(Mutation::EveryRuleIsFirm);
    let ports = ports(place);
    product(
        (&source.v4, &destination.v4),
        &ports,
        entry,
        firm,
        &mut cells.v4,
    );
    product(
        (&source.v6, &destination.v6),
        &ports,
        entry,
        firm,
        &mut cells.v6,
    );
}

type Ports = ((u32, u32), (u16, u16));

fn ports(place: &Place<'_>) -> Vec<Ports> {
    let Some(rule) = place.rule else {
        return vec![(ranges::ALL_SERVICES, (0, u16::MAX))];
    };
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
