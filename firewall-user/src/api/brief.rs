//! A problem in one line, for logs and listings.

use super::types::Problem;

impl Problem {
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
