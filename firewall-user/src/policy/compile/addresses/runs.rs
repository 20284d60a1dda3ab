//! From prefixes to runs of addresses of one class, and from runs to cuts between them.

use super::Classed;
use crate::policy::compile::classifier::grow::{Cut, Next};
use crate::policy::compile::prefixes::mask;

/// A run of addresses: its first one, and its class. It ends where the next one begins.
pub(in crate::policy::compile) type Start = (u128, u32);

/// The runs of prefixes that are in order; the first of them covers all.
pub(super) fn flat(classed: &[Classed]) -> Vec<Start> {
    let mut flat = Flat::default();
    for (key, length, class) in classed {
        flat.close_before(*key);
        flat.begin(*key, *class);
        flat.covering.push((key | !mask(*length), *class));
    }
    flat.close_before(u128::MAX);
    flat.runs
}

#[derive(Default)]
struct Flat {
    runs: Vec<Start>,
    /// Last address and class of the prefixes around the present one.
    covering: Vec<(u128, u32)>,
}

impl Flat {
    /// Leaves the prefixes that end before an address: what is behind them belongs to the one around them.
    fn close_before(&mut self, address: u128) {
        while let Some((last, _)) = self.covering.pop_if(|(last, _)| *last < address) {
            if let Some((_, around)) = self.covering.last().copied() {
                self.begin(last + 1, around);
            }
        }
    }

    fn begin(&mut self, start: u128, class: u32) {
        if self.runs.last().is_some_and(|(last, _)| *last == start) {
            self.runs.pop();
        }
        if self.runs.last().is_none_or(|(_, last)| *last != class) {
            self.runs.push((start, class));
        }
    }
}

/// Cuts runs into a tree that is as balanced as its words allow.
#[derive(Default)]
pub(super) struct Cutter {
    pub(super) cuts: Vec<Cut>,
}

/// A border in one word: the value from which on something else holds, and how much that is.
struct Border {
    value: u32,
    next: Next,
    weight: usize,
}

impl Cutter {
    /// Cuts runs by the words of their addresses, from word `dim` on.
    pub(super) fn cut(&mut self, runs: &[Start], dim: u8) -> Next {
        let shift = 96 - 32 * u32::from(dim & 3);
        let word = |start: u128| (start >> shift) as u32;
        let lower = if shift == 0 { 0 } else { !mask(128 - shift) };
        let mut borders: Vec<Border> = Vec::new();
        let mut before = None;
        for same in runs.chunk_by(|a, b| word(a.0) == word(b.0)) {
            let Some((start, class)) = same.first().copied() else {
                continue;
            };
            let value = word(start);
            let last = same.last().map_or(class, |(_, class)| *class);
            let whole = start & lower == 0;
            if same.len() == 1 && whole {
                push(&mut borders, value, Next::Leaf(class), 1);
            } else {
                let mut inside = same.to_vec();
                if let Some(before) = before.filter(|_| !whole) {
                    inside.insert(0, (start & !lower, before));
                }
                let next = self.cut(&inside, dim + 1);
                push(&mut borders, value, next, inside.len());
                if let Some(behind) = value.checked_add(1) {
                    push(&mut borders, behind, Next::Leaf(last), 1);
                }
            }
            before = Some(last);
        }
        self.balanced(&borders, dim)
    }

    /// Half of the weight on each side.
    fn balanced(&mut self, borders: &[Border], dim: u8) -> Next {
        let Some(first) = borders.first() else {
            return Next::Leaf(0);
        };
        if borders.len() == 1 {
            return first.next;
        }
        let half = borders.iter().map(|border| border.weight).sum::<usize>() / 2;
        let mut weight = 0;
        let middle = borders.iter().position(|border| {
            weight += border.weight;
            weight > half
        });
        let middle = middle.unwrap_or(1).clamp(1, borders.len() - 1);
        let (left, right) = borders.split_at(middle);
        let value = right.first().map_or(0, |border| border.value);
        let below = self.balanced(left, dim);
        let above = self.balanced(right, dim);
        self.cuts.push(Cut {
            dim,
            value,
            below,
            above,
        });
        Next::Cut(self.cuts.len() as u32 - 1)
    }
}

/// A border that stands where the last one does takes its place.
fn push(borders: &mut Vec<Border>, value: u32, next: Next, weight: usize) {
    if borders.last().is_some_and(|last| last.value == value) {
        borders.pop();
    }
    borders.push(Border {
        value,
        next,
        weight,
    });
}
