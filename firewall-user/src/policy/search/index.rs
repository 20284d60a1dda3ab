//! Finds the cells that meet a cell among very many: boxes in boxes.

use crate::policy::compile::{Cell, FIELDS};

/// Cells that are not told apart any further.
const LEAF: usize = 16;

/// The hull of some cells.
#[derive(Debug, Clone, Copy)]
struct Hull {
    low: [u128; FIELDS],
    high: [u128; FIELDS],
}

#[derive(Debug)]
struct Node {
    hull: Hull,
    /// Cells, by place in the order.
    cells: std::ops::Range<usize>,
    /// The two nodes below; 0: none.
    below: [usize; 2],
}

/// All cells of a family.
#[derive(Debug)]
pub(in crate::policy) struct Index {
    order: Vec<u32>,
    nodes: Vec<Node>,
}

impl Index {
    /// Of these cells.
    pub(in crate::policy) fn new(cells: &[Cell]) -> Self {
        let mut index = Self {
            order: (0..cells.len() as u32).collect(),
            nodes: Vec::new(),
        };
        index.node(cells, 0..cells.len());
        index
    }

    fn node(&mut self, cells: &[Cell], range: std::ops::Range<usize>) -> usize {
        let chosen = self.order.get_mut(range.clone()).unwrap_or_default();
        let place = self.nodes.len();
        let hull = hull(cells, chosen);
        let field = (range.len() > LEAF).then(|| widest(cells, chosen));
        if let Some(field) = field {
            let middle = chosen.len() / 2;
            chosen.select_nth_unstable_by_key(middle, |number| centre(cells, *number, field));
        }
        let half = range.start + range.len() / 2;
        self.nodes.push(Node {
            hull,
            cells: range.clone(),
            below: [0; 2],
        });
        if field.is_some() {
            let below = [
                self.node(cells, range.start..half),
                self.node(cells, half..range.end),
            ];
            if let Some(node) = self.nodes.get_mut(place) {
                node.below = below;
            }
        }
        place
    }

    /// The cells that meet one, in order, and how many were looked at.
    pub(in crate::policy) fn meeting(&self, cells: &[Cell], with: &Cell) -> (Vec<u32>, usize) {
        let (mut met, mut looked) = (Vec::new(), 0);
        let mut waiting = vec![0];
        while let Some(node) = waiting.pop().and_then(|place: usize| self.nodes.get(place)) {
            looked += 1;
            if !overlap((&node.hull.low, &node.hull.high), with) {
                continue;
            }
            if node.below != [0; 2] {
                waiting.extend(node.below);
                continue;
            }
            let numbers = self.order.get(node.cells.clone()).unwrap_or_default();
            looked += numbers.len();
            met.extend(numbers.iter().copied().filter(|number| {
                let cell = cells.get(*number as usize);
                cell.is_some_and(|cell| overlap((&cell.low, &cell.high), with))
            }));
        }
        met.sort_unstable();
        (met, looked)
    }
}

fn overlap((low, high): (&[u128; FIELDS], &[u128; FIELDS]), with: &Cell) -> bool {
    (0..FIELDS).all(|field| low[field] <= with.high[field] && with.low[field] <= high[field])
}

fn hull(cells: &[Cell], chosen: &[u32]) -> Hull {
    let mut hull = Hull {
        low: [u128::MAX; FIELDS],
        high: [0; FIELDS],
    };
    for cell in chosen
        .iter()
        .filter_map(|number| cells.get(*number as usize))
    {
        for field in 0..FIELDS {
            hull.low[field] = hull.low[field].min(cell.low[field]);
            hull.high[field] = hull.high[field].max(cell.high[field]);
        }
    }
    hull
}

fn centre(cells: &[Cell], number: u32, field: usize) -> u128 {
    cells.get(number as usize).map_or(0, |cell| {
        cell.low[field] + (cell.high[field] - cell.low[field]) / 2
    })
}

/// The field in which a sample of cells has the most different centres.
fn widest(cells: &[Cell], chosen: &[u32]) -> usize {
    let different = |field: &usize| {
        let sample = chosen.iter().step_by(chosen.len().div_ceil(64).max(1));
        let mut centres: Vec<u128> = sample.map(|n| centre(cells, *n, *field)).collect();
        centres.sort_unstable();
        centres.dedup();
        centres.len()
    };
    (0..FIELDS).max_by_key(different).unwrap_or(0)
}
