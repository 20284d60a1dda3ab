//! Row 3: throughput, round trips and new connections, through no firewall, ours and the peers.

use std::time::Duration;

use anyhow::Result;

use super::Plan;
use super::lab::{Lab, Peer, why};
use super::numbers::{Line, Samples};
use super::raw::Place;
use super::wire;

const OURS: Peer = Peer::Ringwall("auto");
/// Who is measured, with how many rules ahead.
const CASES: [(Peer, usize); 13] = [
    (Peer::Nothing, 0),
    (Peer::Floor(Place::Tc, false), 0),
    (OURS, 0),
    (OURS, 1_000),
    (OURS, 10_000),
    (OURS, 100_000),
    (Peer::Nft, 0),
    (Peer::Nft, 10_000),
    (Peer::NftMap, 10_000),
    (Peer::NftMap, 100_000),
    (Peer::Iptables, 0),
    (Peer::Iptables, 10_000),
    (Peer::Floor(Place::Xdp, false), 0),
];

/// Those that a quick run leaves out.
const SLOW: [(Peer, usize); 4] = [
    (OURS, 1_000),
    (Peer::NftMap, 100_000),
    (Peer::Iptables, 0),
    (Peer::Iptables, 10_000),
];

/// What is measured of each, in the order of [`Target::all`].
const WHAT: [(&str, &str); 5] = [
    ("one stream", "Gb/s"),
    ("CPU of it", "ns/kB"),
    ("round trip, p50", "us"),
    ("connections", "/s"),
    ("CPU of each", "us"),
];

struct Target {
    peer: Peer,
    rules: usize,
    lab: Lab,
    all: [Samples; 5],
}

/// The row.
pub(crate) fn row(plan: &Plan) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut targets = Vec::new();
    for (peer, rules) in CASES {
        if plan.quick && SLOW.contains(&(peer, rules)) {
            continue;
        }
        match Lab::new(peer, rules) {
            Ok(lab) => targets.push(Target {
                peer,
                rules,
                lab,
                all: Default::default(),
            }),
            Err(error) => lines.push(Line::missing(name(peer, rules), why(&error))),
        }
    }
    let time = Duration::from_millis(if plan.quick { 300 } else { 1000 });
    for round in plan.rounds(1) {
        // Whoever comes first has the warmer machine: so nobody always does.
        let shift = round % targets.len().max(1);
        targets.rotate_left(shift);
        for target in &mut targets {
            target.measure(time)?;
        }
    }
    targets.sort_by_key(|target| {
        let mut cases = CASES.iter();
        cases.position(|(peer, rules)| (*peer, *rules) == (target.peer, target.rules))
    });
    for target in &targets {
        let name = name(target.peer, target.rules);
        for ((what, unit), samples) in WHAT.iter().zip(&target.all) {
            lines.push(Line::new(format!("{name}: {what}"), unit, samples.clone()));
        }
    }
    lines.extend(goals(&targets));
    Ok(lines)
}

fn name(peer: Peer, rules: usize) -> String {
    format!("{}, {rules} rules", peer.name())
}

impl Target {
    fn measure(&mut self, time: Duration) -> Result<()> {
        let stream = wire::stream(&mut self.lab, time)?;
        let trips = wire::round_trips(&self.lab, 2_000)?;
        let opened = wire::connections(&mut self.lab, time)?;
        let found = [
            stream.done * 8.0 / stream.seconds / 1e9,
            stream.processor / (stream.done / 1e3),
            trips.median(),
            opened.done / opened.seconds,
            opened.processor / opened.done / 1e3,
        ];
        let pairs = self.all.iter_mut().zip(found);
        pairs.for_each(|(samples, value)| samples.push(value));
        Ok(())
    }
}

/// Ratios to no firewall, by rounds.
fn goals(targets: &[Target]) -> Vec<Line> {
    let nothing = targets.iter().find(|target| target.peer == Peer::Nothing);
    let Some(nothing) = nothing else {
        return vec![Line::missing(
            "ratios to no firewall",
            "no such sample".to_owned(),
        )];
    };
    let mut lines = Vec::new();
    for target in targets.iter().filter(|target| target.peer != Peer::Nothing) {
        let of = |place: usize| target.all[place].over(&nothing.all[place]);
        let name = name(target.peer, target.rules);
        let line = |what: &str, place: usize| Line::new(format!("{name}: {what}"), "x", of(place));
        let [rate, byte, trip, opened, each] = [
            line("throughput, of no firewall", 0),
            line("CPU per byte, of no firewall", 1),
            line("round trip, of no firewall", 2),
            line("connections, of no firewall", 3),
            line("CPU per connection, of no firewall", 4),
        ];
        if target.peer == OURS {
            lines.extend([
                rate.least(0.97),
                byte.goal(1.03),
                trip,
                opened.least(0.9),
                each.goal(1.05),
            ]);
        } else {
            lines.extend([rate, byte, trip, opened, each]);
        }
    }
    lines
}
