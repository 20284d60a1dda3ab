//! `ringwall policy check`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::super::output::{Format, OutputArgs};
use super::super::{Context, Done};
use super::read;
use crate::agent::{candidate, clock};
use crate::api::types::{Problem, exit};
use crate::policy::compiled::Cost;
use crate::policy::prove::{Outcome, ProofReport};
use crate::policy::{self, Checked, Diagnostic};

const LONG: &str = "\
Reads a policy, warns about what is odd, runs its tests and proves its assertions. Needs neither root nor an \
agent, so it fits a pre-commit hook or a pipeline.

  ringwall policy check policy.yaml
  generate | ringwall policy check -              # from standard input
  ringwall policy check --strict policy.d/        # warnings fail, those about dates aside
  ringwall policy check --strict=dates policy.d/  # those about dates fail, too";

/// Check a policy file or directory.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(in crate::cli) struct Check {
    /// A file, a directory of *.yaml files, or - for standard input.
    path: PathBuf,
    /// Fail on warnings.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "usual")]
    strict: Option<Strict>,
    #[command(flatten)]
    output: OutputArgs,
}

/// How strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Strict {
    /// Warnings fail, but for those about dates.
    #[value(hide = true)]
    Usual,
    /// All warnings fail.
    Dates,
}

/// What `-o json` prints.
#[derive(Debug, Default, Serialize)]
struct Report {
    ok: bool,
    name: Option<String>,
    revision: Option<u64>,
    digest: Option<String>,
    for_this_host: Option<bool>,
    rules: Option<usize>,
    cost: Option<Cost>,
    errors: serde_json::Value,
    warnings: Vec<Diagnostic>,
    #[serde(flatten)]
    proof: ProofReport,
}

impl Check {
    pub(in crate::cli) fn go(self, context: &Context) -> Done {
        match self.examine(context) {
            Ok((report, failed)) => self.tell(context, &report, failed),
            Err(problem) => {
                if self.output.output != Format::Table {
                    let report = Report {
                        errors: problem.diagnostics.clone(),
                        ..Report::default()
                    };
                    context.screen.json(&report, self.output.output)?;
                }
                Err(problem)
            }
        }
    }

    /// The report, and what fails in it.
    fn examine(&self, context: &Context) -> Result<(Report, Option<Problem>), Problem> {
        let mut checked = read(context, &self.path)?;
        let now = clock::now();
        let found = policy::lint::lint(&checked.policy, &now);
        let found = candidate::lines_of(found, &checked);
        checked.warnings.extend(found);
        let unfit = |errors: Vec<_>| Problem::from(&candidate::unfit(&errors, &checked));
        let mut numbers = policy::compiled::Numbers::default();
        let compiled =
            policy::compile::compile(&checked.policy, &mut numbers, &now).map_err(unfit)?;
        let proof =
            policy::prove::run(&checked.policy, &checked.host.failsafe, &now).map_err(unfit)?;
        let failed = self.failed(&checked, &proof);
        let policy = &checked.policy;
        let report = Report {
            ok: failed.is_none(),
            name: Some(policy.name.clone()),
            revision: Some(policy.revision),
            digest: Some(policy.digest.clone()),
            for_this_host: Some(checked.for_this_host),
            rules: Some(compiled.listing.len()),
            cost: Some(compiled.cost),
            errors: failed
                .as_ref()
                .map(|problem| problem.diagnostics.clone())
                .filter(serde_json::Value::is_array)
                .unwrap_or_else(|| serde_json::json!([])),
            warnings: checked.warnings.clone(),
            proof,
        };
        Ok((report, failed))
    }

    fn failed(&self, checked: &Checked, proof: &ProofReport) -> Option<Problem> {
        if !proof.holds() {
            return Some(candidate::failed(proof, checked));
        }
        let strict = self.strict?;
        let counts = |w: &&Diagnostic| strict == Strict::Dates || !w.is_about_dates();
        let warnings = checked.warnings.iter().filter(counts).count();
        let text = format!("{warnings} warnings, and --strict was asked for");
        (warnings > 0).then(|| Problem::new(exit::NO, text))
    }

    fn tell(&self, context: &Context, report: &Report, failed: Option<Problem>) -> Done {
        if self.output.output == Format::Table {
            for warning in &report.warnings {
                context.screen.say(warning.render(context.screen.colour));
            }
            if failed.is_none() {
                context.screen.lines(&summary(report))?;
            }
        } else {
            context.screen.json(report, self.output.output)?;
        }
        failed.map_or(Ok(exit::DONE), Err)
    }
}

fn summary(report: &Report) -> Vec<String> {
    let mut lines = vec![format!(
        "ok: {} revision {}, {} rules",
        report.name.as_deref().unwrap_or_default(),
        report.revision.unwrap_or_default(),
        report.rules.unwrap_or_default()
    )];
    let tests = report.proof.tests.iter().map(|test| test.outcome);
    let assertions = report.proof.assertions.iter().map(|a| a.outcome);
    let count = |outcomes: Vec<Outcome>, wanted: Outcome| {
        outcomes
            .into_iter()
            .filter(|outcome| *outcome == wanted)
            .count()
    };
    let (tests, assertions): (Vec<_>, Vec<_>) = (tests.collect(), assertions.collect());
    let skipped = count(tests.clone(), Outcome::Skipped);
    lines.push(format!(
        "tests: {} passed, {skipped} skipped; assertions: {} proved; warnings: {}",
        count(tests, Outcome::Passed),
        count(assertions, Outcome::Passed),
        report.warnings.len()
    ));
    lines.extend(report.cost.map(|cost| format!("cost: {cost}")));
    for test in report
        .proof
        .tests
        .iter()
        .filter(|t| t.outcome == Outcome::Skipped)
    {
        let why = test.note.as_deref().unwrap_or_default();
        lines.push(format!("skipped: {}: {why}", test.packet));
    }
    let notes = report.proof.assertions.iter().flat_map(|a| &a.notes);
    let notes: BTreeSet<&String> = notes.collect();
    lines.extend(
        notes
            .into_iter()
            .map(|note| format!("note: assertions go by {note}")),
    );
    if report.for_this_host == Some(false) {
        lines.push("note: `hosts` of this policy does not select this host".to_owned());
    }
    lines
}
