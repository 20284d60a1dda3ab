//! kill -9 of the agent, again and again, under traffic that must get through and traffic that must not:
//! packets and sessions do not notice, and the agent is back at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange};
use ringwall_tests::net::xdp::PassAll;
use ringwall_tests::net::{Host, Lab, Ran, wait_until};
use ringwall_tests::scenario::{
    Called, Door, PATIENCE, Probed, Random, Resent, Scene, Talked, Worker, allow, at_lan, at_wan,
    call, metric, policy, probe, talk,
};
use rustix::process::{Pid, Signal, kill_process};

const KILLS: usize = 20;
/// Enough for one in the middle of an apply.
const FEW: usize = 3;
/// Every third kill comes in the middle of an apply.
const MIDDLE: usize = 3;
/// How wide the middle of an apply is made: from its first write to its flip.
const PAUSE_MS: u64 = 1500;
const PAUSE: &str = "RINGWALL_TEST_APPLY_PAUSE_MS";
/// The figure is a second; this has room for a machine that does other things too.
const BACK: Duration = Duration::from_secs(10);

#[test]
fn twenty_kills_change_no_verdict_and_lose_no_session() {
    need_root!();
    kills(Scene::guarded(&rules(1)).unwrap(), KILLS, None);
}

/// The same where what arrives is judged at XDP, and in the clsact qdisc, as below Linux 6.6.
#[test]
fn so_it_is_at_xdp_and_in_the_clsact_qdisc() {
    need_root!();
    for (config, clsact, place) in [
        ("hook: xdp\n", false, ("xdp", "native")),
        ("hook: xdp-generic\n", false, ("xdp", "generic")),
        ("", true, ("clsact", "tc")),
        ("hook: xdp-generic\n", true, ("xdp", "generic")),
    ] {
        let lab = Lab::quiet().unwrap();
        // So the peers get answers by native XDP.
        let _far = [&lab.trusted, &lab.stranger].map(|end| PassAll::attach(end).unwrap());
        let mut host = Host::prepare(lab.host(), &["lan0", "wan0"], config).unwrap();
        let mut always = Vec::new();
        if clsact {
            always.push(("RINGWALL_TEST_CLSACT", "1".to_owned()));
        }
        host.vars.clone_from(&always);
        host.restart().unwrap();
        let scene = Scene { host, lab };
        scene.put(&policy(1, &rules(1))).unwrap();
        println!("{config}{place:?}");
        kills(scene, FEW, Some((place, always)));
    }
}

