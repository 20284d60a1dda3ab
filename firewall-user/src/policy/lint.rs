//! Rules that can never match, and rules that change nothing: by looking for a packet that shows the opposite, so
//! what is said is so. The work is bounded; rules that it did not suffice for are counted, and that is said, too.

mod sight;

use std::collections::BTreeSet;

use super::compile::{Place, compile, places};
use super::compiled::{Clock, Numbers};
use super::diagnostic::Diagnostic;
use super::model::{Addresses, Policy, Rule};
use super::prove::at;
use sight::{Looker, Sight};

/// Work for all rules together: some seconds.
const MOST: u64 = 400_000_000;
/// Work for one rule.
const MOST_EACH: u64 = 4_000_000;
/// Warnings that are shown.
const SHOWN: usize = 1000;
/// Rules named in one warning.
const NAMED: usize = 5;

/// Warnings about rules without effect.
#[must_use]
pub fn lint(policy: &Policy, clock: &Clock) -> Vec<Diagnostic> {
    let Ok(compiled) = compile(policy, &mut Numbers::default(), clock) else {
        return Vec::new();
    };
    let places = places(policy);
    let active: Vec<&Place<'_>> = places.iter().filter(|p| p.index.is_some()).collect();
    let mut looker = Looker::new(policy, &compiled, clock.boot, (MOST, MOST_EACH));
    let rules = (0..).zip(&active);
    let seen: Vec<Option<Sight>> = rules
        .map(|(index, place)| looker.look(index, place.rule.is_some()))
        .collect();
    let mut warnings = Vec::new();
    for place in &active {
        warnings.extend(about(policy, &active, place, &seen));
    }
    let more = warnings.len().saturating_sub(SHOWN);
    warnings.truncate(SHOWN);
    warnings.extend((more > 0).then(|| not_shown(more)));
    let unknown = seen.iter().filter(|sight| sight.is_none()).count();
    warnings.extend((unknown > 0).then(|| not_looked_at(unknown)));
    warnings
}

fn not_shown(more: usize) -> Diagnostic {
    let message = format!("{more} more rules without effect are not shown");
    Diagnostic::warning("no-effect", message)
}

fn not_looked_at(rules: usize) -> Diagnostic {
    let message = format!(
        "{rules} rules overlap with others in too many ways to tell whether they have an effect"
    );
    let help = "split the policy by zones, or join rules that differ only in addresses or services";
    Diagnostic::warning("not-looked-at", message).help(help)
}

/// Indexes of the rules that decide about some packet; `None` where there is too much to look at.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn deciding(
    policy: &Policy,
    compiled: &super::compiled::Compiled,
    now: u64,
) -> Option<BTreeSet<u32>> {
    let mut looker = Looker::new(policy, compiled, now, (MOST, MOST_EACH));
    let mut deciding = BTreeSet::new();
    for index in 0..compiled.rules.len() as u32 {
        if looker.decides(index)? {
            deciding.insert(index);
        }
    }
    Some(deciding)
}

