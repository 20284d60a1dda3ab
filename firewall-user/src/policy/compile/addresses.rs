//! The table of addresses: one longest-prefix table for sources, destinations and zones.
//!
//! Every prefix that anything names becomes an entry that holds the full answer for the addresses whose
//! longest match it is. Prefixes come by the million and answers by the dozen, so what a prefix means is
//! worked out once for each different set of lists that cover it, never once a prefix.

use std::collections::HashMap;

use firewall_common::config::{AddressEntry, Vector};
use firewall_common::zone::INTERFACE_CLASSES;
use ipnet::IpNet;

use super::bits::{self, Vectors};
use super::interfaces::Plan;
use super::mutation::{self, Mutation};
use super::{Place, zones};
use crate::policy::compiled::Numbers;
use crate::policy::model::{Addresses, Policy, Zone};

/// IPv4 addresses are mapped: `::ffff:a.b.c.d`.
const MAPPED: u128 = 0xffff_0000_0000;
/// Bits before the IPv4 address in a mapped one.
const MAPPED_BITS: u32 = 96;
/// fe80::/10.
const LINK_LOCAL: (u128, u32) = (0xfe80 << 112, 10);

/// The table, and what holds where it has nothing.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) entries: Vec<(u32, [u8; 16], AddressEntry)>,
    pub(super) default: AddressEntry,
}

/// What being in a list does.
#[derive(Debug, Clone, Default)]
struct Group {
    sources: Vector,
    except_sources: Vector,
    destinations: Vector,
    except_destinations: Vector,
    /// By class of interface: the zone, 0 for none.
    zones: [u8; INTERFACE_CLASSES],
}

/// A prefix of a family and a list that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    key: u128,
    length: u32,
    group: u32,
}

/// One of a rule's four conditions on addresses.
type Field = for<'p> fn(&Place<'p>) -> Option<&'p Addresses>;

/// All lists of the policy, and their prefixes by family.
#[derive(Debug, Default)]
struct Lists {
    groups: Vec<Group>,
    v4: Vec<Named>,
    v6: Vec<Named>,
}

