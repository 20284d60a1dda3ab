//! Floods that come and go at a shielded interface, and what it gains by that.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{Effort, Figure};
use crate::net::injector::{Sender, frame, settle};
use crate::net::receiver::{Receiver, bind, lost, received};
use crate::net::sock::{Echo, connect};
use crate::net::{Lab, wait_until};
use crate::scenario::flood::{Flood, From, way_back_to_anybody};
use crate::scenario::{
    Called, Door, PATIENCE, Probed, Scene, Talked, Worker, allow, at_lan, at_wan, call, metric,
    policy, probe, rule, talk,
};

/// Refused datagrams a second over each family.
const EACH: u64 = 2500;
/// Low enough for that, and quick enough to come and go often.
const CONFIG: &str = "shield: {enabled: true, above: 2000, below: 500, quiet: 1s}\n";
/// Samples of what a packet costs, at either hook.
const SAMPLES: usize = 5;

pub(super) fn run(effort: &Effort) -> Result<Vec<Figure>> {
    let scene = Scene::configured(CONFIG)?;
    scene.put(&policy(1, &rules()))?;
    way_back_to_anybody(&scene)?;
    // With a receiver of its own all the time, the wire frees nothing when XDP goes.
    Receiver::start(&scene.lab.wan, &scene.lab.stranger)?;
    let _echo = Echo::tcp(scene.lab.host(), ([0_u16; 8], 443).into())?;
    let doors = [
        Door::tcp(scene.lab.host(), 22)?,
        Door::udp(scene.lab.host(), 161)?,
    ];
    let traffic = Traffic::start(&scene)?;
    let mut sent = 0;
    let rounds = effort.pick(10, 2);
    for _ in 0..rounds {
        let floods = flood(&scene)?;
        wait_for(&scene, "up")?;
        std::thread::sleep(Duration::from_millis(500));
        sent += floods.map(Worker::finish).iter().sum::<u64>();
        wait_for(&scene, "down")?;
    }
    let seen = traffic.conclude();
    let mut figures = seen.figures();
    let entered: u64 = doors.iter().map(Door::entered).sum();
    let all = sent - lost(&scene.lab.stranger)?..=sent;
    let judged = || Some(()).filter(|()| counted(&scene).is_ok_and(|now| all.contains(&now)));
    let exact = wait_until(PATIENCE, judged).is_some();
    let goal = format!("{} to {sent}: what the wire took", all.start());
    figures.extend([
        Figure::exactly("changes to XDP", rounds, switches(&scene, "xdp")?),
        Figure::exactly("changes back to TC", rounds, switches(&scene, "tc")?),
        Figure::exactly("refused packets that reached a door", 0, entered),
        Figure::new(
            "packets of the flood counted",
            goal,
            counted(&scene)?,
            exact,
        ),
    ]);
    if effort.long {
        figures.extend(gain()?);
    }
    Ok(figures)
}

/// What the flood is refused by counts nothing else.
fn rules() -> [String; 2] {
    [rule("flood", "deny", "udp/161"), allow("web", "tcp/443")]
}

/// At a port that nothing allows.
fn flood(scene: &Scene) -> Result<[Worker<u64>; 2]> {
    let start = |v6| {
        let flood = Flood {
            rate: Some(EACH),
            ..Flood::burst(From::Anybody, at_wan(v6, 161), false, u64::MAX)
        };
        flood.start(&scene.lab.stranger, &scene.lab.wan)
    };
    Ok([start(false)?, start(true)?])
}

fn wait_for(scene: &Scene, state: &str) -> Result<()> {
    let there = || {
        let status = scene.status().ok()?;
        let mut lines = status["interfaces"].as_array()?.iter();
        let line = lines.find(|line| line["name"] == "wan0")?;
        (line["shield"]["state"] == state).then_some(())
    };
    let came = wait_until(4 * PATIENCE, there);
    came.with_context(|| format!("the shield is not {state}:\n{}", scene.host.log()))
}

/// By the rule that refuses the flood.
fn counted(scene: &Scene) -> Result<u64> {
    let metrics = scene.host.metrics()?;
    let label = ["rule=\"flood\""];
    Ok(metric(&metrics, "ringwall_rule_packets_total", &label) as u64)
}

fn switches(scene: &Scene, to: &str) -> Result<u64> {
    let label = format!("to=\"{to}\"");
    let metrics = scene.host.metrics()?;
    Ok(metric(&metrics, "ringwall_shield_switches_total", &[&label]) as u64)
}

/// What goes on meanwhile.
struct Traffic {
    sessions: Vec<Worker<Talked>>,
    calls: [Worker<Called>; 2],
    knocks: Worker<Probed>,
}

