//! How full the tables of rules' limits are.

use super::family::Family;
use super::snapshot::Snapshot;
use super::traffic::sample;

pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    let used = &snapshot.limits;
    let pair =
        |buckets, sessions| vec![sample(["buckets"], buckets), sample(["sessions"], sessions)];
    vec![
        Family::gauge(
            "ringwall_limit_table_entries",
            "Sources that a rule's limit (buckets) or max_sessions (sessions) keeps account of.",
            &["table"],
            pair(used.buckets, used.counts),
        ),
        Family::gauge(
            "ringwall_limit_table_capacity",
            "Places of the tables of limits.",
            &["table"],
            pair(used.bucket_places, used.count_places),
        ),
        Family::counter(
            "ringwall_limit_shared",
            "Openings and packets charged to a bucket that sources share, since the table of buckets was full.",
            &[],
            vec![sample([], used.shared)],
        ),
    ]
}
