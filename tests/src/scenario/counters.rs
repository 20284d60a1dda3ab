//! Which rule decided: the one whose counter moved.

use std::collections::BTreeMap;

use crate::net::Host;
use anyhow::Result;
use serde_json::Value;

/// Packets by rule id, as `ringwall policy show -o json` has them.
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// As they stand now.
    pub fn read(host: &Host) -> Result<Self> {
        let mut found = BTreeMap::new();
        gather(&host.json(&["policy", "show"])?, &mut found);
        Ok(Self(found))
    }

    /// The rules that moved since. What keeps the link alive moves at any time and decides nothing here.
    pub fn moved_to(&self, later: &Self) -> Vec<String> {
        let before = |id: &String| self.0.get(id).copied().unwrap_or(0);
        let moved = later
            .0
            .iter()
            .filter(|(id, packets)| **packets > before(id));
        moved
            .map(|(id, _)| id.clone())
            .filter(|id| !id.starts_with("essentials/"))
            .collect()
    }
}

/// Every object in the answer that has an id and a packet counter.
fn gather(value: &Value, found: &mut BTreeMap<String, u64>) {
    if let (Some(id), Some(packets)) = (rule_id(value), value["packets"].as_u64()) {
        found.insert(id, packets);
    }
    match value {
        Value::Array(all) => all.iter().for_each(|v| gather(v, found)),
        Value::Object(all) => all.values().for_each(|v| gather(v, found)),
        _ => {}
    }
}

fn rule_id(value: &Value) -> Option<String> {
    let text = |key: &str| value[key].as_str();
    let parts = || {
        Some(format!(
            "{}/{}",
            text("policy")?,
            text("rule").or_else(|| text("name"))?
        ))
    };
    text("id").map(str::to_owned).or_else(parts)
}

/// The sum of a metric's samples whose labels contain all of these (`reason="revoked"`).
pub fn metric(text: &str, name: &str, labels: &[&str]) -> f64 {
    let samples = text.lines().filter(|l| {
        l.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| l.contains(label))
    });
    samples
        .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(json: &str) -> Counters {
        let mut found = BTreeMap::new();
        gather(&serde_json::from_str(json).unwrap(), &mut found);
        Counters(found)
    }

    #[test]
    fn only_what_moved_is_named() {
        let before =
            counters(r#"{"rules": [{"id": "a/b", "packets": 1}, {"id": "c/d", "packets": 1}]}"#);
        let after = counters(
            r#"[{"id": "a/b", "packets": 2}, {"policy": "c", "rule": "d", "packets": 1},
                {"id": "essentials/nd", "packets": 9}]"#,
        );
        assert_eq!(before.moved_to(&after), ["a/b"]);
    }

    #[test]
    fn a_metric_is_summed_over_its_samples() {
        let text =
            "# HELP x\nx{reason=\"a\",zone=\"i\"} 2\nx{reason=\"b\"} 4\nx_y{reason=\"a\"} 8\nx 1\n";
        assert!((metric(text, "x", &["reason=\"a\""]) - 2.0).abs() < 0.1);
        assert!((metric(text, "x", &[]) - 7.0).abs() < 0.1);
    }
}
