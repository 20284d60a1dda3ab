//! What fuzzing feeds: a function for each thing that reads bytes of strangers. Each takes any bytes, panics where it
//! finds a fault, and gives nothing back.
//!
//! `cargo xtask fuzz` calls them from libFuzzer ([`tests/fuzz`](../../fuzz)). `tests/fuzz.rs` calls them with every
//! file of the corpus and with every input that ever made one panic.

use crate::differential::{Plan, frames};

mod packets;
mod saved;
mod words;

/// A target.
pub struct Target {
    /// Its name: that of its program and of its directories of inputs.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "packets",
        run: packets::decide_about,
    },
    Target {
        name: "policy",
        run: words::policy,
    },
    Target {
        name: "words",
        run: words::words,
    },
    Target {
        name: "api",
        run: words::api,
    },
    Target {
        name: "events",
        run: saved::events,
    },
    Target {
        name: "saved",
        run: saved::compiled,
    },
];

/// Inputs to begin with where none can be written by hand: target, name and bytes.
#[must_use]
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let plan = Plan {
        seed: 7,
        packets: 900,
    };
    let mut all = Vec::new();
    for (number, frames) in frames(plan).chunks(12).enumerate() {
        let mut input = Vec::new();
        for (leaves, frame) in frames {
            let [high, low] = (frame.len() as u16).to_be_bytes();
            input.extend([u8::from(*leaves), high, low]);
            input.extend(frame);
        }
        all.push(("packets", format!("seed-{number:02}"), input));
    }
    all.push(("saved", "seed".to_owned(), packets::compiled()));
    for (number, event) in saved::seeds().into_iter().enumerate() {
        all.push(("events", format!("seed-{number}"), event));
    }
    all
}

/// Runs a target by its name.
///
/// # Panics
/// Where the bytes show a fault, and where there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").run)(bytes);
}
