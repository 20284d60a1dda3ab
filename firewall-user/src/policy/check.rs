//! What a policy must and should be, as far as that needs no tables: errors refuse it, lints warn.

use super::diagnostic::Report;
use super::hosts::HostContext;
use super::model::Policy;

/// Errors that only the whole policy shows.
pub fn check(_policy: &Policy, _report: &mut Report<'_>) {}

/// Warnings.
pub fn lint(
    _policy: &Policy,
    _host: &HostContext,
    _now: jiff::Timestamp,
    _report: &mut Report<'_>,
) {
}
