//! Mixed load for as long as one likes, with a new policy every five seconds and members of sets that come and go. At
//! the end the tables are empty again, the agent has not grown, and no packet was judged wrongly.

mod asks;
mod changes;
mod floods;
mod memory;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use self::changes::Reloads;
use self::memory::{Taken, cpu, growth, median};
use self::tally::{Counts, Tally};
use super::kernel_log::KernelLog;
use super::{Effort, Figure};
use crate::net::sock::{Echo, connect};
use crate::net::{Host, Lab, MemoryGroup};
use crate::scenario::flood::way_back_to_anybody;
use crate::scenario::{
    Door, PATIENCE, Resent, Scene, Talked, Worker, at_lan, at_wan, metric, talk_every,
};

/// Between two policies.
const RELOAD: Duration = Duration::from_secs(5);
/// Where nobody says how long, and in the tests.
const LONG: Duration = Duration::from_secs(120);
const SHORT: Duration = Duration::from_secs(20);
/// The promise, per cent.
const GROWTH: u64 = 5;
/// All of them short, so that a test sees the tables become empty.
const SHORT_LIVED: &str = "sessions: {timeouts: {tcp_syn_sent: 2s, tcp_syn_recv: 2s, tcp_fin_wait: 2s, \
    tcp_time_wait: 2s, tcp_close: 1s, udp: 2s, udp_stream: 2s, icmp: 2s, other: 2s}}\n";

pub(super) fn run(effort: &Effort) -> Result<Vec<Figure>> {
    let time = effort.soak.unwrap_or_else(|| effort.pick(LONG, SHORT));
    let group = MemoryGroup::make("soak");
    let (scene, pid) = scene(effort.long, group.as_ref())?;
    let mut log = KernelLog::follow()?;
    let mut reloads = Reloads::begin(&scene)?;
    way_back_to_anybody(&scene)?;
    let tables = memory::tables(&scene.host.dir.bpf())?;
    let ours = cpu(std::process::id())?;
    let load = Load::start(&scene)?;
    let begin = Instant::now();
    let mut samples = Vec::new();
    while begin.elapsed() < time {
        reloads.next(&scene, &load.tally)?;
        samples.push(Taken::of(pid, group.as_ref())?);
        progress(begin, samples.last(), &load.tally.counts());
        let next = RELOAD * u32::try_from(samples.len())?;
        std::thread::sleep(next.min(time).saturating_sub(begin.elapsed()));
    }
    let took = begin.elapsed();
    let done = load.conclude(&scene)?;
    let left = Left::of(&scene, effort.long)?;
    let mut figures = done.figures(took);
    figures.extend(left.figures());
    figures.extend(grown(&samples, effort.long));
    let after = memory::tables(&scene.host.dir.bpf())?;
    figures.push(Figure::at_most(
        "growth of the tables in the kernel, %",
        GROWTH,
        growth(tables, after),
    ));
    let used = samples.last().map_or(0, |last| last.cpu) + cpu(std::process::id())? - ours;
    figures.push(told(
        "CPU of the agent and of all that was done to it, % of one",
        used * 100 / took.as_millis().max(1) as u64,
    ));
    let faults = log.faults()?;
    faults.iter().for_each(|line| eprintln!("kernel: {line}"));
    figures.push(Figure::exactly(
        "faults in the kernel's log",
        0,
        faults.len(),
    ));
    Ok(figures)
}

/// Something that is told and has no goal.
fn told(what: &str, seen: impl std::fmt::Display) -> Figure {
    Figure::new(what, "-", seen, true)
}

/// The world and the agent's number.
fn scene(long: bool, group: Option<&MemoryGroup>) -> Result<(Arc<Scene>, u32)> {
    let lab = Lab::quiet()?;
    let config = if long { "" } else { SHORT_LIVED };
    let mut host = Host::prepare(lab.host(), &["lan0", "wan0"], config)?;
    host.starter = group.map(MemoryGroup::starter).unwrap_or_default();
    host.restart()?;
    let pid = host.agent().context("an agent")?.pid();
    Ok((Arc::new(Scene { host, lab }), pid))
}

fn progress(begin: Instant, taken: Option<&Taken>, counts: &Counts) {
    let seconds = begin.elapsed().as_secs();
    if seconds % 60 < RELOAD.as_secs() {
        let own = taken.map_or(0, |taken| taken.own);
        let Counts {
            asked,
            lost,
            wrong,
            reloads,
            ..
        } = counts;
        eprintln!(
            "{seconds} s: {reloads} reloads, {asked} exchanges, {lost} lost, {wrong} wrong, {own} kB"
        );
    }
}

/// All that goes on meanwhile.
struct Load {
    tally: Tally,
    _servers: Vec<Echo>,
    doors: [Door; 2],
    talks: Vec<Worker<Talked>>,
    asks: Vec<Worker<()>>,
    bans: Worker<Result<()>>,
    floods: Worker<Result<u64>>,
    resent: u64,
}

/// What came of it.
struct Done {
    counts: Counts,
    flooded: u64,
    entered: u64,
    cut: usize,
    resent: u64,
    drops: String,
}

