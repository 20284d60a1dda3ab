//! `tests`: packets with what must become of them.

use super::{Outcome, TestResult, action_word};
use crate::policy::compiled::Clock;
use crate::policy::explain::{Explanation, Judge};
use crate::policy::model::Test;

/// Before this every rule still matches.
const BEFORE_ALL: u64 = 0;

/// Runs one test.
pub(super) fn run(judge: &mut Judge<'_>, test: &Test, clock: &Clock) -> TestResult {
    let moment = test.at.unwrap_or(clock.wall);
    let mut judged_at = |now| judge.judge(&test.packet, now);
    let mut result = TestResult {
        packet: test.text.clone(),
        span: test.span,
        outcome: Outcome::Failed,
        expected: action_word(test.expect).to_owned(),
        expected_rule: test.rule.clone(),
        action: None,
        reason: None,
        rule: None,
        note: None,
    };
    let found = match judged_at(clock.boot_time(moment)) {
        Ok(found) => found,
        Err(why) => {
            result.note = Some(why);
            return result;
        }
    };
    if holds(&result, &found) {
        result.outcome = Outcome::Passed;
    } else if let Some(rule) = judged_at(BEFORE_ALL).ok().and_then(|was| was.rule) {
        // It may have held as long as a rule was in force that has run out since.
        if found.rule.as_ref() != Some(&rule) {
            result.outcome = Outcome::Skipped;
            result.note = Some(format!("`{rule}` has expired"));
        }
    }
    result.action = Some(found.action);
    result.reason = Some(found.reason);
    result.rule = found.rule;
    result
}

fn holds(wanted: &TestResult, found: &Explanation) -> bool {
    let rule = wanted.expected_rule.as_ref();
    wanted.expected == found.action && rule.is_none_or(|rule| found.rule.as_ref() == Some(rule))
}
