//! A policy's own `tests` and `assertions`, run and proved.

mod aside;
mod assertions;
mod examples;

use firewall_common::config::GENERATION_MONITOR;
use serde::Serialize;

use super::compile::{CompileError, compile};
use super::compiled::{Clock, Numbers};
use super::diagnostic::Diagnostic;
use super::explain::Judge;
use super::model::{Action, Policy, Span};
use crate::agent::config::FailsafeRule;

/// What became of the tests and assertions.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProofReport {
    /// One for each of `tests`, in order.
    pub tests: Vec<TestResult>,
    /// One for each of `assertions`, in order.
    pub assertions: Vec<AssertionResult>,
}

/// How a test went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Not as expected.
    Failed,
    /// Not run; the note says why.
    Skipped,
}

/// One of `tests`.
#[derive(Debug, Clone, Serialize)]
pub struct TestResult {
    /// The packet, as written.
    pub packet: String,
    /// Where it stands.
    #[serde(skip)]
    pub span: Span,
    /// How it went.
    pub outcome: Outcome,
    /// The action that was expected.
    pub expected: String,
    /// The rule that was expected, where one is named.
    pub expected_rule: Option<String>,
    /// The action that was decided.
    pub action: Option<String>,
    /// The reason of the decision.
    pub reason: Option<String>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// What else is to be said.
    pub note: Option<String>,
}

/// One of `assertions`.
#[derive(Debug, Clone, Serialize)]
pub struct AssertionResult {
    /// The statement, as written.
    pub statement: String,
    /// Where it stands.
    #[serde(skip)]
    pub span: Span,
    /// Proved or refuted.
    pub outcome: Outcome,
    /// A packet that refutes it; `None` where it failed since it could not be decided, which a note says.
    pub counterexample: Option<String>,
    /// What is decided about that packet.
    pub action: Option<String>,
    /// The rule that decides about that packet, `unmatched/…` included; `None` where none is asked.
    pub rule: Option<String>,
    /// The reason, where no rule is asked.
    pub reason: Option<String>,
    /// What the proof rests on, such as the present content of list files.
    pub notes: Vec<String>,
}

impl ProofReport {
    /// Did nothing fail?
    #[must_use]
    pub fn holds(&self) -> bool {
        let tests = self.tests.iter().map(|test| test.outcome);
        let assertions = self.assertions.iter().map(|a| a.outcome);
        tests.chain(assertions).all(|o| o != Outcome::Failed)
    }

    /// What failed, as errors at their places.
    #[must_use]
    pub fn diagnostics(&self, policy: &Policy) -> Vec<Diagnostic> {
        let failed = |outcome| outcome == Outcome::Failed;
        let tests = self.tests.iter().filter(|test| failed(test.outcome));
        let claims = self.assertions.iter().filter(|claim| failed(claim.outcome));
        let tests = tests.map(|test| (test.span, test.diagnostic()));
        let claims = claims.map(|claim| (claim.span, claim.diagnostic()));
        let placed = |(span, diagnostic): (Span, Diagnostic)| at(policy, span, diagnostic);
        tests.chain(claims).map(placed).collect()
    }
}

/// A diagnostic at a place of the policy's files. The line's text is left to who has it.
#[must_use]
pub fn at(policy: &Policy, span: Span, mut diagnostic: Diagnostic) -> Diagnostic {
    let file = policy.files.get(span.file);
    diagnostic.file = file.map(|file| file.to_string_lossy().into_owned());
    if span.line > 0 {
        diagnostic.line = Some(span.line);
        diagnostic.column = Some(span.column);
    }
    diagnostic
}

/// "by `policy/rule`", or what decides where no rule does.
fn by(rule: Option<&String>) -> String {
    rule.map_or_else(
        || "by `unmatched`".to_owned(),
        |rule| format!("by `{rule}`"),
    )
}

impl TestResult {
    fn diagnostic(&self) -> Diagnostic {
        let rule = self.expected_rule.as_ref();
        let wanted = rule.map_or_else(String::new, |rule| format!(" by `{rule}`"));
        let found = match (&self.action, &self.note) {
            (Some(action), _) => {
                let reason = self.reason.as_deref().unwrap_or_default();
                format!("found {action} {} ({reason})", by(self.rule.as_ref()))
            }
            (None, Some(note)) => note.clone(),
            (None, None) => "it could not be judged".to_owned(),
        };
        let message = format!(
            "the test `{}` expects {}{wanted}: {found}",
            self.packet, self.expected
        );
        let help = "correct the rule that decides, or the test";
        Diagnostic::error("test-failed", message).help(help)
    }
}

impl AssertionResult {
    fn diagnostic(&self) -> Diagnostic {
        let Some(example) = self.counterexample.as_deref() else {
            return self.undecided();
        };
        let action = self.action.as_deref().unwrap_or_default();
        let message = format!(
            "`{}` does not hold: `{example}` gets {action} {}",
            self.statement,
            self.decider()
        );
        let help = match self.notes.as_slice() {
            [] => "correct the rule that decides, or the statement".to_owned(),
            notes => format!("this goes by {}", notes.join(", ")),
        };
        Diagnostic::error("assertion-failed", message).help(help)
    }

    fn decider(&self) -> String {
        match (&self.rule, &self.reason) {
            (None, Some(reason)) => format!("({reason})"),
            (rule, _) => by(rule.as_ref()),
        }
    }

    /// What nobody could prove is not taken for true.
    fn undecided(&self) -> Diagnostic {
        if self.notes.iter().any(|note| note == NOTHING) {
            let message = format!("`{}` says nothing: {NOTHING}", self.statement);
            let help = "name ends and services of one family: `icmp` is IPv4, `icmpv6` is IPv6";
            return Diagnostic::error("assertion-empty", message).help(help);
        }
        let message = format!("`{}` cannot be decided: {UNDECIDED}", self.statement);
        let help = "say it of fewer addresses or services, or split the policy by zones";
        Diagnostic::error("assertion-undecided", message).help(help)
    }
}

/// Why there is no answer.
const UNDECIDED: &str = "the rules that it is about overlap in too many ways";
/// Why a statement is neither true nor false.
const NOTHING: &str = "there is no packet that it speaks of";

const fn action_word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Reject => "reject",
    }
}

/// Far from the beginning of time, so that tests may look back.
const BOOT: u64 = 1 << 62;

/// Runs the tests and proves the assertions of a policy, as of the clock's present, on a host with these failsafe
/// rules.
///
/// # Errors
/// The policy does not compile.
pub fn run(
    policy: &Policy,
    failsafe: &[FailsafeRule],
    clock: &Clock,
) -> Result<ProofReport, Vec<CompileError>> {
    if policy.tests.is_empty() && policy.assertions.is_empty() {
        return Ok(ProofReport::default());
    }
    let clock = Clock {
        boot: BOOT,
        wall: clock.wall,
    };
    let mut compiled = compile(policy, &mut Numbers::default(), &clock)?;
    // What is only monitored would be decided all the same.
    compiled.head.flags &= !GENERATION_MONITOR;
    let mut judge = Judge::new(policy, &compiled).with_failsafe(failsafe);
    let claims = policy.assertions.iter();
    let mut prover = assertions::Prover::new(policy, &compiled, clock.boot);
    Ok(ProofReport {
        tests: examples::run_all(policy, &mut judge, failsafe.len(), &clock),
        assertions: claims
            .map(|claim| prover.prove(&mut judge, claim))
            .collect(),
    })
}

#[cfg(test)]
mod tests;
