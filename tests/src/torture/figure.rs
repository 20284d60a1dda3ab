//! A figure: what was to be reached, and what was.

use std::fmt::Display;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// What was to be reached.
    pub goal: String,
    /// What was seen.
    pub seen: String,
    /// What nftables did in the same run, where that means something.
    pub nftables: Option<String>,
    /// Was the goal reached?
    pub held: bool,
}

impl Figure {
    /// A figure that is reached or not.
    pub fn new(
        what: impl Into<String>,
        goal: impl Display,
        seen: impl Display,
        held: bool,
    ) -> Self {
        Self {
            what: what.into(),
            goal: goal.to_string(),
            seen: seen.to_string(),
            nftables: None,
            held,
        }
    }

    /// Something that must be so many exactly, most often none.
    pub fn exactly<T: Display + PartialEq>(what: impl Into<String>, goal: T, seen: T) -> Self {
        let held = goal == seen;
        Self::new(what, goal, seen, held)
    }

    /// Something that must be at least so much.
    pub fn at_least<T: Display + PartialOrd>(what: impl Into<String>, goal: T, seen: T) -> Self {
        let held = seen >= goal;
        Self::new(what, format!("at least {goal}"), seen, held)
    }

    /// Something that must be at most so much.
    pub fn at_most<T: Display + PartialOrd>(what: impl Into<String>, goal: T, seen: T) -> Self {
        let held = seen <= goal;
        Self::new(what, format!("at most {goal}"), seen, held)
    }

    /// With what nftables did in the same run.
    #[must_use]
    pub fn beside(mut self, nftables: impl Display) -> Self {
        self.nftables = Some(nftables.to_string());
        self
    }

    /// For machines.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"what": self.what, "goal": self.goal, "seen": self.seen, "nftables": self.nftables, "held": self.held})
    }
}

/// The table for people.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["", "what", "goal", "Ringwall", "nftables"]);
    for figure in figures {
        let held = if figure.held { "held" } else { "MISSED" };
        let beside = figure.nftables.as_deref().unwrap_or("-");
        table.add_row([held, &figure.what, &figure.goal, &figure.seen, beside]);
    }
    let lines = table.to_string();
    let lines: Vec<&str> = lines.lines().map(str::trim_end).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_is_shown() {
        let figures = [
            Figure::exactly("lost", 0, 0).beside(3),
            Figure::at_most("slowest, ms", 50, 51),
            Figure::at_least("sent", 10, 10),
        ];
        assert_eq!(figures.each_ref().map(|f| f.held), [true, false, true]);
        let text = table(&figures);
        let second = text.lines().nth(2).unwrap();
        assert!(
            second.contains("MISSED") && second.contains("at most 50"),
            "{text}"
        );
        assert_eq!(figures[0].json()["nftables"], "3");
    }
}
