//! The last steps of a policy into force, and back: judged by its revision, compiled, put into the tables by
//! one swap, recorded. All of it runs on the owner's thread.

use std::time::Duration;

use super::candidate::{self, Candidate, Errand};
use super::clock;
use super::history::{Outcome, Record, StoredFiles};
use super::revision::{Identity, Known, No, Step, judge};
use super::state::{Agent, Current};
use super::text;
use crate::api::types::{Applied, ApplyReply, Problem, exit};
use crate::policy::Checked;
use crate::policy::compiled::{Compiled, Numbers};
use crate::policy::diff;
use firewall_common::config::GENERATION_MONITOR;

/// Sessions that end, shown to people one by one.
const SHOWN: usize = 20;

/// What becomes of the policy in force when another enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another takes its place; after so long it comes back, unless the other is confirmed.
    Replaces(Option<Duration>),
    /// It is gone back from.
    RollsBack,
}

impl Agent {
    /// May a policy come into force, by its name, revision and content?
    ///
    /// # Errors
    /// Why not.
    pub fn judge(&self, candidate: &Candidate) -> Result<Step, No> {
        let identity = candidate.identity();
        let in_force = self.in_force().map(|current| &current.identity);
        let known = Known {
            in_force,
            ..self.history.known(&identity)
        };
        judge(&identity, known, candidate.errand.allow)
    }

    /// What a refusal is answered with, counted and recorded.
    pub fn refuse(&mut self, candidate: &Candidate, problem: Problem) -> Problem {
        if !candidate.errand.dry_run {
            self.tally.refused += 1;
            let record = self.record_of(&candidate.checked, &candidate.errand);
            let noted = self.history.refused(record, &problem.brief());
            self.note_history(noted);
        }
        problem.refused(Some(&candidate.identity()), self.previous())
    }

    /// Notes a policy that is meant for other hosts. Gives the revision in force, which stays.
    pub(super) fn leave_to_others(&mut self, candidate: &Candidate) -> Option<u64> {
        if !candidate.errand.dry_run {
            self.tally.not_for_this_host += 1;
            let record = self.record_of(&candidate.checked, &candidate.errand);
            let why = "its `hosts` does not select this host";
            let noted = self.history.left_out(record, Outcome::NotForThisHost, why);
            self.note_history(noted);
        }
        self.previous()
    }

    /// Puts a policy in force: one that was read, checked and proved.
    ///
    /// # Errors
    /// Why not; the policy in force stays.
    pub fn put(&mut self, candidate: &Candidate) -> Result<ApplyReply, Problem> {
        self.tend();
        let downgrade = match self.judge(candidate) {
            Err(no) => {
                return Err(self.refuse(candidate, Problem::new(exit::NO, no.to_string())));
            }
            Ok(Step::Unchanged) => return Ok(self.unchanged(candidate)),
            Ok(Step::Apply { downgrade }) => downgrade,
        };
        if let Some(waits) = self.history.pending().cloned() {
            return Err(self.refuse(candidate, self.busy(&waits)));
        }
        let mut numbers = self.numbers.clone();
        let compiled = self
            .compile(&candidate.checked, &mut numbers)
            .map_err(|problem| self.refuse(candidate, problem))?;
        if !candidate.errand.allow.lockout
            && let Some(text) = self.lockout(&compiled)
        {
            return Err(self.refuse(candidate, Problem::new(exit::NO, text)));
        }
        let mut reply = self.reply(candidate, &compiled);
        if candidate.errand.dry_run {
            return Ok(reply);
        }
        let mut record = self.record_of(&candidate.checked, &candidate.errand);
        record.downgrade = downgrade;
        record.before = self.history.in_force().map(|record| record.id);
        self.adopted = 0;
        let within = candidate.errand.within;
        record.confirm_by = within.and_then(|within| record.at.checked_add(within).ok());
        let before = self.in_force().cloned();
        let id = self
            .enter(
                &candidate.checked,
                record,
                compiled,
                numbers,
                Next::Replaces(within),
            )
            .map_err(|problem| {
                problem.refused(Some(&candidate.identity()), reply.applied.previous)
            })?;
        if let Some(within) = within {
            self.fallback = before;
            self.say_pending(&mut reply, id, within);
            self.tally.pending_confirm += 1;
        } else {
            self.tally.applied += 1;
        }
        self.say_adopted(&mut reply);
        // It was read a while ago, since it was proved after that.
        self.follow_links();
        Ok(reply)
    }

