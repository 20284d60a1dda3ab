//! What is wrong with a file, where, and what to write instead: one [`Diagnostic`] a fault, rendered for
//! people through miette and for programs as JSON.

mod shown;

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;

use super::model::Span;
use shown::Shown;

/// Past this many faults people are only told how many more there are.
const SHOWN: usize = 200;
/// Past this many errors of one policy the rest is only counted, for programs too.
const KEPT: usize = 10_000;
/// Warnings of one code that are shown.
const ALIKE: usize = 1000;
/// A longer source line is shown in part, so that a file of one line cannot flood a terminal.
const LINE_WIDTH: usize = 160;

/// Does a diagnostic refuse the file?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is applied.
    Error,
    /// Applied; refused under `--strict`.
    Warning,
}

/// One fault of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Does it refuse the file?
    pub severity: Severity,
    /// A stable word for scripts, such as `unknown-key`. Those about dates begin with `date-`.
    pub code: &'static str,
    /// What is wrong and what was expected.
    pub message: String,
    /// The file, as named by the operator; absent where no file is at fault.
    pub file: Option<String>,
    /// Line from 1; absent where the whole file is at fault.
    pub line: Option<usize>,
    /// Column from 1, in characters.
    pub column: Option<usize>,
    /// The text of that line.
    pub source_line: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error about no place in particular.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        let (file, source_line, help) = (None, None, None);
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            file,
            line: None,
            column: None,
            source_line,
            help,
        }
    }

    /// A warning about no place in particular.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// The same, about a whole file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// The same, at a line and column of a text.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize, source_line: impl Into<String>) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self.source_line = Some(source_line.into());
        self
    }

    /// The same, with the line that it stands on, out of its file's lines.
    #[must_use]
    pub fn line_of(mut self, lines: &[&str]) -> Self {
        if let (Some(line), Some(column), None) = (self.line, self.column, &self.source_line) {
            let found = lines.get(line.saturating_sub(1));
            self.source_line = found.map(|found| window(found, column));
        }
        self
    }

    /// The same, with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Is it about the calendar, so that only `--strict=dates` fails on it?
    #[must_use]
    pub fn is_about_dates(&self) -> bool {
        self.code.starts_with("date-")
    }

    /// `file:line:column`, as far as known.
    #[must_use]
    pub fn place(&self) -> String {
        let mut text = self.file.clone().unwrap_or_default();
        for part in [self.line, self.column].into_iter().flatten() {
            text.push_str(&format!(":{part}"));
        }
        text
    }

    /// The text for people, with colours or plain.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let theme = if colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(120);
        let mut text = String::new();
        match handler.render_report(&mut text, &Shown::new(self)) {
            Ok(()) => text,
            Err(_) => format!("{}: {}\n", self.place(), self.message),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place();
        if !place.is_empty() {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}", printable(&self.message))
    }
}

/// A policy or agent file that cannot be taken, with every reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The errors, and the warnings found on the way.
    pub diagnostics: Vec<Diagnostic>,
}

impl Refusal {
    /// The text for people, with colours or plain.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let is_error = |d: &&Diagnostic| d.severity == Severity::Error;
        let errors = self.diagnostics.iter().filter(is_error).count();
        let mut told = 0;
        let mut shown = |d: &&Diagnostic| {
            told += usize::from(is_error(d));
            !is_error(d) || told <= SHOWN
        };
        let all = self.diagnostics.iter().filter(|d| shown(d));
        let mut text: String = all.map(|d| d.render(colour)).collect();
        if let Some(more) = errors.checked_sub(SHOWN).filter(|more| *more > 0) {
            let message = format!("{more} more errors are not shown: see them all with `-o json`");
            text.push_str(&Diagnostic::error("more", message).render(colour));
        }
        text
    }
}

impl From<Diagnostic> for Refusal {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            diagnostics: vec![diagnostic],
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Refusal {}

/// Texts that spans point into.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// The name shown.
    pub name: PathBuf,
    /// The text.
    pub text: String,
}

/// Collects the faults of a reading.
#[derive(Debug)]
pub struct Report<'a> {
    texts: &'a [SourceText],
    /// The lines of each text, cut when the first of them is wanted.
    lines: Vec<OnceCell<Vec<&'a str>>>,
    diagnostics: Vec<Diagnostic>,
    errors: usize,
    /// Where errors are: file, line, column.
    places: HashSet<(Option<String>, Option<usize>, Option<usize>)>,
    /// Warnings by code.
    warnings: BTreeMap<&'static str, usize>,
}

impl<'a> Report<'a> {
    /// Nothing found yet in these texts.
    #[must_use]
    pub fn new(texts: &'a [SourceText]) -> Self {
        Self {
            texts,
            lines: texts.iter().map(|_| OnceCell::new()).collect(),
            diagnostics: Vec::new(),
            errors: 0,
            places: HashSet::new(),
            warnings: BTreeMap::new(),
        }
    }

    /// An error at a place.
    pub fn error(&mut self, span: Span, code: &'static str, message: impl Into<String>) {
        self.push(self.locate(span, Diagnostic::error(code, message)));
    }

    /// An error at a place, with advice.
    pub fn error_help(
        &mut self,
        span: Span,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(self.locate(span, Diagnostic::error(code, message).help(help)));
    }

    /// A warning at a place, with advice.
    pub fn warn(
        &mut self,
        span: Span,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let count = self.warnings.entry(code).or_default();
        *count += 1;
        if *count <= ALIKE {
            self.push(self.locate(span, Diagnostic::warning(code, message).help(help)));
        }
    }

