//! Where a part is cut in two.

use super::{Met, Part};
use crate::policy::compile::{Cell, FIELDS, fewest};

/// Cells that are looked at to choose a cut, at most.
const SAMPLE: usize = 256;

/// Working memory of the choice.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    begins: Vec<u128>,
    ends: Vec<u128>,
}

impl Cutter {
    /// The cut that leaves the fewest cells on the fuller side; where every one leaves all on a side, a border of
    /// the first cell that does not fill the part. `None` where all do.
    pub(super) fn choose(
        &mut self,
        cells: &[Cell],
        met: &[Met],
        part: &Part,
    ) -> Option<(usize, u128)> {
        let halves = self.halves(cells, met, part);
        halves.or_else(|| first(cells, met, part))
    }

    fn halves(&mut self, cells: &[Cell], met: &[Met], part: &Part) -> Option<(usize, u128)> {
        let step = met.len().div_ceil(SAMPLE).max(1);
        let mut best: Option<(usize, usize, u128)> = None;
        for field in 0..FIELDS {
            self.begins.clear();
            self.ends.clear();
            let mut total = 0;
            let sample = met.iter().step_by(step);
            for cell in sample.filter_map(|met| cells.get(met.cell as usize)) {
                total += 1;
                if cell.low[field] > part.low[field] {
                    self.begins.push(cell.low[field]);
                }
                if cell.high[field] < part.high[field] {
                    self.ends.push(cell.high[field] + 1);
                }
            }
            self.begins.sort_unstable();
            self.ends.sort_unstable();
            let before = total - self.begins.len();
            if let Some((cost, value)) = fewest(&self.begins, &self.ends, total, before)
                && best.is_none_or(|(least, ..)| cost < least)
            {
                best = Some((cost, field, value));
            }
        }
        best.map(|(_, field, value)| (field, value))
    }
}

fn first(cells: &[Cell], met: &[Met], part: &Part) -> Option<(usize, u128)> {
    let mut open = met.iter().filter(|met| !met.covers);
    let cell = open.find_map(|met| cells.get(met.cell as usize))?;
    (0..FIELDS).find_map(|field| {
        let begins = (cell.low[field] > part.low[field]).then_some((field, cell.low[field]));
        let ends = (cell.high[field] < part.high[field]).then(|| (field, cell.high[field] + 1));
        begins.or(ends)
    })
}