pub(super) fn table(
    policy: &Policy,
    active: &[&Place<'_>],
    plan: &Plan,
    numbers: &Numbers,
    vectors: &mut Vectors,
) -> Table {
    let zones = ZoneRules::new(policy, plan, numbers);
    let mut lists = Lists::default();
    lists.link_local(&zones);
    lists.zones(policy, &zones);
    lists.sets(policy, active);
    lists.inline(active);
    let Lists { groups, mut v4, v6 } = lists;
    if mutation::is(Mutation::V6CoversV4) {
        leak(&v6, &mut v4);
    }
    let base = Base {
        sources: bits::of(active, |p| {
            unrestricted(policy, p.rule.and_then(|r| r.sources.as_ref()))
        }),
        destinations: bits::of(active, |p| {
            unrestricted(policy, p.rule.and_then(|r| r.destinations.as_ref()))
        }),
        zones: zones.without_prefix(),
    };
    let mut states = States::new(groups, base, vectors);
    let mut entries = Vec::new();
    let default = states.walk((0, 0), v6, &mut entries);
    states.walk((MAPPED, MAPPED_BITS), v4, &mut entries);
    Table { entries, default }
}

/// Does a condition on addresses hold for every address?
fn unrestricted(policy: &Policy, addresses: Option<&Addresses>) -> bool {
    let Some(addresses) = addresses else {
        return true;
    };
    let sets = addresses
        .sets
        .iter()
        .filter_map(|set| policy.sets.get(*set));
    let empty = addresses.prefixes.is_empty() && sets.clone().all(|set| set.members.is_empty());
    mutation::is(Mutation::EmptySetIsAll) && empty
}

/// What a compiler would do that forgets that IPv4 lives inside IPv6.
fn leak(v6: &[Named], v4: &mut Vec<Named>) {
    let covering =
        |named: &&Named| named.length <= MAPPED_BITS && MAPPED & mask(named.length) == named.key;
    v4.extend(v6.iter().filter(covering).map(|named| Named {
        key: MAPPED,
        length: MAPPED_BITS,
        ..*named
    }));
}

const fn mask(length: u32) -> u128 {
    match length {
        0 => 0,
        _ => u128::MAX << (128 - length),
    }
}

impl Lists {
    fn add(&mut self, group: Group, prefixes: &[IpNet]) {
        if prefixes.is_empty() {
            return;
        }
        let number = self.groups.len() as u32;
        self.groups.push(group);
        for prefix in prefixes {
            self.prefix(*prefix, number);
        }
    }

    fn prefix(&mut self, prefix: IpNet, group: u32) {
        let length = u32::from(prefix.prefix_len());
        match prefix.trunc() {
            IpNet::V4(net) => self.v4.push(Named {
                key: MAPPED | u128::from(u32::from(net.network())),
                length: MAPPED_BITS + length,
                group,
            }),
            IpNet::V6(net) => {
                let key = u128::from(net.network());
                // No IPv6 packet has a mapped address, and IPv4 packets are none of this prefix's.
                let mapped = length >= MAPPED_BITS && key & mask(MAPPED_BITS) == MAPPED;
                if !mapped {
                    self.v6.push(Named { key, length, group });
                }
            }
        }
    }

    /// The first list, so that a zone that names the same prefix itself outranks it.
    fn link_local(&mut self, zones: &ZoneRules<'_>) {
        let (key, length) = LINK_LOCAL;
        let group = Group {
            zones: zones.link_local(),
            ..Group::default()
        };
        self.groups.push(group);
        self.v6.push(Named {
            key,
            length,
            group: 0,
        });
    }

    fn zones(&mut self, policy: &Policy, rules: &ZoneRules<'_>) {
        for (index, zone) in policy.zones.iter().enumerate() {
            let group = Group {
                zones: rules.where_included(index, zone),
                ..Group::default()
            };
            self.add(group, &zone.cidrs);
        }
    }

    fn sets(&mut self, policy: &Policy, active: &[&Place<'_>]) {
        for (index, set) in policy.sets.iter().enumerate() {
            let names = |field: Option<&Addresses>| {
                field.is_some_and(|addresses| addresses.sets.contains(&index))
            };
            let of = |field: Field| bits::of(active, |place| names(field(place)));
            let group = Group {
                sources: of(|p| p.rule?.sources.as_ref()),
                except_sources: of(|p| p.rule?.except_sources.as_ref()),
                destinations: of(|p| p.rule?.destinations.as_ref()),
                except_destinations: of(|p| p.rule?.except_destinations.as_ref()),
                ..Group::default()
            };
            if group.is_used() {
                self.add(group, &set.members);
            }
        }
    }

    fn inline(&mut self, active: &[&Place<'_>]) {
        for place in active {
            let (Some(rule), Some(index)) = (place.rule, place.index) else {
                continue;
            };
            let fields: [(&Option<Addresses>, fn(&mut Group) -> &mut Vector); 4] = [
                (&rule.sources, |group| &mut group.sources),
                (&rule.except_sources, |group| &mut group.except_sources),
                (&rule.destinations, |group| &mut group.destinations),
                (&rule.except_destinations, |group| {
                    &mut group.except_destinations
                }),
            ];
            for (addresses, vector) in fields {
                let Some(addresses) = addresses else { continue };
                let mut group = Group::default();
                bits::set(vector(&mut group), index);
                self.add(group, &addresses.prefixes);
            }
        }
    }
}

impl Group {
    fn is_used(&self) -> bool {
        let all = [
            &self.sources,
            &self.except_sources,
            &self.destinations,
            &self.except_destinations,
        ];
        all.iter().any(|vector| **vector != Vector::default())
    }
}

/// Which zone an address has by its interface alone, and where a zone's prefixes count.
struct ZoneRules<'p> {
    policy: &'p Policy,
    plan: &'p Plan,
    numbers: &'p Numbers,
}

impl<'p> ZoneRules<'p> {
    const fn new(policy: &'p Policy, plan: &'p Plan, numbers: &'p Numbers) -> Self {
        Self {
            policy,
            plan,
            numbers,
        }
    }

    /// By class, the number of the first zone of those including it that satisfies a condition.
    fn by_class(&self, condition: impl Fn(&Zone) -> bool) -> [u8; INTERFACE_CLASSES] {
        let mut numbers = [0; INTERFACE_CLASSES];
        for (class, number) in numbers.iter_mut().enumerate() {
            let zones = self.plan.classes.get(class).into_iter().flatten();
            let zones = zones.filter_map(|index| self.policy.zones.get(*index));
            let mut found = zones.filter(|zone| condition(zone));
            *number = found.next().map_or(0, |zone| self.number(zone));
        }
        numbers
    }

    fn number(&self, zone: &Zone) -> u8 {
        zones::number(self.numbers, &zone.name)
    }

    /// A zone that names only the interface; else the default zone.
    fn without_prefix(&self) -> [u8; INTERFACE_CLASSES] {
        let default = self.policy.zones.iter().find(|zone| zone.default);
        let default = default.map_or(0, |zone| self.number(zone));
        self.by_class(|zone| !zone.has_cidrs)
            .map(|number| if number == 0 { default } else { number })
    }

    /// A zone that names interfaces owns fe80::/10 there; before others the one that names nothing else.
    fn link_local(&self) -> [u8; INTERFACE_CLASSES] {
        let mut owners = self.by_class(|zone| !zone.has_cidrs);
        for (owner, other) in owners.iter_mut().zip(self.by_class(|_| true)) {
            if *owner == 0 {
                *owner = other;
            }
        }
        owners
    }

    /// The zone's number in the classes of interfaces that its prefixes count at.
    fn where_included(&self, index: usize, zone: &Zone) -> [u8; INTERFACE_CLASSES] {
        let mut numbers = [0; INTERFACE_CLASSES];
        for (class, number) in numbers.iter_mut().enumerate() {
            let included = self.plan.classes.get(class);
            if !zone.has_interfaces || included.is_some_and(|zones| zones.contains(&index)) {
                *number = self.number(zone);
            }
        }
        numbers
    }
}

/// What holds for an address in no list.
#[derive(Debug)]
struct Base {
    sources: Vector,
    destinations: Vector,
    zones: [u8; INTERFACE_CLASSES],
}

/// What is known inside a prefix: the lists that hold it or a prefix that covers it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    groups: Vec<u32>,
    zones: [u8; INTERFACE_CLASSES],
}

/// The different states there are, each with its entry.
struct States<'v> {
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
    fn new(groups: Vec<Group>, base: Base, vectors: &'v mut Vectors) -> Self {
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
    fn walk(
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
