//! Today's agent takes over from one of layout 1, under traffic: nothing passes that is denied, no session is
//! lost, every count goes on. Where it cannot take over, the old programs go on enforcing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::net::TcpStream;

use ringwall_tests::earlier::{self, REVISION};
use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange};
use ringwall_tests::net::{Host, Lab, wait_until};
use ringwall_tests::scenario::{
    Called, Door, PATIENCE, Probed, Resent, Scene, Talked, Worker, allow, at_lan, at_wan, call,
    metric, policy, probe, talk,
};

const CLOSED: [Seen; 2] = [Seen::Silence, Seen::Silence];
const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];
const FAILSAFE: &str = "failsafe: [{sources: [10.77.0.9/32], services: [tcp/2222]}]\n";

/// The host as the old agent left it, and no agent.
fn left_by_layout_1(config: &str) -> Scene {
    let lab = Lab::quiet().unwrap();
    let host = Host::prepare(
        lab.host(),
        &["lan0", "wan0"],
        &format!("{FAILSAFE}{config}"),
    )
    .unwrap();
    earlier::put_in_force(&host, &["lan0", "wan0"]).unwrap();
    Scene { host, lab }
}

fn serve(scene: &Scene, port: u16) -> Echo {
    Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap()
}

struct Traffic {
    _echoes: Vec<Echo>,
    doors: Vec<Door>,
    talks: Vec<Worker<Talked>>,
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
        let inward = |v6| connect(scene.stranger(), at_wan(v6, 443), PATIENCE).unwrap();
        let out = |to: &str| connect(host, to.parse().unwrap(), PATIENCE).unwrap();
        let both = |port| vec![at_wan(false, port), at_wan(true, port)];
        Self {
            _echoes: echoes,
            doors,
            talks: vec![
                talk(inward(false)),
                talk(inward(true)),
                talk(out("203.0.113.9:8080")),
            ],
            calls: call(scene.trusted(), vec![at_lan(false, 443), at_lan(true, 443)]),
            idle: vec![inward(false), inward(true), out("[2001:db8::9]:8080")],
            knocks: probe(scene.stranger(), both(22), both(161)),
            resent: Resent::read(scene.stranger()).unwrap(),
        }
    }

    fn idle_sessions_answer(&mut self) {
        for stream in &mut self.idle {
            assert_eq!(exchange(stream, PATIENCE), Seen::Answered);
        }
    }

    /// Ends it; how many probes were sent.
    fn conclude(self, scene: &Scene) -> u64 {
        let (called, knocked) = (self.calls.finish(), self.knocks.finish());
        for talked in self.talks.into_iter().map(Worker::finish) {
            println!(
                "a transfer: {} bytes, the longest exchange {:?}",
                talked.bytes, talked.longest
            );
            assert_eq!(talked.error, None);
            assert!(talked.bytes > 50_000, "it hardly talked");
        }
        assert!(called.failed.is_empty(), "{:?}", called.failed);
        assert!(knocked.answered.is_empty(), "{:?}", knocked.answered);
        let entered: Vec<u64> = self.doors.iter().map(Door::entered).collect();
        assert_eq!(entered, [0, 0], "denied packets got through");
        let again = Resent::read(scene.stranger()).unwrap();
        println!(
            "{} calls, the longest {:?}; {} probes; {} segments sent again",
            called.answered,
            called.longest,
            knocked.sent,
            again.segments - self.resent.segments
        );
        knocked.sent
    }
}

fn dropped(scene: &Scene, reason: &str) -> f64 {
    let metrics = scene.host.metrics().unwrap();
    metric(
        &metrics,
        "ringwall_dropped_packets_total",
        &[&format!("reason=\"{reason}\"")],
    )
}

fn is_layout_1(scene: &Scene) -> bool {
    earlier::pins(&scene.host).unwrap().exists()
}