fn about(
    policy: &Policy,
    active: &[&Place<'_>],
    place: &Place<'_>,
    seen: &[Option<Sight>],
) -> Option<Diagnostic> {
    let rule = place.rule?;
    let of = |index: u32| seen.get(index as usize)?.as_ref();
    let sight = of(place.index?).filter(|sight| sight.counts)?;
    // Read as empty here, and filled when it matters.
    let filled = |index: &u32| {
        let other = active.get(*index as usize).and_then(|place| place.rule);
        other.is_some_and(|rule| names_dynamic(policy, rule))
    };
    if names_dynamic(policy, rule) || sight.before.iter().chain(&sight.behind).any(filled) {
        return None;
    }
    if !sight.decides {
        return never(policy, active, place, sight).map(|d| at(policy, rule.span, d));
    }
    // Of two rules that do the same, the one behind is spoken of.
    let stays = |index: &u32| of(*index).is_some_and(|other| other.decides);
    if sight.matters || rule.log.is_some() || !sight.behind.iter().all(stays) {
        return None;
    }
    let message = match names(active, &sight.behind) {
        Some(names) => format!(
            "`{}` changes nothing: without it {names} would do the same",
            place.id
        ),
        None => format!("`{}` changes nothing: `unmatched` does the same", place.id),
    };
    let warning = Diagnostic::warning("no-effect", message);
    let warning =
        warning.help("take it out, or move what it is kept for into the rule that decides");
    Some(at(policy, rule.span, warning))
}

fn never(
    policy: &Policy,
    active: &[&Place<'_>],
    place: &Place<'_>,
    sight: &Sight,
) -> Option<Diagnostic> {
    let rule = place.rule?;
    let lists = [&rule.sources, &rule.destinations];
    // That a set is empty now is told where the set is.
    if lists
        .into_iter()
        .flatten()
        .any(|list| is_empty(policy, list))
    {
        return None;
    }
    let warning = match names(active, &sight.before) {
        Some(names) => {
            let message = format!("`{}` can never match: {names} decide before it", place.id);
            let help = "move it before them, narrow them, or take it out";
            Diagnostic::warning("shadowed", message).help(help)
        }
        None => {
            let message = format!(
                "`{}` can never match: no packet meets all its conditions",
                place.id
            );
            let help = "are the addresses in the zones of its policy, and does the list judge such packets?";
            Diagnostic::warning("unsatisfiable", message).help(help)
        }
    };
    Some(warning)
}

fn names_dynamic(policy: &Policy, rule: &Rule) -> bool {
    let lists = [
        &rule.sources,
        &rule.destinations,
        &rule.except_sources,
        &rule.except_destinations,
    ];
    let mut sets = lists.into_iter().flatten().flat_map(|list| &list.sets);
    sets.any(|set| {
        policy
            .sets
            .get(*set)
            .is_some_and(|set| set.dynamic.is_some())
    })
}

fn is_empty(policy: &Policy, list: &Addresses) -> bool {
    let mut sets = list.sets.iter().filter_map(|set| policy.sets.get(*set));
    list.prefixes.is_empty() && sets.all(|set| set.members.is_empty())
}

fn names(active: &[&Place<'_>], indexes: &BTreeSet<u32>) -> Option<String> {
    let names = indexes
        .iter()
        .filter_map(|index| active.get(*index as usize));
    let mut shown: Vec<String> = names
        .take(NAMED)
        .map(|place| format!("`{}`", place.id))
        .collect();
    match indexes.len().saturating_sub(NAMED) {
        0 => {}
        more => shown.push(format!("{more} more")),
    }
    (!shown.is_empty()).then(|| shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{clock, policy};

    fn warnings(rules: &str) -> Vec<String> {
        let text = format!("{}policies:\n{rules}", crate::policy::testing::HEAD);
        let all = lint(&policy(&text), &clock());
        all.into_iter()
            .map(|d| format!("{} {}", d.code, d.message))
            .collect()
    }

    #[test]
    fn a_rule_behind_rules_that_take_all_it_matches_is_told_with_them() {
        let found = warnings(
            "
  - name: in
    from: internet
    to: host
    rules:
      - {name: low, action: allow, services: [tcp/1-100]}
      - {name: high, action: deny, services: [tcp/101-200]}
      - {name: both, action: reject, services: [tcp/50-150]}
",
        );
        // `high` matters: without it `both` would reject.
        let told = "shadowed `in/both` can never match: `in/low`, `in/high` decide before it";
        assert_eq!(found, [told]);
    }

    #[test]
    fn a_rule_with_one_packet_of_its_own_is_left_in_peace() {
        let found = warnings(
            "
  - name: in
    from: internet
    to: host
    rules:
      - {name: low, action: allow, services: [tcp/1-100]}
      - {name: more, action: allow, services: [tcp/1-101]}
",
        );
        assert_eq!(
            found,
            ["no-effect `in/low` changes nothing: without it `in/more` would do the same"]
        );
    }

    #[test]
    fn addresses_of_another_zone_never_match() {
        let found = warnings(
            "
  - name: in
    from: internet
    to: host
    rules:
      - {name: lost, action: allow, sources: [10.1.0.0/16]}
      - {name: errors, action: allow, services: [icmp/destination-unreachable]}
",
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found.iter().all(|w| w.starts_with("unsatisfiable")),
            "{found:?}"
        );
    }
}
