//! What was asked for, and what came.

use std::sync::{Arc, Mutex};

use crate::net::sock::Seen;

/// Shared by all who ask.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<Mutex<Counts>>);

/// So far.
#[derive(Clone, Default)]
pub(super) struct Counts {
    /// Questions.
    pub asked: u64,
    /// Allowed ones that nobody answered.
    pub lost: u64,
    /// Those that came to anything else than the policy says.
    pub wrong: u64,
    /// New policies in force.
    pub reloads: u64,
    /// New policies and changes of sets that were refused.
    pub refused: u64,
    /// Changes of sets.
    pub changes: u64,
    /// The first of what went wrong, in words.
    pub words: Vec<String>,
}

/// As many are told; one is enough to look for it.
const TOLD: usize = 20;

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        self.with(|counts| counts.clone())
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Counts) -> T) -> T {
        work(&mut self.0.lock().expect("nobody panics with it"))
    }

    /// Judges an answer. `what` is asked for only where it is not as it should be.
    pub(super) fn note(&self, wanted: &Seen, seen: &Seen, what: impl FnOnce() -> String) {
        self.with(|counts| {
            counts.asked += 1;
            if wanted == seen {
                return;
            }
            match (wanted, seen) {
                (Seen::Answered, Seen::Silence) => counts.lost += 1,
                _ => counts.wrong += 1,
            }
            counts.tell(format!("{}: {seen}, and not {wanted}", what()));
        });
    }

    /// A command that must do its work.
    pub(super) fn ran(&self, ran: &crate::net::Ran, count: impl FnOnce(&mut Counts)) {
        self.with(|counts| {
            if ran.ok() {
                count(counts);
            } else {
                counts.refused += 1;
                counts.tell(format!("{ran:?}"));
            }
        });
    }
}

impl Counts {
    fn tell(&mut self, words: String) {
        let at = jiff::Timestamp::now();
        eprintln!("{at:.1} {words}");
        if self.words.len() < TOLD {
            self.words.push(words);
        }
    }
}
