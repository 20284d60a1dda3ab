//! Members of dynamic sets.

use firewall_common::policy::dynamic::MemberKey;

use super::Dataplane;
use super::error::Result;
use super::swap;
use crate::sets::Change;
use crate::sets::members::key_of;

/// No set has this number. What it holds says that an agent has filled the table: then it knows better than any file.
const FILLED: MemberKey = MemberKey::new(0, false, 128, [0; 16]);
/// Written at a time.
const AT_ONCE: usize = 65_536;

impl Dataplane {
    /// Changes members of a set. Live sessions are judged by that after [`Self::judge_anew`].
    ///
    /// # Errors
    /// Some were changed, and others not: the table has no room.
    pub fn change_members(&mut self, set: u32, changes: &[Change]) -> Result<()> {
        let table = &self.maps.members;
        // In order: one prefix may be changed twice. Runs of what is put in go together.
        for run in changes.chunk_by(|a, b| a.until.is_some() == b.until.is_some()) {
            for part in run.chunks(AT_ONCE) {
                let there = part
                    .iter()
                    .filter_map(|c| Some((key_of(set, c.prefix), c.until?)));
                let (keys, times): (Vec<MemberKey>, Vec<u64>) = there.unzip();
                if !keys.is_empty() {
                    table.fill(&keys, &times)?;
                }
                for gone in part.iter().filter(|change| change.until.is_none()) {
                    table.delete(&key_of(set, gone.prefix))?;
                }
            }
        }
        Ok(())
    }

    /// The table as packets see it: keys and times, or `None` where no agent has filled it since it was made.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn members(&self) -> Result<Option<Vec<(MemberKey, u64)>>> {
        if self.maps.members.get(&FILLED)?.is_none() {
            return Ok(None);
        }
        let mut all = self.maps.members.list()?;
        all.retain(|(key, _)| *key != FILLED);
        Ok(Some(all))
    }

    /// The table is filled now.
    ///
    /// # Errors
    /// Why that cannot be noted.
    pub fn members_filled(&mut self) -> Result<()> {
        self.maps.members.set(&FILLED, &1)
    }

    /// Has live sessions judged anew at their next packets.
    ///
    /// # Errors
    /// Why it could not; they are judged as they were.
    pub fn judge_anew(&mut self) -> Result<()> {
        swap::renew(&self.maps)
    }
}
