//! A dashboard as Grafana would ask it.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::prometheus::dashboards;

/// Where a query stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A panel that shows one moment.
    Instant,
    /// A panel that shows a course.
    Range,
    /// A variable.
    Variable,
    /// An annotation.
    Annotation,
}

/// A query of a dashboard, its variables filled in.
#[derive(Debug, Clone)]
pub struct Query {
    /// The panel's, the variable's or the annotation's name.
    pub title: String,
    /// The panel's number; 0 where it is of none.
    pub panel: u64,
    /// Where it stands.
    pub kind: Kind,
    /// The query.
    pub text: String,
    /// How a series is named.
    pub legend: String,
}

/// A dashboard, with what stands for its variables.
pub struct Board {
    /// As it is written.
    pub json: Value,
    variables: Vec<(String, String)>,
}

impl Board {
    /// Reads one: `host` or `fleet`, with values for its variables (`("instance", "one")`).
    pub fn read(name: &str, variables: &[(&str, &str)]) -> Result<Self> {
        let path = dashboards().join(format!("ringwall-{name}.json"));
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut variables: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| (format!("${name}"), (*value).to_owned()))
            .collect();
        // `$__range` is none of `$__rate_interval`, whatever the order, but `$job` of `$jobs` would be.
        variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Ok(Self {
            json: serde_json::from_str(&text)?,
            variables,
        })
    }

    fn fill(&self, text: &str) -> String {
        let replace = |text: String, (name, value): &(String, String)| text.replace(name, value);
        self.variables.iter().fold(text.to_owned(), replace)
    }

    /// Every query.
    #[must_use]
    pub fn queries(&self) -> Vec<Query> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let variables = list(&self.json["templating"]["list"]);
        let variables = variables.iter().filter(|v| v["type"] == "query");
        let annotations = list(&self.json["annotations"]["list"]);
        let panels = list(&self.json["panels"]);
        let targets = panels
            .iter()
            .flat_map(|panel| list(&panel["targets"]).into_iter().map(move |t| (panel, t)));
        let of_panels = targets.map(|(panel, target)| {
            let instant = target["instant"] == true;
            let kind = if instant { Kind::Instant } else { Kind::Range };
            Query {
                panel: panel["id"].as_u64().unwrap_or(0),
                ..self.query(
                    &panel["title"],
                    kind,
                    &target["expr"],
                    &target["legendFormat"],
                )
            }
        });
        of_panels
            .chain(
                variables.map(|v| {
                    self.query(&v["name"], Kind::Variable, &v["definition"], &Value::Null)
                }),
            )
            .chain(
                annotations.iter().map(|a| {
                    self.query(&a["name"], Kind::Annotation, &a["expr"], &a["titleFormat"])
                }),
            )
            .collect()
    }

    fn query(&self, title: &Value, kind: Kind, text: &Value, legend: &Value) -> Query {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Query {
            title: word(title),
            panel: 0,
            kind,
            text: self.fill(&word(text)),
            legend: word(legend),
        }
    }
}

/// A query in which every comparison asks and does not choose, so that it has data whatever the answer.
#[must_use]
pub fn asked(query: &str) -> String {
    let comparison = |word: &str| ["==", "!=", ">", "<", ">=", "<="].contains(&word);
    let words = query.split_whitespace();
    let words = words.map(|word| match comparison(word) {
        true => format!("{word} bool"),
        false => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in() {
        let board = Board::read(
            "host",
            &[
                ("job", ".*"),
                ("instance", "one"),
                ("zone", ".*"),
                ("__rate_interval", "4s"),
                ("__range", "60s"),
            ],
        )
        .unwrap();
        let queries = board.queries();
        for kind in [Kind::Instant, Kind::Range, Kind::Variable, Kind::Annotation] {
            assert!(queries.iter().any(|query| query.kind == kind), "{kind:?}");
        }
        assert!(queries.iter().all(|query| !query.text.contains('$')));
        assert_eq!(asked("a > 1 == b"), "a > bool 1 == bool b");
    }
}
