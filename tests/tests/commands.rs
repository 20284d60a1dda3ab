//! The command line: its exit statuses, its output for people and for programs, and what it may not do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{self, Echo, Seen, connect, exchange};
use ringwall_tests::scenario::{
    Counters, PATIENCE, Scene, allow, at_lan, at_wan, metric, policy, rule,
};
use serde_json::json;

fn web() -> String {
    allow("web", "tcp/443, udp/443")
}

fn serve(scene: &Scene, port: u16) -> Echo {
    Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap()
}

fn status_of(scene: &Scene, args: &[&str]) -> i32 {
    let ran = scene.host.cli(args).unwrap();
    assert!(!ran.err.contains("panicked"), "{args:?}: {ran:?}");
    ran.status
}

#[test]
fn exit_statuses() {
    need_root!();
    let mut scene = Scene::guarded(&[web()]).unwrap();
    for args in [
        &["status"][..],
        &["history"],
        &["sessions"],
        &["policy", "show"],
        &["--help"],
        &["--version"],
    ] {
        assert_eq!(status_of(&scene, args), 0, "{args:?}");
    }
    for args in [
        &["nonsense"][..],
        &["status", "--nonsense"],
        &["status", "-o", "xml"],
        &["apply"],
        &["apply", "/nowhere/policy.yaml"],
        &["sessions", "port", "many"],
        &["policy", "explain", "tcp nowhere"],
        &["policy", "check", "/nowhere/policy.yaml"],
        &["rollback", "soon"],
    ] {
        assert_eq!(status_of(&scene, args), 2, "{args:?}");
    }
    let denied = [
        "policy",
        "explain",
        "tcp 203.0.113.9:4000 -> host:22 in wan0",
    ];
    assert_eq!(status_of(&scene, &denied), 1);
    assert_eq!(
        status_of(&scene, &["rollback"]),
        1,
        "there is nothing to go back to"
    );
    scene.host.kill9();
    let file = scene.host.dir.path().join("config/candidate.yaml");
    for args in [
        &["status"][..],
        &["history"],
        &["apply", &file.to_string_lossy()],
    ] {
        let ran = scene.host.cli(args).unwrap();
        let known = args == ["history"] && ran.status == 0;
        assert!(ran.status == 3 || known, "{args:?}: {ran:?}");
    }
}

#[test]
fn without_an_agent_the_pins_still_tell() {
    need_root!();
    let mut scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 443), serve(&scene, 22)];
    let mut session = connect(scene.stranger(), at_wan(true, 443), PATIENCE).unwrap();
    scene.host.kill9();
    let ran = scene.host.cli(&["status", "-o", "json"]).unwrap();
    assert_eq!(ran.status, 3, "{ran:?}");
    let status = ran.json().unwrap();
    assert!(status["agent"].is_null(), "{status:#}");
    assert_eq!(
        (&status["enforcing"], &status["policy"]["revision"]),
        (&json!(true), &json!(1))
    );
    let sessions = scene
        .host
        .cli(&["sessions", "port", "443", "-o", "json"])
        .unwrap();
    assert!(sessions.ok(), "{sessions:?}");
    assert_eq!(sessions.json().unwrap().as_array().unwrap().len(), 1);
    let show = scene.host.cli(&["policy", "show"]).unwrap();
    assert!(show.ok() && show.out.contains("in/web"), "{show:?}");
    assert_eq!(scene.knock(22), [Seen::Silence, Seen::Silence]);
    let back = scene.host.cli(&["rollback"]).unwrap();
    assert_eq!(back.status, 1, "nothing to go back to: {back:?}");

    let detach = scene.host.cli(&["detach"]).unwrap();
    assert!(detach.ok(), "{detach:?}");
    assert_eq!(pins(&scene), Vec::<String>::new());
    assert_eq!(scene.knock(22), [Seen::Answered, Seen::Answered]);
    assert_eq!(exchange(&mut session, PATIENCE), Seen::Answered);
    assert_eq!(status_of(&scene, &["status"]), 3);
    let again = scene.host.cli(&["detach"]).unwrap();
    assert!(again.ok() && !again.err.contains("ENDED"), "{again:?}");
}

