//! `ringwall top` on a real terminal: what it shows, what keys do, and that it gives the terminal back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::time::Duration;

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, connect};
use ringwall_tests::net::wait_until;
use ringwall_tests::net::{Command, binary};
use ringwall_tests::scenario::{PATIENCE, Scene, allow, at_wan, rule, talk};
use ringwall_tests::terminal::Terminal;
use rustix::process::Signal;

/// A handshake has some four seconds to complete, and is looked at once a second.
const FOUND: Duration = Duration::from_secs(15);
/// Columns and lines of the usual screen.
const USUAL: (u16, u16) = (24, 80);

fn scene() -> Scene {
    let rules = [
        allow("web", "tcp/443"),
        allow("ghost", "tcp/1001"),
        rule("telnet", "deny", "tcp/23"),
    ];
    Scene::guarded(&rules).unwrap()
}

fn top(scene: &Scene, vars: &[(&'static str, &str)]) -> Terminal {
    // It needs none of the host's network: it speaks with the agent's socket alone.
    let command = Command::outside(binary().unwrap())
        .args(["top"])
        .envs(scene.host.dir.env())
        .envs([("TERM", "xterm-256color")])
        .envs(vars.iter().copied());
    Terminal::start(command, USUAL).unwrap()
}

#[test]
fn it_shows_what_happens_and_keys_work() {
    need_root!();
    let scene = scene();
    let _web = Echo::tcp(scene.lab.host(), ([0_u16; 8], 443).into()).unwrap();
    let stream = connect(scene.stranger(), at_wan(false, 443), PATIENCE).unwrap();
    let talking = talk(stream);
    scene.knock(1001);
    let mut screen = top(&scene, &[]);
    let line = |wanted: &[&str]| {
        let has = |line: &str| wanted.iter().all(|word| line.contains(word));
        screen.wait_for_line(PATIENCE, has).unwrap()
    };
    line(&["ringwall", "enforce", "lab r1", "sessions 1/"]);
    // The talker has a rate in both directions: what it sends comes back.
    let both = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let rates = |words: &[&str]| words.iter().all(|word| word.ends_with('k'));
        line.contains("203.0.113.9") && words.get(3..5).is_some_and(rates)
    };
    screen.wait_for_line(PATIENCE, both).unwrap();
    line(&["tcp", "established", "1"]);
    // Four doors were knocked at and more will be.
    for _ in 0..2 {
        scene.knock(23);
    }
    line(&["in/telnet", "deny", "4", "█"]);
    let has = |line: &str| {
        ["no-listener", "inbound", "1001", "in/ghost"]
            .iter()
            .all(|w| line.contains(w))
    };
    screen.wait_for_line(FOUND, has).unwrap();

    screen.press("2\r").unwrap();
    line(&["2 rules by drops"]);
    screen.press("/DEFAULT\r").unwrap();
    line(&["only \"DEFAULT\""]);
    line(&["in/default"]);
    let alone = || (!screen.text().contains("in/telnet")).then_some(());
    assert!(wait_until(PATIENCE, alone).is_some(), "{}", screen.text());
    screen.press("\u{1b}").unwrap();
    line(&["in/telnet"]);
    screen.press("p").unwrap();
    line(&["PAUSED"]);
    scene.knock(23);
    std::thread::sleep(Duration::from_secs(1));
    let held = line(&["in/telnet"]);
    screen.press(" ").unwrap();
    screen
        .wait_for_line(PATIENCE, |l| {
            l.contains("in/telnet") && *l != *held && l.contains(" 6 ")
        })
        .unwrap();
    screen.press("?").unwrap();
    line(&["any key goes on"]);
    screen.press("xq").unwrap();
    assert!(screen.ended(PATIENCE).unwrap().success());
    assert!(screen.is_given_back().unwrap());
    assert_eq!(talking.finish().error, None);
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    need_root!();
    let scene = scene();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut screen = top(&scene, &[]);
        screen.wait_for(PATIENCE, "rules by drops").unwrap();
        assert!(!screen.is_given_back().unwrap(), "it was taken");
        screen.signal(signal).unwrap();
        assert!(screen.ended(PATIENCE).unwrap().success());
        assert!(screen.is_given_back().unwrap(), "{signal:?}");
    }
    let mut screen = top(&scene, &[("RINGWALL_TEST_TOP_PANIC", "1")]);
    assert!(!screen.ended(PATIENCE).unwrap().success());
    assert!(screen.is_given_back().unwrap());
    // It can be read, too.
    screen
        .wait_for(PATIENCE, "RINGWALL_TEST_TOP_PANIC is set")
        .unwrap();
}

#[test]
fn without_a_terminal_or_an_agent_it_says_so() {
    need_root!();
    let mut scene = scene();
    let ran = scene.host.cli(&["top"]).unwrap();
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("needs a terminal"), "{ran:?}");
    let shown = scene.host.json(&["top"]).unwrap();
    assert_eq!(shown["mode"], "enforce");
    let rules = shown["rules"].as_array().unwrap();
    assert!(
        rules.iter().any(|rule| rule["rule"] == "in/telnet"),
        "{shown:#}"
    );
    // While it is shown the agent goes, and comes again.
    let mut screen = top(&scene, &[]);
    screen.wait_for(PATIENCE, "rules by drops").unwrap();
    scene.host.kill9();
    screen
        .wait_for(PATIENCE, "the agent is not running")
        .unwrap();
    let ran = scene.host.cli(&["top", "-o", "json"]).unwrap();
    assert_eq!(ran.status, 3, "{ran:?}");
    scene.host.restart().unwrap();
    let back = || (!screen.text().contains("not running")).then_some(());
    assert!(ringwall_tests::net::wait_until(PATIENCE, back).is_some());
    screen.press("\u{3}").unwrap();
    assert!(screen.ended(PATIENCE).unwrap().success());
}
