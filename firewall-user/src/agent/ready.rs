//! A revision of the history, ready for the tables: its saved compiled form, or its text compiled again.

use anyhow::anyhow;
use firewall_common::config::GENERATION_MONITOR;

use super::clock;
use super::history::Record;
use super::saved::{self, Saved, Told};
use super::state::Agent;
use crate::policy::compiled::{Compiled, Numbers};
use crate::policy::model::Policy;

/// What can be put into the tables.
pub(super) struct Ready {
    pub(super) compiled: Compiled,
    /// The numbers given out, with those that it needs.
    pub(super) numbers: Numbers,
    /// What it means, where the text was read for it.
    pub(super) policy: Option<Policy>,
    /// What somebody should know of the way it came.
    pub(super) warning: Option<String>,
}

impl Agent {
    /// The saved form where it fits; else the text, without tests and with the members that lists had; else
    /// a saved form that was made under other settings, since something must be enforced.
    pub(super) fn ready(&self, record: &Record) -> anyhow::Result<Ready> {
        let directory = self.history.directory_of(record.id);
        let digest = &record.identity.digest;
        let context = self.settings.context_of(record);
        let (other, unusable) = match Saved::read(&directory, digest, &context) {
            Ok(Some((saved, Told::Same))) => return Ok(self.of_saved(saved)),
            Ok(Some((saved, Told::Otherwise))) => (Some(saved), None),
            Ok(None) => (None, None),
            Err(error) => (None, Some(error)),
        };
        let revision = record.identity.revision;
        match (self.of_text(record), other) {
            (Ok(ready), _) => {
                if let Some(error) = unusable {
                    tracing::warn!(
                        "the saved compiled form of revision {revision} is not used, its text was compiled again: {error:#}"
                    );
                }
                Ok(ready)
            }
            (Err(error), Some(saved)) => Ok(Ready {
                warning: Some(format!(
                    "revision {revision} is enforced as it was compiled under other settings of the agent, since its text cannot be: {error:#}"
                )),
                ..self.of_saved(saved)
            }),
            (Err(error), None) => Err(match unusable {
                Some(unusable) => error.context(format!("{unusable:#}")),
                None => error,
            }),
        }
    }

    fn of_saved(&self, saved: Saved) -> Ready {
        let Saved {
            mut compiled,
            numbers,
        } = saved;
        // Dates are kept in words; how far they are from this boot is another matter each time.
        compiled.retime(&clock::now());
        if self.settings.monitor {
            compiled.head.flags |= GENERATION_MONITOR;
        }
        // Numbers only ever get more; without those on file, the saved ones keep counters and names together.
        let numbers = if self.numbers == Numbers::default() {
            numbers
        } else {
            self.numbers.clone()
        };
        Ready {
            compiled,
            numbers,
            policy: None,
            warning: None,
        }
    }

    fn of_text(&self, record: &Record) -> anyhow::Result<Ready> {
        let checked = self
            .stored(record)
            .map_err(|problem| anyhow!("{problem}"))?;
        let mut numbers = self.numbers.clone();
        let compiled = self.compile(&checked, &mut numbers)?;
        let ready = Ready {
            compiled,
            numbers,
            policy: Some(checked.policy),
            warning: None,
        };
        Ok(ready)
    }

    /// Saves what a record's text was compiled to. Failing costs time at the next start, and no more.
    pub(super) fn save(&mut self, record: u64, compiled: &Compiled, numbers: &Numbers) {
        let Some(record) = self.history.record(record) else {
            return;
        };
        let directory = self.history.directory_of(record.id);
        let (digest, context) = (&record.identity.digest, &record.context);
        let written = saved::write(&directory, (compiled, numbers), digest, context);
        let failed = |error| format!("the compiled form of the policy cannot be saved: {error}");
        self.note("saved", written.err().map(failed));
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::agent::fake::Pins;
    use crate::agent::tests::{Host, apply, text};

    /// A host whose policy is in force and saved, after a reboot: the pins are gone.
    fn rebooted(list: bool) -> (Host, PathBuf) {
        let host = Host::new();
        let mut agent = host.agent();
        let mut policy = text(7, 443);
        if list {
            std::fs::write(host.path("l.txt"), "198.51.100.0/24\n").unwrap();
            policy = policy.replace("zones:", "sets: {banned: {file: l.txt}}\nzones:");
        }
        apply(&host, &mut agent, &policy).unwrap();
        drop(agent);
        *host.pins() = Pins::default();
        let kept = host.path("state/revisions/000001");
        (host, kept)
    }

    #[test]
    fn after_a_reboot_the_saved_form_is_enough() {
        let (host, kept) = rebooted(true);
        let before = host.agent().current.unwrap().compiled;
        *host.pins() = Pins::default();
        std::fs::write(kept.join("p.yaml"), "damaged: [").unwrap();
        std::fs::remove_file(kept.join("l.txt")).unwrap();
        std::fs::remove_file(host.path("l.txt")).unwrap();
        let mut agent = host.agent();
        assert_eq!(agent.status().policy.unwrap().revision, 7);
        assert_eq!(host.pins().compiled.as_ref(), Some(&before));
        assert!(
            agent.warnings["text"].contains("cannot be used"),
            "{:?}",
            agent.warnings
        );
        assert!(!agent.warnings.contains_key("restore"));
        let said = agent.explain("tcp 203.0.113.9 -> host:443").unwrap_err();
        assert!(said.message.contains("apply it again"));
        assert_eq!(agent.rule_rows().unwrap().len(), host.rows());
    }

    #[test]
    fn a_damaged_saved_form_is_left_aside_and_made_anew() {
        let (host, kept) = rebooted(false);
        let saved = kept.join("compiled.bin");
        let good = std::fs::read(&saved).unwrap();
        std::fs::write(&saved, &good[..good.len() / 2]).unwrap();
        let agent = host.agent();
        assert!(agent.status().enforcing);
        assert_eq!(std::fs::read(&saved).unwrap(), good);
    }

    #[test]
    fn other_settings_compile_anew_unless_there_is_no_text() {
        let (mut host, kept) = rebooted(false);
        host.monitor = true;
        assert_eq!(host.agent().status().mode, "monitor");
        *host.pins() = Pins::default();
        host.monitor = false;
        std::fs::remove_file(kept.join("p.yaml")).unwrap();
        let agent = host.agent();
        let warning = &agent.warnings["compiled"];
        assert!(warning.contains("under other settings"), "{warning}");
        assert!(agent.status().policy.is_some());
    }

    #[test]
    fn without_either_nothing_is_filtered_and_that_is_said() {
        let (host, kept) = rebooted(false);
        std::fs::remove_file(kept.join("compiled.bin")).unwrap();
        std::fs::remove_file(kept.join("p.yaml")).unwrap();
        let agent = host.agent();
        assert!(!agent.status().enforcing);
        assert!(agent.warnings["restore"].contains("NOTHING IS FILTERED"));
    }

    #[test]
    fn numbers_that_are_lost_come_back_with_the_saved_form() {
        let (host, _) = rebooted(false);
        let numbers = host.path("state/numbers.json");
        let before = std::fs::read(&numbers).unwrap();
        std::fs::remove_file(&numbers).unwrap();
        host.agent();
        assert_eq!(std::fs::read(&numbers).unwrap(), before);
    }
}
