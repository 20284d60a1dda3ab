//! Dynamic sets: a ban cuts live sessions and keeps out, for as long as it says, with the agent alive, dead, or come
//! back; what the policy says of the set's size is kept to.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange};
use ringwall_tests::net::{Host, Ran, wait_until};
use ringwall_tests::scenario::records::wait_for;
use ringwall_tests::scenario::{PATIENCE, SHORT, Scene, at_wan, metric, policy};
use serde_json::Value;

/// The stranger.
const HIM: [&str; 2] = ["203.0.113.9", "2001:db8::9"];

/// A ban before all else, and the web for everybody.
fn banning(revision: u64, more: &str) -> String {
    let rules = [
        "name: banned, action: deny, sources: [banned]".to_owned(),
        "name: web, action: allow, services: [tcp/443, udp/443]".to_owned(),
        "name: guests, action: allow, services: [tcp/22], sources: [guests], except_sources: [banned]".to_owned(),
    ];
    policy(revision, &rules)
        + "sets:\n  banned: {dynamic: true, max: 1000, default_for: 1h}\n  guests: {dynamic: true}\n  fixed: [192.0.2.0/24]\n"
        + more
}

fn scene() -> (Scene, [Echo; 2]) {
    let scene = Scene::new().unwrap();
    scene.put(&banning(1, "")).unwrap();
    let any = |port: u16| ([0_u16; 8], port).into();
    let echo = |port| Echo::tcp(scene.lab.host(), any(port)).unwrap();
    let echoes = [echo(443), echo(22)];
    (scene, echoes)
}

fn set(host: &Host, words: &[&str]) -> Ran {
    let ran = host.cli(&[&["set"], words].concat()).unwrap();
    assert!(ran.ok(), "{words:?}: {ran:?}");
    ran
}

fn talking(scene: &Scene, v6: bool, port: u16) -> TcpStream {
    let mut stream = connect(scene.stranger(), at_wan(v6, port), PATIENCE).unwrap();
    assert_eq!(exchange(&mut stream, PATIENCE), Seen::Answered);
    stream
}

/// The figure is 50 ms; the rest is for a machine that does other things too.
const AT_ONCE: Duration = Duration::from_millis(500);

#[test]
fn a_ban_cuts_live_sessions_and_is_lifted_again() {
    need_root!();
    let (scene, _echoes) = scene();
    for (v6, him) in [(false, HIM[0]), (true, HIM[1])] {
        let mut stream = talking(&scene, v6, 443);
        set(&scene.host, &["add", "banned", him]);
        let begin = Instant::now();
        assert_eq!(exchange(&mut stream, SHORT), Seen::Silence, "{him}");
        println!("{him}: silent {:?} after the ban returned", begin.elapsed());
        let rows = scene
            .host
            .json(&["sessions", "peer", him, "and", "state", "established"]);
        let rows = rows.unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 0, "{rows:#}");
        assert_eq!(scene.knock(443)[usize::from(v6)], Seen::Silence);
        set(&scene.host, &["del", "banned", him]);
        talking(&scene, v6, 443);
    }
    let text = scene.host.metrics().unwrap();
    let revoked = metric(
        &text,
        "ringwall_sessions_closed_total",
        &["cause=\"revoked\""],
    );
    assert!((revoked - 2.0).abs() < 0.1, "{revoked}");
}

#[test]
fn whom_a_set_lets_in_is_cut_when_his_time_is_over_without_an_agent_too() {
    need_root!();
    let (mut scene, _echoes) = scene();
    assert_eq!(scene.knock(22), [Seen::Silence, Seen::Silence]);
    let before = Instant::now();
    set(
        &scene.host,
        &["add", "guests", "203.0.113.0/24", "--for", "9s"],
    );
    let given = Instant::now();
    let mut stream = talking(&scene, false, 22);
    assert_eq!(scene.knock(22)[1], Seen::Silence, "the other family");
    scene.host.kill9();
    let end = Duration::from_secs(9);
    while before.elapsed() + Duration::from_secs(3) < end {
        assert_eq!(exchange(&mut stream, PATIENCE), Seen::Answered);
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep((end + AT_ONCE).saturating_sub(given.elapsed()));
    assert_eq!(exchange(&mut stream, SHORT), Seen::Silence);
    assert_eq!(scene.knock(22)[0], Seen::Silence);
    scene.host.restart().unwrap();
    let rows = scene.host.json(&["set", "list", "guests"]).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 0, "{rows:#}");
}

/// The members of a set, with what is left of their time.
fn members(host: &Host, name: &str) -> Vec<(String, Option<u64>)> {
    let rows = host.json(&["set", "list", name]).unwrap();
    let rows = rows.as_array().unwrap().iter();
    let row = |row: &Value| {
        let address = row["address"].as_str().unwrap().to_owned();
        (address, row["left_s"].as_u64())
    };
    rows.map(row).collect()
}

