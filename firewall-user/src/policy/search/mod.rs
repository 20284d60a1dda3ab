//! Looks for a packet that a policy treats in some way, or finds that there is none.
//!
//! The space of packets is cut in two, again and again, with the cells of rules that reach into each part. A part is
//! left as soon as its cells say that no packet of it is meant, or that every one is. So what is looked at is what
//! overlaps where it matters, and not all that overlaps. The work is counted and bounded: past it, nothing is known,
//! which whoever asks must say.

mod cut;
mod ends;
mod index;
mod query;

use firewall_common::policy::rule::MONITOR;

use super::compile::{Around, Cell, FIELDS, View};
use super::compiled::Compiled;
use super::space::{Range, Setting};
use ends::{End, Homes};
pub(super) use index::Index;
pub(super) use query::{Among, Sighting};

/// More work would have been needed than was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

/// A part of the space: first and last value of each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    low: [u128; FIELDS],
    high: [u128; FIELDS],
}

impl Part {
    /// Of a cell, as far as it lies within; `None` where it does not.
    fn within(&self, cell: &Cell) -> Option<Self> {
        let mut part = *self;
        for field in 0..FIELDS {
            part.low[field] = part.low[field].max(cell.low[field]);
            part.high[field] = part.high[field].min(cell.high[field]);
            if part.low[field] > part.high[field] {
                return None;
            }
        }
        Some(part)
    }
}

/// A cell in a part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Met {
    cell: u32,
    /// Place of its rule in the list.
    pub(super) rule: u32,
    /// It fills the part.
    pub(super) covers: bool,
}

/// What the cells of a part say, given in the order of their rules. Behind one that fills the part none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// No packet of the part is meant.
    None,
    /// Every one is.
    All,
    /// Some may be.
    Cut,
}

/// Where packets are looked for.
pub(super) struct Where<'s> {
    pub(super) setting: &'s Setting,
    pub(super) v6: bool,
    pub(super) source: &'s End,
    pub(super) destination: &'s End,
    /// Runs of services, and the source ports that packets of them have.
    pub(super) services: &'s [(Range, Range)],
    /// Only packets of this cell, which is none of those that are looked at.
    pub(super) cell: Option<&'s Cell>,
}

/// Looks, with so much work at most.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) view: View,
    /// Runs of each class, by family.
    homes: [Vec<Vec<u32>>; 2],
    pub(super) work: u64,
}

impl Search {
    pub(super) fn new(view: View, work: u64) -> Self {
        let homes = [0, 1].map(|family| {
            let mut homes = vec![Vec::new(); view.classes.len()];
            let runs: &[_] = view.runs.get(family).map_or(&[], Vec::as_slice);
            for (number, run) in (0..).zip(runs) {
                if let Some(home) = homes.get_mut(run.class as usize) {
                    home.push(number);
                }
            }
            homes
        });
        Self { view, homes, work }
    }

