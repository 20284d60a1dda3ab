//! What fuzzing feeds: a function for each thing that reads bytes of strangers. Each takes any bytes, panics where it
//! finds a fault, and gives nothing back.
//!
//! `cargo xtask fuzz` calls them from libFuzzer ([`tests/fuzz`](../../fuzz)). `tests/fuzz.rs` calls them with every
//! file of the corpus and with every input that ever made one panic.

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

/// Runs a target by its name.
///
/// # Panics
/// Where the bytes show a fault, and where there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").run)(bytes);
}