#[test]
fn todays_agent_takes_over_from_layout_1() {
    need_root!();
    let mut scene = left_by_layout_1("");
    let mut traffic = Traffic::start(&scene);
    traffic.idle_sessions_answer();
    std::thread::sleep(std::time::Duration::from_millis(300));
    scene.host.restart().unwrap();
    let log = scene.host.log();
    let told = log.lines().find(|line| line.contains("took over"));
    println!(
        "{}",
        told.unwrap_or_else(|| panic!("it took nothing over:\n{log}"))
    );
    assert!(!is_layout_1(&scene), "the old pins are still there");
    for interface in ["lan0", "wan0"] {
        assert_eq!(
            earlier::programs_on(scene.lab.host(), interface).unwrap(),
            [1, 1]
        );
    }
    assert_eq!(scene.revision().unwrap(), Some(REVISION));
    traffic.idle_sessions_answer();
    let of_443 = scene
        .host
        .json(&["sessions", "port", "443", "and", "zone", "internet"])
        .unwrap();
    let rows = of_443.as_array().unwrap();
    assert_eq!(rows.len(), 4, "{of_443:#}");
    assert!(
        rows.iter()
            .all(|row| row["rule"] == "in/web" && row["state"] == "established")
    );
    std::thread::sleep(std::time::Duration::from_millis(500));
    let sent = traffic.conclude(&scene);
    println!("strays: {}", dropped(&scene, "no-session"));
    let denied = dropped(&scene, "rule-deny") + dropped(&scene, "default-deny");
    assert_eq!(
        denied, sent as f64,
        "every probe was counted, before and after"
    );
    let show = scene.host.json(&["policy", "show"]).unwrap();
    let closed = show
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["id"] == "in/closed")
        .unwrap()
        .clone();
    assert_eq!(closed["packets"].as_u64(), Some(sent / 2), "{closed:#}");
}

#[test]
fn sessions_that_were_taken_over_are_judged_by_what_comes_next() {
    need_root!();
    let mut scene = left_by_layout_1("");
    let _servers = [serve(&scene, 443), serve(&scene, 80), serve(&scene, 2222)];
    let mut session = connect(scene.stranger(), at_wan(true, 443), PATIENCE).unwrap();
    assert_eq!(exchange(&mut session, PATIENCE), Seen::Answered);
    scene.host.restart().unwrap();
    let knock = |at| ringwall_tests::net::sock::tcp(scene.trusted(), at, PATIENCE);
    assert_eq!(knock(at_lan(false, 2222)), Seen::Answered, "failsafe");
    let next =
        policy(REVISION + 1, &[allow("http", "tcp/80")]).replace("name: lab", "name: upgraded");
    let ran = scene.host.apply_with(&next, &["-o", "json"]).unwrap();
    assert!(ran.ok(), "{ran:?}");
    assert_eq!(ran.json().unwrap()["sessions_cut"], 1, "{ran:?}");
    assert_eq!(
        exchange(&mut session, ringwall_tests::scenario::SHORT),
        Seen::Silence
    );
    assert_eq!((scene.knock(443), scene.knock(80)), (CLOSED, OPEN));
    // And back, by the record that layout 1 wrote.
    assert!(scene.host.cli(&["rollback"]).unwrap().ok());
    assert_eq!((scene.knock(443), scene.knock(80)), (OPEN, CLOSED));
}

/// The agent must not start, and must leave everything as it is.
fn refused(scene: &mut Scene, why: &str) {
    let error = scene.host.restart().unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
    assert!(
        error.contains("go on enforcing") || error.contains("goes on enforcing"),
        "{error}"
    );
    let ours = earlier::pins(&scene.host).unwrap().with_file_name("2");
    assert!(is_layout_1(scene) && !ours.exists());
    for interface in ["lan0", "wan0"] {
        assert_eq!(
            earlier::programs_on(scene.lab.host(), interface).unwrap(),
            [1, 1]
        );
    }
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
}

