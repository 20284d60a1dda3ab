//! Dashboards and alerts, as far as they can be judged without a Grafana: their structure, and that they ask for
//! nothing that is not promised. That every query finds data is shown by `tests/tests/wall.rs`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::markdown::{root, text};
use crate::metrics::SERIES;

const DASHBOARDS: [&str; 2] = ["ringwall-host", "ringwall-fleet"];
/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;

fn dashboard(name: &str) -> Value {
    serde_json::from_str(&text(&format!("dashboards/{name}.json"))).expect("JSON")
}

fn list<'v>(value: &'v Value, what: &str) -> &'v [Value] {
    value.as_array().unwrap_or_else(|| panic!("no {what}"))
}

fn word<'v>(value: &'v Value, key: &str) -> &'v str {
    let found = value[key].as_str().unwrap_or_default();
    assert!(!found.is_empty(), "no {key} in {value}");
    found
}

/// Panels that are no rows.
fn panels(of: &Value) -> impl Iterator<Item = &Value> {
    let all = list(&of["panels"], "panels");
    all.iter().filter(|panel| panel["type"] != "row")
}

fn targets(of: &Value) -> impl Iterator<Item = &str> {
    panels(of).flat_map(|panel| {
        let targets = list(&panel["targets"], "targets");
        targets.iter().map(|target| word(target, "expr"))
    })
}

/// Every query: of panels, of variables and of annotations.
fn queries(of: &Value) -> Vec<&str> {
    let variables = list(&of["templating"]["list"], "variables").iter();
    let asked = variables.filter(|variable| variable["type"] == "query");
    let annotations = list(&of["annotations"]["list"], "annotations").iter();
    targets(of)
        .chain(asked.map(|variable| word(variable, "definition")))
        .chain(annotations.map(|annotation| word(annotation, "expr")))
        .collect()
}

#[test]
fn dashboards_have_the_shape_that_grafana_reads() {
    for name in DASHBOARDS {
        let of = dashboard(name);
        assert_eq!(of["uid"], name);
        assert!(of["schemaVersion"].as_u64().unwrap() >= 36);
        assert!(of.get("id").is_none(), "an id is of one Grafana only");
        assert!(of.get("spec").is_none(), "not the classic model");
        word(&of, "title");
        let variables = list(&of["templating"]["list"], "variables");
        assert_eq!(variables[0]["type"], "datasource");
        assert_eq!(variables[0]["query"], "prometheus");
        let source = format!("${{{}}}", word(&variables[0], "name"));
        let annotations = list(&of["annotations"]["list"], "annotations");
        let changes = annotations
            .iter()
            .any(|a| word(a, "expr").contains("ringwall_policy_applied_timestamp_seconds"));
        assert!(changes, "{name}: changes of policy are marked");
        let ask = panels(&of).chain(annotations).chain(&variables[1..]);
        for asking in ask {
            assert_eq!(asking["datasource"]["uid"], source, "{asking}");
        }
    }
}

#[test]
fn panels_are_told_apart_and_say_what_they_show() {
    for name in DASHBOARDS {
        let of = dashboard(name);
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in list(&of["panels"], "panels") {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            let (x, y) = (at("x"), at("y"));
            assert!(x + at("w") <= COLUMNS, "{panel}");
            for cell in (x..x + at("w")).flat_map(|x| (y..y + at("h")).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{name}: {panel} lies on another");
            }
        }
        for panel in panels(&of) {
            word(panel, "title");
            assert!(word(panel, "description").ends_with('.'), "{panel}");
            word(&panel["fieldConfig"]["defaults"], "unit");
            // Without this word Grafana shows no names beside the lines.
            let legend = &panel["options"]["legend"]["showLegend"];
            assert!(panel["type"] != "timeseries" || legend == true, "{panel}");
            let refs = list(&panel["targets"], "targets").iter();
            let refs: BTreeSet<&str> = refs.map(|target| word(target, "refId")).collect();
            assert_eq!(refs.len(), list(&panel["targets"], "targets").len());
        }
    }
}

#[test]
fn queries_ask_for_what_is_promised() {
    for name in DASHBOARDS {
        let of = dashboard(name);
        for query in queries(&of) {
            known(query);
            let windows = query.split('[').skip(1);
            for window in windows.filter_map(|rest| rest.split(']').next()) {
                let of_grafana = ["$__rate_interval", "$__range"].contains(&window);
                assert!(of_grafana, "{name}: [{window}] in {query}");
            }
        }
        for query in targets(&of) {
            assert!(query.contains("$job"), "{name}: {query} is of all hosts");
        }
    }
}

/// Every series is one of the contract, or of every process, and nothing hides that one is missing.
fn known(query: &str) {
    assert!(!query.contains("vector("), "{query}");
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let series: Vec<&str> = words.filter(|w| w.starts_with("ringwall_")).collect();
    for word in &series {
        assert!(
            SERIES.iter().any(|(name, _)| name == word),
            "{word}: {query}"
        );
    }
    let others = ["up{", "process_", "ALERTS{"];
    let any = !series.is_empty() || others.iter().any(|other| query.contains(other));
    assert!(any, "{query}");
}

#[test]
fn every_alert_has_a_page() {
    let rules: Value = serde_saphyr::from_str(&text("dashboards/ringwall-alerts.yml")).unwrap();
    let rules = list(&rules["groups"][0]["rules"], "rules");
    let tests = text("dashboards/ringwall-alerts-test.yml");
    let index = text("docs/runbooks/README.md");
    for rule in rules {
        let name = word(rule, "alert");
        known(word(rule, "expr"));
        word(&rule["labels"], "severity");
        for key in ["summary", "description"] {
            word(&rule["annotations"], key);
        }
        let url = word(&rule["annotations"], "runbook_url");
        let (_, page) = url.split_once("/docs/runbooks/").unwrap();
        let runbook = text(&format!("docs/runbooks/{page}"));
        assert!(runbook.starts_with(&format!("# {name}\n")), "{page}");
        assert!(index.contains(&format!("[{name}]({page})")), "{page}");
        assert!(tests.contains(&format!("- name: {name}\n")), "{name}");
    }
    let pages = std::fs::read_dir(root().join("docs/runbooks")).unwrap();
    assert_eq!(pages.count(), rules.len() + 1, "a page without its alert");
}

#[test]
fn every_series_has_a_panel() {
    let shown: Vec<Value> = DASHBOARDS.iter().map(|name| dashboard(name)).collect();
    let asked: Vec<&str> = shown.iter().flat_map(targets).collect();
    let asks = |series: &str| {
        let whole = |text: &str| {
            text.split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == series)
        };
        asked.iter().any(|text| whole(text))
    };
    let missing = SERIES.iter().filter(|(series, _)| !asks(series));
    let missing: Vec<&str> = missing.map(|(series, _)| *series).collect();
    assert!(missing.is_empty(), "no panel shows {missing:?}");
}