    /// The policy's tables, `--monitor` included.
    pub(super) fn compile(
        &self,
        checked: &Checked,
        numbers: &mut Numbers,
    ) -> Result<Compiled, Problem> {
        let compile = crate::policy::compile::compile;
        let mut compiled = compile(&checked.policy, numbers, &clock::now())
            .map_err(|errors| Problem::from(&candidate::unfit(&errors, checked)))?;
        if self.settings.monitor {
            compiled.head.flags |= GENERATION_MONITOR;
        }
        Ok(compiled)
    }

    /// Files, record, numbers, tables, record again: in this order, so that a crash anywhere leaves the old
    /// or the new, and tells which.
    pub(super) fn enter(
        &mut self,
        checked: &Checked,
        mut record: Record,
        compiled: Compiled,
        numbers: Numbers,
        next: Next,
    ) -> Result<u64, Problem> {
        let files = StoredFiles::of(checked);
        if record.lists.is_empty() {
            record.lists.clone_from(&files.places);
        }
        record.context = self.settings.context(&checked.host);
        record.connected = checked.policy.connected();
        let (identity, applied) = (record.identity.clone(), record.at);
        let lists = record.lists.clone();
        let begun = self.history.begin(record, &files);
        let id = begun.map_err(|error| self.no_state(&error))?;
        if let Err(error) = self.keep_numbers(numbers) {
            let problem = self.no_state(&error);
            self.withdraw(id, &problem);
            return Err(problem);
        }
        self.save(id, &compiled, &self.numbers.clone());
        if let Some(before) = self.in_force().map(|before| before.record) {
            self.history.keep_times(id, before);
        }
        let within = match next {
            Next::Replaces(within) => within,
            Next::RollsBack => None,
        };
        if let Err(error) = self.fill_within(&compiled, &identity, within) {
            let problem = Problem::new(
                exit::NO,
                format!("the tables cannot take the policy, and the one in force stays: {error:#}"),
            );
            self.withdraw(id, &problem);
            return Err(problem);
        }
        self.note_lists(&checked.warnings, &lists);
        self.current = Some(Current {
            record: id,
            identity,
            text: None,
            sets: text::sets(&checked.policy, &lists),
            compiled,
            applied,
        });
        let kept = match next {
            Next::Replaces(None) => self.history.in_force_now(id, Outcome::Replaced),
            Next::Replaces(Some(_)) => self.history.pending_now(id),
            Next::RollsBack => self.history.in_force_now(id, Outcome::RolledBack),
        };
        self.note_history(kept);
        self.number_lists();
        self.after_change();
        Ok(id)
    }

    /// Swaps the tables. A policy that waits to be confirmed goes on waiting.
    pub(super) fn fill(&mut self, compiled: &Compiled, identity: &Identity) -> anyhow::Result<()> {
        self.fill_within(compiled, identity, None)
    }

    fn fill_within(
        &mut self,
        compiled: &Compiled,
        identity: &Identity,
        within: Option<Duration>,
    ) -> anyhow::Result<()> {
        crate::heap::used();
        let names = self.interface_names();
        self.plane()?;
        // Members are there before anything is judged by them.
        self.begin_sets();
        self.sets_begin(compiled);
        let applied = if self.plane()?.in_force()?.is_some() {
            self.plane()?.apply(compiled, identity, &names, within)
        } else {
            let interfaces = self.begin_enforcement()?;
            let applied = self.plane()?.apply(compiled, identity, &names, within);
            self.enforcement_begun(&interfaces)?;
            applied
        };
        self.tell_names();
        applied
    }

    /// The tables hold another policy: interfaces that a detach let go are guarded again.
    pub(super) fn after_change(&mut self) {
        self.note("detached", None);
        let links = self.links.clone();
        self.reconcile(links);
    }

    pub(super) fn keep_numbers(&mut self, numbers: Numbers) -> std::io::Result<()> {
        if numbers != self.numbers {
            self.history.keep_numbers(&numbers)?;
            self.numbers = numbers;
        }
        Ok(())
    }

    fn no_state(&self, error: &std::io::Error) -> Problem {
        let state = self.settings.paths.state.display();
        let text = format!(
            "nothing was applied and the policy in force stays: {state} cannot be written: {error}"
        );
        Problem::new(exit::NO, text)
    }

