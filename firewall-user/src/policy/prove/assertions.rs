//! Statements about all packets, proved by looking for one that refutes them.
//!
//! What is proved is what the tables say that will be loaded. What is decided before the list is
//! [looked at apart](super::aside). Failsafe rules are the host's, so statements do not speak of them. What cannot be
//! decided within bounds has failed: it is never taken for true.

use firewall_common::config::Fallback;
use firewall_common::policy::rule::Action as Act;
use firewall_common::zone::Course;

use super::aside;
use super::{AssertionResult, NOTHING, Outcome, UNDECIDED};
use crate::policy::compile::View;
use crate::policy::compiled::Compiled;
use crate::policy::explain::{Chosen, Explanation, Judge, course_word, text};
use crate::policy::frame::Concrete;
use crate::policy::model::{Action, Assertion, Endpoint, Policy};
use crate::policy::search::{Among, Met, Says, Search, Sighting, decides};
use crate::policy::space::{Query, Space, Target};

/// Work for one statement: some seconds.
const MOST: u64 = 200_000_000;

/// Proves statements about one policy, as of a time.
pub(super) struct Prover<'p> {
    policy: &'p Policy,
    compiled: &'p Compiled,
    search: Option<Search>,
    now: u64,
    most: u64,
}

impl<'p> Prover<'p> {
    pub(super) fn new(policy: &'p Policy, compiled: &'p Compiled, now: u64) -> Self {
        Self {
            policy,
            compiled,
            search: None,
            now,
            most: MOST,
        }
    }

    /// With less work than usual.
    #[cfg(test)]
    pub(super) fn with(self, most: u64) -> Self {
        Self { most, ..self }
    }

    /// Proves one statement.
    pub(super) fn prove(&mut self, judge: &mut Judge<'_>, claim: &Assertion) -> AssertionResult {
        let mut result = AssertionResult {
            statement: claim.text.clone(),
            span: claim.span,
            outcome: Outcome::Passed,
            counterexample: None,
            action: None,
            rule: None,
            reason: None,
            notes: notes(self.policy),
        };
        if aside::about_the_list(self.compiled, claim) {
            result.notes.push(aside::THE_LIST.to_owned());
        }
        let (policy, now) = (self.policy, self.now);
        if let Some(found) = aside::refuted(policy, judge, claim, course(claim), now) {
            refute_aside(&mut result, found);
        } else if !self.by_the_list(&judge.space, claim, &mut result) {
            self.by_example(judge, claim, &mut result);
        }
        result
    }

    /// Of packets that framing lets none by of, one stands for all.
    fn by_example(&self, judge: &mut Judge<'_>, claim: &Assertion, result: &mut AssertionResult) {
        let Some(found) = aside::example(self.policy, judge, claim, self.now) else {
            result.outcome = Outcome::Failed;
            result.notes.push(NOTHING.to_owned());
            return;
        };
        if (found.action == "allow") != allows(claim.expect) {
            refute_aside(result, found);
        }
    }

    /// Says whether the list is asked about any packet of the statement.
    fn by_the_list(
        &mut self,
        space: &Space<'_>,
        claim: &Assertion,
        result: &mut AssertionResult,
    ) -> bool {
        let (policy, compiled, now) = (self.policy, self.compiled, self.now);
        let search = self.search.get_or_insert_with(|| {
            let mut view = View::of(policy, compiled);
            view.keep(|rule| decides(compiled, rule, now));
            Search::new(view, 0)
        });
        search.work = self.most;
        let mut speaks = false;
        for query in queries(policy, space, claim) {
            speaks |= search.speaks(space, &query);
            let otherwise = allows(unmatched(compiled, query.course));
            let wanted = claim.expect == Action::Allow;
            let mut says = |met: &[Met]| refutes(compiled, met, wanted, otherwise);
            match search.look(space, &query, &Among::All, &mut says) {
                Ok(None) => {}
                Ok(Some(sighting)) => {
                    refute(result, policy, space, query.course, &sighting);
                    return true;
                }
                Err(_) => {
                    result.outcome = Outcome::Failed;
                    result.notes.push(UNDECIDED.to_owned());
                    return true;
                }
            }
        }
        speaks
    }
}

