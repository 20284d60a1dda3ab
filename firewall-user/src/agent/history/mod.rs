//! The revisions kept on this host, who applied them, when, and what became of them.
//!
//! `history.json` is the index, written as a whole. `revisions/ID/` holds a revision's files as they were
//! read: the policy files, and the list files at their relative places, so that the policy can be read again
//! whatever became of the originals. `numbers.json` holds the numbers given out to rules and zones.
//!
//! A record that waits to be confirmed stands beside the one in force, which is what a reboot boots.
//!
//! Both files have a copy beside them (`history.copy.json`). What is damaged is put aside and its copy used; what is
//! damaged in both begins anew, since nothing here may keep an agent from guarding its host.
//!
//! The order of an apply: files, then the record as `applying`, then numbers, then the tables, then the
//! record as `in-force`. Whoever dies in between leaves a record `applying`, and the tables say which it was.

mod files;
mod pending;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use files::StoredFiles;
pub use record::{How, Outcome, Record, Who};

use super::revision::{Identity, Known};
use super::store;
use crate::policy::compiled::Numbers;

/// Records kept; with each that goes, its files go.
const KEPT: usize = 100;
/// Rolled-back contents remembered.
const REJECTED: usize = 1000;

/// What the tables hold, as far as the history asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct TablesSay<'a> {
    /// The policy that decides.
    pub in_force: Option<&'a Identity>,
    /// The policy that waits to be confirmed, or was not in time.
    pub waits: Option<&'a Identity>,
}

/// What the index holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Index {
    /// Layout of this file.
    version: u32,
    /// The next record's number.
    next: u64,
    /// Oldest first.
    records: Vec<Record>,
    /// By name the highest revision ever in force.
    highest: BTreeMap<String, Identity>,
    /// Contents that were rolled back.
    rejected: Vec<Identity>,
}

impl Index {
    fn bound_rejected(&mut self) {
        let over = self.rejected.len().saturating_sub(REJECTED);
        self.rejected.drain(..over);
    }

    /// It was in force, if only for a while.
    fn raise(&mut self, identity: &Identity) {
        let name = identity.name.clone();
        let top = self.highest.entry(name).or_insert_with(|| identity.clone());
        if identity.revision > top.revision {
            top.clone_from(identity);
        }
    }
}

/// The history on disk and in memory.
#[derive(Debug)]
pub struct History {
    directory: PathBuf,
    index: Index,
    /// What is damaged may be mended.
    mends: bool,
    /// What was damaged, and what became of it.
    damage: Vec<String>,
}

impl History {
    /// Opens the history in a state directory, making it where there is none.
    pub fn open(state: &Path) -> io::Result<Self> {
        store::make_private_dir(&state.join("revisions"))?;
        Self::read(state, true)
    }

    /// Reads the history without making anything.
    pub fn read_only(state: &Path) -> io::Result<Self> {
        Self::read(state, false)
    }

    fn read(state: &Path, mends: bool) -> io::Result<Self> {
        let mut damage = Vec::new();
        let index: Option<Index> =
            store::read_or_copy(&state.join("history.json"), mends, &mut damage)?;
        let anew = index.is_none();
        let mut index = index.unwrap_or_default();
        index.version = 1;
        index.next = index.next.max(1);
        if anew {
            index.next = index.next.max(after_the_last(&state.join("revisions")));
        }
        Ok(Self {
            directory: state.to_owned(),
            index,
            mends,
            damage,
        })
    }

    /// What was damaged and what became of it, told once.
    pub fn damage(&mut self) -> Option<String> {
        let told = std::mem::take(&mut self.damage);
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// All records, oldest first.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.index.records
    }

    /// What was offered since the policy in force came, and is meant for other hosts.
    #[must_use]
    pub fn for_others(&self) -> Option<&Record> {
        let last = self.index.records.last();
        last.filter(|record| record.outcome == Outcome::NotForThisHost)
    }

    /// The record of the policy in force: the confirmed one.
    #[must_use]
    pub fn in_force(&self) -> Option<&Record> {
        self.last(|record| record.outcome == Outcome::InForce)
    }

    /// The newest record that something holds for.
    pub fn last(&self, holds: impl Fn(&Record) -> bool) -> Option<&Record> {
        self.index.records.iter().rev().find(|r| holds(r))
    }

    /// A record by number.
    #[must_use]
    pub fn record(&self, id: u64) -> Option<&Record> {
        self.last(|record| record.id == id)
    }

    /// The highest revision ever in force under a name.
    #[must_use]
    pub fn highest(&self, name: &str) -> Option<&Identity> {
        self.index.highest.get(name)
    }

