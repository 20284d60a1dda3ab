//! Reads what libtest prints. Its JSON is not stable; its text has been for years.

/// What one run's text says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// From the summary lines, which count even where a test's own output garbled another line.
    pub(super) passed: usize,
    pub(super) failed: usize,
    /// Summary lines seen: none means that the run did not end by itself.
    pub(super) summaries: usize,
    pub(super) names_passed: Vec<String>,
    pub(super) names_failed: Vec<String>,
    /// Marked `#[ignore]`, with the reason given there.
    pub(super) ignored: Vec<(String, String)>,
}

/// Reads the whole text of a run.
pub(super) fn read(text: &str) -> Report {
    let mut report = Report::default();
    for line in text.lines() {
        if let Some(summary) = line.strip_prefix("test result: ") {
            report.summaries += 1;
            report.passed += number_before(summary, " passed");
            report.failed += number_before(summary, " failed");
        } else if let Some((name, result)) = test_line(line) {
            report.note(name, result);
        }
    }
    report
}

/// `test net::x ... ok`; also `test net::x - should panic ... ok`.
fn test_line(line: &str) -> Option<(&str, &str)> {
    let (name, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    Some((name.split(" - ").next().unwrap_or(name), result))
}

impl Report {
    fn note(&mut self, name: &str, result: &str) {
        let name = name.to_owned();
        if let Some(reason) = result.strip_prefix("ignored") {
            let reason = reason.trim_start_matches([',', ' ']);
            let reason = if reason.is_empty() {
                "marked #[ignore]"
            } else {
                reason
            };
            self.ignored.push((name, reason.to_owned()));
        } else if result.starts_with("ok") {
            self.names_passed.push(name);
        } else if result.starts_with("FAILED") {
            self.names_failed.push(name);
        }
    }
}

/// The number right before a word: `3 passed`.
fn number_before(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap_or_default();
    before
        .rsplit([' ', ';'])
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// How many tests a run that still goes on has finished.
pub(super) fn finished(text: &str) -> usize {
    text.lines().filter(|l| test_line(l).is_some()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
running 4 tests
test a::b ... ok
test a::c - should panic ... ok
noise of a child
test a::d ... ignored, needs a printer
test a::e ... FAILED

failures:
test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    #[test]
    fn names_and_numbers_are_read() {
        let report = read(TEXT);
        assert_eq!((report.passed, report.failed, report.summaries), (2, 1, 1));
        assert_eq!(report.names_passed, ["a::b", "a::c"]);
        assert_eq!(report.names_failed, ["a::e"]);
        assert_eq!(
            report.ignored,
            [("a::d".to_owned(), "needs a printer".to_owned())]
        );
        assert_eq!(finished(TEXT), 4);
    }

    #[test]
    fn several_summaries_add_up() {
        let report = read(&TEXT.repeat(2));
        assert_eq!((report.passed, report.failed, report.summaries), (4, 2, 2));
    }

    #[test]
    fn a_run_that_died_has_no_summary() {
        assert_eq!(read("running 1 test\n").summaries, 0);
    }
}
