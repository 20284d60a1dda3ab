//! Keeping count of what was as expected.

/// How many steps were as expected.
#[derive(Default)]
pub(crate) struct Score {
    good: usize,
    bad: Vec<String>,
}

impl Score {
    /// Notes one step and prints its line.
    pub(crate) fn note(&mut self, good: bool, what: &str, line: &str) {
        println!("  {} {line}", if good { "ok " } else { "NOT" });
        if good {
            self.good += 1;
        } else {
            self.bad.push(what.to_owned());
        }
    }

    /// Notes a step whose line is its own description, with what was seen instead if it was not so.
    pub(crate) fn check(&mut self, good: bool, what: &str, seen: impl std::fmt::Display) {
        self.note(good, what, &format!("{what}: {seen}"));
    }

    pub(crate) fn all_good(&self) -> bool {
        self.bad.is_empty()
    }

    /// Says how it went.
    pub(crate) fn conclude(&self) -> bool {
        println!();
        for what in self.bad.iter().take(10) {
            println!("NOT as expected: {what}");
        }
        println!(
            "{} of {} as expected.",
            self.good,
            self.good + self.bad.len()
        );
        self.all_good()
    }
}

/// Quoted output, set off from ours.
pub(crate) fn indented(text: &str) -> String {
    text.trim_end()
        .lines()
        .map(|l| format!("    | {l}\n"))
        .collect()
}
