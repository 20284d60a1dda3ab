//! Flow records as `ringwall flows` tells them, each held against the published schema.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::net::{Host, wait_until};

/// The schema that users are given.
const SCHEMA: &str = include_str!("../../../docs/flow-record.schema.json");

/// Fails unless a record is as the published schema says.
pub fn validate(record: &Value) {
    static VALIDATOR: OnceLock<jsonschema::Validator> = OnceLock::new();
    let validator = VALIDATOR.get_or_init(|| {
        let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
        jsonschema::validator_for(&schema).expect("a schema")
    });
    if let Err(error) = validator.validate(record) {
        panic!("{error}\nin\n{record:#}");
    }
}

/// All records that a filter picks, in order.
pub fn records(host: &Host, filter: &str) -> Result<Vec<Value>> {
    let ran = host.cli(&["flows", filter, "-o", "ndjson"])?;
    anyhow::ensure!(ran.ok(), "{ran:?}");
    let lines = ran.out.lines();
    let all: Result<Vec<Value>, _> = lines.map(serde_json::from_str).collect();
    let all = all.context("a record a line")?;
    all.iter().for_each(validate);
    Ok(all)
}

/// Waits until there are records of an event that a filter picks, at least so many.
pub fn wait_for(
    host: &Host,
    event: &str,
    filter: &str,
    count: usize,
    patience: Duration,
) -> Vec<Value> {
    let of = || {
        let mut all = records(host, filter).expect("records");
        all.retain(|record| record["event"] == event);
        all
    };
    let found = wait_until(patience, || Some(of()).filter(|all| all.len() >= count));
    found.unwrap_or_else(|| {
        let all = records(host, "").expect("records");
        panic!(
            "not {count} records {event} {filter} in {all:#?}\n{}",
            host.log()
        )
    })
}
