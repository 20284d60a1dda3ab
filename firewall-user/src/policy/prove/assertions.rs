//! Statements about all packets, proved by looking at one packet of every piece of the space.
//!
//! What is proved is what the tables say that will be loaded. Essentials and failsafe rules come before
//! the list and are the machine's, so statements do not speak of them; nor of ICMP errors, which only
//! sessions let in.

use firewall_common::config::Fallback;
use firewall_common::policy::rule::Action as Act;
use firewall_common::zone::Course;

use super::{AssertionResult, Outcome};
use crate::policy::explain::{Chosen, text};
use crate::policy::model::{Action, Assertion, Endpoint, Policy};
use crate::policy::space::{Case, Query, Space, Target};

/// More pieces than this are not looked at, which is said.
const MOST: usize = 1_000_000;

/// Proves one statement, as of a time.
pub(super) fn prove(
    policy: &Policy,
    space: &Space<'_>,
    claim: &Assertion,
    now: u64,
) -> AssertionResult {
    let mut result = AssertionResult {
        statement: claim.text.clone(),
        span: claim.span,
        outcome: Outcome::Passed,
        counterexample: None,
        action: None,
        rule: None,
        notes: notes(policy),
    };
    let mask = space.deciding(now);
    for query in queries(policy, space, claim) {
        let Some(cases) = space.cases(&query, &mask, MOST) else {
            result.outcome = Outcome::Skipped;
            result
                .notes
                .push("the rules overlap in too many ways to look at all".to_owned());
            continue;
        };
        let refuting = cases.iter().find(|case| {
            let allowed = decision(space, query.course, case).0 == Action::Allow;
            allowed != (claim.expect == Action::Allow)
        });
        if let Some(case) = refuting {
            refute(&mut result, policy, space, query.course, case);
            break;
        }
    }
    result
}

/// What the proof rests on.
fn notes(policy: &Policy) -> Vec<String> {
    let from_files = policy.sets.iter().filter(|set| set.file.is_some());
    let note = |set: &crate::policy::model::AddressSet| {
        format!(
            "the set `{}` with its present {} members",
            set.name,
            set.members.len()
        )
    };
    from_files.map(note).collect()
}

/// What is decided, and by which rule of the list.
fn decision(space: &Space<'_>, course: Course, case: &Case) -> (Action, Option<u32>) {
    let Some(index) = case.matching().next() else {
        return (unmatched(space, course), None);
    };
    let rule = space.compiled.rules.get(index as usize);
    let action = match rule.map(|rule| Act::from_number(rule.action)) {
        Some(Act::Allow) => Action::Allow,
        Some(Act::Reject) => Action::Reject,
        _ => Action::Deny,
    };
    (action, Some(index))
}

fn unmatched(space: &Space<'_>, course: Course) -> Action {
    let fallback = space.compiled.head.unmatched.get(course as usize).copied();
    match Fallback::from_number(fallback.unwrap_or(Fallback::Deny as u8)) {
        Fallback::Allow | Fallback::Pass => Action::Allow,
        Fallback::Deny => Action::Deny,
        Fallback::Reject => Action::Reject,
    }
}

fn refute(
    result: &mut AssertionResult,
    policy: &Policy,
    space: &Space<'_>,
    course: Course,
    case: &Case,
) {
    let (action, index) = decision(space, course, case);
    let listed = space
        .compiled
        .listing
        .iter()
        .find(|l| l.index.is_some() && l.index == index);
    let chosen = Chosen {
        packet: case.packet.clone(),
        course,
        name_in: case.names.0.clone(),
        name_out: case.names.1.clone(),
        leaving: case.leaving,
    };
    if let Some(own) = own_address(policy, course, case) {
        result
            .notes
            .push(format!("with {own} as this host's address"));
    }
    result.outcome = Outcome::Failed;
    result.counterexample = Some(text(policy, &chosen, case.interface.clone()));
    result.action = Some(super::action_word(action).to_owned());
    result.rule = listed.map(|listed| listed.id.clone());
}

/// This host's address in an example, where rules tell such addresses apart.
fn own_address(policy: &Policy, course: Course, case: &Case) -> Option<std::net::IpAddr> {
    let mut rules = policy.blocks.iter().flat_map(|block| &block.rules);
    let told_apart = match course {
        Course::Inbound => {
            rules.any(|r| r.destinations.is_some() || r.except_destinations.is_some())
        }
        Course::Outbound => rules.any(|r| r.sources.is_some() || r.except_sources.is_some()),
        Course::Routed => false,
    };
    told_apart.then_some(match course {
        Course::Outbound => case.packet.source,
        _ => case.packet.destination,
    })
}

/// What a statement asks about.
fn queries<'q>(policy: &Policy, space: &Space<'_>, claim: &'q Assertion) -> Vec<Query<'q>> {
    let course = match (&claim.source, &claim.destination) {
        (Endpoint::Host, _) => Course::Outbound,
        (_, Endpoint::Host) => Course::Inbound,
        _ => Course::Routed,
    };
    let query = |destination| Query {
        course,
        source: target(policy, space, &claim.source),
        destination,
        services: claim.services.as_deref(),
    };
    let mut queries = vec![query(target(policy, space, &claim.destination))];
    // What arrives for all counts as for this host, and leaving it is part of `any`. That it may be
    // refused does not refute that something is allowed.
    let groups_too = match claim.destination {
        Endpoint::Host | Endpoint::Any => claim.expect != Action::Allow,
        _ => false,
    };
    if groups_too {
        queries.push(query(Target::Groups));
    }
    queries
}

fn target(policy: &Policy, space: &Space<'_>, end: &Endpoint) -> Target {
    match end {
        Endpoint::Host | Endpoint::Any => Target::All,
        Endpoint::Multicast => Target::Groups,
        Endpoint::Net(net) => Target::Net(*net),
        Endpoint::Zone(index) => {
            let name = policy.zones.get(*index).map(|zone| zone.name.as_str());
            let mut zones = space.compiled.zones.iter();
            let found = zones.find(|(_, known)| Some(known.as_str()) == name);
            Target::Zone(found.map_or(0, |(number, _)| number.0))
        }
    }
}
