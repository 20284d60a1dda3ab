//! The policy in force, interfaces and sets.

use super::family::{Family, Value};
use super::snapshot::{SetCount, Snapshot};

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
    families.extend(sets(snapshot));
    families
}

fn sets(snapshot: &Snapshot) -> [Family; 3] {
    let labels = |set: &SetCount| vec![set.name.clone()];
    let entries = snapshot.sets.iter();
    let entries = entries.map(|set| (labels(set), Value::Whole(set.entries)));
    let updated = snapshot.sets.iter();
    let updated = updated.filter_map(|set| Some((labels(set), Value::Real(set.updated?))));
    let generations = snapshot.sets.iter();
    let generations =
        generations.filter_map(|set| Some((labels(set), Value::Whole(set.generation?))));
    [
        Family::gauge(
            "ringwall_set_entries",
            "Prefixes in a named address set.",
            &["set"],
            entries.collect(),
        ),
        Family::gauge(
            "ringwall_set_updated_timestamp_seconds",
            "When a named address set last changed.",
            &["set"],
            updated.collect(),
        ),
        Family::gauge(
            "ringwall_set_generation",
            "The generation of a dynamic or file-backed set, which rises with every change of its members.",
            &["set"],
            generations.collect(),
        ),
    ]
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

pub(super) fn instant(text: &str) -> Option<f64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(at.as_millisecond() as f64 / 1000.0)
}
