//! Grows a tree over cells: the space is cut in two, again and again, until few cells are left in each part.

use std::collections::HashMap;

use firewall_common::policy::line::MAX_ENTRIES;

use super::Tuning;
use super::cells::Cell;
use crate::policy::compile::mutation::{self, Mutation};

/// Where a tree goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy::compile) enum Next {
    /// At a cut, by its number.
    Cut(u32),
    /// At a leaf, by its number (of trees over addresses: a class).
    Leaf(u32),
}

/// A comparison: below the value on one side, from it on on the other.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy::compile) struct Cut {
    /// Number of the field.
    pub(in crate::policy::compile) dim: u8,
    /// The first value above.
    pub(in crate::policy::compile) value: u32,
    pub(in crate::policy::compile) below: Next,
    pub(in crate::policy::compile) above: Next,
}

/// A part of the space: first and last value of each field.
#[derive(Clone, Copy)]
struct Part<const D: usize> {
    low: [u32; D],
    high: [u32; D],
}

/// A tree that has grown: leaves are lists of cells in the order of their rules.
#[derive(Debug)]
pub(super) struct Grown {
    pub(super) cuts: Vec<Cut>,
    pub(super) leaves: Vec<Vec<u32>>,
    pub(super) root: Next,
}

/// Why a tree has not grown.
#[derive(Debug)]
pub(super) enum Stunted {
    /// It would be larger than it may be.
    TooLarge,
    /// These cells cannot be told apart.
    TooClose(Vec<u32>),
}

/// Cells that are looked at to choose a cut, at most.
const SAMPLE: usize = 512;
/// Cuts behind one another: what is deeper would be refused when it is packed.
const DEEPEST: u32 = 46;

pub(super) struct Grower<'c, const D: usize> {
    cells: &'c [Cell<D>],
    fields: [u8; D],
    leaf: usize,
    /// Entries of leaves, and cuts, that there may be.
    budget: usize,
    entries: usize,
    cuts: Vec<Cut>,
    leaves: Vec<Vec<u32>>,
    known: HashMap<Vec<u32>, u32>,
    /// Working memory of the choice of a cut: values at which cells begin, and at which they have ended.
    begins: Vec<u32>,
    ends: Vec<u32>,
}

