//! Interfaces: which combinations of names and globs there can be, and what each means.
//!
//! Zones tell interfaces apart by class, rules by kind. An interface may come up long after the policy
//! was applied, so every combination of patterns that one name can match is worked out beforehand.

use std::collections::{BTreeMap, BTreeSet};

use firewall_common::config::InterfaceEntry;
use firewall_common::zone::INTERFACE_CLASSES;

use super::{CompileError, Place};
use crate::policy::check::globs::could_meet;
use crate::policy::compiled::{InterfacePlan, is_glob, pattern_matches};
use crate::policy::model::{Policy, Zone};

/// More combinations than this are refused.
const MAX_COMBINATIONS: usize = 4096;

/// The plan, and what the table of addresses needs to know of it.
#[derive(Debug)]
pub(super) struct Plan {
    /// For the data plane.
    pub(super) table: InterfacePlan,
    /// The classes, by number.
    pub(super) classes: Vec<Class>,
    /// The different lists of interfaces that rules name; the first has number 1.
    pub(super) lists: BTreeMap<Vec<String>, u16>,
    /// By kind: the numbers of the lists that name its interfaces. Kind 0 is that of names that nothing matches.
    pub(super) kinds: Vec<BTreeSet<u16>>,
}

impl Plan {
    /// Where no plan can be made: what was known when the policy was compiled, of interfaces that nothing matches.
    pub(super) fn none(table: &InterfacePlan) -> Self {
        Self {
            table: table.clone(),
            classes: vec![Class::default()],
            lists: BTreeMap::new(),
            kinds: vec![BTreeSet::new()],
        }
    }

    /// The number of the list that a rule names; 0 where it names none.
    pub(super) fn list_of(&self, place: &Place<'_>) -> u16 {
        let named = place.rule.and_then(|rule| rule.interfaces.as_ref());
        named
            .and_then(|named| self.lists.get(named))
            .copied()
            .unwrap_or(0)
    }
}

/// What zones make of an interface: zones by index into the policy's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Class {
    /// Those whose `interfaces` include it.
    pub(super) included: BTreeSet<usize>,
    /// Those whose `connected` names it.
    pub(super) linked: BTreeSet<usize>,
}

/// A combination: indexes of patterns, in order.
type Combination = Vec<u32>;

pub(super) fn plan(policy: &Policy, active: &[&Place<'_>]) -> Result<Plan, CompileError> {
    let patterns = patterns(policy, active);
    let combinations = combinations(&patterns)?;
    let lists = lists(active)?;
    let mut kinds: Vec<BTreeSet<u16>> = Vec::new();
    let mut classes = vec![Class::default()];
    let mut entries = BTreeMap::new();
    for combination in combinations {
        let names: Vec<&str> = combination
            .iter()
            .filter_map(|index| patterns.get(*index as usize))
            .map(String::as_str)
            .collect();
        let class = class(policy, &names, &mut classes) as u32;
        let naming = lists.iter().filter(|(list, _)| names_one(list, &names));
        let kind = number(&mut kinds, naming.map(|(_, number)| *number).collect()) as u32;
        entries.insert(combination, InterfaceEntry { class, kind });
    }
    if classes.len() > INTERFACE_CLASSES {
        return Err(too_many_classes(classes.len()));
    }
    let other = entries.get(&Vec::new()).copied().unwrap_or_default();
    let table = InterfacePlan {
        patterns,
        entries,
        other,
    };
    Ok(Plan {
        table,
        classes,
        lists,
        kinds,
    })
}

/// All patterns that zones or rules name.
fn patterns(policy: &Policy, active: &[&Place<'_>]) -> Vec<String> {
    let zones = policy.zones.iter();
    let zones = zones.flat_map(|zone| zone.interfaces.iter().chain(&zone.connected));
    let rules = active.iter().filter_map(|place| place.rule);
    let rules = rules.flat_map(|rule| rule.interfaces.iter().flatten());
    let all: BTreeSet<&String> = zones.chain(rules).collect();
    all.into_iter().cloned().collect()
}

/// Every combination that a name could match: each plain name with the globs that match it, and every
/// set of globs of which each two could match one name.
fn combinations(patterns: &[String]) -> Result<BTreeSet<Combination>, CompileError> {
    let indexed = || (0u32..).zip(patterns);
    let globs: Vec<(u32, &String)> = indexed().filter(|(_, p)| is_glob(p)).collect();
    let mut all = BTreeSet::from([Vec::new()]);
    for (index, glob) in &globs {
        let meets = |other: &u32| {
            let other = patterns.get(*other as usize);
            other.is_some_and(|other| could_meet(other, glob))
        };
        let grown: Vec<Combination> = all
            .iter()
            .filter(|combination| combination.iter().all(meets))
            .map(|combination| combination.iter().copied().chain([*index]).collect())
            .collect();
        all.extend(grown);
        if all.len() > MAX_COMBINATIONS {
            return Err(too_many_globs(globs.len()));
        }
    }
    for (_, name) in indexed().filter(|(_, p)| !is_glob(p)) {
        let matching = indexed().filter(|(_, pattern)| pattern_matches(pattern, name));
        all.insert(matching.map(|(index, _)| index).collect());
    }
    Ok(all)
}

fn too_many_globs(count: usize) -> CompileError {
    let message =
        format!("{count} globs of interfaces overlap in more than {MAX_COMBINATIONS} ways");
    CompileError::new(message, "use plain names, or globs that exclude each other")
}

fn too_many_classes(count: usize) -> CompileError {
    let message = format!(
        "the zones' `interfaces` tell {count} kinds of interfaces apart; there may be {INTERFACE_CLASSES}"
    );
    CompileError::new(message, "join zones, or let globs exclude each other")
}

fn names_one(patterns: &[String], matching: &[&str]) -> bool {
    patterns.iter().any(|p| matching.contains(&p.as_str()))
}

/// The class of interfaces that match these patterns.
fn class(policy: &Policy, matching: &[&str], classes: &mut Vec<Class>) -> usize {
    let naming = |patterns: fn(&Zone) -> &Vec<String>| {
        let zones = policy.zones.iter().enumerate();
        zones
            .filter(|(_, zone)| names_one(patterns(zone), matching))
            .map(|(index, _)| index)
            .collect()
    };
    let own = Class {
        included: naming(|zone| &zone.interfaces),
        linked: naming(|zone| &zone.connected),
    };
    number(classes, own)
}

/// The place of a value among those known.
fn number<T: PartialEq>(known: &mut Vec<T>, value: T) -> usize {
    known
        .iter()
        .position(|other| *other == value)
        .unwrap_or_else(|| {
            known.push(value);
            known.len() - 1
        })
}

/// The different lists of interfaces that rules name, each with its number.
fn lists(active: &[&Place<'_>]) -> Result<BTreeMap<Vec<String>, u16>, CompileError> {
    let rules = active.iter().filter_map(|place| place.rule);
    let named: BTreeSet<&Vec<String>> = rules.filter_map(|rule| rule.interfaces.as_ref()).collect();
    if named.len() >= usize::from(u16::MAX) {
        let message = format!(
            "the rules name {} different lists of interfaces",
            named.len()
        );
        return Err(CompileError::new(message, "use globs, or roles"));
    }
    Ok(named.into_iter().cloned().zip(1..).collect())
}
