//! Who knocks at how many doors, and how many knock at one: what makes single handshakes a scan or a flood.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use firewall_common::addr::Addr;

/// Ports that one source fails at before it is called a scan.
pub(super) const PORTS: usize = 15;
/// Sources that leave one port without an acknowledgement before it is called a flood.
pub(super) const SOURCES: usize = 50;
/// Nanoseconds after which what was seen begins to be forgotten.
pub(super) const SPAN: u64 = 20_000_000_000;
/// Keys remembered in one span; with what each holds this is some megabytes at the most.
const KEYS: usize = 4096;

/// Different values by key, of the last one to two spans, no more of each than matters.
#[derive(Debug)]
struct Distinct<K, V> {
    now: HashMap<K, BTreeSet<V>>,
    before: HashMap<K, BTreeSet<V>>,
    begun: u64,
    most: usize,
}

impl<K: Hash + Eq, V: Ord + Copy> Distinct<K, V> {
    fn new(most: usize) -> Self {
        Self {
            now: HashMap::new(),
            before: HashMap::new(),
            begun: 0,
            most,
        }
    }

    fn note(&mut self, key: K, value: V, time: u64) {
        if time.saturating_sub(self.begun) >= SPAN {
            let old = std::mem::take(&mut self.now);
            let recent = time.saturating_sub(self.begun) < 2 * SPAN;
            self.before = if recent { old } else { HashMap::new() };
            self.begun = time;
        }
        if self.now.len() >= KEYS && !self.now.contains_key(&key) {
            return;
        }
        let values = self.now.entry(key).or_default();
        if values.len() < self.most {
            values.insert(value);
        }
    }

    fn count(&self, key: &K) -> usize {
        let sets = [self.now.get(key), self.before.get(key)];
        let all: BTreeSet<&V> = sets.into_iter().flatten().flatten().collect();
        all.len()
    }
}

/// Both views.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Ports by source.
    ports: Distinct<Addr, u16>,
    /// Sources by address and port of this host.
    sources: Distinct<(Addr, u16), Addr>,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            ports: Distinct::new(PORTS),
            sources: Distinct::new(SOURCES),
        }
    }
}

impl Crowd {
    /// A handshake that does not complete was tried from `source` at `port`.
    pub(super) fn failed(&mut self, source: Addr, port: u16, time: u64) {
        self.ports.note(source, port, time);
    }

    /// `source` asked once, was answered, and did not come back.
    pub(super) fn left(&mut self, source: Addr, door: (Addr, u16), time: u64) {
        self.sources.note(door, source, time);
    }

    /// Has a source tried many ports?
    pub(super) fn scans(&self, source: Addr) -> bool {
        self.ports.count(&source) >= PORTS
    }

    /// Have many sources left an answer of one port without a word?
    pub(super) fn floods(&self, door: (Addr, u16)) -> bool {
        self.sources.count(&door) >= SOURCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_different_ones_within_a_while_and_within_bounds() {
        let mut crowd = Crowd::default();
        let (one, other) = (Addr::v4(1), Addr::v4(2));
        for port in 0..PORTS as u16 {
            assert!(!crowd.scans(one));
            crowd.failed(one, port, u64::from(port));
            crowd.failed(other, 443, u64::from(port));
        }
        assert!(crowd.scans(one) && !crowd.scans(other));
        let door = (one, 80);
        for source in 0..100_000 {
            crowd.left(Addr::v4(source), door, SPAN);
            crowd.left(Addr::v4(source), (Addr::v4(source), 80), SPAN);
        }
        assert!(crowd.floods(door) && !crowd.floods((other, 80)));
        assert!(crowd.sources.now.len() <= KEYS);
    }

    #[test]
    fn what_is_long_ago_counts_no_more() {
        let mut crowd = Crowd::default();
        let one = Addr::v4(1);
        for port in 0..PORTS as u16 {
            crowd.failed(one, port, SPAN + u64::from(port) * SPAN);
        }
        assert!(!crowd.scans(one));
        crowd.failed(one, 1, 100 * SPAN);
        assert!(!crowd.scans(one));
    }
}
