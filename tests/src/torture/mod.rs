//! Hard days, row by row: what a firewall must keep to while somebody does their worst. `cargo xtask torture`
//! runs each row at length and prints what came of it; `tests/torture.rs` runs each in a few seconds.
//!
//! A row is a function in a file of its own and a line in [`ROWS`]. It makes its own namespaces, does its worst
//! with real traffic, and tells what it saw as [`Figure`]s. An error means that it could not be done at all.

mod clock;
mod differential;
mod drills;
mod figure;
mod full_table;
mod interpreter;
mod kernel_log;
pub mod kills;
mod reloads;
mod siege;
mod soak;
mod syn_flood;
mod withdrawn;

use std::time::Duration;

use anyhow::Result;

pub use figure::{Figure, table};

/// How hard to try.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Minutes, as the figures ask for; else some seconds.
    pub long: bool,
    /// What chance begins with.
    pub seed: u64,
    /// How many seeds are tried where one is not enough.
    pub seeds: u64,
    /// How long the soak goes on, if somebody says.
    pub soak: Option<Duration>,
}

impl Effort {
    /// For the tests: seconds, and the same each time.
    pub const SHORT: Self = Self {
        long: false,
        seed: 1,
        seeds: 1,
        soak: None,
    };

    /// One number for the long form, another for the short one.
    #[must_use]
    pub const fn pick<T: Copy>(&self, long: T, short: T) -> T {
        if self.long { long } else { short }
    }
}

/// A row: its name on the command line, what is done, and the function that does it.
pub struct Row {
    /// One word.
    pub name: &'static str,
    /// What is done, for people.
    pub what: &'static str,
    /// Does it.
    pub run: fn(&Effort) -> Result<Vec<Figure>>,
}

/// The row that goes on for as long as one likes.
pub const SOAK: &str = "soak";

/// All rows, in the order in which they are shown.
pub const ROWS: &[Row] = &[
    Row {
        name: "differential",
        what: "the same packets through us and through nftables with the same policy",
        run: differential::run,
    },
    Row {
        name: "interpreter",
        what: "random policies and packets through the loaded programs and a naive interpreter",
        run: interpreter::run,
    },
    Row {
        name: "reloads",
        what: "policy reloads during a transfer and a stream of denied packets",
        run: reloads::run,
    },
    Row {
        name: "syn-flood",
        what: "spoofed SYNs at a port that is open to everybody",
        run: syn_flood::run,
    },
    Row {
        name: "full-table",
        what: "flows without end, thrown at a full session table",
        run: full_table::run,
    },
    Row {
        name: "kill",
        what: "kill -9 of the agent at random moments, one in five of them in the middle of an apply",
        run: kills::run,
    },
    Row {
        name: "drills",
        what: "a full disk, damaged files, others who clean up, no bpffs, no memory",
        run: drills::run,
    },
    Row {
        name: "clock",
        what: "the wall clock set back and forth by hours and days",
        run: clock::run,
    },
    Row {
        name: "withdrawn",
        what: "a rule withdrawn under live traffic",
        run: withdrawn::run,
    },
    Row {
        name: SOAK,
        what: "mixed load with a new policy every five seconds; at the end nothing of it is left",
        run: soak::run,
    },
];
