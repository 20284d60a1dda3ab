//! The shield: a flood of refused packets moves an interface to XDP and back by itself, and nothing else changes by that.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::time::Duration;

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, connect};
use ringwall_tests::net::wait_until;
use ringwall_tests::net::xdp::{NAME, PassAll};
use ringwall_tests::scenario::flood::{Flood, From};
use ringwall_tests::scenario::{
    Door, PATIENCE, Scene, Worker, allow, at_lan, at_wan, metric, policy, probe, talk,
};
use serde_json::Value;

/// Refused datagrams a second over each family: above the threshold, and little for the machine.
const EACH: u64 = 1500;

fn scene(quiet: &str) -> Scene {
    let config = format!("shield: {{enabled: true, above: 1000, below: 200, quiet: {quiet}}}\n");
    let scene = Scene::configured(&config).unwrap();
    scene
        .put(&policy(1, &[allow("web", "tcp/443, udp/443")]))
        .unwrap();
    scene
}

/// At a port that nothing allows, from anybody.
fn flood(scene: &Scene) -> [Worker<u64>; 2] {
    [false, true].map(|v6| {
        let flood = Flood {
            rate: Some(EACH),
            ..Flood::burst(From::Anybody, at_wan(v6, 161), false, u64::MAX)
        };
        flood.start(&scene.lab.stranger, &scene.lab.wan).unwrap()
    })
}

fn line(scene: &Scene, interface: &str) -> Value {
    let status = scene.status().unwrap();
    let lines = status["interfaces"].as_array().unwrap().iter();
    let found = { lines }.find(|line| line["name"] == interface);
    found.expect("the interface").clone()
}

/// Waits until the shield of `wan0` is in a state, and the hook is that which goes with it.
fn wait_for(scene: &Scene, state: &str, hook: &str) -> Value {
    let there = || {
        let line = line(scene, "wan0");
        (line["shield"]["state"] == state && line["hook"] == hook).then_some(line)
    };
    let found = wait_until(4 * PATIENCE, there);
    found.unwrap_or_else(|| {
        panic!(
            "not {state}: {:#}\n{}",
            line(scene, "wan0"),
            scene.host.log()
        )
    })
}

fn gauge(scene: &Scene, interface: &str) -> f64 {
    let metrics = scene.host.metrics().unwrap();
    let label = format!("interface=\"{interface}\"");
    metric(&metrics, "ringwall_shield_up", &[&label])
}

/// Records of changes, oldest first.
fn records(scene: &Scene) -> Vec<(String, String)> {
    let ran = scene.host.cli(&["flows", "-o", "ndjson"]).unwrap();
    let lines = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let of = lines.filter(|flow: &Value| flow["event"] == "shield");
    of.map(|flow| {
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        (word(&flow["interface"]["name"]), word(&flow["cause"]))
    })
    .collect()
}

#[test]
fn a_flood_is_judged_at_xdp_while_it_lasts_and_no_session_notices() {
    need_root!();
    let scene = scene("2s");
    let host = scene.lab.host().clone();
    let _echo = Echo::tcp(&host, ([0_u16; 8], 443).into()).unwrap();
    let doors = [
        Door::tcp(&host, 22).unwrap(),
        Door::udp(&host, 161).unwrap(),
    ];
    let knocks = probe(
        scene.stranger(),
        vec![at_wan(false, 22), at_wan(true, 22)],
        vec![],
    );
    let open = |ns, to| talk(connect(ns, to, PATIENCE).unwrap());
    let talks = [
        open(scene.stranger(), at_wan(false, 443)),
        open(scene.stranger(), at_wan(true, 443)),
        open(scene.trusted(), at_lan(false, 443)),
    ];
    wait_for(&scene, "down", "tcx");
    let floods = flood(&scene);
    let up = wait_for(&scene, "up", "xdp");
    assert!(
        up["hook_why"]
            .as_str()
            .unwrap()
            .contains("the shield is up")
    );
    assert!(up["shield"]["since"].is_string(), "{up}");
    assert_eq!(line(&scene, "lan0")["hook"], "tcx", "nobody floods it");
    assert_eq!((gauge(&scene, "wan0"), gauge(&scene, "lan0")), (1.0, 0.0));
    let shown = scene.host.cli(&["status"]).unwrap().out;
    assert!(shown.contains("shield    up on wan0 since"), "{shown}");
    let sent: u64 = floods.map(Worker::finish).iter().sum();
    wait_for(&scene, "down", "tcx");
    assert_eq!(gauge(&scene, "wan0"), 0.0);
    let changes = ["up", "down"].map(|cause| ("wan0".to_owned(), cause.to_owned()));
    assert_eq!(records(&scene), changes);
    let log = scene.host.log();
    assert!(
        log.contains("shield up on wan0") && log.contains("shield down on wan0"),
        "{log}"
    );
    for talked in talks.map(Worker::finish) {
        assert_eq!(talked.error, None, "a session noticed");
    }
    let knocked = knocks.finish();
    assert_eq!(knocked.answered, [] as [String; 0]);
    assert_eq!(doors.map(|door| door.entered()), [0, 0]);
    let metrics = scene.host.metrics().unwrap();
    let dropped = metric(&metrics, "ringwall_dropped_packets_total", &[]) as u64;
    // What the wire itself lost has no verdict.
    assert!(
        dropped <= sent + knocked.sent,
        "{dropped} of {sent} and {}",
        knocked.sent
    );
    assert!(dropped > 0);
}

#[test]
fn an_agent_that_is_killed_under_the_shield_goes_on_and_takes_it_down() {
    need_root!();
    let mut scene = scene("20s");
    let floods = flood(&scene);
    let up = wait_for(&scene, "up", "xdp");
    scene.host.kill9();
    std::thread::sleep(Duration::from_millis(300));
    scene.host.restart().unwrap();
    let again = wait_for(&scene, "up", "xdp");
    let second = |line: &Value| line["shield"]["since"].as_str().unwrap()[..19].to_owned();
    assert_eq!(second(&again), second(&up), "since when");
    drop(floods);
    // It need not wait so long.
    let path = scene.host.dir.config();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("quiet: 20s", "quiet: 1s")).unwrap();
    scene.host.kill9();
    scene.host.restart().unwrap();
    wait_for(&scene, "down", "tcx");
}

#[test]
fn where_xdp_has_another_owner_tc_judges_and_it_is_said() {
    need_root!();
    let scene = scene("2s");
    let _other = PassAll::attach(&scene.lab.wan).unwrap();
    let door = Door::udp(scene.lab.host(), 161).unwrap();
    let floods = flood(&scene);
    let line = wait_for(&scene, "refused", "tcx");
    assert!(
        line["shield"]["why"].as_str().unwrap().contains(NAME),
        "{line}"
    );
    let said = || {
        let status = scene.status().unwrap();
        let warnings = status["warnings"].as_array().unwrap().clone();
        let about = |w: &Value| w.as_str().unwrap().contains("the shield could not go up");
        warnings.iter().any(about).then_some(())
    };
    assert!(
        wait_until(PATIENCE, said).is_some(),
        "{:#}",
        scene.status().unwrap()
    );
    assert!(floods.map(Worker::finish).iter().sum::<u64>() > 1000);
    assert_eq!(door.entered(), 0);
    assert_eq!(records(&scene), []);
    wait_for(&scene, "down", "tcx");
    let log = scene.host.log();
    assert_eq!(
        log.matches("the shield could not go up").count(),
        1,
        "{log}"
    );
}
