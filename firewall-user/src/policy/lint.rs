//! Rules that can never match, and rules that change nothing.

use super::compiled::Clock;
use super::diagnostic::Diagnostic;
use super::model::Policy;

/// Warnings about rules without effect. Past a bound of work nothing is said.
#[must_use]
pub fn lint(_policy: &Policy, _clock: &Clock) -> Vec<Diagnostic> {
    Vec::new()
}
