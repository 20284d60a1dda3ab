//! Vectors: sets of rules, each different one kept once.

use std::collections::HashMap;

use firewall_common::config::{MAX_VECTORS, Vector};

use super::Place;

/// Adds a rule.
pub(super) fn set(vector: &mut Vector, rule: u32) {
    if let Some(word) = vector.words.get_mut(rule as usize / 64) {
        *word |= 1 << (rule % 64);
    }
}

/// Adds all rules of another vector.
pub(super) fn add(vector: &mut Vector, other: &Vector) {
    for (word, more) in vector.words.iter_mut().zip(other.words) {
        *word |= more;
    }
}

/// Takes away all rules of another vector.
pub(super) fn remove(vector: &mut Vector, other: &Vector) {
    for (word, less) in vector.words.iter_mut().zip(other.words) {
        *word &= !less;
    }
}

/// The places that satisfy a condition.
pub(super) fn of(active: &[&Place<'_>], condition: impl Fn(&Place<'_>) -> bool) -> Vector {
    let mut vector = Vector::default();
    for place in active.iter().filter(|place| condition(place)) {
        if let Some(index) = place.index {
            set(&mut vector, index);
        }
    }
    vector
}

/// The table of vectors as it grows. Number 0 holds every rule.
#[derive(Debug)]
pub(super) struct Vectors {
    all: Vec<Vector>,
    numbers: HashMap<Vector, u32>,
}

impl Vectors {
    pub(super) fn new(rules: usize) -> Self {
        let mut every = Vector::default();
        (0..rules).for_each(|rule| set(&mut every, rule as u32));
        let (all, numbers) = (Vec::new(), HashMap::new());
        let mut vectors = Self { all, numbers };
        vectors.number(every);
        vectors
    }

    /// The number of a vector.
    pub(super) fn number(&mut self, vector: Vector) -> u32 {
        let next = self.all.len() as u32;
        *self.numbers.entry(vector).or_insert_with(|| {
            self.all.push(vector);
            next
        })
    }

    /// Vectors with numbers in a row; the first one's number.
    pub(super) fn row(&mut self, row: impl IntoIterator<Item = Vector>) -> u32 {
        let first = self.all.len() as u32;
        self.all.extend(row);
        first
    }

    /// The table; or how many there are, where that is too many.
    pub(super) fn finish(self) -> Result<Vec<Vector>, usize> {
        if self.all.len() > MAX_VECTORS as usize {
            return Err(self.all.len());
        }
        Ok(self.all)
    }
}