    /// Adds one; a second error at the same place is a consequence of the first and left out.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            let full = self.errors >= KEPT;
            if !full && diagnostic.line.is_some() && !self.is_first_at(&diagnostic) {
                return;
            }
            self.errors += 1;
            if full {
                return;
            }
        }
        self.diagnostics.push(diagnostic);
    }

    /// Was any error found?
    #[must_use]
    pub fn failed(&self) -> bool {
        self.errors > 0
    }

    /// The warnings, or everything as a refusal.
    pub fn finish(mut self) -> Result<Vec<Diagnostic>, Refusal> {
        let texts = self.texts;
        self.diagnostics.sort_by_key(|d| order(texts, d));
        for (code, count) in &self.warnings {
            if let Some(more) = count.checked_sub(ALIKE).filter(|more| *more > 0) {
                let message = format!("{more} more warnings of this kind are not shown");
                self.diagnostics.push(Diagnostic::warning(code, message));
            }
        }
        if self.errors == 0 {
            return Ok(self.diagnostics);
        }
        if let Some(more) = self.errors.checked_sub(KEPT).filter(|more| *more > 0) {
            let message = format!("{more} more errors are not shown");
            self.diagnostics.push(Diagnostic::error("more", message));
        }
        Err(Refusal {
            diagnostics: self.diagnostics,
        })
    }

    fn is_first_at(&mut self, new: &Diagnostic) -> bool {
        let place = (new.file.clone(), new.line, new.column);
        self.places.insert(place)
    }

    fn locate(&self, span: Span, mut diagnostic: Diagnostic) -> Diagnostic {
        let Some(source) = self.texts.get(span.file).filter(|_| self.errors < KEPT) else {
            return diagnostic;
        };
        diagnostic.file = Some(source.name.to_string_lossy().into_owned());
        if span.line == 0 {
            return diagnostic;
        }
        let lines = self.lines.get(span.file);
        let lines = lines.map(|lines| lines.get_or_init(|| source.text.lines().collect()));
        let line = lines.and_then(|lines| lines.get(span.line - 1));
        let line = line.copied().unwrap_or_default();
        diagnostic.at(span.line, span.column, window(line, span.column))
    }
}

/// Faults are told in the order of the text, those of other files last.
fn order(texts: &[SourceText], found: &Diagnostic) -> (usize, Option<usize>, Option<usize>) {
    let named = |text: &SourceText| found.file.as_deref() == Some(&*text.name.to_string_lossy());
    let file = texts.iter().position(named).unwrap_or(usize::MAX);
    (file, found.line, found.column)
}

/// The line, or the part of a very long one around the column (padded so that the column stays true).
fn window(line: &str, column: usize) -> String {
    if line.len() <= LINE_WIDTH || line.chars().nth(LINE_WIDTH).is_none() {
        return printable(line);
    }
    let keep = LINE_WIDTH / 2;
    let start = column.saturating_sub(keep);
    let part: String = line.chars().skip(start).take(LINE_WIDTH).collect();
    printable(&part)
}

/// Text without anything that could steer a terminal.
fn printable(text: &str) -> String {
    let plain = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Diagnostic {
        Diagnostic::error("unknown-key", "unknown key `acton`")
            .in_file("web.yaml")
            .at(7, 5, "  - acton: deny")
            .help("did you mean `action`?")
    }

    #[test]
    fn rendering_names_file_line_column_line_and_help() {
        let text = sample().render(false);
        for part in [
            "unknown key `acton`",
            "web.yaml:7:5",
            "  - acton: deny",
            "did you mean",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(
            !text.contains('\u{1b}'),
            "plain text has no escapes: {text:?}"
        );
        assert!(sample().render(true).contains('\u{1b}'));
    }

    #[test]
    fn escapes_in_a_file_do_not_reach_the_terminal() {
        let mut evil = sample();
        evil.message = "bad \u{1b}[2J".into();
        evil.source_line = Some("x: \u{1b}]0;owned\u{7}".into());
        assert!(!evil.render(false).contains('\u{1b}'));
        assert!(!evil.to_string().contains('\u{1b}'));
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_column() {
        let text = format!("{}BAD{}", "x".repeat(5000), "y".repeat(5000));
        let texts = [SourceText {
            name: "a.yaml".into(),
            text,
        }];
        let mut report = Report::new(&texts);
        let span = Span {
            file: 0,
            line: 1,
            column: 5001,
        };
        report.error(span, "x", "no");
        let refusal = report.finish().unwrap_err();
        let text = refusal.render(false);
        assert!(text.contains("BAD") && text.len() < 1500, "{text}");
    }

    #[test]
    fn only_so_many_errors_are_shown_and_the_rest_is_counted() {
        let mut report = Report::new(&[]);
        for index in 0..250 {
            report.push(Diagnostic::error("x", format!("error {index}")));
        }
        let refusal = report.finish().unwrap_err();
        // Programs get them all.
        assert_eq!(refusal.diagnostics.len(), 250);
        let text = refusal.to_string();
        assert!(text.contains("50 more errors") && text.contains("error 199"));
        assert!(!text.contains("error 200"), "{text}");
    }

    #[test]
    fn json_has_the_promised_names() {
        let json = serde_json::to_value(sample()).unwrap();
        assert_eq!(json["severity"], "error");
        assert_eq!(json["line"], 7);
        assert_eq!(json["source_line"], "  - acton: deny");
    }
}
