//! The same bytes to hosts that are guarded by Ringwall and to one that is guarded by nftables with the exported
//! policy: what reached the stack of each, and what each let leave.
//!
//! Nothing may come through Ringwall that nftables drops. What nftables lets by and Ringwall drops must have one of
//! the [`Cause`]s, each of which has its RFC.

mod causes;
mod compare;
mod fragments;
mod framed;
mod moments;
mod nflog;
mod report;
mod step;
mod story;
mod talks;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use firewall_common::flow::FlowKey;

pub use causes::Cause;
use compare::{compare, guesses};
pub use report::{Difference, Plan, Report};
use step::{Maker, Step};
use world::{Guarded, Seen};

/// The policy that both enforce.
const POLICY: &str = include_str!("policy.yaml");
/// Tables that hold everything, so that nothing is refused for want of room.
const CONFIG: &str =
    "sessions: {max: 262144, half_open_max: 262144, half_open_per_source: 262144}\n";
/// Steps between two looks: few enough that no number comes twice.
const CHUNK: usize = 2000;

/// The hosts.
pub struct Hosts {
    guarded: Vec<(Guarded, Fooled)>,
    nftables: Guarded,
}

/// Sessions of which nftables let a guess by that Ringwall dropped: from there on the two have seen different ones.
type Fooled = BTreeSet<FlowKey>;

impl Hosts {
    /// Ringwall at TC and, where asked for, at XDP; and nftables.
    pub fn new(xdp: bool) -> Result<Self> {
        let mut guarded = vec![Guarded::ringwall(
            "TC",
            &format!("{CONFIG}hook: tc\n"),
            POLICY,
        )?];
        if xdp {
            guarded.push(Guarded::ringwall(
                "XDP",
                &format!("{CONFIG}hook: xdp\n"),
                POLICY,
            )?);
        }
        let nftables = Guarded::nftables(POLICY)?;
        let guarded = guarded.into_iter().map(|host| (host, Fooled::new()));
        Ok(Self {
            guarded: guarded.collect(),
            nftables,
        })
    }

    /// Sends it all, and compares.
    pub fn run(&mut self, plan: Plan) -> Result<Report> {
        one_processor()?;
        let steps = steps(plan);
        let mut report = Report::default();
        for chunk in chunks(&steps) {
            self.chunk(chunk, &mut report)?;
        }
        Ok(report)
    }

    fn chunk(&mut self, steps: &[Step], report: &mut Report) -> Result<()> {
        for step in steps {
            *report.sent.entry(step.class).or_default() += 1;
        }
        let reference = deliver(&mut self.nftables, steps)?;
        note(report, "nftables", &reference);
        for (host, fooled) in &mut self.guarded {
            let seen = deliver(host, steps)?;
            note(report, host.name, &seen);
            let both = [&seen, &reference];
            let since = guesses(steps, both, fooled);
            compare(report, host.name, steps, both, false, &since);
            compare(report, host.name, steps, both, true, &since);
            fooled.extend(since.into_keys());
        }
        Ok(())
    }
}

/// Sends the steps; where the direction changes, waits until all before was decided.
fn deliver(host: &mut Guarded, steps: &[Step]) -> Result<[Seen; 2]> {
    let mut all = [Seen::new(), Seen::new()];
    let mut take = |seen: [Seen; 2]| {
        for (all, seen) in all.iter_mut().zip(seen) {
            seen.into_iter()
                .for_each(|(key, more)| all.entry(key).or_default().extend(more));
        }
    };
    for part in steps.chunk_by(|one, next| one.leaves == next.leaves) {
        part.iter().try_for_each(|step| host.send(step))?;
        take(host.settle()?);
    }
    Ok(all)
}

fn note(report: &mut Report, host: &'static str, seen: &[Seen; 2]) {
    let through: usize = seen.iter().flat_map(BTreeMap::values).map(Vec::len).sum();
    *report.through.entry(host).or_default() += through as u64;
}

/// Packets that are sent in one go wait in one queue only if they are sent by one processor.
fn one_processor() -> Result<()> {
    use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
    let mut set = CpuSet::new();
    set.set(sched_getcpu());
    sched_setaffinity(None, &set).context("staying on one processor")
}

/// A kind of packets, and how often it is drawn.
type Kind = (u64, fn(&mut Maker));

const KINDS: [Kind; 18] = [
    (8, framed::plain),
    (4, framed::flags),
    (5, framed::options),
    (6, framed::extensions),
    (5, framed::tags),
    (4, framed::tunnels),
    (3, framed::martians),
    (4, framed::essentials),
    (8, framed::malformed),
    (5, framed::outbound),
    (6, fragments::group),
    (4, talks::tcp),
    (4, moments::rare),
    (3, talks::strays),
    (1, talks::simultaneous),
    (3, talks::datagrams),
    (3, talks::errors),
    (3, talks::messages),
];

/// Everything that is sent, the same for the same seed.
fn steps(plan: Plan) -> Vec<Step> {
    let mut maker = Maker::new(plan.seed);
    let all = KINDS.iter().map(|(weight, _)| weight).sum();
    while maker.steps.len() < plan.packets {
        let mut drawn = maker.below(all);
        let kind = KINDS.iter().find(|(weight, _)| {
            let found = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            found
        });
        if let Some((_, make)) = kind {
            make(&mut maker);
        }
    }
    maker.steps
}

/// The frames of a plan, for others who want some of every kind: does the host send it, and its bytes.
#[must_use]
pub fn frames(plan: Plan) -> Vec<(bool, Vec<u8>)> {
    let steps = steps(plan).into_iter();
    steps.map(|step| (step.leaves, step.framed())).collect()
}

/// Pieces that cut no fragments of one packet apart.
fn chunks(steps: &[Step]) -> Vec<&[Step]> {
    let (mut all, mut rest) = (Vec::new(), steps);
    while rest.len() > CHUNK {
        let same =
            |at: usize| rest.get(at).map(|step| step.key) == rest.get(at - 1).map(|step| step.key);
        let end = (CHUNK..rest.len())
            .find(|at| !same(*at))
            .unwrap_or(rest.len());
        let (chunk, later) = rest.split_at(end);
        all.push(chunk);
        rest = later;
    }
    all.push(rest);
    all
}
