//! Policies that go back by themselves unless they are confirmed in time. The kernel does it; here the history
//! and the agent's own view follow what the tables say.

use std::time::Duration;

use jiff::Timestamp;

use super::clock::{self, boot_now};
use super::history::{Record, TablesSay, Who};
use super::plane::{InForce, Pending};
use super::state::Agent;
use crate::api::types::{Applied, ApplyReply, PendingLine, Problem, exit};

const TOO_LATE: &str = "it was not confirmed in time";
const LOST: &str = "the tables were made anew before it was confirmed";

/// What became of a record that waited.
enum Fate {
    Waits,
    Confirmed,
    Over(&'static str),
}

impl Agent {
    /// Brings the history in line with the tables: what was not confirmed in time was gone back from. Says
    /// whether another policy decides now than the agent knew of.
    pub fn tend(&mut self) -> bool {
        let Some(record) = self.history.pending().cloned() else {
            return false;
        };
        if self.plane.is_none() {
            return false;
        }
        match self.settle_pending(&record) {
            Ok(true) => {
                self.gone_back(&record);
                true
            }
            Ok(false) => false,
            Err(error) => {
                let text = format!("the policy that waits to be confirmed: {error:#}");
                self.note("confirm", Some(text));
                false
            }
        }
    }

    /// At start: records that an earlier agent left open, by what the tables say.
    pub(super) fn settle_history(&mut self, held: Option<&InForce>) -> anyhow::Result<()> {
        let waits = self.plane()?.pending()?;
        let say = TablesSay {
            in_force: held.map(|held| &held.identity),
            waits: waits.as_ref().map(|waits| &waits.identity),
        };
        self.history.settle(say)?;
        if let Some(record) = self.history.pending().cloned()
            && self.settle_pending(&record)?
        {
            tracing::warn!("{}", reverted_text(&record, held));
        }
        Ok(())
    }

    /// Says whether the record was gone back from.
    fn settle_pending(&mut self, record: &Record) -> anyhow::Result<bool> {
        let plane = self.plane()?;
        let (waits, held) = (plane.pending()?, plane.in_force()?);
        match fate(record, waits.as_ref(), held.as_ref()) {
            Fate::Waits => Ok(false),
            Fate::Confirmed => {
                let noted = self.history.confirmed(record.id, clock::wall());
                self.note_history(noted);
                Ok(false)
            }
            Fate::Over(why) => {
                plane.revert()?;
                let noted = self.history.reverted(record.id, why);
                self.note_history(noted);
                self.tally.reverted += 1;
                Ok(true)
            }
        }
    }

    /// The tables go by what was before: so does the agent.
    fn gone_back(&mut self, record: &Record) {
        // It was filled before the clock was last set, perhaps.
        self.timed = None;
        self.current = self.fallback.take();
        if self.current.is_none() {
            self.recall();
            self.read_text();
        }
        let plane = self.plane.as_ref();
        let held = plane.and_then(|plane| plane.in_force().ok().flatten());
        tracing::warn!("{}", reverted_text(record, held.as_ref()));
        self.after_change();
    }

    /// What waits stays for good.
    ///
    /// # Errors
    /// Nothing waits, or it is too late.
    pub fn confirm(&mut self, by: &Who) -> Result<ApplyReply, Problem> {
        self.tend();
        let Some(record) = self.history.pending().cloned() else {
            return Err(self.nothing_waits());
        };
        let fault = |error: anyhow::Error| Problem::new(exit::NO, format!("{error:#}"));
        let in_time = self.plane().map_err(fault)?.confirm().map_err(fault)?;
        if !in_time {
            self.tend();
            return Err(self.nothing_waits());
        }
        self.fallback = None;
        let noted = self.history.confirmed(record.id, clock::wall());
        self.note_history(noted);
        self.tally.applied += 1;
        let (name, revision) = (&record.identity.name, record.identity.revision);
        tracing::info!("{name} revision {revision} was confirmed by {}", by.word());
        Ok(ApplyReply {
            lines: vec![format!(
                "confirmed: {name} revision {revision} stays in force"
            )],
            ..reply(&record, "applied", None)
        })
    }

    fn nothing_waits(&self) -> Problem {
        let last = self.history.records().last();
        let late = last.filter(|last| last.outcome == super::history::Outcome::Reverted);
        let text = match late {
            Some(late) => format!(
                "too late: revision {} was gone back from; apply it again with `--again`, or a new revision",
                late.identity.revision
            ),
            None => "nothing waits to be confirmed: see `ringwall status`".to_owned(),
        };
        Problem::new(exit::NO, text)
    }

