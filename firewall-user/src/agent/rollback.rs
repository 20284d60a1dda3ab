//! Back to a revision that was in force here.

use super::apply::Next;
use super::candidate::{Candidate, Errand};
use super::history::{How, Outcome, Record, StoredFiles, Who};
use super::revision::Allow;
use super::state::Agent;
use crate::api::types::{ApplyReply, Problem, exit};
use crate::policy::{self, Checked};

impl Agent {
    /// Goes back: to the revision named, or to the one before.
    ///
    /// # Errors
    /// There is none such, or it cannot be put in force; the policy in force stays.
    pub fn rollback(&mut self, revision: Option<u64>, by: Who) -> Result<ApplyReply, Problem> {
        self.tend();
        if let Some(waits) = self.history.pending().cloned() {
            return self.back_from_pending(&waits, revision, &by);
        }
        let target = self.target(revision)?;
        let checked = self.stored(&target)?;
        let errand = Errand {
            how: How::Rollback,
            by,
            source: target.source.clone(),
            allow: Allow::default(),
            dry_run: false,
            within: None,
        };
        let mut numbers = self.numbers.clone();
        let compiled = self.compile(&checked, &mut numbers)?;
        let candidate = Candidate { checked, errand };
        let mut reply = self.reply(&candidate, &compiled);
        let mut record = self.record_of(&candidate.checked, &candidate.errand);
        record.before = target.before;
        // The files are the store's own copies; what they were called then is what they are called.
        record.files.clone_from(&target.files);
        record.lists.clone_from(&target.lists);
        let previous = reply.applied.previous;
        self.enter(
            &candidate.checked,
            record,
            compiled,
            numbers,
            Next::RollsBack,
        )
        .map_err(|problem| problem.refused(Some(&candidate.identity()), previous))?;
        self.tally.rolled_back += 1;
        reply.lines.push(
            "the revision left is refused until a new one comes, or `ringwall apply --again`"
                .to_owned(),
        );
        Ok(reply)
    }

    fn target(&self, revision: Option<u64>) -> Result<Record, Problem> {
        let no = |text: String| Problem::new(exit::NO, text).refused(None, self.previous());
        let was = |r: &Record| matches!(r.outcome, Outcome::Replaced | Outcome::RolledBack);
        let now = self.history.in_force();
        let found = match revision {
            Some(revision) => {
                if now.is_some_and(|now| now.identity.revision == revision) && self.plane.is_some()
                {
                    return Err(no(format!("revision {revision} is in force already")));
                }
                let held = |r: &Record| was(r) && r.identity.revision == revision;
                let name = now.map(|now| now.identity.name.clone());
                let same = |r: &Record| Some(&r.identity.name) == name.as_ref();
                self.history
                    .last(|r| held(r) && same(r))
                    .or_else(|| self.history.last(held))
            }
            None => now.and_then(|now| self.history.record(now.before?)),
        };
        found.cloned().ok_or_else(|| {
            no(match revision {
                Some(revision) => format!(
                    "revision {revision} was never in force here, or is no longer kept: see `ringwall history`"
                ),
                None => "there is no revision to go back to: see `ringwall history`".to_owned(),
            })
        })
    }

    /// A record's policy, read from the files kept with it.
    pub(super) fn stored(&self, record: &Record) -> Result<Checked, Problem> {
        let directory = self.history.directory_of(record.id);
        let revision = record.identity.revision;
        let damaged = |why: String| {
            let text = format!("the copy of revision {revision} cannot be used: {why}");
            Problem::new(exit::NO, text)
        };
        let files = StoredFiles::read_policy(&directory, &record.files)
            .map_err(|error| damaged(error.to_string()))?;
        let host = self.settings.host();
        let checked = policy::read_sources(files, record.directory, &host)
            .map_err(|refusal| damaged(refusal.render(false)))?;
        if checked.policy.digest != record.identity.digest {
            return Err(damaged("its digest is not the recorded one".to_owned()));
        }
        Ok(checked)
    }
}
