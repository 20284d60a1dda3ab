//! Writing for people and programs. A closed pipe ends the output, not the program.

use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::api::types::{Problem, exit};

/// `--output`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON value.
    Json,
    /// One JSON value a line.
    Ndjson,
}

/// `--output`, for the commands that have it.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct OutputArgs {
    /// How to write the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Format,
}

/// The terminal, or what stands in for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    /// Colours on standard error.
    pub(super) colour: bool,
}

impl Screen {
    pub(super) fn new(no_color: bool) -> Self {
        let asked = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = !(no_color || asked || dumb) && std::io::stderr().is_terminal();
        Self { colour }
    }

    /// Writes text to standard output.
    pub(super) fn print(self, text: &str) -> Result<(), Problem> {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match written {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Problem::new(
                exit::NO,
                format!("cannot write the answer: {error}"),
            )),
            Ok(()) => Ok(()),
        }
    }

    /// Writes lines to standard output.
    pub(super) fn lines<T: AsRef<str>>(self, lines: &[T]) -> Result<(), Problem> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&printable(line.as_ref()));
            text.push('\n');
        }
        self.print(&text)
    }

    /// Writes one JSON value.
    pub(super) fn json<T: Serialize>(self, value: &T, format: Format) -> Result<(), Problem> {
        let text = match format {
            Format::Ndjson => serde_json::to_string(value),
            _ => serde_json::to_string_pretty(value),
        };
        let text = text.map_err(|e| Problem::new(exit::NO, e.to_string()))?;
        self.print(&format!("{text}\n"))
    }

    /// Writes rows: an array, one a line, or a table.
    pub(super) fn rows<T: Serialize>(
        self,
        rows: &[T],
        format: Format,
        header: &[&str],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), Problem> {
        match format {
            Format::Json => self.json(&rows, format),
            Format::Ndjson => {
                let mut text = String::new();
                for row in rows {
                    let line = serde_json::to_string(row);
                    text.push_str(&line.map_err(|e| Problem::new(exit::NO, e.to_string()))?);
                    text.push('\n');
                }
                self.print(&text)
            }
            Format::Table => self.print(&table(header, rows.iter().map(cells))),
        }
    }

    /// Writes a table of lines that are put together already.
    pub(super) fn table(
        self,
        header: &[&str],
        rows: impl Iterator<Item = Vec<String>>,
    ) -> Result<(), Problem> {
        self.print(&table(header, rows))
    }

    /// Writes one line at once; says whether somebody still reads.
    pub(super) fn line(self, text: &str) -> Result<bool, Problem> {
        let mut out = std::io::stdout().lock();
        let text = format!("{}\n", printable(text));
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Problem::new(
                exit::NO,
                format!("cannot write the answer: {error}"),
            )),
            Ok(()) => Ok(true),
        }
    }

    /// Says on standard error what went wrong and what to do next.
    pub(super) fn problem(self, problem: &Problem) {
        let coloured = problem.coloured.as_ref().filter(|_| self.colour);
        self.say(match coloured {
            Some(text) => text.clone(),
            None if problem.coloured.is_some() => printable(&problem.message),
            None => format!("ringwall: {}", printable(&problem.message)),
        });
    }

    /// Says something on standard error.
    pub(super) fn say(self, text: impl AsRef<str>) {
        let mut err = std::io::stderr().lock();
        // Nobody is left to be told where this fails.
        let _ = writeln!(err, "{}", text.as_ref().trim_end());
    }
}

/// A table without frames, so that columns can be cut out by tools as well.
fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)).collect::<Vec<_>>());
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Names come from files and from the machine: nothing in them may steer a terminal.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// A time for people: to the second.
pub(super) fn moment(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text.to_owned(),
    }
}

/// A cell for what may be absent.
pub(super) fn cell<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
