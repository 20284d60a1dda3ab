//! How full the tables of rules' limits are, and SYN cookies.

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
        Family::gauge(
            "ringwall_syn_cookies_active",
            "1 while openings to listeners are answered with SYN cookies: pressure is high, and the kernel is not told to make none.",
            &[],
            vec![sample([], u64::from(used.cookies.is_on()))],
        ),
        Family::gauge(
            "ringwall_half_open_pressure",
            "1 while half-open sessions are being pushed out by new ones.",
            &[],
            vec![sample([], u64::from(used.cookies.pressure))],
        ),
        Family::counter(
            "ringwall_syn_cookies",
            "SYN cookies given out, and those that came back and were right.",
            &["result"],
            vec![
                sample(["sent"], used.cookies.sent),
                sample(["accepted"], used.cookies.accepted),
            ],
        ),
    ]
}
