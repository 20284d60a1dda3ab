//! A policy on its way into force, before the tables: read, checked, proved. Needs no owner, so that a long
//! proof holds up nobody.

use std::path::Path;
use std::time::Duration;

use super::clock;
use super::history::{How, Who};
use super::revision::{Allow, Identity};
use crate::api::types::{Applied, Problem, exit};
use crate::policy::compile::CompileError;
use crate::policy::prove::{ProofReport, at};
use crate::policy::{self, Checked, Diagnostic, HostContext, Refusal};

/// Who brought a policy, how, and what may be done all the same.
#[derive(Debug, Clone)]
pub struct Errand {
    /// What brought it.
    pub how: How,
    /// Who did.
    pub by: Who,
    /// The place it was read from.
    pub source: String,
    /// What may be done all the same.
    pub allow: Allow,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Go back by itself after so long, unless it is confirmed.
    pub within: Option<Duration>,
}

/// A policy that was read without an error, and whose errand it is.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The policy, its warnings and its files.
    pub checked: Checked,
    /// Whose errand it is.
    pub errand: Errand,
}

impl Candidate {
    /// What it is known by.
    #[must_use]
    pub fn identity(&self) -> Identity {
        identity(&self.checked)
    }

    /// Runs its tests and proves its assertions.
    ///
    /// # Errors
    /// What failed (exit status 1), or that it does not fit the tables (2).
    pub fn prove(&self) -> Result<(), Problem> {
        prove(&self.checked).map_err(|problem| problem.refused(Some(&self.identity()), None))
    }
}

/// What a policy is known by.
#[must_use]
pub fn identity(checked: &Checked) -> Identity {
    let policy = &checked.policy;
    Identity {
        name: policy.name.clone(),
        revision: policy.revision,
        digest: policy.digest.clone(),
    }
}

/// Reads the policy at a path.
///
/// # Errors
/// Every fault of it.
pub fn read(path: &Path, host: &HostContext) -> Result<Checked, Problem> {
    policy::read(path, host).map_err(|refusal| Problem::from(&refusal))
}

/// Runs a policy's tests and proves its assertions.
///
/// # Errors
/// What failed (exit status 1), or that it does not fit the tables (2).
pub fn prove(checked: &Checked) -> Result<(), Problem> {
    let report = policy::prove::run(&checked.policy, &checked.host.failsafe, &clock::now())
        .map_err(|errors| Problem::from(&unfit(&errors, checked)))?;
    if report.holds() {
        return Ok(());
    }
    Err(failed(&report, checked))
}

/// What failed of a policy's tests and assertions.
#[must_use]
pub fn failed(report: &ProofReport, checked: &Checked) -> Problem {
    let diagnostics = lines_of(report.diagnostics(&checked.policy), checked);
    Problem {
        exit: exit::NO,
        ..Problem::from(&Refusal { diagnostics })
    }
}

/// The same faults, with the lines of the policy's files that they are about.
#[must_use]
pub fn lines_of(found: Vec<Diagnostic>, checked: &Checked) -> Vec<Diagnostic> {
    if found.is_empty() {
        return found;
    }
    let texts: Vec<_> = checked
        .sources
        .iter()
        .map(|(_, bytes)| String::from_utf8_lossy(bytes))
        .collect();
    let lines: Vec<Vec<&str>> = texts.iter().map(|text| text.lines().collect()).collect();
    let placed = |fault: Diagnostic| {
        let named = |name: &Path| fault.file.as_deref() == Some(&*name.to_string_lossy());
        let mut files = checked.policy.files.iter().zip(&lines);
        match files.find(|(name, _)| named(name)) {
            Some((_, lines)) => fault.line_of(lines),
            None => fault,
        }
    };
    found.into_iter().map(placed).collect()
}

/// What the compiler says, as faults of the policy's files.
#[must_use]
pub fn unfit(errors: &[CompileError], checked: &Checked) -> Refusal {
    let diagnostics = errors.iter().map(|error| diagnostic(error, checked));
    let diagnostics = lines_of(diagnostics.collect(), checked);
    Refusal { diagnostics }
}

fn diagnostic(error: &CompileError, checked: &Checked) -> Diagnostic {
    let mut diagnostic = Diagnostic::error("does-not-fit", error.message.clone());
    if let Some(help) = &error.help {
        diagnostic = diagnostic.help(help.clone());
    }
    match error.span {
        Some(span) => at(&checked.policy, span, diagnostic),
        None => diagnostic,
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        Self {
            exit: exit::INPUT,
            message: refusal.render(false),
            coloured: Some(refusal.render(true)),
            diagnostics: serde_json::to_value(&refusal.diagnostics).unwrap_or_default(),
            applied: None,
        }
    }
}

impl Problem {
    /// The same, with the outcome of the apply that it ended.
    #[must_use]
    pub fn refused(mut self, candidate: Option<&Identity>, previous: Option<u64>) -> Self {
        self.applied = Some(Box::new(Applied {
            changed: false,
            dry_run: false,
            outcome: "refused".to_owned(),
            revision: candidate.map(|c| c.revision),
            digest: candidate.map(|c| c.digest.clone()),
            previous,
            ..Applied::default()
        }));
        self
    }
}
