//! At start: what the pinned tables and the history say is in force goes on being in force.

use anyhow::Context;

use super::history::Record;
use super::plane::InForce;
use super::state::{Agent, Current};
use crate::policy::Checked;

impl Agent {
    /// Enforces the confirmed policy of the history at once: from the pinned tables where they hold it,
    /// else compiled again from the stored text, without tests and without reading list files anew.
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
        let settled = self
            .history
            .settle(|identity| held.as_ref().is_some_and(|held| held.identity == *identity));
        settled.context("the history cannot be written")?;
        let Some(record) = self.history.in_force().cloned() else {
            self.without_history(held.as_ref());
            return Ok(());
        };
        let taken = match self.stored(&record) {
            Ok(checked) => self.take(&record, &checked, held.as_ref()),
            Err(problem) => Err(anyhow::anyhow!("{problem}")),
        };
        match (&taken, held) {
            (Ok(()), _) => self.note("restore", None),
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

    fn take(
        &mut self,
        record: &Record,
        checked: &Checked,
        held: Option<&InForce>,
    ) -> anyhow::Result<()> {
        let mut numbers = self.numbers.clone();
        let compiled = self.compile(checked, &mut numbers)?;
        let context = self.settings.context(&checked.host);
        let same = held.is_some_and(|held| held.identity == record.identity)
            && record.context == context
            && numbers == self.numbers;
        let (name, revision) = (&record.identity.name, record.identity.revision);
        if same {
            tracing::info!("{name} revision {revision} is in force, as the pinned tables have it");
        } else {
            self.keep_numbers(numbers)?;
            self.fill(&compiled, &record.identity)?;
            let noted = self.history.set_context(record.id, &context);
            self.note_history(noted);
            tracing::info!("{name} revision {revision} is in force, from the history");
        }
        self.current = Some(Current {
            record: record.id,
            identity: record.identity.clone(),
            policy: checked.policy.clone(),
            compiled,
            applied: record.at,
        });
        Ok(())
    }

    /// What the tables hold, if the history knows it: to be listed, nothing is changed.
    pub(super) fn recall(&mut self) {
        let held = self
            .plane
            .as_ref()
            .and_then(|p| p.in_force().ok().flatten());
        let Some(held) = held else { return };
        let record = self.history.last(|r| r.identity == held.identity).cloned();
        let Some(record) = record else { return };
        let Ok(checked) = self.stored(&record) else {
            return;
        };
        let mut numbers = self.numbers.clone();
        if let Ok(compiled) = self.compile(&checked, &mut numbers) {
            self.current = Some(Current {
                record: record.id,
                identity: record.identity,
                policy: checked.policy,
                compiled,
                applied: record.at,
            });
        }
    }

    fn without_history(&mut self, held: Option<&InForce>) {
        match held {
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
        let host = self.settings.host().narrowed(&current.policy);
        if record.context == self.settings.context(&host) {
            return Ok(());
        }
        let checked = self.stored(&record).map_err(|p| anyhow::anyhow!("{p}"))?;
        let held = self.plane()?.in_force()?;
        self.take(&record, &checked, held.as_ref())
    }
}
