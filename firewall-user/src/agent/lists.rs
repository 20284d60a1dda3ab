//! List files of the policy in force: their members are outside the revision, and change with the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::history::StoredFiles;
use super::state::Agent;
use super::text::{SetLine, original};
use crate::api::types::{Problem, exit};
use crate::policy::source::{MAX_BYTES, read_regular};
use crate::policy::{self, Checked, Diagnostic};

/// What a list file may have that is no fault of it: the codes of such warnings.
const ODD: [&str; 2] = ["host-bits", "empty-list-file"];
/// Warnings told one by one.
const SHOWN: usize = 3;

impl Agent {
    /// The list files to be watched: where they are.
    #[must_use]
    pub fn list_files(&self) -> Vec<PathBuf> {
        self.lists().into_keys().collect()
    }

    pub(super) fn lists(&self) -> BTreeMap<PathBuf, PathBuf> {
        let record = self.in_force().and_then(|c| self.history.record(c.record));
        record.map(|r| r.lists.clone()).unwrap_or_default()
    }

    /// When the members of a set of the policy in force last changed: a list's, when its kept copy was written;
    /// others', when the policy came.
    #[must_use]
    pub fn set_changed(&self, set: &SetLine) -> Option<Timestamp> {
        let current = self.in_force()?;
        let Some(file) = &set.file else {
            return Some(current.applied);
        };
        let stored = self.lists().remove(file)?;
        let kept = self.history.directory_of(current.record).join(stored);
        let written = std::fs::metadata(kept).and_then(|data| data.modified());
        Timestamp::try_from(written.ok()?).ok()
    }

    /// Reads the list files again where they changed, and judges live sessions anew. A bad line in one
    /// refuses the whole reload and keeps the old members.
    pub fn reload_lists(&mut self) {
        let changed = self.changed_lists();
        if changed.is_empty() {
            return;
        }
        match self.take_lists(&changed) {
            Ok(()) => {
                let names: Vec<String> = changed
                    .iter()
                    .map(|(p, _)| p.display().to_string())
                    .collect();
                tracing::info!("read again: {}", names.join(", "));
                self.note("lists", None);
            }
            Err(error) => {
                let text = format!("list files keep their old members: {}", error.brief());
                self.note("lists", Some(text));
            }
        }
    }

    /// Those whose bytes are not the kept copy's. One that cannot be read keeps its members, too.
    fn changed_lists(&mut self) -> Vec<(PathBuf, Vec<u8>)> {
        let Some(id) = self.in_force().map(|current| current.record) else {
            return Vec::new();
        };
        let directory = self.history.directory_of(id);
        let mut changed = Vec::new();
        let mut unreadable = None;
        for (path, stored) in self.lists() {
            let old = std::fs::read(directory.join(stored)).unwrap_or_default();
            match read_regular(&path, MAX_BYTES) {
                Ok(new) if new != old => changed.push((path, new)),
                Ok(_) => {}
                Err(error) => unreadable = Some(error),
            }
        }
        let text = unreadable.map(|e| format!("list files keep their old members: {e}"));
        let warn = text.is_some() || changed.is_empty();
        if warn {
            self.note("lists", text);
        }
        changed
    }

    /// What is odd about the lists that were read, for as long as it is.
    pub(super) fn note_lists(&mut self, found: &[Diagnostic], lists: &BTreeMap<PathBuf, PathBuf>) {
        let odd = found.iter().filter(|found| ODD.contains(&found.code));
        let mut lines: Vec<String> = odd.map(|found| line(found, lists)).collect();
        let more = lines.len().saturating_sub(SHOWN);
        lines.truncate(SHOWN);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        let text = (!lines.is_empty()).then(|| lines.join("; "));
        self.note("list-warnings", text);
    }

    fn take_lists(&mut self, changed: &[(PathBuf, Vec<u8>)]) -> Result<(), Problem> {
        let Some(id) = self.in_force().map(|current| current.record) else {
            return Ok(());
        };
        let Some(record) = self.history.record(id).cloned() else {
            return Ok(());
        };
        // Read from the originals, so that faults are named where they are; the policy's text is the kept one.
        let directory = self.history.directory_of(id);
        let kept = StoredFiles::read_policy(&directory, &record.files).map_err(failed)?;
        let originals = record.files.iter().cloned();
        let files = originals.zip(kept.into_iter().map(|(_, b)| b)).collect();
        let checked: Checked = policy::read_sources(files, record.directory, &self.settings.host())
            .map_err(|refusal| Problem::from(&refusal))?;
        let mut numbers = self.numbers.clone();
        let compiled = self.compile(&checked, &mut numbers)?;
        self.keep_numbers(numbers).map_err(failed)?;
        self.fill(&compiled, &record.identity).map_err(failed)?;
        // Before the copies of the lists: as long as one of those differs, the lists are read again.
        self.save(id, &compiled, &self.numbers.clone());
        if let Some(current) = self.current.as_mut() {
            current.learn(checked.policy, &record.lists);
            current.compiled = compiled;
        }
        self.note_lists(&checked.warnings, &record.lists);
        for (path, bytes) in changed {
            let kept = self.history.replace_list(id, Path::new(path), bytes);
            self.note_history(kept);
        }
        self.versions.forget();
        self.number_lists();
        Ok(())
    }
}

/// `file:line: message`.
fn line(found: &Diagnostic, lists: &BTreeMap<PathBuf, PathBuf>) -> String {
    let file = found.file.as_deref().unwrap_or_default();
    let mut text = original(Path::new(file), lists).display().to_string();
    if let Some(line) = found.line {
        text.push_str(&format!(":{line}"));
    }
    format!("{text}: {}", found.message).replace(char::is_control, "\u{fffd}")
}

fn failed(error: impl Into<anyhow::Error>) -> Problem {
    Problem::new(exit::NO, format!("{:#}", error.into()))
}

#[cfg(test)]
mod tests {
    use crate::agent::tests::{Host, apply, text};

    #[test]
    fn what_is_odd_about_a_list_is_a_warning_until_it_is_mended() {
        let host = Host::new();
        let mut agent = host.agent();
        let list = host.path("l.txt");
        let warned = |agent: &super::Agent| agent.warnings.get("list-warnings").cloned();
        std::fs::write(&list, "198.51.100.0/24\n").unwrap();
        let sets = "sets: {bad: {file: l.txt}}\nzones:";
        let of = |revision| text(revision, 443).replace("zones:", sets);
        apply(&host, &mut agent, &of(1)).unwrap();
        assert_eq!(warned(&agent), None);
        for (members, words) in [
            ("# nobody\n", "the list is empty"),
            (
                "\n198.51.100.7/24\n",
                "l.txt:2: 1 entries have host bits set",
            ),
        ] {
            std::fs::write(&list, members).unwrap();
            agent.reload_lists();
            let warning = warned(&agent).unwrap();
            assert!(warning.contains(words), "{warning}");
            assert!(
                warning.starts_with(&list.display().to_string()),
                "{warning}"
            );
            assert!(agent.status().warnings.contains(&warning));
        }
        // It is there under the next revision, too, and when the text was read again.
        apply(&host, &mut agent, &of(2)).unwrap();
        let warning = warned(&agent).unwrap();
        drop(agent);
        let mut agent = host.agent();
        agent.read_text();
        assert_eq!(warned(&agent), Some(warning));
        std::fs::write(&list, "198.51.100.0/24\n").unwrap();
        agent.reload_lists();
        assert_eq!(warned(&agent), None);
    }
}
