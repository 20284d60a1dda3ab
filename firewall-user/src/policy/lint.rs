//! Rules that can never match, and rules that change nothing: by looking at every piece of the space of
//! packets, so what is said is so. Where there are too many pieces to look at, nothing is said.

use std::collections::BTreeSet;

use firewall_common::config::Fallback;
use firewall_common::policy::rule::STATELESS;
use firewall_common::zone::Course;

use super::compile::{Place, compile, places};
use super::compiled::{Clock, Compiled, Numbers};
use super::diagnostic::Diagnostic;
use super::model::{Addresses, Policy};
use super::prove::at;
use super::space::{Case, Query, Space, Target};

/// Pieces that are looked at.
const MOST: usize = 20_000;
/// Rules named in one warning.
const NAMED: usize = 5;

/// Warnings about rules without effect.
#[must_use]
pub fn lint(policy: &Policy, clock: &Clock) -> Vec<Diagnostic> {
    let Ok(compiled) = compile(policy, &mut Numbers::default(), clock) else {
        return Vec::new();
    };
    let Some(seen) = look(policy, &compiled, clock.boot) else {
        return Vec::new();
    };
    let places = places(policy);
    let active: Vec<&Place<'_>> = places.iter().filter(|p| p.index.is_some()).collect();
    let mut warnings = Vec::new();
    for place in &active {
        warnings.extend(about(policy, &active, place, &seen));
    }
    warnings
}

/// Indexes of the rules that decide about some packet; `None` where there is too much to look at.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn deciding(policy: &Policy, compiled: &Compiled, now: u64) -> Option<BTreeSet<u32>> {
    let seen = (0..).zip(look(policy, compiled, now)?);
    Some(
        seen.filter(|(_, sight)| sight.decides)
            .map(|(index, _)| index)
            .collect(),
    )
}

/// What was seen of a rule.
#[derive(Debug, Clone, Default)]
struct Sight {
    /// It may decide at all: it is neither expired nor in monitor mode.
    counts: bool,
    /// There is a packet that it decides about.
    decides: bool,
    /// There is a packet that would fare otherwise without it.
    matters: bool,
    /// Rules that decide before it where it matches.
    before: BTreeSet<u32>,
    /// Rules that would decide in its place.
    behind: BTreeSet<u32>,
}

/// What becomes of a packet: by rule or by what nothing decided.
#[derive(PartialEq, Eq)]
enum Effect {
    Rule(u8, bool),
    Pass,
}

fn effect(compiled: &Compiled, rule: Option<u32>, course: Course) -> Effect {
    if let Some(rule) = rule.and_then(|index| compiled.rules.get(index as usize)) {
        return Effect::Rule(rule.action, rule.flags & STATELESS != 0);
    }
    let fallback = compiled.head.unmatched.get(course as usize);
    match Fallback::from_number(fallback.copied().unwrap_or(1)) {
        Fallback::Pass => Effect::Pass,
        other => Effect::Rule(other as u8, false),
    }
}

/// Looks at all pieces; `None` where there are too many.
fn look(policy: &Policy, compiled: &Compiled, now: u64) -> Option<Vec<Sight>> {
    let space = Space::new(policy, compiled);
    let mask = space.deciding(now);
    let mut seen = vec![Sight::default(); compiled.rules.len()];
    for (index, sight) in (0u32..).zip(&mut seen) {
        sight.counts = mask.holds(index);
    }
    for course in [Course::Inbound, Course::Outbound, Course::Routed] {
        for destination in [Target::All, Target::Groups] {
            let query = Query {
                course,
                source: Target::All,
                destination,
                services: None,
            };
            for case in space.cases(&query, &mask, MOST)? {
                note(compiled, course, &case, &mut seen);
            }
        }
    }
    Some(seen)
}

fn note(compiled: &Compiled, course: Course, case: &Case, seen: &mut [Sight]) {
    let mut matching = case.matching();
    let Some(first) = matching.next() else {
        return;
    };
    let second = matching.next();
    if let Some(sight) = seen.get_mut(first as usize) {
        sight.decides = true;
        sight.matters |= effect(compiled, Some(first), course) != effect(compiled, second, course);
        sight.behind.extend(second);
    }
    for later in second.into_iter().chain(matching) {
        if let Some(sight) = seen.get_mut(later as usize) {
            sight.before.insert(first);
        }
    }
}

fn about(
    policy: &Policy,
    active: &[&Place<'_>],
    place: &Place<'_>,
    seen: &[Sight],
) -> Option<Diagnostic> {
    let rule = place.rule?;
    let sight = seen
        .get(place.index? as usize)
        .filter(|sight| sight.counts)?;
    if !sight.decides {
        return never(policy, active, place, sight).map(|d| at(policy, rule.span, d));
    }
    // Of two rules that do the same, the one behind is spoken of.
    let stays = |index: &u32| seen.get(*index as usize).is_some_and(|other| other.decides);
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
    let warning = warning.help("take it out, or say in `reason` what it is kept for");
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
