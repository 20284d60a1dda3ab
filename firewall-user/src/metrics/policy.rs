//! The policy in force, its rules, interfaces and sets.

use super::family::{Family, Sample, Value};
use super::snapshot::Snapshot;
use crate::api::types::RuleRow;

pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut families = vec![
        build(),
        enforcing(snapshot),
        interfaces(snapshot),
        applies(snapshot),
    ];
    if let Some(policy) = &snapshot.policy {
        let labels = vec![
            policy.name.clone(),
            policy.revision.to_string(),
            policy.digest.clone(),
        ];
        families.push(Family::gauge(
            "ringwall_policy_info",
            "The policy in force.",
            &["name", "revision", "digest"],
            vec![(labels, Value::Whole(1))],
        ));
        if let Some(at) = instant(&policy.applied) {
            families.push(Family::single(
                "ringwall_policy_applied_timestamp_seconds",
                "When the policy was put in force.",
                Value::Real(at),
            ));
        }
    }
    let sets = snapshot.sets.iter();
    families.push(Family::gauge(
        "ringwall_set_entries",
        "Prefixes in a named address set.",
        &["set"],
        sets.map(|(name, n)| (vec![name.clone()], Value::Whole(*n)))
            .collect(),
    ));
    families
}

fn build() -> Family {
    let labels = vec![
        env!("CARGO_PKG_VERSION").to_owned(),
        crate::version::REVISION.to_owned(),
    ];
    Family::gauge(
        "ringwall_build_info",
        "The agent that runs.",
        &["version", "revision"],
        vec![(labels, Value::Whole(1))],
    )
}

fn enforcing(snapshot: &Snapshot) -> Family {
    let mut samples = Vec::new();
    for line in snapshot
        .interfaces
        .iter()
        .filter(|l| l.state != "not-guarded")
    {
        let on = snapshot.enforcing && line.state == "guarded";
        for way in ["ingress", "egress"] {
            let labels = vec![line.name.clone(), way.to_owned()];
            samples.push((labels, Value::Whole(u64::from(on))));
        }
    }
    Family::gauge(
        "ringwall_enforcing",
        "1 where a policy decides about the packets of an interface that is to be guarded.",
        &["interface", "direction"],
        samples,
    )
}

fn interfaces(snapshot: &Snapshot) -> Family {
    let guarded = snapshot.interfaces.iter().filter(|l| l.state == "guarded");
    let samples = guarded.map(|line| {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        (
            vec![line.name.clone(), word(&line.hook), word(&line.mode)],
            Value::Whole(1),
        )
    });
    Family::gauge(
        "ringwall_interface_info",
        "Guarded interfaces.",
        &["interface", "hook", "mode"],
        samples.collect(),
    )
}

fn applies(snapshot: &Snapshot) -> Family {
    let tally = &snapshot.tally;
    let samples = [
        ("applied", tally.applied),
        ("unchanged", tally.unchanged),
        ("refused", tally.refused),
        ("not-for-this-host", tally.not_for_this_host),
        ("rolled-back", tally.rolled_back),
        ("pending-confirm", tally.pending_confirm),
        ("reverted", tally.reverted),
    ];
    let samples = samples.map(|(word, n)| (vec![word.to_owned()], Value::Whole(n)));
    Family::counter(
        "ringwall_policy_apply",
        "Policies that came, by what became of them.",
        &["outcome"],
        samples.to_vec(),
    )
}

/// Series by rule; the most there are, so the first to meet the ceiling.
pub(super) fn rule_families(snapshot: &Snapshot) -> Vec<Family> {
    let counted = || {
        snapshot
            .rules
            .iter()
            .filter(|(row, _)| row.packets.is_some())
    };
    let mut packets = Vec::new();
    let mut bytes = Vec::new();
    for (row, _) in counted() {
        let would = format!("would-{}", row.action);
        let would_bytes = row.would_bytes.unwrap_or(0);
        let would_packets = row.would_packets.unwrap_or(0);
        packets.push(by_action(row, &row.action, row.packets.unwrap_or(0)));
        bytes.push(by_action(row, &row.action, row.bytes.unwrap_or(0)));
        if row.monitor || would_packets > 0 {
            packets.push(by_action(row, &would, would_packets));
            bytes.push(by_action(row, &would, would_bytes));
        }
    }
    let hits = counted().filter_map(|(row, hit)| Some((id(row), Value::Real((*hit)?))));
    let expiries = counted().filter_map(|(row, _)| {
        let at = instant(row.expires.as_deref()?)?;
        Some((id(row), Value::Real(at)))
    });
    vec![
        Family::counter(
            "ringwall_rule_packets",
            "Packets that a rule decided; action would-… where it only monitors.",
            &["policy", "rule", "action"],
            packets,
        ),
        Family::counter(
            "ringwall_rule_bytes",
            "Bytes of the packets that a rule decided.",
            &["policy", "rule", "action"],
            bytes,
        ),
        Family::gauge(
            "ringwall_rule_last_hit_timestamp_seconds",
            "When a rule last decided; absent where it never did.",
            &["policy", "rule"],
            hits.collect(),
        ),
        Family::gauge(
            "ringwall_policy_rule_expiry_timestamp_seconds",
            "When a rule expires.",
            &["policy", "rule"],
            expiries.collect(),
        ),
    ]
}

fn id(row: &RuleRow) -> Vec<String> {
    let (policy, rule) = row.id.split_once('/').unwrap_or((&row.id, ""));
    vec![policy.to_owned(), rule.to_owned()]
}

fn by_action(row: &RuleRow, action: &str, count: u64) -> Sample {
    let mut labels = id(row);
    labels.push(action.to_owned());
    (labels, Value::Whole(count))
}

fn instant(text: &str) -> Option<f64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(at.as_millisecond() as f64 / 1000.0)
}
