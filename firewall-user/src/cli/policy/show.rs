//! `ringwall policy show`.

use std::path::PathBuf;

use clap::Args;

use super::super::output::{OutputArgs, cell, moment};
use super::super::{Context, Done, pinned};
use super::read;
use crate::agent::{candidate, clock, report};
use crate::api::types::{Problem, RuleRow, exit};
use crate::policy::compile;
use crate::policy::compiled::Numbers;

const LONG: &str = "\
Prints the whole ordered list as it decides: the first match counts. Of the policy in force with its counters, \
or of a file.

  ringwall policy show
  ringwall policy show policy.yaml
  ringwall policy show -o json | jq '.[] | select(.packets == 0) | .id'   # rules without a hit";

/// List the rules in the order they decide.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(in crate::cli) struct Show {
    /// A file, a directory of *.yaml files, or - for standard input; without it the policy in force.
    path: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Show {
    pub(in crate::cli) fn go(self, context: &Context) -> Done {
        let rows = match &self.path {
            Some(path) => of_file(context, path)?,
            None => in_force(context)?,
        };
        let header = [
            "ID",
            "ACTION",
            "FROM",
            "TO",
            "CONDITIONS",
            "STATE",
            "PACKETS",
            "BYTES",
            "LAST HIT",
            "OWNER",
            "REASON",
        ];
        context
            .screen
            .rows(&rows, self.output.output, &header, cells)?;
        Ok(exit::DONE)
    }
}

fn in_force(context: &Context) -> Result<Vec<RuleRow>, Problem> {
    let asked: Result<Vec<RuleRow>, Problem> = context.client().get("/v1/policy");
    let rows = match asked {
        Err(problem) if problem.exit == exit::AGENT => pinned::rules(context, problem)?,
        other => other?,
    };
    if rows.is_empty() {
        context
            .screen
            .say("no policy is in force: begin with `ringwall apply PATH`");
    }
    Ok(rows)
}

fn of_file(context: &Context, path: &std::path::Path) -> Result<Vec<RuleRow>, Problem> {
    let checked = read(context, path)?;
    let now = clock::now();
    let mut numbers = Numbers::default();
    let compiled = compile::compile(&checked.policy, &mut numbers, &now)
        .map_err(|errors| Problem::from(&candidate::unfit(&errors, &checked)))?;
    Ok(report::rule_rows(
        &compiled,
        &checked.host.failsafe,
        None,
        &now,
    ))
}

fn cells(row: &RuleRow) -> Vec<String> {
    let packets = match (row.packets, row.would_packets) {
        (Some(packets), Some(would)) if would > 0 => format!("{packets} (would {would})"),
        (packets, _) => cell(packets),
    };
    vec![
        row.id.clone(),
        row.action.clone(),
        row.from.clone(),
        row.to.clone(),
        row.conditions.clone(),
        row.state.clone(),
        packets,
        cell(row.bytes),
        cell(row.last_hit.as_deref().map(moment)),
        cell(row.owner.as_ref()),
        cell(row.reason.as_ref()),
    ]
}
