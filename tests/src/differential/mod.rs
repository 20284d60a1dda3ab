//! The same bytes to hosts that are guarded by Ringwall and to one that is guarded by nftables with the exported
//! policy: what reached the stack of each, and what each let leave.
//!
//! Nothing may come through Ringwall that nftables drops. What nftables lets by and Ringwall drops must have one of
//! the [`Cause`]s, each of which has its RFC.

mod causes;
mod fragments;
mod framed;
mod moments;
mod nflog;
mod step;
mod story;
mod talks;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result};

pub use causes::Cause;
use causes::cause;
use step::{Maker, Step};
use story::{Both, story};
use world::{Guarded, Key, Seen};

/// The policy that both enforce.
const POLICY: &str = include_str!("policy.yaml");
/// Tables that hold everything, so that nothing is refused for want of room.
const CONFIG: &str =
    "sessions: {max: 262144, half_open_max: 262144, half_open_per_source: 262144}\n";
/// Steps between two looks: few enough that no number comes twice.
const CHUNK: usize = 2000;

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What chance begins with.
    pub seed: u64,
    /// Packets, at least.
    pub packets: usize,
}

/// A difference that has no cause, or is the wrong way round.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The firewall that is not nftables.
    pub host: &'static str,
    /// The kind of packet.
    pub class: &'static str,
    /// Did Ringwall let by what nftables did not?
    pub more: bool,
    /// How many came through Ringwall, and through nftables.
    pub came: [usize; 2],
    /// Its number: is it of IPv6, and the identification or flow label.
    pub key: (bool, u32),
    /// What was sent, in hexadecimal.
    pub packets: Vec<String>,
    /// Of a TCP segment: its conversation so far.
    pub story: Vec<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Packets that were sent to each host, by kind.
    pub sent: BTreeMap<&'static str, u64>,
    /// Packets that came through nftables, and through Ringwall at each hook.
    pub through: BTreeMap<&'static str, u64>,
    /// Differences by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Differences that must not be.
    pub wrong: Vec<Difference>,
}

impl Report {
    /// All packets sent to each host.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.sent.values().sum()
    }

    /// Packets let in that nftables drops.
    #[must_use]
    pub fn more(&self) -> usize {
        self.wrong
            .iter()
            .filter(|difference| difference.more)
            .count()
    }

    /// Joins another seed's.
    pub fn join(&mut self, other: Self) {
        other
            .sent
            .into_iter()
            .for_each(|(class, n)| *self.sent.entry(class).or_default() += n);
        other
            .through
            .into_iter()
            .for_each(|(host, n)| *self.through.entry(host).or_default() += n);
        other
            .causes
            .into_iter()
            .for_each(|(cause, n)| *self.causes.entry(cause).or_default() += n);
        self.wrong.extend(other.wrong);
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{} packets to each host:", self.packets());
        let _ = self
            .sent
            .iter()
            .try_for_each(|(class, n)| write!(text, " {class} {n};"));
        let _ = self
            .through
            .iter()
            .try_for_each(|(host, n)| write!(text, "\nthrough {host}: {n}"));
        let _ = self
            .causes
            .iter()
            .try_for_each(|(cause, n)| write!(text, "\ndrops more, {cause}: {n}"));
        for wrong in self.wrong.iter().take(20) {
            let way = if wrong.more {
                "LETS BY MORE"
            } else {
                "drops more, without a cause"
            };
            let _ = write!(
                text,
                "
{}: {way}: {} {:?}, came {:?}
  {}",
                wrong.host,
                wrong.class,
                wrong.key,
                wrong.came,
                wrong.packets.join("\n  ")
            );
            let _ = wrong
                .story
                .iter()
                .try_for_each(|line| write!(text, "\n    {line}"));
        }
        text
    }
}

/// The hosts.
pub struct Hosts {
    guarded: Vec<Guarded>,
    nftables: Guarded,
}

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
        Ok(Self { guarded, nftables })
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
        for host in &mut self.guarded {
            let seen = deliver(host, steps)?;
            note(report, host.name, &seen);
            let both = [&seen, &reference];
            compare(report, host.name, steps, both, false);
            compare(report, host.name, steps, both, true);
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

fn compare(report: &mut Report, host: &'static str, steps: &[Step], both: Both<'_>, leaves: bool) {
    let mut sent: BTreeMap<Key, Vec<&Step>> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.leaves == leaves) {
        sent.entry(step.key).or_default().push(step);
    }
    let [seen, reference] = both.map(|seen| &seen[usize::from(leaves)]);
    let keys: BTreeSet<&Key> = seen.keys().chain(reference.keys()).collect();
    // Number 0 is nobody's: so a firewall's own answers to the host are marked.
    for key in keys.into_iter().filter(|(_, number)| *number != 0) {
        let sent = sent.get(key).map_or(&[][..], Vec::as_slice);
        if leaves && sent.is_empty() {
            // A firewall's own answer.
            continue;
        }
        let (own, other) = (of(seen, key), of(reference, key));
        if own == other {
            continue;
        }
        let more = own.iter().any(|packet| !other.contains(packet)) || own.len() > other.len();
        if let Some(cause) = cause(sent).filter(|_| !more) {
            *report.causes.entry(cause).or_default() += 1;
            continue;
        }
        report.wrong.push(Difference {
            host,
            class: sent.first().map_or("?", |step| step.class),
            more,
            came: [own.len(), other.len()],
            key: *key,
            packets: sent.iter().map(|step| hex(&step.bytes)).collect(),
            story: sent
                .first()
                .map_or_else(Vec::new, |step| story(steps, step, both)),
        });
    }
}

/// What came under this number.
fn of<'a>(seen: &'a Seen, key: &Key) -> &'a [u64] {
    seen.get(key).map_or(&[], Vec::as_slice)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(200)
        .map(|byte| format!("{byte:02x}"))
        .collect()
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
