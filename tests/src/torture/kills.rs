//! kill -9 of the agent, again and again, some of them in the middle of an apply, under traffic that must get through
//! and traffic that must not: packets and sessions do not notice, and the agent is back at once.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{Effort, Figure};
use crate::net::sock::{Echo, Seen, connect, exchange};
use crate::net::wait_until;
use crate::scenario::{
    Called, Door, PATIENCE, Probed, Random, Resent, Scene, Talked, Worker, allow, at_lan, at_wan,
    call, metric, policy, probe, talk,
};

/// How wide the middle of an apply is made: from its first write to its flip.
const PAUSE_MS: u64 = 1500;
const PAUSE: &str = "RINGWALL_TEST_APPLY_PAUSE_MS";
/// The promise, and what the tests ask for: they run beside others, on machines that do other things too.
const PROMISE: Duration = Duration::from_secs(1);
const AT_LAST: Duration = Duration::from_secs(10);

pub(super) fn run(effort: &Effort) -> Result<Vec<Figure>> {
    let plan = Plan {
        kills: effort.pick(100, 10),
        goal: effort.pick(PROMISE, AT_LAST),
        seed: effort.seed,
        ..Plan::default()
    };
    kills(Scene::guarded(&rules(1))?, &plan)
}

/// How the agent is killed.
pub struct Plan {
    /// So often.
    pub kills: usize,
    /// One in so many in the middle of an apply.
    pub every: usize,
    /// It is back after so long.
    pub goal: Duration,
    /// What chance begins with.
    pub seed: u64,
    /// The agent's environment.
    pub vars: Vec<(&'static str, String)>,
    /// Where every interface is judged, hook and mode, each time.
    pub place: Option<(&'static str, &'static str)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            kills: 3,
            every: 5,
            goal: AT_LAST,
            seed: 1,
            vars: Vec::new(),
            place: None,
        }
    }
}

impl Plan {
    fn is_middle(&self, round: usize) -> bool {
        round % self.every == 1
    }
}

/// The rules of a revision: one more than needed, another each time, so that each apply has work to do.
#[must_use]
pub fn rules(revision: u64) -> [String; 2] {
    let other = format!("tcp/{}", 2000 + revision);
    [
        allow("web", "tcp/443, udp/443"),
        allow(&format!("r{revision}"), &other),
    ]
}

/// Kills, starts, and looks, as often as planned. [`rules`] of revision 1 are in force.
///
/// # Errors
/// It cannot be done at all.
pub fn kills(scene: Scene, plan: &Plan) -> Result<Vec<Figure>> {
    let traffic = Traffic::start(&scene)?;
    let mut story = Story {
        random: Random::from_seed(plan.seed),
        revision: 1,
        plan,
        scene,
        restarts: Vec::new(),
        interrupted: 0,
        displaced: 0,
        silent: 0,
        applied: 0,
    };
    for round in 0..plan.kills {
        story.round(round)?;
        story.silent += traffic.silent_sessions();
    }
    let mut figures = story.figures();
    figures.extend(traffic.conclude(&story.scene, plan.kills)?);
    Ok(figures)
}

struct Story<'p> {
    plan: &'p Plan,
    scene: Scene,
    random: Random,
    revision: u64,
    restarts: Vec<Duration>,
    interrupted: usize,
    displaced: usize,
    silent: usize,
    applied: usize,
}

