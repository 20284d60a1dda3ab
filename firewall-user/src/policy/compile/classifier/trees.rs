//! The trees between two zones. One is best; where cells overlap too much, they are told apart by how wide they
//! are, each kind in a tree of its own.

use std::collections::HashMap;
use std::ops::Range;

use firewall_common::policy::line::{EMPTY, Line, MAX_TREES, leaf};

use super::Tuning;
use super::cells::{Cell, Cells, FIELDS_V4, FIELDS_V6, V4, V6, lasts};
use super::grow::{Grower, Grown, Stunted};
use super::pack::Packer;
use super::roots::Roots;
use crate::policy::compile::mutation::{self, Mutation};
use crate::policy::compile::{CompileError, Place};
use crate::policy::compiled::Cost;

/// The cells of each rule in both families.
type Spans = [(Range<u32>, Range<u32>)];

/// Cells past which the rules of a group of blocks are not repeated for each pair of zones, as a multiple of
/// all cells and a number of them.
const REPEATED: (usize, usize) = (4, 50_000);
/// A tree that cannot be split may be so much larger than it should.
const LAST: usize = 16;
/// Rules named where they cannot be told apart.
const NAMED: usize = 5;

/// References to trees of one family.
type Trees = Vec<u32>;

pub(super) struct Planter<'c, 'p> {
    active: &'c [&'c Place<'p>],
    cells: &'c Cells,
    spans: &'c Spans,
    tuning: &'c Tuning,
    pub(super) packer: Packer,
    pub(super) cost: Cost,
}

impl<'c, 'p> Planter<'c, 'p> {
    pub(super) fn new(
        active: &'c [&'c Place<'p>],
        cells: &'c Cells,
        spans: &'c Spans,
        packer: Packer,
        tuning: &'c Tuning,
    ) -> Self {
        Self {
            active,
            cells,
            spans,
            tuning,
            packer,
            cost: Cost::default(),
        }
    }

    /// Plants all trees and writes the sets of roots.
    pub(super) fn plant(&mut self, roots: &Roots) -> Result<(), CompileError> {
        let weight = |group: &u32| {
            let rules = roots.groups.get(*group as usize).into_iter().flatten();
            let spans = rules.filter_map(|rule| self.spans.get(*rule as usize));
            spans.map(|(v4, v6)| v4.len() + v6.len()).sum::<usize>()
        };
        let repeated: usize = roots.sets.iter().flatten().map(weight).sum();
        let all = self.cells.v4.len() + self.cells.v6.len();
        let (times, more) = REPEATED;
        let shared = repeated > all * times + more;
        let mut known: HashMap<u32, (Trees, Trees)> = HashMap::new();
        for (number, set) in roots.sets.iter().enumerate() {
            let (mut v4, mut v6) = (Trees::new(), Trees::new());
            if shared {
                for group in set {
                    if !known.contains_key(group) {
                        known.insert(*group, self.between(roots, &[*group])?);
                    }
                    let (more4, more6) = known.get(group).cloned().unwrap_or_default();
                    v4.extend(more4);
                    v6.extend(more6);
                }
            } else {
                (v4, v6) = self.between(roots, set)?;
            }
            self.root(roots, set, number, (v4, v6))?;
        }
        Ok(())
    }

    fn root(
        &mut self,
        roots: &Roots,
        set: &[u32],
        number: usize,
        (v4, v6): (Trees, Trees),
    ) -> Result<(), CompileError> {
        let most = v4.len().max(v6.len());
        if most > MAX_TREES as usize {
            return Err(self.too_many_trees(roots, set));
        }
        self.cost.trees = self.cost.trees.max(most as u32);
        let half = |trees: &Trees| {
            let mut half = [EMPTY; 8];
            half.iter_mut()
                .zip(trees)
                .for_each(|(place, tree)| *place = *tree);
            let count = trees.len() as u32;
            half[7] = if mutation::is(Mutation::LastTreeForgotten) {
                count.saturating_sub(1)
            } else {
                count
            };
            half
        };
        let halves = [half(&v4), half(&v6)];
        if let Some(line) = self.packer.lines.get_mut(Roots::line_of(number)) {
            *line = Line { halves };
        }
        Ok(())
    }

