//! The series of the contract, and the page that tells of them.

use std::collections::BTreeSet;

use crate::markdown::text;

/// Names and labels that dashboards depend on. Add freely; rename never.
pub(crate) const SERIES: [(&str, &[&str]); 33] = [
    ("ringwall_packets_total", &["direction", "verdict"]),
    ("ringwall_bytes_total", &["direction", "verdict"]),
    (
        "ringwall_dropped_packets_total",
        &["direction", "zone", "reason"],
    ),
    ("ringwall_rule_packets_total", &["policy", "rule", "action"]),
    ("ringwall_rule_bytes_total", &["policy", "rule", "action"]),
    (
        "ringwall_rule_last_hit_timestamp_seconds",
        &["policy", "rule"],
    ),
    ("ringwall_enforcing", &["interface", "direction"]),
    ("ringwall_sessions", &["protocol", "state"]),
    ("ringwall_session_table_entries", &["table"]),
    ("ringwall_session_table_capacity", &["table"]),
    ("ringwall_sessions_refused_total", &["zone", "reason"]),
    ("ringwall_set_entries", &["set"]),
    ("ringwall_set_updated_timestamp_seconds", &["set"]),
    ("ringwall_set_generation", &["set"]),
    ("ringwall_sessions_opened_total", &["direction", "zone"]),
    ("ringwall_sessions_closed_total", &["cause"]),
    ("ringwall_one_sided_syn_total", &["direction", "cause"]),
    ("ringwall_half_open_sessions", &["direction"]),
    ("ringwall_policy_info", &["name", "revision", "digest"]),
    ("ringwall_policy_applied_timestamp_seconds", &[]),
    ("ringwall_policy_apply_total", &["outcome"]),
    (
        "ringwall_policy_rule_expiry_timestamp_seconds",
        &["policy", "rule"],
    ),
    ("ringwall_events_total", &["kind"]),
    ("ringwall_events_lost_total", &["stage"]),
    ("ringwall_events_skipped_total", &["kind"]),
    ("ringwall_limit_table_entries", &["table"]),
    ("ringwall_limit_table_capacity", &["table"]),
    ("ringwall_limit_shared_total", &[]),
    ("ringwall_syn_cookies_active", &[]),
    ("ringwall_half_open_pressure", &[]),
    ("ringwall_syn_cookies_total", &["result"]),
    ("ringwall_interface_info", &["interface", "hook", "mode"]),
    ("ringwall_build_info", &["version", "revision"]),
];

/// Each series as the page writes it: `name{label,label}`.
fn written() -> BTreeSet<String> {
    let of = |(name, labels): &(&str, &[&str])| match labels {
        [] => (*name).to_owned(),
        labels => format!("{name}{{{}}}", labels.join(",")),
    };
    SERIES.iter().map(of).collect()
}

#[test]
fn the_page_tells_of_every_series_of_the_contract_and_no_other() {
    let page = text("docs/metrics.md");
    let rows = page.lines().filter_map(|l| l.strip_prefix("| `"));
    let told: BTreeSet<String> = rows
        .filter_map(|l| l.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.starts_with("ringwall_"))
        .collect();
    assert_eq!(told, written());
}

#[test]
fn no_page_names_a_series_that_is_not_promised() {
    for page in crate::markdown::pages() {
        let here = text(&page);
        let words = here.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|w| w.starts_with("ringwall_")) {
            let known = SERIES.iter().any(|(name, _)| *name == word);
            // The programs' own names begin the same way.
            let program = ["ringwall_ingress", "ringwall_egress"].contains(&word)
                || word.starts_with("ringwall_explain_");
            assert!(known || program, "{page}: `{word}` is no series");
        }
    }
}