#[test]
fn the_agent_may_be_dead_and_rollback_still_goes_back() {
    need_root!();
    let mut scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 443), serve(&scene, 22)];
    let next = policy(2, &[allow("ssh", "tcp/22")]);
    assert!(scene.host.apply(&next).unwrap().ok());
    let told = "`ringwall apply` by root";
    assert!(scene.host.log().contains(told), "{}", scene.host.log());
    assert_eq!(scene.knock(22), [Seen::Answered, Seen::Answered]);
    scene.host.kill9();
    let ran = scene.host.cli(&["rollback", "-o", "json"]).unwrap();
    assert!(ran.ok(), "{ran:?}");
    let answer = ran.json().unwrap();
    assert_eq!(
        (&answer["outcome"], &answer["revision"], &answer["previous"]),
        (&json!("applied"), &json!(1), &json!(2))
    );
    assert_eq!(scene.knock(22), [Seen::Silence, Seen::Silence]);
    assert_eq!(scene.knock(443), [Seen::Answered, Seen::Answered]);
    scene.host.restart().unwrap();
    assert_eq!(scene.revision().unwrap(), Some(1));
    assert_eq!(scene.knock(22), [Seen::Silence, Seen::Silence]);
}

/// Every pin below the BPF directory (a bpffs has two files of its own, for debugging).
fn pins(scene: &Scene) -> Vec<String> {
    let ran = scene.host.ns.command("find").args([scene.host.dir.bpf()]);
    let ran = ran.args(["-type", "f", "!", "-name", "*.debug"]).run();
    let ran = ran.unwrap();
    ran.out.lines().map(str::to_owned).collect()
}

#[test]
fn detach_ends_enforcement_and_apply_begins_it_again() {
    need_root!();
    let scene = Scene::guarded(&[web()]).unwrap();
    let _ssh = serve(&scene, 22);
    assert_eq!(scene.knock(22), [Seen::Silence, Seen::Silence]);
    assert!(!pins(&scene).is_empty());
    let said = scene.host.cli(&["detach"]).unwrap();
    assert!(said.ok(), "{said:?}");
    let loudly = (said.out + &said.err).to_lowercase();
    assert!(
        loudly.contains("nothing is filtered") || loudly.contains("enforce"),
        "{loudly}"
    );
    assert_eq!(pins(&scene), Vec::<String>::new());
    assert_eq!(scene.knock(22), [Seen::Answered, Seen::Answered]);
    let status = scene.status().unwrap();
    assert_eq!(status["enforcing"], false, "{status:#}");
    assert!(
        !status["warnings"].as_array().unwrap().is_empty(),
        "{status:#}"
    );
    scene.put(&policy(1, &[web()])).unwrap();
    assert_eq!(scene.knock(22), [Seen::Silence, Seen::Silence]);
}

#[test]
fn status_says_what_is_guarded_and_by_which_policy() {
    need_root!();
    let scene = Scene::guarded(&[web()]).unwrap();
    let status = scene.status().unwrap();
    let expected = json!({"enforcing": true, "mode": "enforce"});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&status[key], value, "{status:#}");
    }
    for name in ["lan0", "wan0", "lo"] {
        let lines = status["interfaces"].as_array().unwrap();
        let line = lines.iter().find(|l| l["name"] == name).unwrap();
        let state = if name == "lo" {
            "not-guarded"
        } else {
            "guarded"
        };
        assert_eq!(line["state"], state, "{line:#}");
        assert!(!line["why"].as_str().unwrap().is_empty());
    }
    assert!(status["agent"]["pid"].as_u64().is_some());
    assert!(status["sessions"]["capacity"].as_u64().unwrap() > 1000);
    let table = scene.host.cli(&["status"]).unwrap().out;
    for word in ["lan0", "wan0", "lab", "enforc"] {
        assert!(table.contains(word), "{word} in\n{table}");
    }
    assert!(!table.contains('\u{1b}'), "no colours into a pipe");
}

#[test]
fn sessions_are_listed_and_picked() {
    need_root!();
    let scene = Scene::guarded(&[web(), allow("ssh", "tcp/22")]).unwrap();
    let host = scene.lab.host();
    let _servers = [serve(&scene, 443), serve(&scene, 22)];
    let _udp = Echo::udp(host, at_wan(false, 443)).unwrap();
    let _out = Echo::tcp(scene.stranger(), ([0_u16; 8], 8080).into()).unwrap();
    let open = |ns, to| connect(ns, to, PATIENCE).unwrap();
    let _kept = [
        open(scene.stranger(), at_wan(false, 443)),
        open(scene.stranger(), at_wan(true, 443)),
        open(scene.trusted(), at_lan(false, 22)),
        open(host, "203.0.113.9:8080".parse().unwrap()),
    ];
    assert_eq!(
        sock::udp(scene.stranger(), at_wan(false, 443), PATIENCE),
        Seen::Answered
    );
    let count = |words: &[&str]| {
        let rows = scene.host.json(&[&["sessions"], words].concat()).unwrap();
        rows.as_array().unwrap().len()
    };
    assert_eq!(count(&[]), 5);
    assert_eq!(count(&["port", "443"]), 3);
    assert_eq!(count(&["port 443 and proto udp"]), 1);
    assert_eq!(count(&["not", "proto", "udp"]), 4);
    assert_eq!(count(&["direction", "outbound"]), 1);
    assert_eq!(count(&["zone", "trusted"]), 1);
    assert_eq!(count(&["peer", "203.0.113.0/24"]), 3);
    assert_eq!(count(&["src", "2001:db8::9", "or", "rule", "in/ssh"]), 2);
    assert_eq!(count(&["state", "established"]), 4);
    let row = scene
        .host
        .json(&["sessions", "src", "2001:db8::9"])
        .unwrap()[0]
        .clone();
    for (key, value) in [
        ("protocol", "tcp"),
        ("source", "2001:db8::9"),
        ("destination", "2001:db8::1"),
        ("direction", "inbound"),
        ("rule", "in/web"),
        ("interface", "wan0"),
    ] {
        assert_eq!(row[key], value, "{row:#}");
    }
    assert_eq!(
        row["zone"],
        json!({"source": "internet", "destination": "host"})
    );
    // SYN and ACK one way, SYN-ACK back.
    assert_eq!(row["packets"], json!({"sent": 2, "received": 1}), "{row:#}");
}