impl Story<'_> {
    fn round(&mut self, round: usize) -> Result<()> {
        let middle = self.plan.is_middle(round);
        if middle {
            self.kill_in_the_middle()?;
        } else {
            std::thread::sleep(self.random.wait(150));
            self.scene.host.kill9();
        }
        // Some time without an agent.
        std::thread::sleep(self.random.wait(150));
        self.restart(self.plan.is_middle(round + 1))?;
        self.displaced += usize::from(!self.sits()?);
        if middle {
            self.interrupted += usize::from(self.was_interrupted()?);
        }
        self.apply_next()
    }

    fn restart(&mut self, next_in_the_middle: bool) -> Result<()> {
        let pause = if next_in_the_middle { PAUSE_MS } else { 0 };
        self.scene.host.vars.clone_from(&self.plan.vars);
        self.scene.host.vars.push((PAUSE, pause.to_string()));
        let begin = Instant::now();
        self.scene.host.restart()?;
        self.restarts.push(begin.elapsed());
        let revision = self.scene.revision()?;
        ensure!(
            revision == Some(self.revision),
            "{revision:?} is in force, not {}",
            self.revision
        );
        Ok(())
    }

    /// Is every guarded interface judged at the hook and in the mode that is wanted?
    fn sits(&self) -> Result<bool> {
        let Some((hook, mode)) = self.plan.place else {
            return Ok(true);
        };
        let status = self.scene.status()?;
        let lines = status["interfaces"].as_array().context("interfaces")?;
        let guarded: Vec<_> = { lines.iter() }
            .filter(|line| line["state"] == "guarded")
            .collect();
        let there = |line: &&serde_json::Value| line["hook"] == hook && line["mode"] == mode;
        Ok(guarded.len() == 2 && guarded.iter().all(there))
    }

    fn apply_next(&mut self) -> Result<()> {
        let next = self.revision + 1;
        let text = policy(next, &rules(next));
        let ran = self.scene.host.apply_with(&text, &["-o", "json"])?;
        let answer = ran.json()?;
        let right = answer["outcome"] == "applied" && answer["previous"] == self.revision;
        ensure!(ran.ok() && right, "{ran:?}");
        self.applied += 1;
        self.revision = next;
        Ok(())
    }

    /// Kills between the first write of an apply and its flip.
    fn kill_in_the_middle(&mut self) -> Result<()> {
        let text = policy(self.revision + 1, &rules(self.revision + 1));
        let pid = self.scene.host.agent().context("an agent")?.pid();
        let pid = Pid::from_raw(pid.cast_signed()).context("its number")?;
        let wait = Duration::from_millis(30) + self.random.wait(350);
        let scene = &self.scene;
        let ran = std::thread::scope(|s| {
            let apply = s.spawn(|| scene.host.apply(&text));
            let begun = wait_until(PATIENCE, || is_applying(scene).then_some(()));
            std::thread::sleep(wait);
            kill_process(pid, Signal::KILL)?;
            begun.context("the apply does not begin")?;
            apply.join().expect("it does not panic")
        })?;
        ensure!(
            ran.status == 3,
            "an apply whose agent dies says so: {ran:?}"
        );
        self.scene.host.kill9();
        Ok(())
    }

    /// The old policy is in force (as `restart` saw), and the history knows why.
    fn was_interrupted(&self) -> Result<bool> {
        let history = self.scene.host.json(&["history"])?;
        let rows = history.as_array().context("rows")?;
        let row = rows.iter().find(|row| row["revision"] == self.revision + 1);
        Ok(row.is_some_and(|row| row["outcome"] == "interrupted"))
    }

    fn figures(&self) -> Vec<Figure> {
        let plan = self.plan;
        let middle = (0..plan.kills)
            .filter(|round| plan.is_middle(*round))
            .count();
        let slowest = self.restarts.iter().max().copied().unwrap_or_default();
        let (slowest, goal) = (slowest.as_millis(), plan.goal.as_millis());
        let mut all = vec![
            Figure::exactly("kills -9", plan.kills, self.restarts.len()),
            Figure::exactly(
                "of them in the middle of an apply, and so told",
                middle,
                self.interrupted,
            ),
            Figure::at_most("slowest until the agent answers again, ms", goal, slowest),
            Figure::exactly("the next apply works", plan.kills, self.applied),
            Figure::exactly("idle sessions that did not answer", 0, self.silent),
        ];
        if let Some((hook, mode)) = plan.place {
            let what = format!("starts after which it was not judged at {hook} ({mode})");
            all.push(Figure::exactly(what, 0, self.displaced));
        }
        all
    }
}

