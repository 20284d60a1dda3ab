//! `examples/observability`: its files can be read, and what they name is there.

use serde_json::Value;

use crate::markdown::{root, text};

const HERE: &str = "examples/observability";

fn yaml(file: &str) -> Value {
    let text = text(&format!("{HERE}/{file}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn every_file_is_yaml_and_names_what_is_there() {
    let prometheus = yaml("prometheus.yml");
    let rules = prometheus["rule_files"][0].as_str().unwrap();
    assert!(root().join(HERE).join(rules).is_file(), "{rules}");
    let job = &prometheus["scrape_configs"][0];
    assert!(job["job_name"].as_str().unwrap().contains("ringwall"));
    assert_eq!(job["static_configs"][0]["targets"][0], "127.0.0.1:10933");

    let compose = yaml("compose.yml");
    let mut mounts = Vec::new();
    for (name, service) in compose["services"].as_object().unwrap() {
        assert!(service["image"].is_string(), "{name}");
        let volumes = service["volumes"].as_array().unwrap().iter();
        for volume in volumes
            .filter_map(Value::as_str)
            .filter(|v| v.starts_with('.'))
        {
            let (from, to) = volume.split_once(':').unwrap();
            assert!(root().join(HERE).join(from).exists(), "{name}: {from}");
            mounts.push(to.trim_end_matches(":ro").to_owned());
        }
    }
    let provider = yaml("grafana/provisioning/dashboards/ringwall.yml");
    let path = provider["providers"][0]["options"]["path"]
        .as_str()
        .unwrap();
    assert!(
        mounts.iter().any(|mount| mount == path),
        "{path}: {mounts:?}"
    );
    let sources = yaml("grafana/provisioning/datasources/ringwall.yml");
    assert_eq!(sources["datasources"][0]["type"], "prometheus");
    assert_eq!(
        yaml("fluent-bit.yaml")["pipeline"]["outputs"][0]["name"],
        "loki"
    );
}

#[test]
fn what_is_shipped_is_in_the_records() {
    let vector = yaml("vector.yaml");
    let schema: Value = serde_json::from_str(&text("docs/flow-record.schema.json")).unwrap();
    let rows = vector["transforms"]["rows"]["source"].as_str().unwrap();
    let table = text(&format!("{HERE}/clickhouse.sql"));
    let mut seen = 0;
    for line in rows.lines().filter(|line| line.contains(": record.")) {
        let (column, field) = line.split_once(": record.").unwrap();
        let column = column.trim().trim_matches('"');
        let field = field.trim_end_matches(',');
        let first = field.split('.').next().unwrap();
        assert!(schema["properties"].get(first).is_some(), "{field}");
        assert!(table.contains(&format!("\n    {column} ")), "{column}");
        seen += 1;
    }
    assert!(seen > 10);
    for label in ["node_name", "event", "verdict"] {
        assert!(schema["properties"].get(label).is_some());
        let labels = vector["sinks"]["loki"]["labels"].to_string();
        assert!(labels.contains(&format!("{{{{ {label} }}}}")), "{labels}");
    }
}
