//! Packets, drops, sessions.

use std::collections::BTreeMap;

use firewall_common::config::Count;
use firewall_common::flow::Hook;
use firewall_common::reason::Reason;
use firewall_common::session::STATES;
use firewall_common::verdict::Verdict;
use firewall_common::zone::ZoneId;

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

/// Which zones a reason can come with: packets may be dropped before their zone is looked up, after it, or
/// either. Every pair is there from the start, so that `rate()` sees the first drop.
const fn comes(reason: Reason) -> (bool, bool) {
    use Reason as R;
    let (before, after) = (true, true);
    match reason {
        R::Malformed
        | R::Truncated
        | R::BadTcpFlags
        | R::IpOptions
        | R::Ipv6RoutingHeader
        | R::UnsupportedEthertype
        | R::NdInvalid
        | R::FragmentWithoutFirst
        | R::FragmentOverlap
        | R::InternalError => (before, !after),
        R::SpoofedSource | R::Martian | R::NoSession | R::SynCookieFailed => (before, after),
        R::RuleDeny
        | R::RuleReject
        | R::DefaultDeny
        | R::DefaultReject
        | R::NoPolicy
        | R::OutOfWindow
        | R::Revoked
        | R::RuleExpired
        | R::SessionTableFull
        | R::HalfOpenLimit
        | R::SessionLimit
        | R::SourceLimit
        | R::RateLimited => (!before, after),
        // These let a packet pass.
        R::RuleAllow
        | R::DefaultAllow
        | R::Session
        | R::Related
        | R::Essential
        | R::Failsafe
        | R::Stateless
        | R::Routed
        | R::Adopted
        | R::Midstream
        | R::HandedUp
        | R::NoPolicyLoaded
        | R::Bypass => (!before, !after),
    }
}

/// Hook, zone and reason.
type Place = (u8, u8, u8);

/// All that can be counted under the policy in force, at zero.
fn places(snapshot: &Snapshot) -> BTreeMap<Place, u64> {
    let mut places = BTreeMap::new();
    let peers = snapshot
        .zones
        .iter()
        .filter(|zone| **zone != ZoneId::HOST.0);
    let zones = std::iter::once(&ZoneId::NONE.0).chain(peers);
    for (zone, reason) in zones.flat_map(|zone| Reason::ALL.iter().map(move |r| (*zone, *r))) {
        let (before, after) = comes(reason);
        if (zone == ZoneId::NONE.0 && before) || (zone != ZoneId::NONE.0 && after) {
            for hook in HOOKS {
                places.insert((hook as u8, zone, reason as u8), 0);
            }
        }
    }
    places
}

fn drops(snapshot: &Snapshot) -> Family {
    let mut sums = places(snapshot);
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