/// What came of it.
struct Outcome {
    sessions: Vec<Talked>,
    calls: [Called; 2],
    knocked: Probed,
}

impl Traffic {
    fn start(scene: &Scene) -> Result<Self> {
        let (stranger, trusted) = (scene.stranger(), scene.trusted());
        let mut sessions = Vec::new();
        for (ns, to) in [
            (stranger, at_wan(false, 443)),
            (stranger, at_wan(true, 443)),
            (trusted, at_lan(false, 443)),
            (trusted, at_lan(true, 443)),
        ] {
            let stream = connect(ns, to, PATIENCE).ok().context("no session")?;
            sessions.push(talk(stream));
        }
        let both =
            |at: fn(bool, u16) -> std::net::SocketAddr, port| vec![at(false, port), at(true, port)];
        Ok(Self {
            sessions,
            calls: [
                call(stranger, both(at_wan, 443)),
                call(trusted, both(at_lan, 443)),
            ],
            knocks: probe(stranger, both(at_wan, 22), Vec::new()),
        })
    }

    fn conclude(self) -> Outcome {
        Outcome {
            sessions: self.sessions.into_iter().map(Worker::finish).collect(),
            calls: self.calls.map(Worker::finish),
            knocked: self.knocks.finish(),
        }
    }
}

impl Outcome {
    fn figures(&self) -> Vec<Figure> {
        let bytes: u64 = self.sessions.iter().map(|talked| talked.bytes).sum();
        let cut = self.sessions.iter().filter(|talked| talked.error.is_some());
        let opened: u64 = self.calls.iter().map(|called| called.answered).sum();
        let failed: usize = self.calls.iter().map(|called| called.failed.len()).sum();
        vec![
            Figure::at_least("bytes on live sessions", 1, bytes),
            Figure::exactly("live sessions lost", 0, cut.count()),
            Figure::at_least("connections opened meanwhile", 1, opened),
            Figure::exactly("of them refused", 0, failed),
            Figure::exactly("refused packets answered", 0, self.knocked.answered.len()),
        ]
    }
}

/// What a refused packet costs the receiving side at TC, and then under the shield.
fn gain() -> Result<Vec<Figure>> {
    let mut scene = Scene::configured("")?;
    scene.put(&policy(1, &rules()))?;
    way_back_to_anybody(&scene)?;
    let receiver = Receiver::start(&scene.lab.wan, &scene.lab.stranger)?;
    receiver.bind(1);
    let injector = Injector::new(&scene)?;
    let at_tc = cost(&scene, &receiver, &injector)?;
    // It stays up for the time of the measurement, in which nothing else is on the wire.
    reconfigure(&mut scene, &CONFIG.replace("1s", "5m"))?;
    let floods = flood(&scene)?;
    wait_for(&scene, "up")?;
    drop(floods);
    let shielded = cost(&scene, &receiver, &injector)?;
    let what = "CPU of the receiver for a refused packet under the shield, ns";
    let goal = format!("less than {at_tc}, as at TC");
    Ok(vec![Figure::new(what, goal, shielded, shielded < at_tc)])
}

/// What floods the shut port 9.
struct Injector(Sender, Vec<u8>);

impl Injector {
    fn new(scene: &Scene) -> Result<Self> {
        let Lab { stranger, wan, .. } = &scene.lab;
        let sender = scene
            .stranger()
            .run(|| Sender::load(stranger.ifindex, false))?;
        Ok(Self(sender, frame(stranger, wan, [203, 0, 113, 1], false)?))
    }
}

/// The agent reads its file again, with these lines more.
fn reconfigure(scene: &mut Scene, more: &str) -> Result<()> {
    let path = scene.host.dir.config();
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(&path, text + more)?;
    let agent = scene.host.agent().context("an agent")?.pid();
    let agent = Pid::from_raw(agent.cast_signed()).context("its process")?;
    Ok(kill_process(agent, Signal::HUP)?)
}

/// The median of some bursts.
fn cost(scene: &Scene, receiver: &Receiver, injector: &Injector) -> Result<u64> {
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let now = || -> Result<_> { Ok((receiver.busy(), received(&scene.lab.wan)?)) };
        let before = now()?;
        scene.stranger().run(|| {
            bind(0, 0);
            injector.0.send(&injector.1, 200_000)
        })?;
        settle(|| Ok(now()?.1 - before.1))?;
        let after = now()?;
        let packets = after.1 - before.1;
        ensure!(packets > 1000, "only {packets} packets came");
        samples.push(((after.0 - before.0).as_nanos() / u128::from(packets)) as u64);
    }
    samples.sort_unstable();
    Ok(samples[SAMPLES / 2])
}
