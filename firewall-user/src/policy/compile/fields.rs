//! What each field of a packet leaves of the list: zones of addresses, and for tests sets of rules.
//!
//! Such sets are as long as the list, and there is one for every different address.

use firewall_common::zone::{INTERFACE_CLASSES, ZONES, ZoneId};

use super::addresses::{self, Record};
use super::conditions::{Conditions, Demand};
use super::interfaces::{self, Plan};
use super::ranges::{self, Run};
use super::{Place, places, zones};
use crate::policy::compiled::{Compiled, Numbers};
use crate::policy::model::Policy;

/// A set of rules, by their places in the list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Rules {
    words: Vec<u64>,
}

impl Rules {
    /// The rules of a list of so many that satisfy a condition.
    pub fn of(count: usize, holds: impl Fn(usize) -> bool) -> Self {
        let mut words = vec![0; count.div_ceil(64)];
        for rule in (0..count).filter(|rule| holds(*rule)) {
            if let Some(word) = words.get_mut(rule / 64) {
                *word |= 1 << (rule % 64);
            }
        }
        Self { words }
    }

    /// Those in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let both = self.words.iter().zip(&other.words);
        Self {
            words: both.map(|(a, b)| a & b).collect(),
        }
    }

    /// Is a rule in it?
    #[must_use]
    pub fn holds(&self, rule: u32) -> bool {
        let word = self.words.get(rule as usize / 64);
        word.is_some_and(|word| word >> (rule % 64) & 1 == 1)
    }

    /// The rules in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let words = (0..).step_by(64).zip(&self.words);
        words.flat_map(|(base, word)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
            bits.map(move |bit| base + bit)
        })
    }
}

/// What is known of the addresses of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The class; which rules an end in it leaves is told by [`Fields::sources`] and [`Fields::destinations`].
    pub class: u32,
    /// Zone number by class of interface.
    pub zones: [u8; INTERFACE_CLASSES],
}

/// What the fields of packets leave of a list.
#[derive(Debug)]
pub struct Fields {
    /// Rules that are looked at.
    pub rules: usize,
    /// Prefixes: first address and length of 128 bits, and what is known of the addresses whose longest one it is.
    pub addresses: Vec<(u128, u32, Entry)>,
    /// By class of the source.
    pub sources: Vec<Rules>,
    /// By class of the destination.
    pub destinations: Vec<Rules>,
    /// By number of the source's zone.
    pub source_zones: Vec<Rules>,
    /// By number of the destination's zone.
    pub destination_zones: Vec<Rules>,
    /// By kind of interface.
    pub kinds: Vec<Rules>,
    /// The services of each rule.
    pub services: Vec<Vec<Run>>,
    /// The source ports of each rule; `None` where it names none.
    pub source_ports: Vec<Option<Vec<Run>>>,
}

impl Fields {
    /// Works it out for a policy that has been compiled.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn of(policy: &Policy, compiled: &Compiled) -> Self {
        Self::looked_at(policy, compiled, true)
    }

    /// As if there were no rules: zones only.
    #[must_use]
    pub fn without_rules(policy: &Policy, compiled: &Compiled) -> Self {
        Self::looked_at(policy, compiled, false)
    }

    fn looked_at(policy: &Policy, compiled: &Compiled, rules: bool) -> Self {
        let all = places(policy);
        let active: Vec<&Place<'_>> = all.iter().filter(|place| place.index.is_some()).collect();
        let plan = interfaces::plan(policy, &active);
        let plan = plan.unwrap_or_else(|_| Plan::none(&compiled.interfaces));
        let looked_at = if rules { &active } else { &[][..] };
        of_rules(policy, looked_at, &plan, &super::view::numbers(compiled))
    }
}

fn of_rules<'p>(
    policy: &'p Policy,
    active: &[&Place<'p>],
    plan: &Plan,
    numbers: &Numbers,
) -> Fields {
    let mut conditions = Conditions::for_proof(policy, 0);
    let mut demand = |place: &Place<'p>, source: bool| {
        let lists = place.rule.map(|rule| match source {
            true => (rule.sources.as_ref(), rule.except_sources.as_ref()),
            false => (
                rule.destinations.as_ref(),
                rule.except_destinations.as_ref(),
            ),
        });
        lists.map_or(Demand::Any, |(named, except)| {
            conditions.demand(named, except)
        })
    };
    let sources: Vec<Demand> = active.iter().map(|place| demand(place, true)).collect();
    let destinations: Vec<Demand> = active.iter().map(|place| demand(place, false)).collect();
    let classes = addresses::classes(policy, &conditions.bits, plan, numbers);
    let entry = |class: u32| Entry {
        class,
        zones: classes
            .records
            .get(class as usize)
            .map_or([0; _], |record| record.zones),
    };
    let prefixes = classes.v6.iter().chain(&classes.v4);
    let of = |holds: &dyn Fn(&Place<'_>) -> bool| {
        Rules::of(active.len(), |rule| {
            active.get(rule).is_some_and(|place| holds(place))
        })
    };
    let by_zone = |holds: &dyn Fn(&Place<'_>, ZoneId) -> bool| {
        let zones = (0..ZONES as u8).map(ZoneId);
        zones.map(|zone| of(&|place| holds(place, zone))).collect()
    };
    let kinds = plan.kinds.iter().map(|kind| {
        of(&|place| match plan.list_of(place) {
            0 => true,
            list => kind.contains(&list),
        })
    });
    Fields {
        rules: active.len(),
        addresses: prefixes
            .map(|(key, length, class)| (*key, *length, entry(*class)))
            .collect(),
        sources: classes
            .records
            .iter()
            .map(|record| left(&sources, record))
            .collect(),
        destinations: classes
            .records
            .iter()
            .map(|record| left(&destinations, record))
            .collect(),
        source_zones: by_zone(&|place, zone| {
            zone != ZoneId::MULTICAST && zones::holds(policy, &place.block.from, zone, numbers)
        }),
        destination_zones: by_zone(&|place, zone| {
            zones::holds(policy, &place.block.to, zone, numbers)
        }),
        kinds: kinds.collect(),
        services: active.iter().map(|place| services(place)).collect(),
        source_ports: active.iter().map(|place| source_ports(place)).collect(),
    }
}

/// The rules whose demands the addresses of a class satisfy.
fn left(demands: &[Demand], record: &Record) -> Rules {
    Rules::of(demands.len(), |rule| match demands.get(rule) {
        Some(Demand::Bit(bit)) => record.bits.binary_search(&u32::from(*bit)).is_ok(),
        _ => true,
    })
}

fn services(place: &Place<'_>) -> Vec<Run> {
    place
        .rule
        .map_or_else(|| vec![ranges::ALL_SERVICES], ranges::services)
}

fn source_ports(place: &Place<'_>) -> Option<Vec<Run>> {
    let rule = place.rule.filter(|rule| rule.source_ports.is_some())?;
    Some(ranges::source_ports(rule))
}
