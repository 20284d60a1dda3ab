//! Random members of the dynamic sets of a random policy: some within others, some of them over.

use std::collections::BTreeMap;

use firewall_common::policy::dynamic::FOR_EVER;
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::dice::Dice;
use super::policies::prefix;
use crate::policy::compiled::{Clock, Compiled};
use crate::policy::model::Policy;
use crate::sets::Members;
use crate::sets::members::prefix_of;

/// Members by the names of their sets, each with the time when it is one no more.
pub(super) type Named = BTreeMap<String, Vec<(IpNet, Option<Timestamp>)>>;

/// The same members for the interpreter and for the tables.
pub(super) fn draw(
    dice: &mut Dice,
    policy: &Policy,
    compiled: &Compiled,
    clock: &Clock,
    margin: i64,
) -> (Named, Members) {
    let (mut named, mut table) = (Named::new(), Members::default());
    for set in policy.sets.iter().filter(|set| set.dynamic.is_some()) {
        let number = compiled.sets.iter().find(|one| one.name == set.name);
        let number = number.map_or(0, |set| set.number);
        let members = table.sets.entry(number).or_default();
        let mut unique = BTreeMap::new();
        for _ in 0..dice.below(8) {
            let later = [-100_000, -margin, margin, 100_000];
            let end = dice.maybe(70, |dice| {
                clock.wall + SignedDuration::from_secs(*dice.pick(&later))
            });
            unique.insert(prefix(dice), end);
        }
        for (net, end) in &unique {
            let until = end.map_or(FOR_EVER, |end| clock.boot_time(end) | 1);
            members.add(prefix_of(net), until, &mut Vec::new());
        }
        named.insert(set.name.clone(), unique.into_iter().collect());
    }
    (named, table)
}
