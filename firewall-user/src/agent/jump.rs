//! The wall clock was set: what is kept by it is told anew. Packets go by the clock since boot, which nobody sets.
//!
//! Three kinds of times, and what becomes of each: how long something lasts (sessions, members of sets, a policy that
//! waits to be confirmed) is counted since boot, and does not notice. A date (`expires`) is the wall clock's; the tables
//! hold it as a time since boot, which is worked out anew here. What is on disk is told by both clocks.

use super::clock;
use super::state::Agent;
use crate::policy::compiled::{Clock, Compiled};

/// By so much two looks at both clocks may differ; more is a clock that was set.
const NEAR: u64 = 2_000_000_000;

impl Agent {
    /// Notices that the wall clock was set since the dates of rules were last looked at: also by an agent before this
    /// one, or by nobody's knowledge while there was none. Small steps count once they have added up.
    pub(super) fn follow_clock(&mut self) {
        let now = clock::now();
        let offset = now.wall.as_nanosecond() - i128::from(now.boot);
        let before = self.timed;
        let jump = before.map_or(0, |before| offset - before);
        if before.is_some() && jump.unsigned_abs() < u128::from(NEAR) {
            return;
        }
        if before.is_some() {
            tracing::warn!(
                "the wall clock was set by {} s: rules end by the new one",
                jump / 1_000_000_000
            );
            self.retime_sets();
        }
        let told = self.retime_rules(&now);
        // Where that failed the next look tries again.
        self.timed = told.is_ok().then_some(offset);
        let failed = |error| format!("rules end by the clock before it was set: {error:#}");
        self.note("clock", told.err().map(failed));
    }

    /// What the tables say is compared, since they may have been filled long ago and by another agent.
    fn retime_rules(&mut self, now: &Clock) -> anyhow::Result<()> {
        let Some(current) = self.in_force().filter(|now| has_dates(&now.compiled)) else {
            return Ok(());
        };
        let (mut compiled, identity) = (current.compiled.clone(), current.identity.clone());
        compiled.retime(now);
        let held = self.plane()?.expiries()?;
        if !are_near(&held, &compiled) {
            self.fill(&compiled, &identity)?;
        }
        if let Some(current) = self.current.as_mut() {
            current.compiled = compiled;
        }
        Ok(())
    }
}

fn has_dates(compiled: &Compiled) -> bool {
    compiled.rules.iter().any(|rule| rule.expires != 0)
}

fn are_near(held: &[u64], wanted: &Compiled) -> bool {
    let near =
        |(held, wanted): (&u64, u64)| (*held == 0) == (wanted == 0) && held.abs_diff(wanted) < NEAR;
    let wanted = wanted.rules.iter().map(|rule| rule.expires);
    held.len() == wanted.len() && held.iter().zip(wanted).all(near)
}
