//! Results, a line each, as `xtask` reads them from the console.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow};

/// What was said so far.
#[derive(Default)]
pub(crate) struct Report {
    failed: bool,
}

impl Report {
    pub(crate) fn all_good(&self) -> bool {
        !self.failed
    }

    /// Runs a check and says what came of it: what was seen, or what went wrong.
    pub(crate) fn check(&mut self, name: &str, work: impl FnOnce() -> Result<String>) {
        // What the harness cannot do it panics about; the other checks still have their turn.
        let outcome = catch_unwind(AssertUnwindSafe(work));
        self.say(
            name,
            outcome.unwrap_or_else(|_| Err(anyhow!("it panicked, see above"))),
        );
    }

    /// Says what came of a check.
    pub(crate) fn say(&mut self, name: &str, outcome: Result<String>) {
        match outcome {
            Ok(detail) => line(name, "ok", &detail),
            Err(error) => {
                self.failed = true;
                line(name, "FAILED", &format!("{error:#}"));
            }
        }
    }

    /// Says that this kernel cannot show something.
    pub(crate) fn left_out(&self, name: &str, why: &str) {
        line(name, "left out", why);
    }
}

fn line(name: &str, result: &str, detail: &str) {
    let detail = detail.replace(['\n', '\t'], " ");
    println!("ringwall-check\t{name}\t{result}\t{detail}");
}
