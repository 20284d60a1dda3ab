//! What the checks said: lines on the console, and the table at the end.

use std::fmt;

/// What one check came to on one kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    kernel: String,
    check: String,
    result: String,
    detail: String,
}

impl Row {
    /// A check that could not even say so itself.
    pub(super) fn failed(kernel: &str, check: &str, detail: &str) -> Self {
        Self {
            kernel: kernel.to_owned(),
            check: check.to_owned(),
            result: "FAILED".to_owned(),
            detail: detail.to_owned(),
        }
    }

    /// Done, or left out with a reason.
    pub(super) fn is_good(&self) -> bool {
        matches!(self.result.as_str(), "ok" | "left out")
    }

    fn cells(&self) -> [&str; 4] {
        [&self.kernel, &self.check, &self.result, &self.detail]
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} {}: {}",
            self.kernel, self.check, self.result, self.detail
        )
    }
}

/// A line that means something.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The result of a check.
    Check(Row),
    /// There are no more.
    End,
}

/// Reads a line of the console. The kernel may have written before it on the same line.
pub(super) fn read(kernel: &str, line: &str) -> Option<Line> {
    if line.contains("ringwall-end\t") {
        return Some(Line::End);
    }
    let (_, rest) = line.split_once("ringwall-check\t")?;
    let mut parts = rest.splitn(3, '\t').map(str::to_owned);
    Some(Line::Check(Row {
        kernel: kernel.to_owned(),
        check: parts.next()?,
        result: parts.next()?,
        detail: parts.next()?,
    }))
}

/// `kernel | check | result | detail`.
pub(super) fn print(rows: &[Row]) {
    let header = ["kernel", "check", "result", "detail"];
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row.cells()[column].chars().count());
        cells.chain([header[column].len()]).max().unwrap_or(0)
    };
    let widths = [0, 1, 2].map(width);
    println!();
    for cells in [header].into_iter().chain(rows.iter().map(Row::cells)) {
        let [kernel, check, result, detail] = cells;
        let [a, b, c] = widths;
        println!("{kernel:<a$} | {check:<b$} | {result:<c$} | {detail}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_read_behind_whatever_the_kernel_said() {
        let line = "[    1.2] random: ringwall-check\tvlan\tok\tguarded: a vlan device";
        let Some(Line::Check(row)) = read("6.1.0", line) else {
            panic!("a check")
        };
        assert!(row.is_good());
        assert_eq!(
            row.cells(),
            ["6.1.0", "vlan", "ok", "guarded: a vlan device"]
        );
        assert_eq!(read("6.1.0", "ringwall-end\t0"), Some(Line::End));
        assert_eq!(read("6.1.0", "hello"), None);
        assert!(!Row::failed("6.1.0", "x", "y").is_good());
    }
}