impl Load {
    fn start(scene: &Arc<Scene>) -> Result<Self> {
        let (lab, tally) = (&scene.lab, Tally::default());
        let servers = asks::servers(lab)?;
        let doors = [Door::tcp(lab.host(), 22)?, Door::udp(lab.host(), 161)?];
        let mut talks = Vec::new();
        for v6 in [false, true] {
            for (ns, to) in [
                (scene.trusted(), at_lan(v6, 443)),
                (scene.stranger(), at_wan(v6, 443)),
            ] {
                let stream = connect(ns, to, PATIENCE).ok().context("no session")?;
                talks.push(talk_every(stream, Duration::from_millis(100)));
            }
        }
        Ok(Self {
            asks: asks::start(lab, &tally),
            bans: changes::bans(scene, &tally)?,
            floods: floods::start(lab),
            resent: resent(lab)?,
            _servers: servers,
            doors,
            talks,
            tally,
        })
    }

    fn conclude(self, scene: &Scene) -> Result<Done> {
        self.asks.into_iter().for_each(Worker::finish);
        self.bans.finish()?;
        let flooded = self.floods.finish()?;
        let talked = self.talks.into_iter().map(Worker::finish);
        let broken = talked.filter_map(|talked| talked.error);
        let cut = broken.inspect(|error| eprintln!("cut: {error}")).count();
        Ok(Done {
            counts: self.tally.counts(),
            flooded,
            entered: self.doors.iter().map(Door::entered).sum(),
            cut,
            resent: resent(&scene.lab)? - self.resent,
            drops: drops(&scene.host.metrics()?),
        })
    }
}

/// Packets dropped, by reason.
fn drops(metrics: &str) -> String {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    let lines = metrics.lines();
    for line in lines.filter(|line| line.starts_with("ringwall_dropped_packets_total{")) {
        let reason = line.split("reason=\"").nth(1);
        let reason = reason.and_then(|rest| rest.split('"').next());
        let count = line
            .rsplit(' ')
            .next()
            .and_then(|word| word.parse::<u64>().ok());
        *sums.entry(reason.unwrap_or_default()).or_default() += count.unwrap_or(0);
    }
    let sums = sums.iter().filter(|(_, count)| **count != 0);
    let words: Vec<_> = sums
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    words.join(", ")
}

fn resent(lab: &Lab) -> Result<u64> {
    let clients = [&lab.trusted.ns, &lab.stranger.ns];
    { clients.into_iter() }.try_fold(0, |sum, ns| Ok(sum + Resent::read(ns)?.syns))
}

impl Done {
    fn figures(&self, took: Duration) -> Vec<Figure> {
        let counts = &self.counts;
        let seconds = took.as_secs();
        vec![
            told("seconds of mixed load", seconds),
            // Each takes its time on a machine that does other things too.
            Figure::at_least(
                "policies that came into force",
                (seconds / 10).max(1),
                counts.reloads,
            ),
            Figure::at_least("changes of a set", (seconds / 5).max(1), counts.changes),
            Figure::exactly("of both refused", 0, counts.refused),
            Figure::at_least("exchanges", seconds * 10, counts.asked),
            Figure::exactly("of them allowed and lost", 0, counts.lost),
            Figure::exactly("of them judged wrongly", 0, counts.wrong),
            Figure::exactly("sessions cut, of 4", 0, self.cut),
            Figure::exactly("denied packets that got through", 0, self.entered),
            told("openings from sources that never were", self.flooded),
            told("SYNs that clients had to send again", self.resent),
            told("packets dropped", &self.drops),
        ]
    }
}

/// What is left in the tables when all is over.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    sessions: u64,
    limits: u64,
    members: u64,
}

impl Left {
    fn of(scene: &Scene, long: bool) -> Result<Self> {
        // The longest timeout of what was opened, and a sweep.
        let patience = Duration::from_secs(if long { 200 } else { 60 });
        let begin = Instant::now();
        loop {
            let left = Self::now(scene)?;
            if left == Self::default() || begin.elapsed() > patience {
                return Ok(left);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn now(scene: &Scene) -> Result<Self> {
        let text = scene.host.metrics()?;
        let sum = |name: &str| metric(&text, name, &[]) as u64;
        Ok(Self {
            sessions: sum("ringwall_session_table_entries"),
            limits: sum("ringwall_limit_table_entries"),
            members: sum("ringwall_set_entries"),
        })
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::exactly("sessions left after the timeouts", 0, self.sessions),
            Figure::exactly("buckets and counts of limits left", 0, self.limits),
            Figure::exactly("members left in the set", 0, self.members),
        ]
    }
}

/// How much more the agent took in the last sixth of the time than in the third one. Before that it fills what it
/// keeps on purpose: 16,384 records of each kind, which takes twenty minutes on a machine that is busy with other things.
/// In seconds that never ends, so there it is only told.
fn grown(samples: &[Taken], long: bool) -> Vec<Figure> {
    let sixth = samples.len() / 6;
    let grown = |what: &str, of: &dyn Fn(&Taken) -> Option<u64>| {
        let middle = |part: &[Taken]| median(part.iter().filter_map(of).collect());
        let before = middle(&samples[2 * sixth..3 * sixth + 1]);
        let after = middle(&samples[samples.len() - sixth - 1..]);
        let by = growth(before, after);
        let seen = format!("{by} ({before} to {after})");
        Figure::new(
            what,
            format!("at most {GROWTH}"),
            seen,
            !long || by <= GROWTH,
        )
    };
    let mut all = vec![
        grown("growth of the agent's memory, % (kB)", &|taken| {
            Some(taken.own)
        }),
        grown("growth of its open descriptors, %", &|taken| {
            Some(taken.descriptors as u64)
        }),
    ];
    if samples.iter().any(|taken| taken.kernel.is_some()) {
        all.push(grown(
            "growth of what the kernel holds for it, % (kB)",
            &|taken| taken.kernel,
        ));
    }
    all
}
