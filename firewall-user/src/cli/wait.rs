//! Waiting for what becomes of a policy that is to be confirmed. The kernel goes back by itself, so this works
//! without an agent, too: then the history on disk and the pinned tables say what happened.

use std::time::Duration;

use super::output::Format;
use super::{Context, Done, pinned};
use crate::agent::clock::boot_now;
use crate::agent::history::Outcome;
use crate::api::types::{ApplyReply, HistoryRow, PendingLine, Problem, exit};

const STEP: Duration = Duration::from_millis(100);
/// For an agent that is being started, after the deadline.
const SLACK: u64 = 10_000_000_000;

/// Says that it waits, waits, and says what came of it.
pub(super) fn go(context: &Context, reply: ApplyReply, format: Format) -> Done {
    let Some(pending) = reply.pending.clone() else {
        return super::apply::answer(context, Ok(reply), format);
    };
    match format {
        Format::Table => context.screen.lines(&reply.lines)?,
        Format::Ndjson => context.screen.json(&reply.applied, format)?,
        Format::Json => {}
    }
    let confirmed = outcome(context, &pending)?;
    let mut applied = reply.applied;
    applied.changed = confirmed;
    applied.outcome = if confirmed { "applied" } else { "reverted" }.to_owned();
    let revision = applied.revision.unwrap_or_default();
    if !matches!(format, Format::Table) {
        context.screen.json(&applied, format)?;
    }
    if !confirmed {
        let text = format!(
            "reverted: revision {revision} was not confirmed, and what was before it decides again; fix it and raise the revision, or apply it again with `--again`"
        );
        return Err(Problem::new(exit::REVERTED, text));
    }
    if matches!(format, Format::Table) {
        let line = format!("confirmed: revision {revision} stays in force");
        context.screen.lines(&[line])?;
    }
    Ok(exit::DONE)
}

/// Was it confirmed?
fn outcome(context: &Context, pending: &PendingLine) -> Result<bool, Problem> {
    loop {
        let word = look(context, pending.record)?;
        match word.as_deref() {
            Some(word) if word == Outcome::Reverted.word() => return Ok(false),
            Some(word) if word != Outcome::PendingConfirm.word() => return Ok(true),
            _ if boot_now() > pending.deadline.saturating_add(SLACK) => {
                let text =
                    "it is not known whether the policy was confirmed: ask `ringwall status`";
                return Err(Problem::new(exit::AGENT, text));
            }
            _ => std::thread::sleep(STEP),
        }
    }
}

/// The record's outcome, by the agent or, where there is none, by what it left.
fn look(context: &Context, record: u64) -> Result<Option<String>, Problem> {
    let rows: Result<Vec<HistoryRow>, Problem> = context.client().get("/v1/history");
    match rows {
        Ok(rows) => Ok(rows
            .into_iter()
            .find(|row| row.id == record)
            .map(|row| row.outcome)),
        Err(problem) if problem.exit == exit::AGENT => Ok(pinned::outcome(context, record)),
        Err(problem) => Err(problem),
    }
}
