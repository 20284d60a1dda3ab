//! Adding up.

use serde::{Deserialize, Serialize};

use super::libtest::Report;
use super::skips::Listed;

/// What became of one test binary.
#[derive(Serialize, Deserialize, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    passed: usize,
    /// Names, with what there is to say.
    failed: Vec<String>,
    /// Of those that failed, their names in the binary.
    names: Vec<String>,
    /// Names of tests that failed beside others and passed alone.
    unsteady: Vec<String>,
    /// Names and reasons.
    skipped: Vec<(String, String)>,
}

impl Outcome {
    /// From what libtest printed, and what the tests wrote about themselves (`name TAB reason` lines).
    pub(super) fn of(job: &str, report: &Report, skips: &str, good: bool, ended: &str) -> Self {
        let full = |name: &str| format!("{job}::{name}");
        let mut this = Self {
            passed: report.passed,
            names: report.names_failed.clone(),
            ..Self::default()
        };
        this.failed = report.names_failed.iter().map(|n| full(n)).collect();
        // A name lost to garbled output still counts.
        let nameless = report.failed.saturating_sub(this.failed.len());
        this.failed
            .extend((0..nameless).map(|_| format!("{job} (see its output)")));
        if this.failed.is_empty() && !(good && report.summaries > 0) {
            this.failed
                .push(format!("{job}: {ended}, without a result"));
        }
        this.skipped = report
            .ignored
            .iter()
            .map(|(n, r)| (full(n), r.clone()))
            .collect();
        for (name, reason) in skips.lines().filter_map(|l| l.split_once('\t')) {
            this.note_skip(report, name, (full(name), reason.to_owned()));
        }
        this
    }

    /// libtest called a skipped test passed. A part of a test is skipped under a name that it did not.
    fn note_skip(&mut self, report: &Report, name: &str, skip: (String, String)) {
        if self.skipped.contains(&skip) {
            return;
        }
        if report.names_passed.iter().any(|n| n == name) {
            self.passed = self.passed.saturating_sub(1);
        }
        self.skipped.push(skip);
    }

    /// The tests that failed, if they are known by name.
    pub(super) fn failed_tests(&self) -> &[String] {
        if self.names.len() == self.failed.len() {
            &self.names
        } else {
            &[]
        }
    }

    /// What it comes to once those that failed were tried again.
    pub(super) fn after(mut self, again: &[Self]) -> Self {
        if again.iter().all(|one| !one.has_failed() && one.passed == 1) {
            self.passed += self.failed.len();
            self.unsteady = std::mem::take(&mut self.failed);
        }
        self
    }

    /// Something that is no test went wrong.
    pub(super) fn trouble(what: &str, why: &str) -> Self {
        Self {
            failed: vec![format!("{what}: {why}")],
            ..Self::default()
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    pub(super) fn counts(&self) -> String {
        let (failed, skipped) = (self.failed.len(), self.skipped.len());
        format!("{} passed, {failed} failed, {skipped} skipped", self.passed)
    }
}

/// All binaries together.
#[derive(Default)]
pub(super) struct Tally(Outcome);

impl Tally {
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.0.passed += outcome.passed;
        self.0.failed.extend(outcome.failed);
        self.0.unsteady.extend(outcome.unsteady);
        self.0.skipped.extend(outcome.skipped);
    }

    /// Lists what did not pass, ends with the line of numbers, and says whether all is well. Where CI is
    /// set, a skip that nobody wrote down is not.
    pub(super) fn conclude(&self, listed: &Listed) -> bool {
        let unlisted = |(name, _): &&(String, String)| listed.reason(name).is_none();
        for (name, reason) in &self.0.skipped {
            println!("SKIP {name}: {reason}");
        }
        let strict = std::env::var_os("CI").is_some_and(|v| !v.is_empty());
        let unlisted: Vec<_> = self.0.skipped.iter().filter(unlisted).collect();
        for (name, _) in &unlisted {
            println!("UNLISTED {name}: no line of tests/skips.txt allows this skip");
        }
        for name in &self.0.unsteady {
            println!("UNSTEADY {name}: failed at first, and passed alone");
        }
        for name in &self.0.failed {
            println!("FAILED {name}");
        }
        println!("{}", self.0.counts());
        !self.0.has_failed() && (unlisted.is_empty() || !strict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::libtest::read;

    const GOOD: &str =
        "test a ... ok\ntest b ... ok\ntest result: ok. 2 passed; 0 failed; 0 ignored";

    #[test]
    fn a_test_that_says_it_was_skipped_did_not_pass() {
        let outcome = Outcome::of("t", &read(GOOD), "b\tneeds root\nb\tneeds root\n", true, "");
        assert_eq!(outcome.counts(), "1 passed, 0 failed, 1 skipped");
        assert_eq!(
            outcome.skipped,
            [("t::b".to_owned(), "needs root".to_owned())]
        );
    }

    #[test]
    fn a_skipped_part_of_a_test_takes_nothing_from_it() {
        let outcome = Outcome::of("t", &read(GOOD), "a/case 7\tframe-too-short\n", true, "");
        assert_eq!(outcome.counts(), "2 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn a_binary_that_dies_has_failed() {
        let outcome = Outcome::of("t", &read("test a ... ok"), "", false, "signal: 9");
        assert_eq!(outcome.counts(), "0 passed, 1 failed, 0 skipped");
        let silent = Outcome::of("t", &read(""), "", true, "exit status: 0");
        assert!(silent.has_failed());
    }

    #[test]
    fn who_passes_alone_is_told_and_who_does_not_has_failed() {
        let failed =
            "test a ... ok\ntest b ... FAILED\ntest result: FAILED. 1 passed; 1 failed; 0 ignored";
        let first = || Outcome::of("t", &read(failed), "", false, "exit status: 101");
        assert_eq!(first().failed_tests(), ["b"]);
        let alone = "test b ... ok\ntest result: ok. 1 passed; 0 failed; 0 ignored";
        let better = first().after(&[Outcome::of("t", &read(alone), "", true, "")]);
        assert_eq!(better.counts(), "2 passed, 0 failed, 0 skipped");
        assert_eq!(better.unsteady, ["t::b"]);
        // A name that is not found passes nothing.
        let none = Outcome::of(
            "t",
            &read("test result: ok. 0 passed; 0 failed"),
            "",
            true,
            "",
        );
        assert!(first().after(&[none]).has_failed());
        assert!(first().after(&[first()]).has_failed());
    }

    #[test]
    fn one_failure_in_text_and_summary_counts_once() {
        let text = "test a ... FAILED\ntest result: FAILED. 3 passed; 2 failed; 0 ignored";
        let outcome = Outcome::of("t", &read(text), "", false, "exit status: 101");
        assert_eq!(outcome.counts(), "3 passed, 2 failed, 0 skipped");
    }
}
