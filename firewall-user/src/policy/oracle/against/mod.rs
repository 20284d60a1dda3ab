//! The compiled form against the interpreter: the same packets, the same answers.
//!
//! Who runs the compiled form is a [`Judge`]: tables in memory here, the loaded programs in the
//! end-to-end tests, which see this module by the feature `testing`.
#![allow(
    clippy::unwrap_used,
    reason = "tests only: what is written here is known to parse"
)]

mod dice;
mod judge;
mod members;
mod packets;
mod pieces;
mod policies;
mod scenes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use firewall_common::reason::Reason;

use super::{Ruling, World};
use crate::policy::compile::compile;
pub use crate::policy::compile::{Mutation, Tuning, tuned, with_mutation};
use crate::policy::compiled::{Compiled, Numbers};
use crate::policy::lint;
use crate::policy::model::Policy;
use crate::sets::Members;
use dice::Dice;
pub use judge::{Judge, Memory, crossing};
pub use policies::INTERFACES;
use scenes::Pair;

/// Trees with many cuts over few rules, several of them for two zones, and short lists as bits: so that policies of a
/// few rules show what those of many thousand need.
pub const THIN: Tuning = Tuning {
    leaf: 1,
    lists: [2, 64, 1],
    copies: 1,
    spare: 4,
};

/// The host's own addresses.
pub const OWN: [&str; 5] = ["10.0.0.1", "192.0.2.1", "2001:db8::1", "fd00::1", "fe80::1"];
/// The broadcast address of one of its links.
pub const BROADCAST: &str = "10.0.0.255";
/// Its routes, each with the place in [`INTERFACES`] of the one it leads to.
pub const ROUTES: [(&str, usize); 6] = [
    ("0.0.0.0/0", 0),
    ("10.0.0.0/8", 1),
    ("10.1.0.0/16", 2),
    ("::/0", 0),
    ("fd00::/8", 3),
    ("fe80::/10", 1),
];

/// Ways back to sources, each with the places in [`INTERFACES`] of those that lead there.
const BACK: [(&str, &[usize]); 6] = [
    ("10.0.0.0/8", &[1, 2]),
    ("10.1.0.0/16", &[2]),
    ("10.2.0.0/16", &[]),
    ("128.0.0.0/1", &[0, 3]),
    ("::/0", &[0, 1, 2]),
    ("fd00::/8", &[3]),
];

/// The host that random packets cross; its [`INTERFACES`] have these indexes.
#[must_use]
pub fn world(indexes: &[u32; 5]) -> World {
    let names = INTERFACES.map(str::to_owned);
    let route = |(net, place): (&str, usize)| (net.parse().unwrap(), indexes[place]);
    World {
        interfaces: indexes.iter().copied().zip(names).collect(),
        own: OWN.map(|own| own.parse().unwrap()).into(),
        broadcasts: [BROADCAST.parse().unwrap()].into(),
        members: BTreeMap::new(),
        routes: ROUTES.map(route).into(),
        back: Vec::new(),
        several: false,
    }
}

/// The same, and sources are held against these ways back.
#[must_use]
pub fn world_with_ways_back(indexes: &[u32; 5]) -> World {
    let back = |(net, places): &(&str, &[usize])| {
        let by = places.iter().map(|place| indexes[*place]).collect();
        (net.parse().unwrap(), by)
    };
    World {
        back: BACK.iter().map(back).collect(),
        several: true,
        ..world(indexes)
    }
}

/// A random policy that enforces, and what is drawn along with it.
#[cfg(test)]
pub(crate) fn drawn(seed: u64, now: jiff::Timestamp) -> (Policy, impl FnMut(usize) -> usize) {
    let mut dice = Dice(seed);
    let mut policy = policies::policy(&mut dice, now, 0);
    policy.mode = crate::policy::model::Mode::Enforce;
    (policy, move |most| dice.below(most))
}

/// How much is compared.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What random choices begin with.
    pub seed: u64,
    /// How many policies.
    pub policies: usize,
    /// Openings for each, with what follows those that open a session.
    pub scenes: usize,
    /// Also a packet for each set of rules that packets can match, so that every rule is hit?
    pub pieces: bool,
}

