//! How a request fails: with a message that says what to do next, and the exit status of the command line.

use serde::{Deserialize, Serialize};

use super::types::Applied;

/// Why a request was not granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The exit status of the command line for it.
    pub exit: u8,
    /// What is wrong and what to do next, one line or several.
    pub message: String,
    /// The same with colours, where there is more than a line.
    #[serde(default)]
    pub coloured: Option<String>,
    /// The faults one by one, for programs.
    #[serde(default)]
    pub diagnostics: serde_json::Value,
    /// What came of an apply that was refused.
    #[serde(default)]
    pub applied: Option<Box<Applied>>,
}

impl Problem {
    /// A problem of one message.
    #[must_use]
    pub fn new(exit: u8, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            exit,
            message,
            ..Self::default()
        }
    }

    /// One line: the first faults with their places, or the message.
    #[must_use]
    pub fn brief(&self) -> String {
        const SHOWN: usize = 3;
        let faults = self.diagnostics.as_array().map_or(&[][..], Vec::as_slice);
        let errors = faults.iter().filter(|fault| fault["severity"] == "error");
        let mut lines: Vec<String> = errors.map(brief).collect();
        let more = lines.len().saturating_sub(SHOWN);
        lines.truncate(SHOWN);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        let text = if lines.is_empty() {
            joined(&self.message)
        } else {
            lines.join("; ")
        };
        // It goes into logs and listings: what a file says must not look like a line of its own.
        text.replace(char::is_control, "\u{fffd}")
    }
}

/// `file:line:column: message` of a fault, as far as known.
fn brief(fault: &serde_json::Value) -> String {
    let mut text = fault["file"].as_str().unwrap_or_default().to_owned();
    for key in ["line", "column"] {
        if let Some(number) = fault[key].as_u64() {
            text.push_str(&format!(":{number}"));
        }
    }
    if !text.is_empty() {
        text.push_str(": ");
    }
    text.push_str(fault["message"].as_str().unwrap_or_default());
    text
}

/// The lines of a message as one. What one line announces, the next ones list.
fn joined(message: &str) -> String {
    let mut text = String::new();
    for line in message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        text.push_str(match text.chars().last() {
            None => "",
            Some(':' | ';' | ',' | '.') => " ",
            Some(_) => "; ",
        });
        text.push_str(line);
    }
    text
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// Exit statuses of the command line.
pub mod exit {
    /// Done, also when nothing had to change.
    pub const DONE: u8 = 0;
    /// The answer is no.
    pub const NO: u8 = 1;
    /// Wrong usage or bad input.
    pub const INPUT: u8 = 2;
    /// The agent is not running or cannot be reached.
    pub const AGENT: u8 = 3;
    /// Not permitted.
    pub const PERMISSION: u8 = 4;
    /// Applied, and reverted.
    pub const REVERTED: u8 = 5;
}
