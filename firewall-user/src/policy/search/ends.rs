//! Both ends of the packets that are looked for: ranges of addresses, zones, and what else is known of them.

use std::collections::HashMap;

use firewall_common::parse::tcp::SYN;
use firewall_common::zone::INTERFACE_CLASSES;

use super::{Exhausted, Found, Part, Search, Where};
use crate::policy::compile::Known;
use crate::policy::frame::{Concrete, SEQUENCE};
use crate::policy::space::{Range, address, bits, example};

/// An end of what is looked for.
#[derive(Debug, Clone)]
pub(in crate::policy) struct End {
    /// Its addresses, of one family.
    pub(in crate::policy) ranges: Vec<Range>,
    /// Its zone, whatever the address; `None`: the zone that the address has.
    pub(in crate::policy) zone: Option<u8>,
    /// Only addresses of this zone.
    pub(in crate::policy) only: Option<u8>,
}

/// Addresses that rules cannot tell apart but by their ranges.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Homes {
    pub(super) zone: u8,
    /// The bits that they have, of those that are asked for; in order.
    bits: Vec<u32>,
    classes: Vec<u32>,
}

impl Homes {
    pub(super) fn has(&self, bit: u32) -> bool {
        bit == 0 || self.bits.binary_search(&bit).is_ok()
    }
}

impl Search {
    /// The different homes of an end (0: source, 1: destination), as far as some cells tell them apart.
    pub(super) fn homes(
        &mut self,
        place: &Where<'_>,
        near: &[u32],
        side: usize,
    ) -> Result<Vec<Homes>, Exhausted> {
        self.spend(self.view.classes.len() + near.len())?;
        let (end, class) = match side {
            0 => (place.source, place.setting.class_in),
            _ => (place.destination, place.setting.class_out),
        };
        let cells = self.cells(place.v6);
        let cells = near.iter().filter_map(|number| cells.get(*number as usize));
        let demands = cells.chain(place.cell).map(|cell| cell.demands[side]);
        let mut asked: Vec<u32> = demands.filter(|bit| *bit != 0).collect();
        asked.sort_unstable();
        asked.dedup();
        let mut homes: Vec<Homes> = Vec::new();
        let mut known: HashMap<(u8, Vec<u32>), usize> = HashMap::new();
        for (number, class_of) in (0..).zip(&self.view.classes) {
            let zone = end.zone.unwrap_or_else(|| zone(class_of, class));
            let wanted = end.only.is_none_or(|only| only == zone);
            let mut ranges = end.ranges.iter();
            if !wanted || !ranges.any(|range| self.run(place.v6, number, *range).is_some()) {
                continue;
            }
            let has = |bit: &&u32| class_of.bits.binary_search(bit).is_ok();
            let bits: Vec<u32> = asked.iter().filter(has).copied().collect();
            let new = homes.len();
            let home = *known
                .entry((zone, bits))
                .or_insert_with_key(|(zone, bits)| {
                    homes.push(Homes {
                        zone: *zone,
                        bits: bits.clone(),
                        classes: Vec::new(),
                    });
                    new
                });
            if let Some(home) = homes.get_mut(home) {
                home.classes.push(number);
            }
        }
        Ok(homes)
    }

    /// The part within a range of some run of a class.
    fn run(&self, v6: bool, class: u32, (low, high): Range) -> Option<Range> {
        let numbers = self.homes.get(usize::from(v6))?.get(class as usize)?;
        let runs = self.view.runs.get(usize::from(v6))?;
        let run = |number: &u32| runs.get(*number as usize);
        let place = numbers.partition_point(|n| run(n).is_some_and(|run| run.last < low));
        let run = numbers.get(place).and_then(run)?;
        (run.first <= high).then(|| (run.first.max(low), run.last.min(high)))
    }

    /// A packet of a part, if there is one.
    pub(super) fn inhabited(&self, v6: bool, part: &Part, homes: [&Homes; 2]) -> Option<Found> {
        let source = self.resident(v6, homes[0], (part.low[0], part.high[0]), None)?;
        let range = (part.low[1], part.high[1]);
        // Nobody sends to itself over a wire.
        let other = self.resident(v6, homes[1], range, Some(source));
        let destination = other.or_else(|| self.resident(v6, homes[1], range, None))?;
        let usual = 50_000_u128.clamp(part.low[3], part.high[3]);
        let port = if usual == 50_000 { usual } else { part.low[3] };
        Some(Found {
            source,
            destination,
            service: part.low[2] as u32,
            source_port: port as u16,
            rule: None,
        })
    }

    /// An address of a home in a range, best one that documents use.
    fn resident(&self, v6: bool, home: &Homes, range: Range, not: Option<u128>) -> Option<u128> {
        let classes = home.classes.iter();
        let runs = classes.filter_map(|class| self.run(v6, *class, range));
        let mut any = None;
        for run in runs {
            let chosen = bits(example(run));
            let ends = [chosen, run.1, run.0];
            let Some(one) = ends.into_iter().find(|one| Some(*one) != not) else {
                continue;
            };
            any = any.or(Some(one));
        }
        let nice = self.nice(v6, home, range).filter(|nice| Some(*nice) != not);
        nice.or(any)
    }

    /// One of the addresses that documents use, where it is at home there.
    fn nice(&self, v6: bool, home: &Homes, (low, high): Range) -> Option<u128> {
        let runs = self.view.runs.get(usize::from(v6))?;
        let at_home = |one: &u128| {
            let run = runs.get(runs.partition_point(|run| run.last < *one));
            (low..=high).contains(one) && run.is_some_and(|run| home.classes.contains(&run.class))
        };
        super::super::space::nice().map(bits).find(at_home)
    }
}

fn zone(known: &Known, class: u32) -> u8 {
    let class = class as usize & (INTERFACE_CLASSES - 1);
    known.zones.get(class).copied().unwrap_or(0)
}

impl Found {
    /// The packet.
    pub(in crate::policy) fn packet(&self) -> Concrete {
        let (protocol, low) = ((self.service >> 16) as u8, self.service as u16);
        Concrete {
            source: address(self.source),
            destination: address(self.destination),
            source_port: self.source_port,
            destination_port: low,
            protocol,
            icmp: low.to_be_bytes().into(),
            tcp_flags: SYN,
            tcp_numbers: (SEQUENCE, 0),
            hop_limit: 64,
            payload: Vec::new(),
        }
    }
}
