//! Packets, drops, sessions.

use std::collections::BTreeMap;

use firewall_common::config::Count;
use firewall_common::flow::Hook;
use firewall_common::reason::Reason;
use firewall_common::session::STATES;
use firewall_common::verdict::Verdict;

use super::family::{Family, Sample, Value};
use super::snapshot::Snapshot;

const HOOKS: [Hook; 2] = [Hook::Ingress, Hook::Egress];

const fn word(hook: Hook) -> &'static str {
    match hook {
        Hook::Ingress => "ingress",
        Hook::Egress => "egress",
    }
}

pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut families = vec![
        verdicts(
            snapshot,
            "ringwall_packets",
            "Packets on the wire, counted once, where they are judged.",
            |c| c.packets,
        ),
        verdicts(
            snapshot,
            "ringwall_bytes",
            "Bytes on the wire of the packets judged.",
            |c| c.bytes,
        ),
        drops(snapshot),
    ];
    families.extend(sessions(snapshot));
    families
}

/// By hook and verdict; every pair is there from the start. What is judged elsewhere is not counted here.
fn verdicts(
    snapshot: &Snapshot,
    name: &'static str,
    help: &'static str,
    pick: impl Fn(&Count) -> u64,
) -> Family {
    let mut samples = Vec::new();
    for hook in HOOKS {
        for verdict in Verdict::ALL {
            let counted = snapshot.packets.iter().filter(|c| {
                c.hook == hook && c.verdict == *verdict && c.reason != Reason::HandedUp
            });
            let sum = counted.map(|c| pick(&c.count)).sum();
            samples.push(sample([word(hook), verdict.word()], sum));
        }
    }
    Family::counter(name, help, &["direction", "verdict"], samples)
}

/// Reasons a packet may be dropped for before its zone is known.
const BEFORE_ZONES: &[Reason] = &[
    Reason::Malformed,
    Reason::Truncated,
    Reason::BadTcpFlags,
    Reason::IpOptions,
    Reason::Ipv6RoutingHeader,
    Reason::UnsupportedEthertype,
    Reason::SpoofedSource,
    Reason::Martian,
    Reason::NdInvalid,
    Reason::FragmentWithoutFirst,
    Reason::FragmentOverlap,
];

/// Reasons that the list and the sessions may give.
const BY_ZONE: &[Reason] = &[
    Reason::RuleDeny,
    Reason::RuleReject,
    Reason::DefaultDeny,
    Reason::DefaultReject,
    Reason::NoPolicy,
    Reason::NoSession,
    Reason::Revoked,
    Reason::RuleExpired,
    Reason::SessionTableFull,
    Reason::HalfOpenLimit,
];

fn drops(snapshot: &Snapshot) -> Family {
    let mut sums: BTreeMap<(u8, u8, u8), u64> = BTreeMap::new();
    let mut begin = |zone: u8, reasons: &[Reason]| {
        for (hook, reason) in HOOKS
            .iter()
            .flat_map(|h| reasons.iter().map(move |r| (h, r)))
        {
            sums.entry((*hook as u8, zone, *reason as u8)).or_default();
        }
    };
    begin(0, BEFORE_ZONES);
    for zone in snapshot.zones.iter().filter(|zone| **zone != 1) {
        begin(*zone, BY_ZONE);
    }
    let dropped = snapshot
        .packets
        .iter()
        .filter(|c| matches!(c.verdict, Verdict::Dropped | Verdict::Rejected));
    for c in dropped {
        *sums
            .entry((c.hook as u8, c.zone, c.reason as u8))
            .or_default() += c.count.packets;
    }
    let samples = sums.into_iter().filter_map(|((hook, zone, reason), sum)| {
        let hook = if hook == 0 {
            Hook::Ingress
        } else {
            Hook::Egress
        };
        let reason = Reason::from_number(reason)?;
        let zone = snapshot.names.zone(zone);
        Some(sample([word(hook), zone.as_str(), reason.word()], sum))
    });
    Family::counter(
        "ringwall_dropped_packets",
        "Packets dropped or rejected, by the zone at the other end (- where it was not looked up) and the reason.",
        &["direction", "zone", "reason"],
        samples.collect(),
    )
}

fn sessions(snapshot: &Snapshot) -> Vec<Family> {
    let mut by_state = snapshot.sessions.clone();
    for (state, word) in STATES {
        use firewall_common::session::State as S;
        let protocol = match state {
            S::Udp | S::UdpStream => "udp",
            S::Icmp => "icmp",
            S::Other => continue,
            _ => "tcp",
        };
        by_state
            .entry((protocol.to_owned(), (*word).to_owned()))
            .or_default();
    }
    let by_state = by_state
        .iter()
        .map(|((p, s), n)| sample([p.as_str(), s.as_str()], *n));
    let mut half_open = snapshot.half_open.clone();
    for way in ["inbound", "outbound"] {
        half_open.entry(way.to_owned()).or_default();
    }
    let half_open = half_open.iter().map(|(way, n)| sample([way.as_str()], *n));
    let tables = &snapshot.tables;
    let pair = |sessions, half_open| {
        vec![
            sample(["sessions"], sessions),
            sample(["half-open"], half_open),
        ]
    };
    vec![
        Family::gauge(
            "ringwall_sessions",
            "Live sessions.",
            &["protocol", "state"],
            by_state.collect(),
        ),
        Family::gauge(
            "ringwall_half_open_sessions",
            "Sessions that the other side has not answered, by who opens.",
            &["direction"],
            half_open.collect(),
        ),
        Family::gauge(
            "ringwall_session_table_entries",
            "Entries of the session tables.",
            &["table"],
            pair(tables.open, tables.half_open),
        ),
        Family::gauge(
            "ringwall_session_table_capacity",
            "Places of the session tables.",
            &["table"],
            pair(tables.capacity, tables.half_open_capacity),
        ),
    ]
}

pub(super) fn sample<const N: usize>(labels: [&str; N], count: u64) -> Sample {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    (labels, Value::Whole(count))
}
