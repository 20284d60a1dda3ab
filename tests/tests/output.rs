//! What the command line prints, where and how.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, connect};
use ringwall_tests::net::{Ran, binary};
use ringwall_tests::scenario::{PATIENCE, Scene, allow, at_wan, policy, rule};
use serde_json::Value;

fn web() -> String {
    allow("web", "tcp/443, udp/443")
}

fn serve(scene: &Scene, port: u16) -> Echo {
    Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap()
}

#[test]
fn ndjson_is_one_object_a_line() {
    need_root!();
    let scene = Scene::guarded(&[web()]).unwrap();
    let _web = serve(&scene, 443);
    let _kept =
        [false, true].map(|v6| connect(scene.stranger(), at_wan(v6, 443), PATIENCE).unwrap());
    for (args, at_least) in [
        (&["status"][..], 1),
        (&["history"], 1),
        (&["policy", "show"], 3),
        (&["sessions"], 2),
    ] {
        let ran = scene.host.cli(&[args, &["-o", "ndjson"]].concat()).unwrap();
        let lines: Vec<Value> = ran
            .out
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert!(lines.iter().all(Value::is_object), "{args:?}: {ran:?}");
        assert!(lines.len() >= at_least, "{args:?}: {ran:?}");
    }
}

#[test]
fn a_closed_pipe_is_no_accident() {
    need_root!();
    let scene = Scene::guarded(&[web()]).unwrap();
    for args in [
        "policy show",
        "status -o json",
        "sessions",
        "--help",
        "policy show -o ndjson",
    ] {
        let line = format!("{{ sleep 0.1; \"$0\" {args}; echo \"status $?\" >&2; }} | true");
        let ran = scene
            .host
            .ns
            .command("sh")
            .args(["-c", &line])
            .args([binary().unwrap()]);
        let ran = ran.envs(scene.host.dir.env()).run().unwrap();
        assert!(
            ran.err.contains("status") && !ran.err.contains("panick"),
            "{args}: {ran:?}"
        );
    }
}

/// Runs it at a terminal.
fn at_terminal(scene: &Scene, args: &str, env: &[(&'static str, &str)]) -> Ran {
    let line = format!("{} {args}", binary().unwrap().display());
    let command = scene
        .host
        .ns
        .command("script")
        .args(["-qec", &line, "/dev/null"]);
    let env = [&[("TERM", "xterm-256color")], env].concat();
    command.envs(scene.host.dir.env()).envs(env).run().unwrap()
}

#[test]
fn colours_only_where_they_are_wanted() {
    need_root!();
    let scene = Scene::guarded(&[web()]).unwrap();
    let bad = scene.host.dir.path().join("config/bad.yaml");
    std::fs::write(&bad, policy(2, &[rule("ssh", "alow", "tcp/22")])).unwrap();
    let check = format!("policy check {}", bad.display());
    let coloured = |ran: &Ran| ran.out.contains("\u{1b}[");
    assert!(
        coloured(&at_terminal(&scene, &check, &[])),
        "a terminal gets colours"
    );
    assert!(!coloured(&at_terminal(
        &scene,
        &check,
        &[("NO_COLOR", "1")]
    )));
    assert!(!coloured(&at_terminal(
        &scene,
        &format!("{check} --no-color"),
        &[]
    )));
    assert!(!coloured(&at_terminal(
        &scene,
        "status",
        &[("NO_COLOR", "1")]
    )));
}

#[test]
fn every_help_has_an_example() {
    for command in [
        "run",
        "apply",
        "detach",
        "status",
        "history",
        "rollback",
        "sessions",
        "policy check",
        "policy show",
        "policy explain",
    ] {
        let mut program = ringwall_tests::net::Command::outside(binary().unwrap());
        program = program.args(command.split(' ')).args(["--help"]);
        let ran = program.run().unwrap();
        assert!(ran.ok(), "{command}: {ran:?}");
        // Beside the line that begins with "Usage:".
        let mut lines = ran.out.lines().filter(|line| !line.contains("Usage:"));
        let shown = lines.any(|line| line.contains(&format!("ringwall {command}")));
        assert!(shown, "{command}:\n{}", ran.out);
    }
}

#[test]
fn policy_check_needs_neither_root_nor_agent() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policy.yaml");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let program = ringwall_tests::net::Command::outside(binary().unwrap());
        program
            .args(["policy", "check", &file.to_string_lossy()])
            .run()
            .unwrap()
    };
    let good = policy(1, &[web()]);
    let ran = check(&good);
    assert!(ran.ok(), "{ran:?}");
    assert_eq!(check(&good.replace("tcp/443", "tcp/99999")).status, 2);
    let test = "tests: [{packet: \"tcp 203.0.113.9:4000 -> host:443\", expect: deny}]\n";
    let failed = good.clone() + test;
    let ran = check(&failed);
    let place = format!("policy.yaml:{}:9", failed.lines().count());
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(
        ran.err.contains(&place) && ran.err.contains(test.trim()),
        "{place} in {ran:?}"
    );
    let stdin = |text: &str| {
        let program = ringwall_tests::net::Command::outside(binary().unwrap());
        program
            .args(["policy", "check", "-"])
            .run_with(text)
            .unwrap()
    };
    assert!(stdin(&good).ok());
    assert_eq!(stdin(&failed).status, 1);
    assert_eq!(stdin("{").status, 2);
}