/// The agent notes what it is about to do before it writes the first table.
fn is_applying(scene: &Scene) -> bool {
    let history = std::fs::read_to_string(scene.host.dir.state().join("history.json"));
    history.is_ok_and(|text| text.contains("\"applying\""))
}

/// All that goes on meanwhile.
struct Traffic {
    _echoes: Vec<Echo>,
    doors: Vec<Door>,
    long: Vec<Worker<Talked>>,
    calls: Worker<Called>,
    knocks: Worker<Probed>,
    idle: Vec<TcpStream>,
    resent: Resent,
}

impl Traffic {
    fn start(scene: &Scene) -> Result<Self> {
        let host = scene.lab.host();
        let everywhere = |port: u16| ([0_u16; 8], port).into();
        let echoes = vec![
            Echo::tcp(host, everywhere(443))?,
            Echo::tcp(scene.stranger(), everywhere(8080))?,
        ];
        let doors = vec![Door::tcp(host, 22)?, Door::udp(host, 161)?];
        let open = |v6| {
            let stream = connect(scene.trusted(), at_lan(v6, 443), PATIENCE);
            stream.ok().context("no session")
        };
        let out = connect(host, "203.0.113.9:8080".parse()?, PATIENCE);
        let idle = vec![open(false)?, open(true)?, out.ok().context("no session")?];
        let both = |port| vec![at_wan(false, port), at_wan(true, port)];
        let web = vec![at_lan(false, 443), at_lan(true, 443)];
        Ok(Self {
            _echoes: echoes,
            doors,
            long: vec![talk(open(false)?), talk(open(true)?)],
            calls: call(scene.trusted(), web),
            knocks: probe(scene.stranger(), both(22), both(161)),
            idle,
            resent: Resent::read(scene.trusted())?,
        })
    }

    /// How many of the idle sessions do not answer.
    fn silent_sessions(&self) -> usize {
        let talks = |stream: &&TcpStream| {
            let stream = stream.try_clone();
            stream.is_ok_and(|mut stream| exchange(&mut stream, PATIENCE) == Seen::Answered)
        };
        self.idle.iter().filter(|stream| !talks(stream)).count()
    }

    fn conclude(self, scene: &Scene, kills: usize) -> Result<Vec<Figure>> {
        let (called, knocked) = (self.calls.finish(), self.knocks.finish());
        let talked: Vec<Talked> = self.long.into_iter().map(Worker::finish).collect();
        let bytes = talked.iter().map(|talked| talked.bytes).min();
        let broken = talked.iter().filter_map(|talked| talked.error.as_ref());
        let broken = broken.inspect(|error| eprintln!("cut: {error}")).count();
        let again = Resent::read(scene.trusted())?;
        let text = scene.host.metrics()?;
        let dropped = metric(&text, "ringwall_dropped_packets_total", &[]) as u64;
        let entered: u64 = self.doors.iter().map(Door::entered).sum();
        let kills = kills as u64;
        for refused in called.failed.iter().chain(&knocked.answered) {
            eprintln!("{refused}");
        }
        Ok(vec![
            Figure::at_least(
                "bytes of each long session",
                5000 * kills,
                bytes.unwrap_or(0),
            ),
            Figure::exactly("long sessions lost", 0, broken),
            Figure::at_least("connections opened meanwhile", 5 * kills, called.answered),
            Figure::exactly("of them refused", 0, called.failed.len()),
            Figure::exactly(
                "SYNs that had to be sent again",
                0,
                again.syns - self.resent.syns,
            ),
            Figure::at_least("denied packets sent", 50 * kills, knocked.sent),
            Figure::exactly("of them answered", 0, knocked.answered.len()),
            Figure::exactly("of them that got through", 0, entered),
            Figure::exactly(
                "packets counted as dropped: these and no other",
                knocked.sent,
                dropped,
            ),
        ])
    }
}
