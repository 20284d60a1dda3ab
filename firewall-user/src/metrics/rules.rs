//! Series by rule. They are by far the most, so the ceiling is theirs: a rule is shown with all of its series
//! or with none, in the order of the list, and what the others count goes under `other`.

use super::family::{Family, Sample, Value};
use super::policy::instant;
use super::snapshot::Snapshot;
use crate::api::types::RuleRow;

/// The families by rule, in no more than `room` series.
pub(super) fn families(snapshot: &Snapshot, room: usize) -> Vec<Family> {
    let counted = snapshot.rules.iter();
    let counted = counted.filter(|(row, _)| row.packets.is_some());
    let mut named: Vec<Series> = counted.map(|(row, hit)| Series::of(row, *hit)).collect();
    let rest = named.split_off(fit(&named, room));
    let some_rest = !rest.is_empty();
    let [rest_packets, rest_bytes, ..] = columns(rest);
    let [packets, bytes, hits, expiries] = columns(named);
    let with_other = |mut samples: Vec<Sample>, rest: &[Sample]| {
        // Without room for two more nothing at all is told of rules.
        if some_rest && room >= OTHERS {
            let labels = vec!["other".to_owned(); 3];
            samples.push((labels, Value::Whole(sum(rest))));
        }
        samples
    };
    vec![
        Family::counter(
            "ringwall_rule_packets",
            "Packets that a rule decided; action would-… where it only monitors.",
            &["policy", "rule", "action"],
            with_other(packets, &rest_packets),
        ),
        Family::counter(
            "ringwall_rule_bytes",
            "Bytes of the packets that a rule decided.",
            &["policy", "rule", "action"],
            with_other(bytes, &rest_bytes),
        ),
        Family::gauge(
            "ringwall_rule_last_hit_timestamp_seconds",
            "When a rule last decided; absent where it never did.",
            &["policy", "rule"],
            hits,
        ),
        Family::gauge(
            "ringwall_policy_rule_expiry_timestamp_seconds",
            "When a rule expires.",
            &["policy", "rule"],
            expiries,
        ),
    ]
}

/// Series under `other`: its packets and its bytes.
const OTHERS: usize = 2;

/// All series of one rule: packets, bytes, last hit, expiry.
struct Series([Vec<Sample>; 4]);

impl Series {
    fn of(row: &RuleRow, hit: Option<f64>) -> Self {
        let mut packets = vec![by_action(row, &row.action, row.packets)];
        let mut bytes = vec![by_action(row, &row.action, row.bytes)];
        if row.monitor || row.would_packets.unwrap_or(0) > 0 {
            let would = format!("would-{}", row.action);
            packets.push(by_action(row, &would, row.would_packets));
            bytes.push(by_action(row, &would, row.would_bytes));
        }
        let at = |at: Option<f64>| at.map(|at| (id(row), Value::Real(at)));
        let expiry = at(row.expires.as_deref().and_then(instant));
        Self([
            packets,
            bytes,
            at(hit).into_iter().collect(),
            expiry.into_iter().collect(),
        ])
    }

    fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

/// The same by family.
fn columns(of: Vec<Series>) -> [Vec<Sample>; 4] {
    let mut columns: [Vec<Sample>; 4] = Default::default();
    for Series(parts) in of {
        for (column, part) in columns.iter_mut().zip(parts) {
            column.extend(part);
        }
    }
    columns
}

/// How many rules, from the first, have room for all they have.
fn fit(all: &[Series], room: usize) -> usize {
    let whole: usize = all.iter().map(Series::count).sum();
    if whole <= room {
        return all.len();
    }
    let mut left = room.saturating_sub(OTHERS);
    let fits = all.iter().take_while(|series| {
        let enough = series.count() <= left;
        left = left.saturating_sub(series.count());
        enough
    });
    fits.count()
}

fn sum(samples: &[Sample]) -> u64 {
    let whole = |value: &Value| match value {
        Value::Whole(count) => *count,
        Value::Real(_) => 0,
    };
    samples.iter().map(|(_, value)| whole(value)).sum()
}

fn id(row: &RuleRow) -> Vec<String> {
    let (policy, rule) = row.id.split_once('/').unwrap_or((&row.id, ""));
    vec![policy.to_owned(), rule.to_owned()]
}

fn by_action(row: &RuleRow, action: &str, count: Option<u64>) -> Sample {
    let mut labels = id(row);
    labels.push(action.to_owned());
    (labels, Value::Whole(count.unwrap_or(0)))
}
