//! What is looked for, put as places to look at.

use firewall_common::packet::protocol;
use firewall_common::zone::{Course, ZoneId};

use super::{End, Exhausted, Found, Met, Says, Search, Where};
use crate::policy::compile::{ALL_SERVICES, Cell, service_run};
use crate::policy::model::Service;
use crate::policy::space::{
    Query, Range, Setting, Space, Target, clipped, exists, families, groups, never, range, unicast,
};

/// Protocols that are looked at in any case; the last is named by nobody (RFC 3692).
const ALWAYS: [u8; 8] = [6, 17, 1, 58, 33, 132, 136, 253];

/// A packet, and the interfaces that it crosses.
pub(in crate::policy) struct Sighting {
    pub(in crate::policy) found: Found,
    pub(in crate::policy) setting: Setting,
}

/// Which cells of a family are looked at.
pub(in crate::policy) enum Among<'a> {
    /// All.
    All,
    /// These, of one family; packets of the cell alone are looked for.
    Around(bool, &'a Cell, &'a [u32]),
}

impl Search {
    /// The first packet of a query of whose part `says` says that all are meant.
    pub(in crate::policy) fn look(
        &mut self,
        space: &Space<'_>,
        query: &Query<'_>,
        among: &Among<'_>,
        says: &mut dyn FnMut(&[Met]) -> Says,
    ) -> Result<Option<Sighting>, Exhausted> {
        for v6 in [false, true] {
            let all: Vec<u32>;
            let (cell, cells) = match among {
                Among::Around(family, ..) if *family != v6 => continue,
                Among::Around(_, cell, cells) => (Some(*cell), *cells),
                Among::All => {
                    all = (0..self.cells(v6).len() as u32).collect();
                    (None, all.as_slice())
                }
            };
            let services = self.services(space, query, v6, cell);
            for setting in space.settings(query.course) {
                for (source, destination) in ends(query, v6) {
                    let place = Where {
                        setting: &setting,
                        v6,
                        source: &source,
                        destination: &destination,
                        services: &services,
                        cell,
                    };
                    if let Some(found) = self.find(&place, cells, says)? {
                        return Ok(Some(Sighting { found, setting }));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Is there any packet of a query?
    pub(in crate::policy) fn speaks(&self, space: &Space<'_>, query: &Query<'_>) -> bool {
        [false, true].into_iter().any(|v6| {
            let ends = ends(query, v6);
            !ends.is_empty() && !self.services(space, query, v6, None).is_empty()
        })
    }

    /// Runs of the services asked about that the list is asked about at all, and their source ports.
    fn services(
        &self,
        space: &Space<'_>,
        query: &Query<'_>,
        v6: bool,
        cell: Option<&Cell>,
    ) -> Vec<(Range, Range)> {
        let asked: Vec<(u32, u32)> = match (query.services, cell) {
            (Some(services), _) => services.iter().map(service_run).collect(),
            (None, Some(cell)) => protocols([cell].into_iter()),
            (None, None) => protocols(self.cells(v6).iter()),
        };
        let mut runs = Vec::new();
        for (first, last) in asked {
            let number = (first >> 16) as u8;
            if !exists(number, v6) {
                continue;
            }
            if protocol::has_ports(number) {
                runs.push(((first.into(), last.into()), (0, 0xffff)));
                continue;
            }
            let kinds = if is_icmp(number) { 0..=255 } else { 0..=0 };
            let size = if is_icmp(number) { 0xff } else { 0 };
            for port in kinds.map(|kind: u32| kind << 8) {
                let run = (
                    u32::from(number) << 16 | port,
                    u32::from(number) << 16 | port | size,
                );
                let run = (run.0.max(first), run.1.min(last));
                if run.0 > run.1 || never(space.compiled, number, port as u16) {
                    continue;
                }
                match runs.last_mut() {
                    Some(((_, end), (_, 0))) if *end + 1 == u128::from(run.0) => {
                        *end = run.1.into();
                    }
                    _ => runs.push(((run.0.into(), run.1.into()), (0, 0))),
                }
            }
        }
        runs
    }
}

const fn is_icmp(number: u8) -> bool {
    matches!(number, protocol::ICMP | protocol::ICMPV6)
}

/// The protocols that cells name, and some more, each with all its ports.
fn protocols<'c>(cells: impl Iterator<Item = &'c Cell>) -> Vec<(u32, u32)> {
    let mut named: Vec<u8> = ALWAYS.into();
    for cell in cells {
        let (first, last) = (cell.low[2] as u32, cell.high[2] as u32);
        if (first, last) != ALL_SERVICES {
            named.extend((first >> 16) as u8..=(last >> 16) as u8);
        }
        if named.len() > 4096 {
            named.sort_unstable();
            named.dedup();
        }
    }
    named.sort_unstable();
    named.dedup();
    // Those with ports first: they make the better examples.
    named.sort_by_key(|number| !protocol::has_ports(*number));
    let all = |number: u8| service_run(&Service::Protocol(number));
    named.into_iter().map(all).collect()
}

/// Both ends of a query in one family.
fn ends(query: &Query<'_>, v6: bool) -> Vec<(End, End)> {
    let host = Some(ZoneId::HOST.0);
    let sources = match query.course {
        Course::Outbound => vec![end(of(&query.source), v6, host, None)],
        _ => vec![end(sources(&query.source), v6, None, only(&query.source))],
    };
    let ranges = of(&query.destination);
    let within = |others: &[Range]| {
        let parts = others.iter().flat_map(|other| clipped(&ranges, *other));
        parts.collect::<Vec<_>>()
    };
    let wanted = only(&query.destination);
    let destinations = match query.course {
        Course::Inbound => vec![end(ranges, v6, host, None)],
        _ => vec![
            end(
                within(&crate::policy::space::without(&groups())),
                v6,
                None,
                wanted,
            ),
            end(within(&groups()), v6, Some(ZoneId::MULTICAST.0), wanted),
        ],
    };
    let pairs = sources.iter().flat_map(|source| {
        let destinations = destinations.iter();
        destinations.map(move |destination| (source.clone(), destination.clone()))
    });
    let both = |(a, b): &(End, End)| !a.ranges.is_empty() && !b.ranges.is_empty();
    pairs.filter(both).collect()
}

/// Framing lets no others by.
fn sources(target: &Target) -> Vec<Range> {
    match target {
        Target::Net(net) => clipped(&unicast(), range(net)),
        other => of(other),
    }
}

fn of(target: &Target) -> Vec<Range> {
    match target {
        Target::All | Target::Zone(_) => unicast(),
        Target::Net(net) => vec![range(net)],
        Target::Groups => groups().into(),
    }
}

const fn only(target: &Target) -> Option<u8> {
    match target {
        Target::Zone(number) => Some(*number),
        _ => None,
    }
}

fn end(ranges: Vec<Range>, v6: bool, zone: Option<u8>, only: Option<u8>) -> End {
    let families = families(v6);
    let ranges = families.iter().flat_map(|family| clipped(&ranges, *family));
    End {
        ranges: ranges.collect(),
        zone,
        only,
    }
}