    /// The trees over the rules of some groups of blocks.
    fn between(&mut self, roots: &Roots, groups: &[u32]) -> Result<(Trees, Trees), CompileError> {
        let groups = groups
            .iter()
            .filter_map(|group| roots.groups.get(*group as usize));
        let mut rules: Vec<u32> = groups.flatten().copied().collect();
        rules.sort_unstable();
        let spans = || {
            rules
                .iter()
                .filter_map(|rule| self.spans.get(*rule as usize))
        };
        let v4: Vec<u32> = spans().flat_map(|(v4, _)| v4.clone()).collect();
        let v6: Vec<u32> = spans().flat_map(|(_, v6)| v6.clone()).collect();
        let cells = self.cells;
        let v4 = self.family(&cells.v4, FIELDS_V4, v4, place_v4)?;
        let v6 = self.family(&cells.v6, FIELDS_V6, v6, place_v6)?;
        Ok((v4, v6))
    }

    fn family<const D: usize>(
        &mut self,
        cells: &[Cell<D>],
        fields: [u8; D],
        chosen: Vec<u32>,
        place: PlaceLeaf<D>,
    ) -> Result<Trees, CompileError> {
        let mut trees = Trees::new();
        let mut waiting = vec![(chosen, 0)];
        while let Some((chosen, criterion)) = waiting.pop() {
            if chosen.is_empty() {
                continue;
            }
            let budget = chosen.len() * self.tuning.copies + self.tuning.spare;
            let grower = Grower::new(cells, fields, budget, self.tuning);
            let grown = match grower.grow(&chosen, lasts()) {
                Ok(grown) => grown,
                Err(Stunted::TooClose(crowd)) => return Err(self.too_close(cells, &crowd)),
                Err(Stunted::TooLarge) => {
                    let room = trees.len() + waiting.len() + 2 <= MAX_TREES as usize;
                    if let Some(parts) = split(cells, &chosen, criterion).filter(|_| room) {
                        waiting.extend(parts);
                        continue;
                    }
                    let grower = Grower::new(cells, fields, budget * LAST, self.tuning);
                    grower
                        .grow(&chosen, lasts())
                        .map_err(|stunted| match stunted {
                            Stunted::TooClose(crowd) => self.too_close(cells, &crowd),
                            Stunted::TooLarge => self.too_large(cells, &chosen),
                        })?
                }
            };
            trees.push(self.pack(&grown, cells, place)?);
        }
        Ok(trees)
    }

    fn pack<const D: usize>(
        &mut self,
        grown: &Grown,
        cells: &[Cell<D>],
        place: PlaceLeaf<D>,
    ) -> Result<u32, CompileError> {
        let mut placed: HashMap<u32, u32> = HashMap::new();
        let cost = &mut self.cost;
        let mut write = |packer: &mut Packer, number: u32| {
            if let Some(known) = placed.get(&number) {
                return Ok(*known);
            }
            let chosen = grown
                .leaves
                .get(number as usize)
                .map_or(&[][..], Vec::as_slice);
            cost.entries = cost.entries.max(chosen.len() as u32);
            let at = place(packer, cells, chosen)?;
            placed.insert(number, at);
            Ok(at)
        };
        self.packer.pack(&grown.cuts, grown.root, &mut write)
    }

    fn names<const D: usize>(&self, cells: &[Cell<D>], chosen: &[u32]) -> String {
        let cells = chosen
            .iter()
            .filter_map(|number| cells.get(*number as usize));
        let rules: std::collections::BTreeSet<u32> = cells.map(|cell| cell.entry.rule).collect();
        let places = rules
            .iter()
            .filter_map(|rule| self.active.get(*rule as usize));
        let mut names: Vec<String> = places
            .take(NAMED)
            .map(|place| format!("`{}`", place.id))
            .collect();
        match rules.len().saturating_sub(NAMED) {
            0 => {}
            more => names.push(format!("{more} more")),
        }
        names.join(", ")
    }

