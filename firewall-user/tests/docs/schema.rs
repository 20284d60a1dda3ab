//! The schema of flow records, written from the types.

use firewall_user::events::Flow;

use crate::markdown::root;

#[test]
fn the_published_schema_is_that_of_the_records() {
    let schema = schemars::schema_for!(Flow);
    let mut text = serde_json::to_string_pretty(&schema).expect("JSON");
    text.push('\n');
    let path = root().join("docs/flow-record.schema.json");
    if std::env::var_os("RINGWALL_BLESS").is_some() {
        std::fs::write(&path, &text).expect("written");
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == text,
        "{} is old: run this test with RINGWALL_BLESS=1",
        path.display()
    );
}