    fn withdraw(&mut self, id: u64, problem: &Problem) {
        let noted = self.history.failed(id, Outcome::Refused, &problem.brief());
        self.note_history(noted);
        self.tally.refused += 1;
    }

    pub(super) fn note_history(&mut self, written: std::io::Result<()>) {
        let failed = |e| format!("the history cannot be written (enforcement goes on): {e}");
        self.note("history", written.err().map(failed));
    }

    pub(super) fn record_of(&self, checked: &Checked, errand: &Errand) -> Record {
        Record {
            id: 0,
            identity: candidate::identity(checked),
            outcome: Outcome::Applying,
            downgrade: false,
            how: errand.how,
            by: errand.by.clone(),
            at: clock::wall(),
            before: None,
            source: errand.source.clone(),
            directory: checked.directory,
            files: checked
                .sources
                .iter()
                .map(|(path, _)| path.clone())
                .collect(),
            lists: std::collections::BTreeMap::new(),
            detail: None,
            confirm_by: None,
            confirmed: None,
            context: String::new(),
            connected: Vec::new(),
        }
    }

    pub(super) fn previous(&self) -> Option<u64> {
        self.in_force().map(|current| current.identity.revision)
    }

    fn unchanged(&mut self, candidate: &Candidate) -> ApplyReply {
        self.tally.unchanged += u64::from(!candidate.errand.dry_run);
        let identity = candidate.identity();
        let lines = vec![format!(
            "unchanged: {} revision {} is in force",
            identity.name, identity.revision
        )];
        let applied = Applied {
            changed: false,
            dry_run: candidate.errand.dry_run,
            outcome: "unchanged".to_owned(),
            revision: Some(identity.revision),
            previous: Some(identity.revision),
            digest: Some(identity.digest),
            ..Applied::default()
        };
        ApplyReply {
            applied,
            lines,
            pending: None,
        }
    }

    pub(super) fn reply(&mut self, candidate: &Candidate, compiled: &Compiled) -> ApplyReply {
        let identity = candidate.identity();
        let cut = self.sessions_cut(compiled);
        let sessions_cut = cut.total;
        let mut lines = self.changes(&identity, compiled);
        lines.extend(match candidate.checked.warnings.len() {
            0 => None,
            1 => Some("1 warning: see `ringwall policy check`".to_owned()),
            more => Some(format!("{more} warnings: see `ringwall policy check`")),
        });
        let word = if candidate.errand.dry_run {
            "would apply"
        } else {
            "applied"
        };
        lines.extend(
            cut.lines
                .iter()
                .take(SHOWN)
                .map(|line| format!("  not allowed any more: {line}")),
        );
        let left = sessions_cut.saturating_sub(SHOWN as u64);
        lines.extend((left > 0).then(|| format!("  and {left} more: see `-o json`")));
        let ends = match sessions_cut {
            0 => String::new(),
            1 => "; 1 live session is not allowed any more".to_owned(),
            more => format!("; {more} live sessions are not allowed any more"),
        };
        let (name, revision) = (&identity.name, identity.revision);
        lines.push(format!("{word}: {name} revision {revision}{ends}"));
        let applied = Applied {
            changed: true,
            dry_run: candidate.errand.dry_run,
            outcome: "applied".to_owned(),
            revision: Some(revision),
            previous: self.previous(),
            digest: Some(identity.digest),
            sessions_cut,
            not_allowed: cut.lines,
            adopted: 0,
        };
        ApplyReply {
            applied,
            lines,
            pending: None,
        }
    }

    /// The change by meaning, a rule a line.
    fn changes(&self, identity: &Identity, compiled: &Compiled) -> Vec<String> {
        let Some(current) = self.in_force() else {
            let rules = compiled.listing.len();
            return vec![format!("the first policy in force here: {rules} rules")];
        };
        let (old, new) = (&current.identity, identity);
        let mut lines = vec![format!(
            "{} revision {} -> {} revision {}",
            old.name, old.revision, new.name, new.revision
        )];
        let summary = diff::summary(&current.compiled.listing, &compiled.listing);
        for (sign, ids) in [
            ('+', &summary.added),
            ('-', &summary.removed),
            ('~', &summary.changed),
            ('^', &summary.moved),
        ] {
            lines.extend(ids.iter().map(|id| format!("  {sign} {id}")));
        }
        let unmatched = current.compiled.head.unmatched != compiled.head.unmatched;
        if unmatched {
            lines.push("  ~ unmatched".to_owned());
        }
        lines
    }
}