#[test]
fn members_outlive_kills_applies_detaches_and_reboots() {
    need_root!();
    let (mut scene, _echoes) = scene();
    set(&scene.host, &["add", "banned", HIM[0], "2001:db8::/32"]);
    set(
        &scene.host,
        &["add", "banned", "198.51.100.0/24", "--for", "7d"],
    );
    let banned = |scene: &Scene| {
        assert_eq!(scene.knock(443), [Seen::Silence, Seen::Silence]);
        let members = members(&scene.host, "banned");
        let near =
            |left: Option<u64>, of: u64| left.is_some_and(|left| left <= of && left + 120 > of);
        let [week, him, prefix] = members.as_slice() else {
            panic!("{members:?}")
        };
        assert!(
            week.0 == "198.51.100.0/24" && near(week.1, 7 * 86_400),
            "{week:?}"
        );
        assert!(him.0 == HIM[0] && near(him.1, 3600), "{him:?}");
        assert!(
            prefix.0 == "2001:db8::/32" && near(prefix.1, 3600),
            "{prefix:?}"
        );
    };
    banned(&scene);
    scene.put(&banning(2, "")).unwrap();
    banned(&scene);
    scene.host.kill9();
    assert_eq!(scene.knock(443), [Seen::Silence, Seen::Silence]);
    scene.host.restart().unwrap();
    banned(&scene);
    // A policy without the set, and with it again.
    scene
        .put(&policy(
            3,
            &["name: web, action: allow, services: [tcp/443]".to_owned()],
        ))
        .unwrap();
    assert_eq!(scene.knock(443), [Seen::Answered, Seen::Answered]);
    scene.put(&banning(4, "")).unwrap();
    banned(&scene);
    // Nothing in the kernel is left, as after a reboot.
    assert!(scene.host.cli(&["detach"]).unwrap().ok());
    assert_eq!(scene.knock(443), [Seen::Answered, Seen::Answered]);
    scene.host.stop().unwrap();
    scene.host.restart().unwrap();
    banned(&scene);
    let rows = scene.host.json(&["set", "list"]).unwrap();
    assert_eq!(rows[0]["generation"], 2, "{rows:#}");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    need_root!();
    let (scene, _echoes) = scene();
    let refused = |words: &[&str], status: i32, says: &str| {
        let ran = scene.host.cli(&[&["set"], words].concat()).unwrap();
        assert!(
            ran.status == status && ran.err.contains(says),
            "{words:?}: {ran:?}"
        );
    };
    refused(&["add", "fixed", "192.0.2.1"], 2, "is not dynamic");
    refused(&["add", "bannd", "192.0.2.1"], 2, "banned, guests");
    refused(&["add", "banned", "192.0.2.1/24"], 2, "192.0.2.0/24");
    refused(
        &["add", "banned", "192.0.2.1", "example.org"],
        2,
        "nothing was changed",
    );
    refused(&["add", "banned"], 2, "");
    assert_eq!(members(&scene.host, "banned"), []);

    let bulk = |text: &str| {
        let binary = ringwall_tests::net::binary().unwrap();
        let command = scene
            .lab
            .host()
            .command(binary)
            .args(["set", "add", "banned", "-"]);
        command.envs(scene.host.dir.env()).run_with(text).unwrap()
    };
    let lines = |count: u32| {
        (0..count)
            .map(|n| format!("10.0.{}.{}\n", n / 256, n % 256))
            .collect::<String>()
    };
    let ran = bulk(&(lines(10) + "10.0.0.300\n"));
    assert!(ran.status == 2 && ran.err.contains("line 11"), "{ran:?}");
    let ran = bulk(&lines(1001));
    assert!(ran.status == 1 && ran.err.contains("1000"), "{ran:?}");
    assert_eq!(members(&scene.host, "banned"), []);
    assert!(bulk(&lines(1000)).ok());
    // Again is no growth.
    assert!(bulk(&lines(1000)).ok());
    assert_eq!(members(&scene.host, "banned").len(), 1000);
    let text = scene.host.metrics().unwrap();
    let entries = metric(&text, "ringwall_set_entries", &["set=\"banned\""]);
    assert!((entries - 1000.0).abs() < 0.1, "{entries}");
    assert!(
        metric(
            &text,
            "ringwall_set_updated_timestamp_seconds",
            &["set=\"banned\""]
        ) > 1e9
    );
    set(&scene.host, &["flush", "banned"]);
    assert_eq!(members(&scene.host, "banned"), []);
}

#[test]
fn a_member_inside_another_ends_by_the_longer_time() {
    need_root!();
    let (scene, _echoes) = scene();
    set(
        &scene.host,
        &["add", "banned", "203.0.113.0/24", "--for", "1h"],
    );
    set(&scene.host, &["add", "banned", HIM[0], "--for", "1s"]);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(
        scene.knock(443)[0],
        Seen::Silence,
        "the prefix around it lasts"
    );
    set(&scene.host, &["del", "banned", "203.0.113.0/24"]);
    let free = wait_until(PATIENCE, || {
        (scene.knock(443)[0] == Seen::Answered).then_some(())
    });
    assert!(free.is_some());
}

/// A set's own generation is where the contract says: in listings, metrics, and records of the rules that name it.
#[test]
fn generations_are_in_listings_metrics_and_records() {
    need_root!();
    let (scene, _echoes) = scene();
    for him in HIM {
        set(&scene.host, &["add", "banned", him]);
    }
    let status = scene.status().unwrap();
    let told = |name: &str| {
        let mut sets = status["sets"].as_array().unwrap().iter();
        sets.find(|set| set["set"] == name).unwrap()["generation"].clone()
    };
    assert_eq!((told("banned"), told("guests")), (2.into(), 0.into()));
    let text = scene.host.metrics().unwrap();
    let of = |set: &str| metric(&text, "ringwall_set_generation", &[set]) as u64;
    assert_eq!([of("set=\"banned\""), of("set=\"guests\"")], [2, 0]);
    assert_eq!(scene.knock(443), [Seen::Silence, Seen::Silence]);
    let dropped = wait_for(&scene.host, "drop", "rule in/banned", 2, PATIENCE);
    for record in &dropped {
        assert_eq!(record["policy"]["sets"]["banned"], 2, "{record:#}");
    }
    set(&scene.host, &["flush", "banned"]);
    talking(&scene, false, 443);
    // That rule names none.
    let opened = wait_for(&scene.host, "open", "rule in/web", 1, PATIENCE);
    assert!(opened[0]["policy"]["sets"].is_null(), "{:#}", opened[0]);
}