    /// The first place of which `says` says that all its packets are meant. `cells` are the cells of the family
    /// that are looked at, in order.
    pub(super) fn find(
        &mut self,
        place: &Where<'_>,
        cells: &[u32],
        says: &mut dyn FnMut(&[Met]) -> Says,
    ) -> Result<Option<Found>, Exhausted> {
        for (service, port) in place.services {
            if place
                .cell
                .is_some_and(|cell| !self.meets(place, cell, *service, *port))
            {
                continue;
            }
            let near = self.near(place, cells, *service, *port)?;
            let sources = self.homes(place, &near, 0)?;
            let destinations = self.homes(place, &near, 1)?;
            for source in &sources {
                for destination in &destinations {
                    let homes = [source, destination];
                    if place.cell.is_some_and(|cell| !self.holds(cell, homes)) {
                        continue;
                    }
                    let chosen = self.between(place.v6, &near, homes)?;
                    for part in parts(place, *service, *port) {
                        if let Some(found) = self.below(place.v6, &chosen, part, homes, says)? {
                            return Ok(Some(found));
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    pub(super) fn spend(&mut self, work: usize) -> Result<(), Exhausted> {
        self.work = self.work.checked_sub(work as u64).ok_or(Exhausted)?;
        Ok(())
    }

    pub(super) fn cell(&self, v6: bool, number: usize) -> Option<Cell> {
        self.cells(v6).get(number).copied()
    }

    pub(super) fn cells(&self, v6: bool) -> &[Cell] {
        let [v4, of_v6] = &self.view.cells;
        if v6 { of_v6 } else { v4 }
    }

    /// The cells that may matter for a run of services.
    fn near(
        &mut self,
        place: &Where<'_>,
        cells: &[u32],
        service: Range,
        port: Range,
    ) -> Result<Vec<u32>, Exhausted> {
        self.spend(cells.len() + 1)?;
        let all = self.cells(place.v6);
        let meets = |number: &&u32| {
            let cell = all.get(**number as usize);
            cell.is_some_and(|cell| self.meets(place, cell, service, port))
        };
        Ok(cells.iter().filter(meets).copied().collect())
    }

    fn meets(&self, place: &Where<'_>, cell: &Cell, service: Range, port: Range) -> bool {
        let kind = place.setting.kind;
        let kind = kind.and_then(|kind| self.view.kinds.get(kind as usize));
        let held = |list: u16| list == 0 || kind.is_none_or(|kind| kind.contains(&list));
        let overlaps = |field: usize, (first, last): Range| {
            cell.low[field] <= last && first <= cell.high[field]
        };
        let (mut sources, mut destinations) =
            (place.source.ranges.iter(), place.destination.ranges.iter());
        overlaps(2, service)
            && overlaps(3, port)
            && sources.any(|range| overlaps(0, *range))
            && destinations.any(|range| overlaps(1, *range))
            && self.around(cell).is_some_and(|at| held(at.interfaces))
    }

    fn around(&self, cell: &Cell) -> Option<&Around> {
        self.view.rules.get(cell.rule as usize)
    }

    /// Those of them that hold between two homes.
    fn between(
        &mut self,
        v6: bool,
        near: &[u32],
        homes: [&Homes; 2],
    ) -> Result<Vec<u32>, Exhausted> {
        self.spend(near.len() + 1)?;
        let all = self.cells(v6);
        let holds = |number: &&u32| {
            let cell = all.get(**number as usize);
            cell.is_some_and(|cell| self.holds(cell, homes))
        };
        Ok(near.iter().filter(holds).copied().collect())
    }

    fn holds(&self, cell: &Cell, [source, destination]: [&Homes; 2]) -> bool {
        let zones = |at: &Around| at.from >> source.zone & at.to >> destination.zone & 1 == 1;
        self.around(cell).is_some_and(zones)
            && source.has(cell.demands[0])
            && destination.has(cell.demands[1])
    }

    /// Cuts a part until it is found or there is nothing left.
    fn below(
        &mut self,
        v6: bool,
        cells: &[u32],
        part: Part,
        homes: [&Homes; 2],
        says: &mut dyn FnMut(&[Met]) -> Says,
    ) -> Result<Option<Found>, Exhausted> {
        let mut cutter = cut::Cutter::default();
        let mut waiting = vec![(self.inside(v6, cells.iter().copied(), &part)?, part)];
        while let Some((met, part)) = waiting.pop() {
            match says(&met) {
                Says::None => {}
                Says::All => {
                    if let Some(found) = self.inhabited(v6, &part, homes) {
                        let rule = met.first().filter(|first| first.covers).map(|met| met.rule);
                        return Ok(Some(Found { rule, ..found }));
                    }
                }
                Says::Cut => {
                    let Some((field, value)) = cutter.choose(self.cells(v6), &met, &part) else {
                        // Every cell fills the part, and nobody can say more about it.
                        continue;
                    };
                    let (mut lower, mut upper) = (part, part);
                    lower.high[field] = value - 1;
                    upper.low[field] = value;
                    for half in [upper, lower] {
                        let inside = met.iter().map(|met| met.cell);
                        waiting.push((self.inside(v6, inside, &half)?, half));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The cells that reach into a part, up to the first that fills it.
    fn inside(
        &mut self,
        v6: bool,
        cells: impl ExactSizeIterator<Item = u32>,
        part: &Part,
    ) -> Result<Vec<Met>, Exhausted> {
        self.spend(cells.len() + 1)?;
        let all = self.cells(v6);
        let mut inside = Vec::new();
        for number in cells {
            let Some(cell) = all.get(number as usize) else {
                continue;
            };
            let fields = 0..FIELDS;
            let meets = fields
                .clone()
                .all(|f| cell.low[f] <= part.high[f] && part.low[f] <= cell.high[f]);
            if !meets {
                continue;
            }
            let covers = fields
                .clone()
                .all(|f| cell.low[f] <= part.low[f] && part.high[f] <= cell.high[f]);
            inside.push(Met {
                cell: number,
                rule: cell.rule,
                covers,
            });
            if covers {
                break;
            }
        }
        Ok(inside)
    }
}

/// A packet that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) source: u128,
    pub(super) destination: u128,
    pub(super) service: u32,
    pub(super) source_port: u16,
    /// The rule that decides about it, if one does.
    pub(super) rule: Option<u32>,
}

/// May a rule decide at a time? It has neither expired nor does it only monitor.
pub(super) fn decides(compiled: &Compiled, rule: u32, now: u64) -> bool {
    let rule = compiled.rules.get(rule as usize);
    rule.is_some_and(|rule| rule.flags & MONITOR == 0 && (rule.expires == 0 || now < rule.expires))
}

/// The parts of the space that are looked at for a run of services.
fn parts(place: &Where<'_>, service: Range, port: Range) -> Vec<Part> {
    let mut parts = Vec::new();
    for source in &place.source.ranges {
        for destination in &place.destination.ranges {
            let part = Part {
                low: [source.0, destination.0, service.0, port.0],
                high: [source.1, destination.1, service.1, port.1],
            };
            parts.extend(match place.cell {
                Some(cell) => part.within(cell),
                None => Some(part),
            });
        }
    }
    parts
}