#[test]
fn what_cannot_be_taken_over_goes_on_enforcing() {
    need_root!();
    let mut scene = left_by_layout_1("sessions: {max: 1, half_open_max: 1}\n");
    let _servers = [serve(&scene, 22), serve(&scene, 443)];
    let open = |v6| connect(scene.stranger(), at_wan(v6, 443), PATIENCE).unwrap();
    let mut sessions = [open(false), open(true)];
    refused(&mut scene, "`sessions: {max: 1}` has no place");
    let file = scene.host.dir.config();
    let config = std::fs::read_to_string(&file)
        .unwrap()
        .replace("max: 1", "max: 64");
    std::fs::write(&file, config).unwrap();
    let text = scene.host.dir.state().join("revisions/000001/policy.yaml");
    let good = std::fs::read(&text).unwrap();
    std::fs::write(&text, "nonsense: [").unwrap();
    // The agent that was refused had compiled it already.
    std::fs::remove_file(text.with_file_name("compiled.bin")).unwrap();
    refused(&mut scene, "cannot put that in force");
    let history = scene.host.dir.state().join("history.json");
    let away = history.with_extension("away");
    std::fs::rename(&history, &away).unwrap();
    refused(&mut scene, "the history does not know");
    // What was asked for is done, and it goes.
    std::fs::rename(&away, &history).unwrap();
    std::fs::write(&text, good).unwrap();
    scene.host.restart().unwrap();
    assert!(!is_layout_1(&scene));
    for session in &mut sessions {
        assert_eq!(exchange(session, PATIENCE), Seen::Answered);
    }
    assert_eq!(scene.status().unwrap()["sessions"]["capacity"], 64);
}

/// Long enough to kill an agent between the switch of the hooks and the end of the takeover.
const PAUSE: (&str, &str) = ("RINGWALL_TEST_APPLY_PAUSE_MS", "3000");

/// Whoever comes after an agent that was killed while it took over finishes, and nothing is lost.
fn killed(wait: impl Fn(&Scene)) {
    let mut scene = left_by_layout_1("");
    let mut traffic = Traffic::start(&scene);
    scene.host.vars = vec![(PAUSE.0, PAUSE.1.to_owned())];
    scene.host.spawn().unwrap();
    wait(&scene);
    scene.host.kill9();
    assert!(is_layout_1(&scene), "it was done too soon");
    traffic.idle_sessions_answer();
    scene.host.restart().unwrap();
    assert!(!is_layout_1(&scene));
    for interface in ["lan0", "wan0"] {
        assert_eq!(
            earlier::programs_on(scene.lab.host(), interface).unwrap(),
            [1, 1]
        );
    }
    traffic.idle_sessions_answer();
    let sent = traffic.conclude(&scene);
    let denied = dropped(&scene, "rule-deny") + dropped(&scene, "default-deny");
    assert_eq!(denied, sent as f64);
}

fn ours(scene: &Scene) -> std::path::PathBuf {
    earlier::pins(&scene.host).unwrap().with_file_name("2")
}

#[test]
fn an_agent_killed_before_the_switch_is_followed_by_one_that_takes_over() {
    need_root!();
    killed(|scene| {
        let made = || ours(scene).join("maps/ACTIVE").exists().then_some(());
        wait_until(6 * PATIENCE, made).unwrap();
    });
}

#[test]
fn an_agent_killed_after_the_switch_is_followed_by_one_that_finishes() {
    need_root!();
    killed(|scene| {
        let links =
            || std::fs::read_dir(ours(scene).join("links")).is_ok_and(|all| all.count() == 4);
        wait_until(6 * PATIENCE, || links().then_some(())).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
    });
}

#[test]
fn commands_say_what_to_do_with_an_earlier_layout_and_detach_ends_it() {
    need_root!();
    let scene = left_by_layout_1("");
    let _ssh = serve(&scene, 22);
    for args in [
        &["status"][..],
        &["sessions"],
        &["policy", "show"],
        &["rollback"],
    ] {
        let ran = scene.host.cli(args).unwrap();
        assert!(
            ran.status == 3 && ran.err.contains("layout 1"),
            "{args:?}: {ran:?}"
        );
    }
    assert_eq!(scene.knock(22), CLOSED);
    let ran = scene.host.cli(&["detach"]).unwrap();
    assert!(ran.ok() && (ran.out + &ran.err).contains("ENDED"));
    let open = || (scene.knock(22) == OPEN).then_some(());
    assert!(wait_until(PATIENCE, open).is_some());
    assert!(!is_layout_1(&scene));
}
