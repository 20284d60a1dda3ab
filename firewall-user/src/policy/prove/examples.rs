//! `tests`: packets with what must become of them.

use std::collections::BTreeSet;

use firewall_common::reason::Reason;

use super::{Outcome, TestResult, action_word};
use crate::policy::compile::compile;
use crate::policy::compiled::{Clock, Numbers};
use crate::policy::explain::{Explanation, Judge};
use crate::policy::model::{Policy, Test};

/// Before this every rule still matches.
const BEFORE_ALL: u64 = 0;

/// Runs all tests of a policy on a host with so many failsafe rules.
pub(super) fn run_all(
    policy: &Policy,
    judge: &mut Judge<'_>,
    failsafe: usize,
    clock: &Clock,
) -> Vec<TestResult> {
    let left_out = left_out(policy);
    let mut results: Vec<TestResult> = { policy.tests.iter() }
        .map(|test| {
            let mut result = unjudged(test);
            match not_here(test, &left_out, failsafe) {
                Some(why) => result.skip(why),
                None => run(judge, test, clock, &mut result),
            }
            result
        })
        .collect();
    let failed = results.iter().any(|r| r.outcome == Outcome::Failed);
    if failed && !left_out.is_empty() {
        elsewhere(policy, &left_out, clock, &mut results);
    }
    results
}

/// The rules that `hosts` keeps from this host.
fn left_out(policy: &Policy) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for block in &policy.blocks {
        let rules = block.rules.iter();
        let out = rules.filter(|rule| rule.enabled && !(block.for_this_host && rule.for_this_host));
        let mut names: Vec<&str> = out.map(|rule| rule.name.as_str()).collect();
        names.extend((!block.for_this_host && block.default.is_some()).then_some("default"));
        ids.extend(names.iter().map(|name| format!("{}/{name}", block.name)));
    }
    ids
}

/// Why a test says nothing of this host: the rule that it names is not here.
fn not_here(test: &Test, left_out: &BTreeSet<String>, failsafe: usize) -> Option<String> {
    let rule = test.rule.as_deref()?;
    if left_out.contains(rule) {
        return Some(format!("`{rule}` is not for this host"));
    }
    let number: usize = rule.strip_prefix("failsafe/")?.parse().ok()?;
    (number > failsafe).then(|| format!("this host has no `{rule}`"))
}

/// Skips those failed tests that a rule decides where `hosts` keeps none away.
fn elsewhere(
    policy: &Policy,
    left_out: &BTreeSet<String>,
    clock: &Clock,
    results: &mut [TestResult],
) {
    let mut everywhere = policy.clone();
    for block in &mut everywhere.blocks {
        block.for_this_host = true;
        for rule in &mut block.rules {
            rule.for_this_host = true;
        }
    }
    let Ok(compiled) = compile(&everywhere, &mut Numbers::default(), clock) else {
        return;
    };
    let mut judge = Judge::new(&everywhere, &compiled);
    for (test, result) in policy.tests.iter().zip(results) {
        let at = clock.boot_time(test.at.unwrap_or(clock.wall));
        let failed = result.outcome == Outcome::Failed;
        let found = failed.then(|| judge.judge(&test.packet, at).ok()).flatten();
        if let Some(rule) = found.and_then(|found| found.rule)
            && left_out.contains(&rule)
        {
            result.skip(format!("`{rule}` is not for this host"));
        }
    }
}

fn unjudged(test: &Test) -> TestResult {
    TestResult {
        packet: test.text.clone(),
        span: test.span,
        outcome: Outcome::Failed,
        expected: action_word(test.expect).to_owned(),
        expected_rule: test.rule.clone(),
        action: None,
        reason: None,
        rule: None,
        note: None,
    }
}

impl TestResult {
    fn skip(&mut self, why: String) {
        self.outcome = Outcome::Skipped;
        self.note = Some(why);
    }
}

fn run(judge: &mut Judge<'_>, test: &Test, clock: &Clock, result: &mut TestResult) {
    let moment = clock.boot_time(test.at.unwrap_or(clock.wall));
    let all = match judge.judge_all(&test.packet, moment) {
        Ok(all) => all,
        Err(why) => {
            result.note = Some(why);
            return;
        }
    };
    let held = all.iter().find(|found| holds(result, found));
    let Some(found) = held.or(all.first()) else {
        return;
    };
    if held.is_some() {
        result.outcome = Outcome::Passed;
        let host = found.host_address.as_ref();
        result.note = host.map(|host| format!("with {host} as this host's address"));
    } else if found.reason == Reason::Failsafe.word() {
        let rule = found.rule.as_deref().unwrap_or_default();
        result.skip(format!("`{rule}` of this host decides before the list"));
    } else if let Some(rule) =
        { judge.judge(&test.packet, BEFORE_ALL).ok() }.and_then(|was| was.rule)
    {
        // It may have held as long as a rule was in force that has run out since.
        if found.rule.as_ref() != Some(&rule) {
            result.skip(format!("`{rule}` has expired"));
        }
    }
    result.action = Some(found.action.clone());
    result.reason = Some(found.reason.clone());
    result.rule.clone_from(&found.rule);
}

fn holds(wanted: &TestResult, found: &Explanation) -> bool {
    let rule = wanted.expected_rule.as_ref();
    wanted.expected == found.action && rule.is_none_or(|rule| found.rule.as_ref() == Some(rule))
}
