//! Longest-prefix match in plain memory.

use std::collections::{BTreeMap, HashMap};

/// Values by prefix of up to 128 bits.
#[derive(Debug, Clone)]
pub(super) struct Prefixes<V> {
    by_length: BTreeMap<u32, HashMap<u128, V>>,
}

impl<V> Default for Prefixes<V> {
    fn default() -> Self {
        Self {
            by_length: BTreeMap::new(),
        }
    }
}

const fn mask(length: u32) -> u128 {
    match length {
        0 => 0,
        1..128 => u128::MAX << (128 - length),
        _ => u128::MAX,
    }
}

impl<V> Prefixes<V> {
    /// Sets the value of a prefix.
    pub(super) fn insert(&mut self, key: u128, length: u32, value: V) {
        let same_length = self.by_length.entry(length).or_default();
        same_length.insert(key & mask(length), value);
    }

    /// The value of the longest prefix of an address.
    pub(super) fn longest(&self, address: u128) -> Option<&V> {
        self.all(address).next()
    }

    /// The values of all prefixes of an address, the longest first.
    pub(super) fn all(&self, address: u128) -> impl Iterator<Item = &V> {
        let lengths = self.by_length.iter().rev();
        lengths.filter_map(move |(length, values)| values.get(&(address & mask(*length))))
    }
}

impl Prefixes<u64> {
    /// Adds bits to the value of a prefix.
    pub(super) fn add(&mut self, key: u128, length: u32, bits: u64) {
        let same_length = self.by_length.entry(length).or_default();
        *same_length.entry(key & mask(length)).or_default() |= bits;
    }
}

impl<V> FromIterator<(u128, u32, V)> for Prefixes<V> {
    fn from_iter<I: IntoIterator<Item = (u128, u32, V)>>(all: I) -> Self {
        let mut prefixes = Self::default();
        for (key, length, value) in all {
            prefixes.insert(key, length, value);
        }
        prefixes
    }
}