type Sits = ((&'static str, &'static str), Vec<(&'static str, String)>);

fn kills(mut scene: Scene, kills: usize, sits: Option<Sits>) {
    let mut random = Random::seeded();
    let traffic = Traffic::start(&scene);
    let always = sits.as_ref().map(|(_, always)| always.clone());
    let mut state = State {
        revision: 1,
        always: always.unwrap_or_default(),
    };
    let mut restarts = Vec::new();
    for round in 0..kills {
        let middle = round % MIDDLE == 1;
        if middle {
            state.kill_in_the_middle(&mut scene, &mut random);
        } else {
            std::thread::sleep(random.wait(150));
            scene.host.kill9();
        }
        // Some time without an agent.
        std::thread::sleep(random.wait(150));
        restarts.push(state.restart(&mut scene, (round + 1) % MIDDLE == 1));
        if let Some((place, _)) = &sits {
            sits_at(&scene, *place);
        }
        if middle {
            state.was_interrupted(&scene);
        }
        traffic.idle_sessions_answer();
        state.next_apply_works(&scene);
    }
    restarts.sort();
    let (usual, slowest) = (restarts[kills / 2], restarts[kills - 1]);
    println!("{kills} kills; ready again in {usual:?}, at worst in {slowest:?}");
    traffic.conclude(&scene, kills);
}

/// The rules of a revision: one more than needed, another each time, so that each apply has work to do.
fn rules(revision: u64) -> [String; 2] {
    let other = format!("tcp/{}", 2000 + revision);
    [
        allow("web", "tcp/443, udp/443"),
        allow(&format!("r{revision}"), &other),
    ]
}

/// Every guarded interface is judged at this hook and in this mode, and nowhere else by a link of ours.
fn sits_at(scene: &Scene, place: (&str, &str)) {
    let status = scene.status().unwrap();
    let lines = status["interfaces"].as_array().unwrap().iter();
    let guarded: Vec<_> = lines.filter(|line| line["state"] == "guarded").collect();
    assert_eq!(guarded.len(), 2, "{status:#}");
    for line in guarded {
        assert_eq!(
            (&line["hook"], &line["mode"]),
            (&place.0.into(), &place.1.into())
        );
    }
}

/// The revision that should be in force, and the agent's environment.
struct State {
    revision: u64,
    always: Vec<(&'static str, String)>,
}

impl State {
    fn restart(&self, scene: &mut Scene, next_in_the_middle: bool) -> Duration {
        let pause = if next_in_the_middle { PAUSE_MS } else { 0 };
        scene.host.vars.clone_from(&self.always);
        scene.host.vars.push((PAUSE, pause.to_string()));
        let begin = Instant::now();
        scene.host.restart().unwrap();
        let took = begin.elapsed();
        assert!(took < BACK, "ready only after {took:?}");
        assert_eq!(scene.revision().unwrap(), Some(self.revision));
        took
    }

    fn next_apply_works(&mut self, scene: &Scene) {
        let next = self.revision + 1;
        let ran = scene
            .host
            .apply_with(&policy(next, &rules(next)), &["-o", "json"]);
        let ran = ran.unwrap();
        let answer = ran.json().unwrap();
        assert!(ran.ok() && answer["outcome"] == "applied", "{ran:?}");
        assert_eq!(answer["previous"], self.revision);
        self.revision = next;
    }

    /// Kills between the first write of an apply and its flip.
    fn kill_in_the_middle(&mut self, scene: &mut Scene, random: &mut Random) {
        let next = self.revision + 1;
        let pid = scene.host.agent().unwrap().pid();
        let pid = Pid::from_raw(pid.cast_signed()).unwrap();
        let here = &*scene;
        let ran: Ran = std::thread::scope(|s| {
            let apply = s.spawn(|| here.host.apply(&policy(next, &rules(next))).unwrap());
            let begun = wait_until(PATIENCE, || is_applying(here).then_some(()));
            assert!(begun.is_some(), "the apply does not begin");
            std::thread::sleep(Duration::from_millis(30) + random.wait(350));
            kill_process(pid, Signal::KILL).unwrap();
            apply.join().unwrap()
        });
        assert_eq!(ran.status, 3, "an apply whose agent dies says so: {ran:?}");
        scene.host.kill9();
    }

    /// The old policy is in force (as `restart` saw), and the history knows why.
    fn was_interrupted(&mut self, scene: &Scene) {
        let next = self.revision + 1;
        let history = scene.host.json(&["history"]).unwrap();
        let rows = history.as_array().unwrap();
        let row = rows.iter().find(|row| row["revision"] == next);
        let row = row.unwrap_or_else(|| panic!("revision {next} in {history:#}"));
        assert_eq!(row["outcome"], "interrupted", "{history:#}");
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
    fn start(scene: &Scene) -> Self {
        let host = scene.lab.host();
        let everywhere = |port: u16| ([0_u16; 8], port).into();
        let echoes = vec![
            Echo::tcp(host, everywhere(443)).unwrap(),
            Echo::tcp(scene.stranger(), everywhere(8080)).unwrap(),
        ];
        let doors = vec![Door::tcp(host, 22).unwrap(), Door::udp(host, 161).unwrap()];
        let open = |v6| connect(scene.trusted(), at_lan(v6, 443), PATIENCE).unwrap();
        let out = "203.0.113.9:8080".parse().unwrap();
        let idle = vec![
            open(false),
            open(true),
            connect(host, out, PATIENCE).unwrap(),
        ];
        let both = |port| vec![at_wan(false, port), at_wan(true, port)];
        let web = vec![at_lan(false, 443), at_lan(true, 443)];
        Self {
            _echoes: echoes,
            doors,
            long: vec![talk(open(false)), talk(open(true))],
            calls: call(scene.trusted(), web),
            knocks: probe(scene.stranger(), both(22), both(161)),
            idle,
            resent: Resent::read(scene.trusted()).unwrap(),
        }
    }

    fn idle_sessions_answer(&self) {
        for stream in &self.idle {
            let mut stream = stream.try_clone().unwrap();
            assert_eq!(exchange(&mut stream, PATIENCE), Seen::Answered);
        }
    }

    fn conclude(self, scene: &Scene, kills: usize) {
        let (called, knocked) = (self.calls.finish(), self.knocks.finish());
        println!(
            "{} calls answered, the longest in {:?}; {} denied probes",
            called.answered, called.longest, knocked.sent
        );
        for talked in self.long.into_iter().map(Worker::finish) {
            let (bytes, longest) = (talked.bytes, talked.longest);
            println!("a long session: {bytes} bytes, the longest exchange {longest:?}");
            assert_eq!(talked.error, None);
            assert!(bytes > 5_000 * kills as u64, "it hardly talked");
        }
        assert!(called.failed.is_empty(), "{:?}", called.failed);
        assert!(called.answered > 5 * kills as u64, "it hardly called");
        let again = Resent::read(scene.trusted()).unwrap();
        println!(
            "sent again: {} segments",
            again.segments - self.resent.segments
        );
        assert_eq!(again.syns, self.resent.syns, "allowed openings were lost");
        let metrics = scene.host.metrics().unwrap();
        let dropped = metric(&metrics, "ringwall_dropped_packets_total", &[]);
        assert_eq!(dropped, knocked.sent as f64, "the probes and nothing else");
        assert!(knocked.answered.is_empty(), "{:?}", knocked.answered);
        assert!(knocked.sent > 50 * kills as u64, "it hardly knocked");
        let entered: Vec<u64> = self.doors.iter().map(Door::entered).collect();
        assert_eq!(entered, [0, 0], "denied packets got through");
    }
}