impl<'c, const D: usize> Grower<'c, D> {
    /// `fields` are the numbers of the fields that cells have.
    pub(super) fn new(
        cells: &'c [Cell<D>],
        fields: [u8; D],
        budget: usize,
        tuning: &Tuning,
    ) -> Self {
        Self {
            cells,
            fields,
            leaf: tuning.leaf,
            budget,
            entries: 0,
            cuts: Vec::new(),
            leaves: Vec::new(),
            known: HashMap::new(),
            begins: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Grows a tree over some of the cells, given in the order of their rules.
    pub(super) fn grow(mut self, cells: &[u32], lasts: [u32; D]) -> Result<Grown, Stunted> {
        let all = Part {
            low: [0; D],
            high: lasts,
        };
        let inside = self.inside(cells, &all);
        let root = self.part(inside, all, 0)?;
        Ok(Grown {
            cuts: self.cuts,
            leaves: self.leaves,
            root,
        })
    }

    fn part(&mut self, cells: Vec<u32>, part: Part<D>, depth: u32) -> Result<Next, Stunted> {
        if self.entries + 2 * self.cuts.len() > self.budget {
            return Err(Stunted::TooLarge);
        }
        if cells.len() <= self.leaf {
            return Ok(self.leaf(cells));
        }
        let cut = self
            .halves(&cells, &part)
            .or_else(|| self.first(&cells, &part));
        let Some((field, value)) = cut.filter(|_| depth < DEEPEST) else {
            return self.crowd(cells);
        };
        let (mut lower, mut upper) = (part, part);
        lower.high[field] = value - 1;
        upper.low[field] = value;
        let below = self.inside(&cells, &lower);
        let above = self.inside(&cells, &upper);
        drop(cells);
        let below = self.part(below, lower, depth + 1)?;
        let above = self.part(above, upper, depth + 1)?;
        if below == above {
            return Ok(below);
        }
        let late = u32::from(mutation::is(Mutation::CutsOneTooHigh));
        self.cuts.push(Cut {
            dim: self.fields[field],
            value: value.saturating_add(late),
            below,
            above,
        });
        Ok(Next::Cut(self.cuts.len() as u32 - 1))
    }

    /// No cut leaves fewer on both sides.
    fn crowd(&mut self, cells: Vec<u32>) -> Result<Next, Stunted> {
        if cells.len() > MAX_ENTRIES as usize {
            return Err(Stunted::TooClose(cells));
        }
        Ok(self.leaf(cells))
    }

    fn leaf(&mut self, cells: Vec<u32>) -> Next {
        if let Some(number) = self.known.get(&cells) {
            return Next::Leaf(*number);
        }
        let number = self.leaves.len() as u32;
        self.entries += cells.len() + 1;
        self.leaves.push(cells.clone());
        self.known.insert(cells, number);
        Next::Leaf(number)
    }

    /// The cells that reach into a part, as far as they matter there: what stands behind one that decides
    /// about all of the part never does.
    fn inside(&self, cells: &[u32], part: &Part<D>) -> Vec<u32> {
        let mut inside = Vec::with_capacity(cells.len());
        for number in cells {
            let Some(cell) = self.cells.get(*number as usize) else {
                continue;
            };
            let mut covers = true;
            let mut meets = true;
            for field in 0..D {
                meets &= cell.low[field] <= part.high[field] && part.low[field] <= cell.high[field];
                covers &=
                    cell.low[field] <= part.low[field] && part.high[field] <= cell.high[field];
            }
            if meets {
                inside.push(*number);
                if covers && cell.firm {
                    break;
                }
            }
        }
        inside
    }

    /// The cut that leaves the fewest cells on the fuller side, and of those the one that leaves the fewest on
    /// both; `None` where every cut leaves all on one side.
    fn halves(&mut self, cells: &[u32], part: &Part<D>) -> Option<(usize, u32)> {
        let step = cells.len().div_ceil(SAMPLE).max(1);
        let mut best: Option<(usize, usize, u32)> = None;
        for field in 0..D {
            let (mut begins, mut ends) = (
                std::mem::take(&mut self.begins),
                std::mem::take(&mut self.ends),
            );
            let (total, before) = self.borders(cells, step, field, part, (&mut begins, &mut ends));
            let found = fewest(&begins, &ends, total, before);
            (self.begins, self.ends) = (begins, ends);
            if let Some((cost, value)) = found
                && best.is_none_or(|(least, ..)| cost < least)
            {
                best = Some((cost, field, value));
            }
        }
        best.map(|(_, field, value)| (field, value))
    }

    /// Where cells begin and end inside a part, in order. How many are looked at, and how many of them begin
    /// before it.
    fn borders(
        &self,
        cells: &[u32],
        step: usize,
        field: usize,
        part: &Part<D>,
        (begins, ends): (&mut Vec<u32>, &mut Vec<u32>),
    ) -> (usize, usize) {
        begins.clear();
        ends.clear();
        let mut total = 0;
        for number in cells.iter().step_by(step) {
            let Some(cell) = self.cells.get(*number as usize) else {
                continue;
            };
            total += 1;
            if cell.low[field] > part.low[field] {
                begins.push(cell.low[field]);
            }
            if cell.high[field] < part.high[field] {
                ends.push(cell.high[field] + 1);
            }
        }
        begins.sort_unstable();
        ends.sort_unstable();
        (total, total - begins.len())
    }

    /// A border of the first cell that does not fill the part: on one side it is gone, on the other it is
    /// nearer to deciding about all.
    fn first(&self, cells: &[u32], part: &Part<D>) -> Option<(usize, u32)> {
        if cells.len() <= self.leaf * 2 {
            return None;
        }
        let mut cells = cells
            .iter()
            .filter_map(|number| self.cells.get(*number as usize));
        cells.find_map(|cell| {
            (0..D).find_map(|field| {
                let (low, high) = (cell.low[field], cell.high[field]);
                let begins = (low > part.low[field]).then_some((field, low));
                begins.or_else(|| (high < part.high[field]).then(|| (field, high + 1)))
            })
        })
    }
}

/// The best value to cut at, of those where something begins or ends.
pub(in crate::policy) fn fewest<T: Copy + Ord>(
    begins: &[T],
    ends: &[T],
    total: usize,
    before: usize,
) -> Option<(usize, T)> {
    let (mut begun, mut ended) = (0, 0);
    let mut best: Option<(usize, T)> = None;
    while begun < begins.len() || ended < ends.len() {
        let value = match (begins.get(begun), ends.get(ended)) {
            (Some(a), Some(b)) => *a.min(b),
            (Some(one), None) | (None, Some(one)) => *one,
            (None, None) => break,
        };
        // Below are those that began before the value; above those that have not ended at it.
        let below = before + begun;
        while ends.get(ended) == Some(&value) {
            ended += 1;
        }
        let above = total - ended;
        while begins.get(begun) == Some(&value) {
            begun += 1;
        }
        let fuller = below.max(above);
        let cost = fuller + (below + above - total);
        if fuller < total && best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, value));
        }
    }
    best
}
