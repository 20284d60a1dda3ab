//! `ringwall history`.

use clap::Args;

use super::output::{OutputArgs, cell, moment};
use super::{Context, Done};
use crate::api::types::{HistoryRow, exit};

const LONG: &str = "\
Lists the policies that came to this host, newest first: who applied them, when, and what became of them.

  ringwall history
  ringwall history -o json | jq '.[] | select(.outcome == \"refused\")'";

/// List the revisions kept on this host.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct History {
    #[command(flatten)]
    output: OutputArgs,
}

impl History {
    pub(super) fn go(self, context: &Context) -> Done {
        let rows: Vec<HistoryRow> = context.client().get("/v1/history")?;
        let header = [
            "POLICY", "REVISION", "OUTCOME", "WHEN", "BY", "HOW", "FROM", "NOTE",
        ];
        let cells = |row: &HistoryRow| {
            let note = note(row);
            vec![
                row.name.clone(),
                row.revision.to_string(),
                row.outcome.clone(),
                moment(&row.at),
                row.by.clone(),
                row.how.clone(),
                row.source.clone(),
                cell(note),
            ]
        };
        context
            .screen
            .rows(&rows, self.output.output, &header, cells)?;
        Ok(exit::DONE)
    }
}

fn note(row: &HistoryRow) -> Option<String> {
    if row.downgrade {
        return Some("downgrade".to_owned());
    }
    if let Some(detail) = row.detail.as_deref() {
        return Some(first_line(detail));
    }
    let confirmed = row.confirmed.as_deref();
    let waits = || {
        Some(format!(
            "to be confirmed by {}",
            moment(row.confirm_by.as_deref()?)
        ))
    };
    confirmed
        .map(|at| format!("confirmed {}", moment(at)))
        .or_else(waits)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