#[test]
fn counters_move_with_what_they_count() {
    need_root!();
    let scene = Scene::guarded(&[web(), rule("ident", "reject", "tcp/113")]).unwrap();
    let _servers = [serve(&scene, 443), serve(&scene, 22), serve(&scene, 113)];
    for (port, rule, seen) in [
        (443, "in/web", Seen::Answered),
        (22, "in/default", Seen::Silence),
        (113, "in/ident", Seen::Refused),
    ] {
        let before = Counters::read(&scene.host).unwrap();
        assert_eq!(scene.knock(port), [seen.clone(), seen]);
        let after = Counters::read(&scene.host).unwrap();
        assert_eq!(before.moved_to(&after), [rule]);
    }
    let rows = scene.host.json(&["policy", "show"]).unwrap();
    let row = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["id"] == "in/web")
        .unwrap();
    assert!(
        row["last_hit"].is_string() && row["bytes"].as_u64() > Some(100),
        "{row:#}"
    );
    let ids: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["id"].as_str().unwrap())
        .collect();
    let place = |id: &str| {
        ids.iter()
            .position(|i| *i == id)
            .unwrap_or_else(|| panic!("{id} in {ids:?}"))
    };
    let order = [
        "essentials/arp",
        "in/web",
        "in/ident",
        "in/default",
        "unmatched/inbound",
    ];
    assert!(order.is_sorted_by_key(|id| place(id)), "{ids:?}");
}

#[test]
fn explain_tells_the_rule_and_leaves_no_trace() {
    need_root!();
    let scene = Scene::guarded(&[web(), rule("ident", "reject", "tcp/113")]).unwrap();
    let drops = || {
        metric(
            &scene.host.metrics().unwrap(),
            "ringwall_dropped_packets_total",
            &[],
        )
    };
    let state = || (scene.host.json(&["sessions"]).unwrap(), drops().to_bits());
    let (before, counters) = (state(), Counters::read(&scene.host).unwrap());
    for source in ["203.0.113.9", "[2001:db8::9]"] {
        for (port, action, rule, status) in [
            (443, "allow", "in/web", 0),
            (22, "deny", "in/default", 1),
            (113, "reject", "in/ident", 1),
        ] {
            let packet = format!("tcp {source}:40000 -> host:{port} in wan0");
            let ran = scene
                .host
                .cli(&["policy", "explain", &packet, "-o", "json"])
                .unwrap();
            let answer = ran.json().unwrap();
            assert_eq!(ran.status, status, "{packet}: {ran:?}");
            assert_eq!(
                (&answer["action"], &answer["rule"]),
                (&json!(action), &json!(rule)),
                "{packet}: {answer:#}"
            );
            assert_eq!(answer["source_zone"], "internet");
        }
    }
    assert_eq!(state(), before);
    let moved = counters.moved_to(&Counters::read(&scene.host).unwrap());
    assert!(moved.is_empty(), "{moved:?}");
    // By a file instead: needs no agent's tables.
    let file = scene.host.dir.path().join("config/other.yaml");
    std::fs::write(&file, policy(9, &[allow("ssh", "tcp/22")])).unwrap();
    let packet = "tcp 203.0.113.9:40000 -> host:22 in wan0";
    let ran = scene.host.cli(&[
        "policy",
        "explain",
        packet,
        "--policy",
        &file.to_string_lossy(),
    ]);
    let ran = ran.unwrap();
    assert!(ran.ok() && ran.out.contains("in/ssh"), "{ran:?}");
}
