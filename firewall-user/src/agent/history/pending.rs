//! Records that wait to be confirmed.

use std::io;

use jiff::Timestamp;

use super::{History, Outcome, Record, prune};

impl History {
    /// The record that waits to be confirmed.
    #[must_use]
    pub fn pending(&self) -> Option<&Record> {
        self.last(|record| record.outcome == Outcome::PendingConfirm)
    }

    /// The record whose policy the tables are to hold: what waits to be confirmed, else what is in force.
    #[must_use]
    pub fn standing(&self) -> Option<&Record> {
        self.pending().or_else(|| self.in_force())
    }

    /// The tables hold the record's policy now, until it is confirmed or goes back. What was in force stays
    /// the confirmed one. Kept in memory even if the disk refuses.
    pub fn pending_now(&mut self, id: u64) -> io::Result<()> {
        let mut index = self.index.clone();
        let Some(record) = index.records.iter_mut().find(|r| r.id == id) else {
            return Err(io::Error::other("the record is gone from the history"));
        };
        record.outcome = Outcome::PendingConfirm;
        let now = record.identity.clone();
        index.rejected.retain(|identity| *identity != now);
        index.raise(&now);
        prune(&mut index);
        self.index = index.clone();
        self.commit(index)
    }

    /// What waited is in force for good.
    pub fn confirmed(&mut self, id: u64, at: Timestamp) -> io::Result<()> {
        if let Some(record) = self.index.records.iter_mut().find(|r| r.id == id) {
            record.confirmed = Some(at);
        }
        self.in_force_now(id, Outcome::Replaced)
    }

    /// What waited was gone back from: its content is refused until a new revision comes.
    pub fn reverted(&mut self, id: u64, why: &str) -> io::Result<()> {
        let mut index = self.index.clone();
        let left = index.records.iter().find(|r| r.id == id);
        index.rejected.extend(left.map(|r| r.identity.clone()));
        index.bound_rejected();
        self.index = index;
        self.failed(id, Outcome::Reverted, why)
    }
}
