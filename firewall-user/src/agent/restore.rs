//! At start: what the pinned tables and the history say is in force goes on being in force.

use anyhow::Context;

use super::history::{Outcome, Record};
use super::plane::InForce;
use super::ready::Ready;
use super::state::{Agent, Current};

/// What to do where an earlier version's tables cannot be taken over.
const ADVICE: &str =
    "That version can be started again; or end enforcement with `ringwall detach` and start anew";

impl Agent {
    /// Enforces the confirmed policy of the history at once: from the pinned tables where they hold it,
    /// else from its saved compiled form, or compiled again from the stored text, without tests and without
    /// reading list files anew.
    ///
    /// # Errors
    /// The tables cannot be read or filled.
    pub fn restore(&mut self) -> anyhow::Result<()> {
        if self.settings.monitor {
            tracing::warn!(
                "MONITORING (--monitor): packets are judged and counted, none is dropped"
            );
        }
        let held = self.plane()?.in_force()?;
        let settled = self.settle_history(held.as_ref());
        settled.context("the history cannot be written")?;
        let Some(record) = self.history.standing().cloned() else {
            return self.without_history(held.as_ref());
        };
        let taken = self.take(&record, held.as_ref());
        match (&taken, held) {
            (Ok(()), _) => self.note("restore", None),
            (Err(error), Some(held)) if self.plane()?.takes_over() => {
                let why = format!("this version cannot put that in force: {error:#}");
                return Err(self.leave_enforcing(&held, &why));
            }
            (Err(error), Some(held)) => {
                let text = format!(
                    "the pinned tables go on enforcing {} revision {}, which cannot be listed: {error:#}",
                    held.identity.name, held.identity.revision
                );
                self.note("restore", Some(text));
            }
            (Err(error), None) => {
                let text = format!(
                    "NOTHING IS FILTERED: revision {} of the history cannot be put in force: {error:#}",
                    record.identity.revision
                );
                self.note("restore", Some(text));
            }
        }
        Ok(())
    }

    fn take(&mut self, record: &Record, held: Option<&InForce>) -> anyhow::Result<()> {
        let ready = self.ready(record)?;
        let context = self.settings.context_of(record);
        let same = !self.plane()?.takes_over()
            && held.is_some_and(|held| held.identity == record.identity)
            && record.context == context
            && ready.numbers == self.numbers;
        let (name, revision) = (&record.identity.name, record.identity.revision);
        if same {
            tracing::info!("{name} revision {revision} is in force, as the pinned tables have it");
        } else {
            self.keep_numbers(ready.numbers.clone())?;
            self.fill(&ready.compiled, &record.identity)?;
            let noted = self.history.set_context(record.id, &context);
            self.note_history(noted);
            tracing::info!("{name} revision {revision} is in force, from the history");
        }
        if ready.policy.is_some() {
            self.save(record.id, &ready.compiled, &ready.numbers);
        }
        self.timed = None;
        self.note("compiled", ready.warning.clone());
        self.begin_sets();
        self.sets_begin(&ready.compiled);
        self.current = Some(current(record, ready));
        Ok(())
    }

    /// What the tables hold, if the history knows it: to be listed, nothing is changed.
    pub(super) fn recall(&mut self) {
        let held = self
            .plane
            .as_ref()
            .and_then(|p| p.in_force().ok().flatten());
        let Some(held) = held else { return };
        let was = |r: &Record| {
            !matches!(
                r.outcome,
                Outcome::Refused | Outcome::NotForThisHost | Outcome::Interrupted
            )
        };
        let record = self
            .history
            .last(|r| was(r) && r.identity == held.identity)
            .cloned();
        let Some(record) = record else { return };
        self.current = self
            .ready(&record)
            .ok()
            .map(|ready| current(&record, ready));
    }

    /// Takes over from an earlier version's tables, now that ours hold the policy.
    ///
    /// # Errors
    /// Why it cannot be; the earlier version's programs go on enforcing.
    pub fn take_over_earlier(&mut self) -> anyhow::Result<()> {
        if let Some(done) = self.plane()?.take_over().context(ADVICE)? {
            tracing::info!("{done}");
        }
        Ok(())
    }

    /// What is ours is put away; what enforces goes on.
    fn leave_enforcing(&mut self, held: &InForce, why: &str) -> anyhow::Error {
        self.plane = None;
        let (name, revision) = (&held.identity.name, held.identity.revision);
        anyhow::anyhow!(
            "an earlier version's tables go on enforcing {name} revision {revision}, and {why}. {ADVICE}"
        )
    }

    fn without_history(&mut self, held: Option<&InForce>) -> anyhow::Result<()> {
        match held {
            Some(held) if self.plane()?.takes_over() => {
                let why = "the history does not know that: bring its state directory back";
                return Err(self.leave_enforcing(held, why));
            }
            Some(held) => {
                let text = format!(
                    "the pinned tables enforce {} revision {}, which the history does not know: apply a policy",
                    held.identity.name, held.identity.revision
                );
                self.note("restore", Some(text));
            }
            None => tracing::warn!(
                "no policy was ever applied here: everything passes and is counted; begin with `ringwall apply PATH`"
            ),
        }
        Ok(())
    }

    /// The agent file or the networks on links changed: what a compiled policy takes from them may have, too.
    ///
    /// # Errors
    /// The policy in force cannot be put into the tables anew; it stays as it is.
    pub fn refresh(&mut self) -> anyhow::Result<()> {
        let Some(current) = self.in_force() else {
            return Ok(());
        };
        let Some(record) = self.history.record(current.record).cloned() else {
            return Ok(());
        };
        if record.context == self.settings.context_of(&record) {
            return Ok(());
        }
        let held = self.plane()?.in_force()?;
        self.take(&record, held.as_ref())?;
        self.read_text();
        Ok(())
    }
}

fn current(record: &Record, ready: Ready) -> Current {
    let mut current = Current {
        record: record.id,
        identity: record.identity.clone(),
        text: None,
        sets: Vec::new(),
        compiled: ready.compiled,
        applied: record.at,
    };
    if let Some(policy) = ready.policy {
        current.learn(policy, &record.lists);
    }
    current
}