    /// Goes back at once from what waits, which is what a rollback means then.
    pub(super) fn back_from_pending(
        &mut self,
        record: &Record,
        revision: Option<u64>,
        by: &Who,
    ) -> Result<ApplyReply, Problem> {
        let before = self.fallback.as_ref().map(|c| c.identity.revision);
        let before = before.or_else(|| Some(self.history.in_force()?.identity.revision));
        if revision.is_some() && revision != before {
            return Err(self.busy(record));
        }
        let fault = |error: anyhow::Error| Problem::new(exit::NO, format!("{error:#}"));
        self.plane().map_err(fault)?.revert().map_err(fault)?;
        let why = format!("gone back from by {} before it was confirmed", by.word());
        let noted = self.history.reverted(record.id, &why);
        self.note_history(noted);
        self.tally.rolled_back += 1;
        self.gone_back(record);
        let now = self.in_force().map(|current| current.identity.clone());
        let line = match &now {
            Some(now) => format!("applied: {} revision {}", now.name, now.revision),
            None => "no policy is in force, as before: nothing is filtered".to_owned(),
        };
        let applied = Applied {
            changed: true,
            dry_run: false,
            outcome: "applied".to_owned(),
            revision: now.as_ref().map(|now| now.revision),
            digest: now.map(|now| now.digest),
            previous: Some(record.identity.revision),
            ..Applied::default()
        };
        Ok(ApplyReply {
            applied,
            lines: vec![line],
            pending: None,
        })
    }

    /// Nothing else may come while a policy waits.
    pub(super) fn busy(&self, record: &Record) -> Problem {
        let left = record.confirm_by.map_or(0, seconds_to);
        let (name, revision) = (&record.identity.name, record.identity.revision);
        let text = format!(
            "{name} revision {revision} waits to be confirmed for another {left} s: keep it with `ringwall confirm`, or go back at once with `ringwall rollback`; then try again"
        );
        Problem::new(exit::NO, text)
    }

    /// Completes the answer to an apply whose policy waits.
    pub(super) fn say_pending(&self, reply: &mut ApplyReply, id: u64, within: Duration) {
        "pending-confirm".clone_into(&mut reply.applied.outcome);
        let Some(record) = self.history.record(id) else {
            return;
        };
        let plane = self.plane.as_ref();
        let waits = plane.and_then(|plane| plane.pending().ok().flatten());
        reply.pending = Some(PendingLine {
            record: id,
            deadline: waits.map_or_else(boot_now, |waits| waits.deadline),
            confirm_by: record.confirm_by.unwrap_or(record.at).to_string(),
        });
        let back = match &self.fallback {
            Some(before) => format!(
                "{} revision {} is in force again",
                before.identity.name, before.identity.revision
            ),
            None => "nothing is filtered again, as before".to_owned(),
        };
        let seconds = within.as_secs_f64();
        reply.lines.extend([
            format!("pending-confirm: without `ringwall confirm` within {seconds} s, {back}, even if the agent dies"),
            "open a NEW connection to this host now, from where you will need it: the one you type in proves nothing".to_owned(),
            "if it works, type there: sudo ringwall confirm".to_owned(),
        ]);
    }
}

/// What the tables say of a record that waited.
fn fate(record: &Record, waits: Option<&Pending>, held: Option<&InForce>) -> Fate {
    match waits {
        Some(waits) if waits.identity == record.identity => {
            if waits.passed {
                Fate::Over(TOO_LATE)
            } else {
                Fate::Waits
            }
        }
        _ if held.is_some_and(|held| held.identity == record.identity) => Fate::Confirmed,
        // The machine was started anew, or somebody detached.
        _ => Fate::Over(LOST),
    }
}

fn reverted_text(record: &Record, now: Option<&InForce>) -> String {
    let (name, revision) = (&record.identity.name, record.identity.revision);
    let back = match now {
        Some(now) => format!(
            "{} revision {} decides again",
            now.identity.name, now.identity.revision
        ),
        None => "no policy decides, as before: NOTHING IS FILTERED".to_owned(),
    };
    format!("REVERTED: {name} revision {revision} was not confirmed; {back}")
}

fn reply(record: &Record, outcome: &str, previous: Option<u64>) -> ApplyReply {
    let applied = Applied {
        changed: true,
        dry_run: false,
        outcome: outcome.to_owned(),
        revision: Some(record.identity.revision),
        digest: Some(record.identity.digest.clone()),
        previous,
        ..Applied::default()
    };
    ApplyReply {
        applied,
        ..ApplyReply::default()
    }
}

/// Whole seconds until a time, the one that runs counted.
fn seconds_to(at: Timestamp) -> u64 {
    let left = at.duration_since(clock::wall());
    Duration::try_from(left).map_or(0, |left| left.as_secs() + 1)
}