/// What was seen on the way.
#[derive(Debug, Default)]
pub struct Seen {
    /// Packets that both sides judged.
    pub packets: usize,
    /// Those of them that may pass.
    pub allowed: usize,
    /// Rules that can decide about some packet, where pieces were looked at.
    pub rules: usize,
    /// Those of them that did.
    pub hit: usize,
    /// How often each reason was given.
    pub reasons: BTreeMap<Reason, usize>,
    /// The others, each with its policy.
    pub missed: Vec<String>,
    /// The rules that decided.
    ids: BTreeSet<String>,
    /// Rules of pieces whose example is no packet.
    nowhere: BTreeSet<String>,
}

impl Seen {
    fn note(&mut self, ruling: &Ruling) {
        self.packets += 1;
        self.allowed += usize::from(ruling.passes);
        self.ids.extend(ruling.rule.clone());
        *self.reasons.entry(ruling.reason).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.allowed += other.allowed;
        self.rules += other.rules;
        self.hit += other.hit;
        self.missed.extend(other.missed.iter().cloned());
        for (reason, count) in &other.reasons {
            *self.reasons.entry(*reason).or_default() += count;
        }
    }
}

/// Compares so many packets over so many policies.
///
/// # Errors
/// The first difference.
pub fn run(judge: &mut impl Judge, plan: &Plan) -> Result<Seen, String> {
    let mut total = Seen::default();
    for number in 0..plan.policies {
        let seed = plan.seed.wrapping_add(number as u64 * 7919);
        let one = one_policy(judge, plan, &mut Dice(seed));
        let mut seen = one.map_err(|difference| format!("policy {number}: {difference}"))?;
        for id in &mut seen.missed {
            *id = format!("policy {number}: {id}");
        }
        total.add(&seen);
    }
    Ok(total)
}

fn one_policy(judge: &mut impl Judge, plan: &Plan, dice: &mut Dice) -> Result<Seen, String> {
    let (world, clock) = (judge.world(), judge.clock());
    let policy = policies::policy(dice, clock.wall, judge.margin());
    let compiled = compile(&policy, &mut Numbers::default(), &clock).unwrap();
    judge.load(&compiled)?;
    judge.enter(&world)?;
    let (named, table) = members::draw(dice, &policy, &compiled, &clock, judge.margin());
    let world = World {
        members: named,
        ..world
    };
    judge.fill(&table)?;
    let pool = packets::Pool::new(&policy, &world);
    let mut pair = Pair::new(&policy, &compiled, &world, clock.wall, judge);
    let named = |difference| format!("{policy:#?}\n{difference}");
    for _ in 0..plan.scenes {
        let (packet, way) = pool.draw(dice);
        pair.scene(dice, &packet, &way).map_err(named)?;
    }
    let mut seen = pair.finish()?;
    if plan.pieces {
        // Proofs read dynamic sets as empty.
        judge.fill(&Members::default())?;
        pieces::all(judge, &policy, &compiled, &clock, &mut seen).map_err(named)?;
        reach(&policy, &compiled, clock.boot, &mut seen);
    }
    judge.done().map_err(named)?;
    Ok(seen)
}

/// Which of the rules that can decide did.
fn reach(policy: &Policy, compiled: &Compiled, now: u64, seen: &mut Seen) {
    let deciding = lint::deciding(policy, compiled, now).unwrap();
    let can = compiled
        .listing
        .iter()
        .filter(|l| l.index.is_some_and(|index| deciding.contains(&index)));
    for id in can.map(|l| &l.id) {
        let hit = seen.ids.contains(id);
        if !hit && seen.nowhere.contains(id) {
            continue;
        }
        seen.rules += 1;
        seen.hit += usize::from(hit);
        seen.missed.extend((!hit).then(|| id.clone()));
    }
}

/// `RINGWALL_PACKETS` asks for more.
#[must_use]
pub fn wanted() -> usize {
    let asked = std::env::var("RINGWALL_PACKETS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(100_000)
}
