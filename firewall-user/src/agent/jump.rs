//! The wall clock was set: what is kept by it is told anew. Packets go by the clock since boot, which nobody sets.

use super::clock;
use super::state::Agent;

/// A second is what slewing never makes of one sweep; more is a jump.
const JUMP: i128 = 2_000_000_000;

impl Agent {
    /// Notices that the wall clock was set. Then rules end at their dates by the new one, and dynamic sets keep the
    /// time that is left, and say so by the new one.
    pub(super) fn follow_clock(&mut self) {
        let now = clock::now();
        let offset = now.wall.as_nanosecond() - i128::from(now.boot);
        let before = self.offset.replace(offset);
        let Some(jump) = before.map(|before| offset - before) else {
            return;
        };
        if jump.abs() < JUMP {
            // Slewing adds up, and is no jump.
            return;
        }
        tracing::warn!(
            "the wall clock was set by {} s: rules end by the new one",
            jump / 1_000_000_000
        );
        self.retime_sets();
        let told = self.retime_rules();
        let failed = |error| format!("rules end by the clock before it was set: {error:#}");
        self.note("clock", told.err().map(failed));
    }

    fn retime_rules(&mut self) -> anyhow::Result<()> {
        let Some(current) = self.in_force().cloned() else {
            return Ok(());
        };
        let mut compiled = current.compiled;
        compiled.retime(&clock::now());
        let rules = &self.in_force().map(|now| now.compiled.rules.clone());
        if rules.as_ref() == Some(&compiled.rules) {
            return Ok(());
        }
        self.fill(&compiled, &current.identity)?;
        if let Some(current) = self.current.as_mut() {
            current.compiled = compiled;
        }
        Ok(())
    }
}
