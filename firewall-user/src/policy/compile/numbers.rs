//! Numbers of rules and zones. A name keeps its number for good; only where none is left are those of
//! names that this policy does not hold given out anew.

use std::collections::{BTreeMap, BTreeSet};

use firewall_common::config::{FIRST_RULE_COUNTER, RULE_COUNTERS};
use firewall_common::zone::{ZONES, ZoneId};

use super::{CompileError, Place};
use crate::policy::compiled::Numbers;
use crate::policy::model::Policy;

/// Gives every rule and zone of the policy a number, new ones in the order of the policy.
pub(super) fn give(
    policy: &Policy,
    places: &mut [Place<'_>],
    numbers: &mut Numbers,
) -> Result<(), CompileError> {
    let zones: Vec<&str> = policy.zones.iter().map(|zone| zone.name.as_str()).collect();
    let zone_numbers = ZoneId::FIRST..ZONES as u8;
    let rule_numbers = FIRST_RULE_COUNTER..RULE_COUNTERS;
    fits("zones", zones.len(), zone_numbers.len())?;
    fits(
        "rules, parked ones included,",
        places.len(),
        rule_numbers.len(),
    )?;
    assign(&mut numbers.zones, &zones, zone_numbers);
    if !counted(places, &numbers.rules) {
        let rules: Vec<&str> = places.iter().map(|place| place.id.as_str()).collect();
        assign(&mut numbers.rules, &rules, rule_numbers);
        counted(places, &numbers.rules);
    }
    // Never given out anew: members outlive the policy that names their set.
    let first = numbers.sets.values().max().map_or(1, |last| last + 1);
    let dynamic = policy.sets.iter().filter(|set| set.dynamic.is_some());
    let new = dynamic.filter(|set| !numbers.sets.contains_key(&set.name));
    let new: Vec<(String, u32)> = new.map(|set| set.name.clone()).zip(first..).collect();
    numbers.sets.extend(new);
    Ok(())
}

/// Tells places their counters; whether each has one.
fn counted(places: &mut [Place<'_>], given: &BTreeMap<String, u32>) -> bool {
    let mut all = true;
    for place in places {
        let number = given.get(&place.id).copied();
        place.counter = number.unwrap_or(0);
        all &= number.is_some();
    }
    all
}

fn fits(what: &str, count: usize, most: usize) -> Result<(), CompileError> {
    if count <= most {
        return Ok(());
    }
    let message = format!("the policy has {count} {what} and there may be {most}");
    let help = "take out those that nothing needs any more, or join some";
    Err(CompileError::new(message, help))
}

fn assign<N: Copy + Ord>(
    given: &mut BTreeMap<String, N>,
    names: &[&str],
    all: impl Iterator<Item = N>,
) {
    let missing: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| !given.contains_key(*name))
        .collect();
    if missing.is_empty() {
        return;
    }
    let present: BTreeSet<&str> = names.iter().copied().collect();
    let taken: BTreeSet<N> = given.values().copied().collect();
    let free = all.filter(|number| !taken.contains(number));
    let free: Vec<N> = free.take(missing.len()).collect();
    let short = missing.len().saturating_sub(free.len());
    let gone: Vec<String> = given
        .keys()
        .filter(|name| !present.contains(name.as_str()))
        .take(short)
        .cloned()
        .collect();
    let freed: Vec<N> = gone.iter().filter_map(|name| given.remove(name)).collect();
    let numbers = free.into_iter().chain(freed);
    given.extend(missing.into_iter().map(str::to_owned).zip(numbers));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(names: &[(&str, u8)]) -> BTreeMap<String, u8> {
        names
            .iter()
            .map(|(name, number)| ((*name).to_owned(), *number))
            .collect()
    }

    #[test]
    fn names_keep_their_numbers_and_old_ones_go_only_where_room_is_short() {
        let mut numbers = given(&[("gone", 3), ("here", 5)]);
        assign(&mut numbers, &["new", "here"], 3..8);
        assert_eq!(numbers, given(&[("gone", 3), ("here", 5), ("new", 4)]));
        assign(&mut numbers, &["here", "x", "y", "z"], 3..7);
        assert_eq!(numbers, given(&[("here", 5), ("x", 6), ("y", 3), ("z", 4)]));
    }
}