    fn too_close<const D: usize>(&self, cells: &[Cell<D>], crowd: &[u32]) -> CompileError {
        let message = format!(
            "too many rules match the same packets and differ only in what cannot be told beforehand (sets from files, interfaces, expiry, monitor mode): {}",
            self.names(cells, crowd)
        );
        CompileError::new(
            message,
            "join them, or let them differ in addresses, services or zones",
        )
    }

    fn too_large<const D: usize>(&self, cells: &[Cell<D>], chosen: &[u32]) -> CompileError {
        let message = format!(
            "the rules overlap in too many ways: {}",
            self.names(cells, chosen)
        );
        let help = "join rules that differ only in their addresses or services, or split the policy by zones";
        CompileError::new(message, help)
    }

    fn too_many_trees(&self, roots: &Roots, set: &[u32]) -> CompileError {
        let groups = set
            .iter()
            .filter_map(|group| roots.groups.get(*group as usize)?.first());
        let places = groups.filter_map(|rule| self.active.get(*rule as usize));
        let names: Vec<String> = places
            .take(NAMED)
            .map(|place| format!("`{}`", place.block.name))
            .collect();
        let message = format!(
            "too many large policies stand between the same two zones: {} …",
            names.join(", ")
        );
        CompileError::new(message, "give them the same `from` and `to`")
    }
}

/// Cells told apart by how wide they are in one field: first by the source, then the destination, the service
/// and the source port. With each part, the criterion that is next for it.
fn split<const D: usize>(
    cells: &[Cell<D>],
    chosen: &[u32],
    from: usize,
) -> Option<[(Vec<u32>, usize); 2]> {
    (from..4).find_map(|criterion| {
        let is_wide = |number: &u32| {
            let cell = cells.get(*number as usize);
            cell.is_some_and(|cell| wide(cell, criterion))
        };
        let (wide, narrow): (Vec<u32>, Vec<u32>) =
            chosen.iter().partition(|number| is_wide(number));
        let both = !wide.is_empty() && !narrow.is_empty();
        both.then(|| [(wide, criterion + 1), (narrow, criterion + 1)])
    })
}

fn wide<const D: usize>(cell: &Cell<D>, criterion: usize) -> bool {
    let shortest = if D == V4 { 16 } else { 32 };
    let (low, high) = (cell.low, cell.high);
    match criterion {
        0 => cell.entry.source.1 < shortest,
        1 => cell.entry.destination.1 < shortest,
        2 => high[D - 2] - low[D - 2] > 0xffff,
        _ => high[D - 1] - low[D - 1] == 0xffff,
    }
}

type PlaceLeaf<const D: usize> = fn(&mut Packer, &[Cell<D>], &[u32]) -> Result<u32, CompileError>;

/// Entries of IPv4: two in a line.
fn place_v4(packer: &mut Packer, cells: &[Cell<V4>], chosen: &[u32]) -> Result<u32, CompileError> {
    let first = packer.lines.len() as u32 * 2;
    for both in chosen.chunks(2) {
        let place = packer.line()?;
        let entries = both.iter().filter_map(|number| cells.get(*number as usize));
        if let Some(line) = packer.lines.get_mut(place as usize) {
            let halves = line.halves.iter_mut().zip(entries);
            halves.for_each(|(half, cell)| *half = cell.entry.v4());
        }
    }
    Ok(leaf(first, chosen.len() as u32))
}

/// Entries of IPv6: a line each.
fn place_v6(packer: &mut Packer, cells: &[Cell<V6>], chosen: &[u32]) -> Result<u32, CompileError> {
    let first = packer.lines.len() as u32;
    for number in chosen {
        let place = packer.line()?;
        if let (Some(line), Some(cell)) = (
            packer.lines.get_mut(place as usize),
            cells.get(*number as usize),
        ) {
            *line = cell.entry.v6();
        }
    }
    Ok(leaf(first, chosen.len() as u32))
}
