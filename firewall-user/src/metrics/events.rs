//! Sessions opened, ended and refused, and records: exact counts of the programs and of the sweep.

use std::collections::BTreeMap;

use firewall_common::event::{EventCount, Kind};
use firewall_common::reason::Reason;
use firewall_common::session::end::Cause;
use firewall_common::zone::{Course, ZoneId};

use super::family::{Family, Sample};
use super::snapshot::Snapshot;
use super::traffic::sample;
use crate::detect::Way;
use crate::events::Loss;
use crate::sessions::direction;

pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    vec![
        opened(snapshot),
        closed(snapshot),
        refused(snapshot),
        records(snapshot),
        lost(snapshot),
        skipped(snapshot),
        one_sided(snapshot),
    ]
}

/// Every zone of the policy is there from the start, for those who open from and to here.
fn opened(snapshot: &Snapshot) -> Family {
    let mut counts = snapshot.session_counts.opened.clone();
    let peers = snapshot
        .zones
        .iter()
        .filter(|zone| **zone != ZoneId::HOST.0);
    for zone in peers {
        for course in [Course::Inbound, Course::Outbound] {
            counts.entry((course as u8, ZoneId(*zone))).or_default();
        }
    }
    let samples = counts.iter().map(|((course, zone), count)| {
        let way = direction(Course::from_number(*course));
        let zone = snapshot.names.zone(zone.0);
        sample([way, zone.as_str()], *count)
    });
    Family::counter(
        "ringwall_sessions_opened",
        "Sessions opened, by who opens and the zone at the other end.",
        &["direction", "zone"],
        samples.collect(),
    )
}

fn closed(snapshot: &Snapshot) -> Family {
    let counts = &snapshot.session_counts.closed;
    let samples = Cause::ALL.iter().map(|cause| {
        let count = counts.get(cause).copied().unwrap_or(0);
        sample([cause.word()], count)
    });
    Family::counter(
        "ringwall_sessions_closed",
        "Sessions ended, by why.",
        &["cause"],
        samples.collect(),
    )
}

/// Reasons for which a session is refused although the policy allows it.
const LIMITS: &[Reason] = &[
    Reason::HalfOpenLimit,
    Reason::SessionTableFull,
    Reason::RateLimited,
    Reason::SourceLimit,
    Reason::SessionLimit,
];

fn refused(snapshot: &Snapshot) -> Family {
    let mut sums: BTreeMap<(u8, u8), u64> = BTreeMap::new();
    let peers = snapshot
        .zones
        .iter()
        .filter(|zone| **zone != ZoneId::HOST.0);
    for (zone, reason) in peers.flat_map(|zone| LIMITS.iter().map(move |reason| (zone, reason))) {
        sums.entry((*zone, *reason as u8)).or_default();
    }
    let counted = snapshot.packets.iter();
    for c in counted.filter(|c| LIMITS.contains(&c.reason)) {
        *sums.entry((c.zone, c.reason as u8)).or_default() += c.count.packets;
    }
    let samples = sums.into_iter().filter_map(|((zone, reason), sum)| {
        let zone = snapshot.names.zone(zone);
        let reason = Reason::from_number(reason)?;
        Some(sample([zone.as_str(), reason.word()], sum))
    });
    Family::counter(
        "ringwall_sessions_refused",
        "Attempts to open or complete a session that were refused since a table or a limit was full.",
        &["zone", "reason"],
        samples.collect(),
    )
}

fn by_kind(snapshot: &Snapshot, pick: impl Fn(&EventCount) -> u64) -> Vec<Sample> {
    let of = |kind: &Kind| {
        let count = snapshot.events.get(kind).map_or(0, &pick);
        sample([kind.word()], count)
    };
    Kind::ALL.iter().map(of).collect()
}

fn records(snapshot: &Snapshot) -> Family {
    Family::counter(
        "ringwall_events",
        "Records made.",
        &["kind"],
        by_kind(snapshot, |count| count.recorded),
    )
}

fn lost(snapshot: &Snapshot) -> Family {
    let sum = |pick: fn(&EventCount) -> u64| snapshot.events.values().map(pick).sum::<u64>();
    let mut samples = vec![
        sample(["limit"], sum(|count| count.limited)),
        sample(["ring"], sum(|count| count.full)),
    ];
    for stage in Loss::ALL {
        let count = snapshot.lost.get(stage as usize).copied();
        samples.push(sample([stage.word()], count.unwrap_or(0)));
    }
    Family::counter(
        "ringwall_events_lost",
        "Records lost, by where.",
        &["stage"],
        samples,
    )
}

fn skipped(snapshot: &Snapshot) -> Family {
    Family::counter(
        "ringwall_events_skipped",
        "Records left out by the sample that a rule's `log` asks for.",
        &["kind"],
        by_kind(snapshot, |count| count.sampled),
    )
}

/// Every cause of each direction is there from the start.
fn one_sided(snapshot: &Snapshot) -> Family {
    let every = Way::ALL.iter();
    let every = every.flat_map(|way| way.causes().iter().map(move |cause| (way, cause)));
    let samples = every.map(|(way, cause)| {
        let key = (way.word(), cause.word());
        let count = snapshot.one_sided.get(&key).copied().unwrap_or(0);
        sample([key.0, key.1], count)
    });
    Family::counter(
        "ringwall_one_sided_syn",
        "Handshakes found not to complete, by who opens and why.",
        &["direction", "cause"],
        samples.collect(),
    )
}
