//! A diagnostic through miette.

use std::fmt;

use miette::{LabeledSpan, MietteSpanContents, SourceCode};

use super::{Diagnostic, LINE_WIDTH, Severity, printable};

/// A diagnostic as miette wants it: its one line as source code, at its place in the file.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    diagnostic: &'a Diagnostic,
    message: String,
    line: Option<OneLine>,
}

#[derive(Debug)]
struct OneLine {
    name: String,
    text: String,
    line: usize,
    column: usize,
}

impl<'a> Shown<'a> {
    pub(super) fn new(diagnostic: &'a Diagnostic) -> Self {
        let line = diagnostic.source_line.as_ref().map(|text| OneLine {
            name: printable(diagnostic.file.as_deref().unwrap_or("policy")),
            text: printable(text),
            line: diagnostic.line.unwrap_or(1),
            column: diagnostic.column.unwrap_or(1),
        });
        let place = match (&line, &diagnostic.file) {
            (None, Some(file)) => format!("{}: ", printable(file)),
            _ => String::new(),
        };
        let message = format!("{place}{}", printable(&diagnostic.message));
        Self {
            diagnostic,
            message,
            line,
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        Some(Box::new(self.diagnostic.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        let help = self.diagnostic.help.as_ref()?;
        Some(Box::new(printable(help)))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.line.as_ref().map(|line| line as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (offset, length) = self.line.as_ref()?.mark();
        let label = LabeledSpan::new(Some("here".into()), offset, length);
        Some(Box::new(std::iter::once(label)))
    }
}

impl OneLine {
    /// Byte offset and length of the word at the column.
    fn mark(&self) -> (usize, usize) {
        let skipped = if self.column > LINE_WIDTH / 2 && self.text.chars().count() == LINE_WIDTH {
            self.column - LINE_WIDTH / 2
        } else {
            0
        };
        let index = self.column.saturating_sub(1).saturating_sub(skipped);
        let offset = self.text.char_indices().nth(index);
        let offset = offset.map_or(self.text.len(), |(offset, _)| offset);
        let rest = self.text.get(offset..).unwrap_or_default();
        let word = rest.split([' ', ',', ']', '}']).next().unwrap_or_default();
        let single = rest.chars().next().map_or(0, char::len_utf8);
        (offset, word.len().max(single))
    }
}

impl SourceCode for OneLine {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        _before: usize,
        _after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        if span.offset() + span.len() > self.text.len() {
            return Err(miette::MietteError::OutOfBounds);
        }
        let whole = (0, self.text.len()).into();
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            self.text.as_bytes(),
            whole,
            self.line.saturating_sub(1),
            self.column.saturating_sub(1),
            1,
        )))
    }
}