    /// What matters to a candidate; `in_force` is left to the caller, who knows what the tables hold.
    #[must_use]
    pub fn known(&self, candidate: &Identity) -> Known<'_> {
        let highest = self.highest(&candidate.name);
        let rejected = self.index.rejected.contains(candidate);
        Known {
            in_force: None,
            highest,
            rejected,
        }
    }

    /// Begins an apply: the files, then the record as `applying`.
    pub fn begin(&mut self, mut record: Record, files: &StoredFiles) -> io::Result<u64> {
        let id = self.index.next;
        record.id = id;
        record.outcome = Outcome::Applying;
        files.write(&self.directory_of(id))?;
        let mut index = self.index.clone();
        index.next += 1;
        index.records.push(record);
        self.commit(index)?;
        Ok(id)
    }

    /// The tables hold the record's policy now. Kept in memory even if the disk refuses.
    pub fn in_force_now(&mut self, id: u64, before: Outcome) -> io::Result<()> {
        let mut index = self.index.clone();
        let mut left = None;
        for record in &mut index.records {
            if record.id != id && record.outcome == Outcome::InForce {
                record.outcome = before;
                left = Some(record.identity.clone());
            }
        }
        let Some(record) = index.records.iter_mut().find(|r| r.id == id) else {
            return Err(io::Error::other("the record is gone from the history"));
        };
        record.outcome = Outcome::InForce;
        let now = record.identity.clone();
        index.rejected.retain(|identity| *identity != now);
        if before == Outcome::RolledBack {
            index.rejected.extend(left.filter(|left| *left != now));
        }
        index.bound_rejected();
        index.raise(&now);
        prune(&mut index);
        self.index = index.clone();
        self.commit(index)?;
        self.sweep_files();
        Ok(())
    }

    /// The record's policy never came into force.
    pub fn failed(&mut self, id: u64, outcome: Outcome, why: &str) -> io::Result<()> {
        let mut index = self.index.clone();
        if let Some(record) = index.records.iter_mut().find(|r| r.id == id) {
            record.outcome = outcome;
            record.detail = Some(why.to_owned());
        }
        self.index = index.clone();
        self.commit(index)
    }

    /// Notes a policy that was refused, once per content and reason.
    pub fn refused(&mut self, record: Record, why: &str) -> io::Result<()> {
        self.left_out(record, Outcome::Refused, why)
    }

    /// Notes a policy that does not come into force, once per content and reason.
    pub fn left_out(&mut self, mut record: Record, outcome: Outcome, why: &str) -> io::Result<()> {
        let again = self.index.records.last().is_some_and(|last| {
            last.outcome == outcome
                && last.identity == record.identity
                && last.detail.as_deref() == Some(why)
        });
        if again {
            return Ok(());
        }
        let mut index = self.index.clone();
        record.id = index.next;
        record.outcome = outcome;
        record.detail = Some(why.to_owned());
        index.next += 1;
        index.records.push(record);
        prune(&mut index);
        self.commit(index)
    }

    /// After a crash: a record that was `applying` came into force if the tables hold it, else it never did.
    pub fn settle(&mut self, tables: TablesSay<'_>) -> io::Result<()> {
        let open = self.last(|r| r.outcome == Outcome::Applying).cloned();
        let Some(open) = open else { return Ok(()) };
        if tables.waits == Some(&open.identity) {
            self.pending_now(open.id)?;
        } else if tables.in_force == Some(&open.identity) {
            let before = match open.how {
                How::Rollback => Outcome::RolledBack,
                _ => Outcome::Replaced,
            };
            self.in_force_now(open.id, before)?;
        }
        let stale = |r: &&Record| r.outcome == Outcome::Applying;
        let ids: Vec<u64> = self.records().iter().filter(stale).map(|r| r.id).collect();
        let why = "the agent ended before the swap";
        ids.into_iter()
            .try_for_each(|id| self.failed(id, Outcome::Interrupted, why))
    }

    /// What the agent was told when the record's policy was put into the tables (labels, roles, `--monitor`).
    pub fn set_context(&mut self, id: u64, context: &str) -> io::Result<()> {
        let mut index = self.index.clone();
        if let Some(record) = index.records.iter_mut().find(|r| r.id == id) {
            context.clone_into(&mut record.context);
        }
        self.index = index.clone();
        self.commit(index)
    }

    /// Replaces a list file's copy, so that the next start has the members of today.
    pub fn replace_list(&self, id: u64, list: &Path, bytes: &[u8]) -> io::Result<()> {
        let Some(record) = self.record(id) else {
            return Ok(());
        };
        let Some(stored) = record.lists.get(list) else {
            return Ok(());
        };
        store::write(&self.directory_of(id).join(stored), bytes)
    }

    /// Where a record's files are.
    #[must_use]
    pub fn directory_of(&self, id: u64) -> PathBuf {
        self.directory.join("revisions").join(format!("{id:06}"))
    }

    /// The numbers given out so far. Where they are lost, those of the policy in force come back with its saved form.
    pub fn numbers(&mut self) -> Numbers {
        let path = self.directory.join("numbers.json");
        match store::read_or_copy(&path, self.mends, &mut self.damage) {
            Ok(numbers) => numbers.unwrap_or_default(),
            Err(error) => {
                self.damage.push(format!("{}: {error}", path.display()));
                Numbers::default()
            }
        }
    }

    /// Keeps the numbers; done before any table holds them.
    pub fn keep_numbers(&self, numbers: &Numbers) -> io::Result<()> {
        store::write_with_copy(&self.directory.join("numbers.json"), numbers)
    }

    /// On disk first, then in memory.
    fn commit(&mut self, index: Index) -> io::Result<()> {
        store::write_with_copy(&self.directory.join("history.json"), &index)?;
        self.index = index;
        Ok(())
    }

    /// Files of records that are gone, or that never came to a record.
    fn sweep_files(&self) {
        let Ok(entries) = std::fs::read_dir(self.directory.join("revisions")) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.parse::<u64>().ok());
            if id.is_none_or(|id| self.record(id).is_none()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// A number that no directory of an older record has: its files are for whoever wants to look.
fn after_the_last(revisions: &Path) -> u64 {
    let entries = std::fs::read_dir(revisions).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
    numbers.max().map_or(1, |last| last.saturating_add(1))
}

/// The oldest records go, never the one in force, the one a rollback would go to, nor one being applied.
fn prune(index: &mut Index) {
    let in_force = |record: &&Record| record.outcome == Outcome::InForce;
    let back = index.records.iter().rfind(in_force).and_then(|r| r.before);
    let mut over = index.records.len().saturating_sub(KEPT);
    index.records.retain(|record| {
        let needed = matches!(
            record.outcome,
            Outcome::InForce | Outcome::PendingConfirm | Outcome::Applying
        ) || Some(record.id) == back;
        let goes = over > 0 && !needed;
        over -= usize::from(goes);
        !goes
    });
}
