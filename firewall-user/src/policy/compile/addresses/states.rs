//! What the lists around an address say together, each different combination worked out once.

use std::collections::HashMap;

use firewall_common::policy::line::SET_BITS;
use firewall_common::zone::INTERFACE_CLASSES;

use super::lists::{Group, Named};
use super::{Classed, Record};
use crate::policy::compile::mutation::{self, Mutation};
use crate::policy::compile::prefixes::mask;

/// What holds for an address in no list.
#[derive(Debug)]
pub(super) struct Base {
    /// Conditions that hold for every address that is not excepted.
    pub(super) conditions: Vec<u32>,
    pub(super) zones: [u8; INTERFACE_CLASSES],
}

/// What is known inside a prefix: the lists that hold it or a prefix that covers it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    groups: Vec<u32>,
    zones: [u8; INTERFACE_CLASSES],
}

/// The different states there are, each with its class.
pub(super) struct States {
    groups: Vec<Group>,
    base: Base,
    states: Vec<(State, u32)>,
    numbers: HashMap<State, usize>,
    /// Sets of lists that hold one prefix, by number.
    holders: HashMap<Vec<u32>, usize>,
    /// From a covering prefix's state, by the lists that hold the present one, to its state.
    steps: HashMap<(usize, usize), usize>,
    /// What is known of the addresses of each class.
    pub(super) records: Vec<Record>,
    classes: HashMap<Record, u32>,
}

/// A prefix that covers those that follow.
struct Covering {
    key: u128,
    length: u32,
    state: usize,
}

impl States {
    /// State 0, of class 0, is that of addresses in no list.
    pub(super) fn new(groups: Vec<Group>, base: Base) -> Self {
        let outside = State {
            groups: Vec::new(),
            zones: base.zones,
        };
        let mut states = Self {
            groups,
            base,
            states: Vec::new(),
            numbers: HashMap::new(),
            holders: HashMap::new(),
            steps: HashMap::new(),
            records: Vec::new(),
            classes: HashMap::new(),
        };
        states.number(outside);
        states
    }

    /// Goes through the prefixes of a family in order, with those that cover the present one on a
    /// stack. A prefix that says nothing new is left out, but the family's own /0 always stands.
    pub(super) fn walk(
        &mut self,
        (key, length): (u128, u32),
        mut named: Vec<Named>,
    ) -> Vec<Classed> {
        named.sort_unstable();
        named.dedup();
        let at_root = |one: &Named| (one.key, one.length) == (key, length);
        let of_root = named.iter().take_while(|one| at_root(one)).count();
        let (root, rest) = named.split_at(of_root);
        let state = self.step(0, root);
        let mut classed = vec![(key, length, self.class(state))];
        let mut covering = vec![Covering { key, length, state }];
        for same in rest.chunk_by(|a, b| (a.key, a.length) == (b.key, b.length)) {
            self.prefix(same, &mut covering, &mut classed);
        }
        classed
    }

    fn prefix(&mut self, same: &[Named], covering: &mut Vec<Covering>, classed: &mut Vec<Classed>) {
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
        let class = self.class(state);
        if class != self.class(parent) {
            classed.push((key, length, class));
        }
        covering.push(Covering { key, length, state });
    }

    fn class(&self, state: usize) -> u32 {
        self.states.get(state).map_or(0, |(_, class)| *class)
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
        let record = self.record(&state);
        let class = self.classed(record);
        let number = self.states.len();
        self.states.push((state.clone(), class));
        self.numbers.insert(state, number);
        number
    }

    fn classed(&mut self, record: Record) -> u32 {
        let next = self.records.len() as u32;
        *self.classes.entry(record).or_insert_with_key(|record| {
            self.records.push(record.clone());
            next
        })
    }

    /// What the lists around an address say together: the bits of its record after the zones.
    fn record(&self, state: &State) -> Record {
        let zones = state.zones;
        let groups = || {
            let numbers = state.groups.iter();
            numbers.filter_map(|number| self.groups.get(*number as usize))
        };
        let mut conditions = self.base.conditions.clone();
        conditions.extend(groups().flat_map(|group| &group.named));
        conditions.sort_unstable();
        conditions.dedup();
        let ignored = mutation::is(Mutation::ExceptIgnored);
        for condition in groups()
            .filter(|_| !ignored)
            .flat_map(|group| &group.except)
        {
            if let Ok(place) = conditions.binary_search(condition) {
                conditions.remove(place);
            }
        }
        let bits = conditions.iter().map(|number| SET_BITS + number).collect();
        Record { zones, bits }
    }
}