fn refute_aside(result: &mut AssertionResult, found: Explanation) {
    result.outcome = Outcome::Failed;
    result.counterexample = Some(found.packet);
    result.action = Some(found.action);
    result.reason = found.rule.is_none().then_some(found.reason);
    result.rule = found.rule;
}

const fn allows(action: Action) -> bool {
    matches!(action, Action::Allow)
}

/// Does the first rule that matches refute that packets are let by (or that they are not)?
fn refutes(compiled: &Compiled, met: &[Met], wanted: bool, otherwise: bool) -> Says {
    let refutes = |met: &Met| allows(action(compiled, met.rule)) != wanted;
    let closed = met.last().is_some_and(|last| last.covers);
    let refuted = (!closed && otherwise != wanted) || met.iter().any(refutes);
    match met.first() {
        _ if !refuted => Says::None,
        None => Says::All,
        Some(first) if first.covers && refutes(first) => Says::All,
        Some(_) => Says::Cut,
    }
}

/// What the proof rests on.
fn notes(policy: &Policy) -> Vec<String> {
    let note = |set: &crate::policy::model::AddressSet| {
        let name = &set.name;
        let file = set.file.as_ref();
        let file = file.map(|_| {
            format!(
                "the set `{name}` with its present {} members",
                set.members.len()
            )
        });
        file.or_else(|| {
            set.dynamic
                .map(|_| format!("the dynamic set `{name}` as empty"))
        })
    };
    policy.sets.iter().filter_map(note).collect()
}

fn action(compiled: &Compiled, rule: u32) -> Action {
    let rule = compiled.rules.get(rule as usize);
    match rule.map(|rule| Act::from_number(rule.action)) {
        Some(Act::Allow) => Action::Allow,
        Some(Act::Reject) => Action::Reject,
        _ => Action::Deny,
    }
}

fn unmatched(compiled: &Compiled, course: Course) -> Action {
    let fallback = compiled.head.unmatched.get(course as usize).copied();
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
    sighting: &Sighting,
) {
    let (compiled, rule) = (space.compiled, sighting.found.rule);
    let decided = rule.map_or_else(
        || unmatched(compiled, course),
        |rule| action(compiled, rule),
    );
    let mut listing = compiled.listing.iter();
    let listed = listing.find(|listed| listed.index.is_some() && listed.index == rule);
    let setting = &sighting.setting;
    let chosen = Chosen {
        packet: sighting.found.packet(),
        course,
        name_in: setting.names.0.clone(),
        name_out: setting.names.1.clone(),
        leaving: setting.leaving,
    };
    if let Some(own) = own_address(policy, course, &chosen.packet) {
        result
            .notes
            .push(format!("with {own} as this host's address"));
    }
    result.outcome = Outcome::Failed;
    result.counterexample = Some(text(policy, &chosen, space.matters(setting)));
    result.action = Some(super::action_word(decided).to_owned());
    let unmatched = || format!("unmatched/{}", course_word(course));
    result.rule = Some(listed.map_or_else(unmatched, |listed| listed.id.clone()));
}

/// This host's address in an example, where rules tell such addresses apart.
fn own_address(policy: &Policy, course: Course, packet: &Concrete) -> Option<std::net::IpAddr> {
    let mut rules = policy.blocks.iter().flat_map(|block| &block.rules);
    let told_apart = match course {
        Course::Inbound => {
            rules.any(|r| r.destinations.is_some() || r.except_destinations.is_some())
        }
        Course::Outbound => rules.any(|r| r.sources.is_some() || r.except_sources.is_some()),
        Course::Routed => false,
    };
    told_apart.then_some(match course {
        Course::Outbound => packet.source,
        _ => packet.destination,
    })
}

const fn course(claim: &Assertion) -> Course {
    match (&claim.source, &claim.destination) {
        (Endpoint::Host, _) => Course::Outbound,
        (_, Endpoint::Host) => Course::Inbound,
        _ => Course::Routed,
    }
}

/// What a statement asks about.
pub(super) fn queries<'q>(
    policy: &Policy,
    space: &Space<'_>,
    claim: &'q Assertion,
) -> Vec<Query<'q>> {
    let course = course(claim);
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
