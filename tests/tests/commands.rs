//! The command line: its exit statuses, its output for people and for programs, and what it may not do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange};
use ringwall_tests::net::wait_until;
use ringwall_tests::scenario::{PATIENCE, Scene, allow, at_wan, policy};
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
    let mut scene = Scene::guarded(&[web()]).unwrap();
    let _ssh = serve(&scene, 22);
    assert_eq!(scene.knock(22), [Seen::Silence, Seen::Silence]);
    assert!(!pins(&scene).is_empty());
    let warned = |words: &str| {
        let warnings = scene.status().unwrap()["warnings"].to_string();
        warnings.contains(words)
    };
    std::fs::write(scene.host.dir.policy(), "{").unwrap();
    let told = wait_until(2 * PATIENCE, || warned("in force stays").then_some(()));
    assert!(told.is_some(), "{}", scene.host.log());
    let said = scene.host.cli(&["detach"]).unwrap();
    assert!(said.ok(), "{said:?}");
    // Nothing is in force, and that no interface is guarded is meant.
    assert!(warned("enforcement was ended") && !warned("in force stays"));
    assert!(!warned("no interface is guarded"));
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
    assert!(scene.host.cli(&["detach"]).unwrap().ok());
    scene.host.stop().unwrap();
    let log = scene.host.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("the agent ends; nothing is pinned"), "{log}");
}
