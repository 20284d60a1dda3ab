//! What the lists around an address say together, each different combination worked out once.

use std::collections::HashMap;

use firewall_common::config::{AddressEntry, Vector};
use firewall_common::zone::INTERFACE_CLASSES;

use super::lists::{Group, Named};
use super::mask;
use crate::policy::compile::bits::{self, Vectors};
use crate::policy::compile::mutation::{self, Mutation};

/// What holds for an address in no list.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) sources: Vector,
    pub(super) destinations: Vector,
    pub(super) zones: [u8; INTERFACE_CLASSES],
}

/// What is known inside a prefix: the lists that hold it or a prefix that covers it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    groups: Vec<u32>,
    zones: [u8; INTERFACE_CLASSES],
}

/// The different states there are, each with its entry.
pub(super) struct States<'v> {
    groups: Vec<Group>,
    base: Base,
    vectors: &'v mut Vectors,
    states: Vec<(State, AddressEntry)>,
    numbers: HashMap<State, usize>,
    /// Sets of lists that hold one prefix, by number.
    holders: HashMap<Vec<u32>, usize>,
    /// From a covering prefix's state, by the lists that hold the present one, to its state.
    steps: HashMap<(usize, usize), usize>,
}

/// A prefix that covers those that follow.
struct Covering {
    key: u128,
    length: u32,
    state: usize,
}

impl<'v> States<'v> {
    /// State 0 is that of addresses in no list.
    pub(super) fn new(groups: Vec<Group>, base: Base, vectors: &'v mut Vectors) -> Self {
        let outside = State {
            groups: Vec::new(),
            zones: base.zones,
        };
        let mut states = Self {
            groups,
            base,
            vectors,
            states: Vec::new(),
            numbers: HashMap::new(),
            holders: HashMap::new(),
            steps: HashMap::new(),
        };
        states.number(outside);
        states
    }

    /// Goes through the prefixes of a family in order, with those that cover the present one on a
    /// stack. A prefix that says nothing new is left out, but the family's own /0 always stands. Gives
    /// that one's entry.
    pub(super) fn walk(
        &mut self,
        (key, length): (u128, u32),
        mut named: Vec<Named>,
        entries: &mut Vec<(u32, [u8; 16], AddressEntry)>,
    ) -> AddressEntry {
        named.sort_unstable();
        named.dedup();
        let at_root = |one: &Named| (one.key, one.length) == (key, length);
        let of_root = named.iter().take_while(|one| at_root(one)).count();
        let (root, rest) = named.split_at(of_root);
        let state = self.step(0, root);
        let all = self.entry(state);
        entries.push((length, key.to_be_bytes(), all));
        let mut covering = vec![Covering { key, length, state }];
        for same in rest.chunk_by(|a, b| (a.key, a.length) == (b.key, b.length)) {
            self.prefix(same, &mut covering, entries);
        }
        all
    }

    fn prefix(
        &mut self,
        same: &[Named],
        covering: &mut Vec<Covering>,
        entries: &mut Vec<(u32, [u8; 16], AddressEntry)>,
    ) {
        let Some(Named { key, length, .. }) = same.first().copied() else {
            return;
        };
        while covering
            .last()
            .is_some_and(|c| key & mask(c.length) != c.key)
        {
            covering.pop();
        }
        let parent = covering.last().map_or(0, |c| c.state);
        let state = self.step(parent, same);
        let entry = self.entry(state);
        if entry != self.entry(parent) {
            entries.push((length, key.to_be_bytes(), entry));
        }
        covering.push(Covering { key, length, state });
    }

    fn entry(&self, state: usize) -> AddressEntry {
        let state = self.states.get(state);
        state.map_or_else(AddressEntry::default, |(_, entry)| *entry)
    }

    /// The state inside a prefix that these lists hold, within one of state `parent`.
    fn step(&mut self, parent: usize, same: &[Named]) -> usize {
        let lists: Vec<u32> = same.iter().map(|one| one.group).collect();
        let next = self.holders.len();
        let holders = *self.holders.entry(lists).or_insert(next);
        if let Some(state) = self.steps.get(&(parent, holders)) {
            return *state;
        }
        let state = self.inside(parent, same);
        let number = self.number(state);
        self.steps.insert((parent, holders), number);
        number
    }

    fn inside(&self, parent: usize, same: &[Named]) -> State {
        let outside = State {
            groups: Vec::new(),
            zones: self.base.zones,
        };
        let mut state = match self.states.get(parent) {
            Some((state, _)) => state.clone(),
            None => outside,
        };
        for group in same.iter().map(|one| one.group) {
            if let Err(place) = state.groups.binary_search(&group) {
                state.groups.insert(place, group);
            }
            if let Some(group) = self.groups.get(group as usize) {
                self.rezone(&mut state.zones, &group.zones);
            }
        }
        state
    }

    /// A longer prefix outranks a shorter one.
    fn rezone(&self, zones: &mut [u8; INTERFACE_CLASSES], longer: &[u8; INTERFACE_CLASSES]) {
        for ((zone, longer), base) in zones.iter_mut().zip(longer).zip(self.base.zones) {
            let kept = mutation::is(Mutation::ZoneByShortestPrefix) && *zone != base;
            if *longer != 0 && !kept {
                *zone = *longer;
            }
        }
    }

    fn number(&mut self, state: State) -> usize {
        if let Some(number) = self.numbers.get(&state) {
            return *number;
        }
        let entry = self.answer(&state);
        let number = self.states.len();
        self.states.push((state.clone(), entry));
        self.numbers.insert(state, number);
        number
    }

    /// What the lists around an address say together.
    fn answer(&mut self, state: &State) -> AddressEntry {
        let (mut source, mut destination) = (self.base.sources, self.base.destinations);
        let groups = || {
            let numbers = state.groups.iter();
            numbers.filter_map(|number| self.groups.get(*number as usize))
        };
        for group in groups() {
            bits::add(&mut source, &group.sources);
            bits::add(&mut destination, &group.destinations);
        }
        for group in groups().filter(|_| !mutation::is(Mutation::ExceptIgnored)) {
            bits::remove(&mut source, &group.except_sources);
            bits::remove(&mut destination, &group.except_destinations);
        }
        AddressEntry {
            source: self.vectors.number(source),
            destination: self.vectors.number(destination),
            zones: state.zones,
        }
    }
}
