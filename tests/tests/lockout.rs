//! A policy that would lock out who administers the host now is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use ringwall_tests::need_root;
use ringwall_tests::net::wait_until;
use ringwall_tests::scenario::{PATIENCE, SHORT, Scene, allow, at_lan, at_wan, pairs, policy};

const ALLOWED: u16 = 443;

#[test]
fn the_guard_of_the_way_back_in() {
    need_root!();
    let scene = Scene::new().unwrap();
    let (host, trusted, stranger) = (scene.lab.host(), scene.trusted(), scene.stranger());
    let mut ssh = pairs(stranger, host, at_wan(false, 22), 1);
    let web = allow("web", "tcp/443");
    let refused = scene
        .host
        .apply(&policy(1, std::slice::from_ref(&web)))
        .unwrap();
    assert_eq!(refused.status, 1, "{refused:?}");
    for words in [
        "203.0.113.9:",
        "203.0.113.1:22",
        "in/default",
        "--allow-lockout",
    ] {
        assert!(refused.err.contains(words), "{words}: {refused:?}");
    }
    assert_eq!(scene.status().unwrap()["mode"], "no-policy");
    // It goes on, and a new one would not: only the port that it comes from is allowed.
    let from = ssh[0].client.local_addr().unwrap().port();
    let narrow = format!("{}, source_ports: [{from}]", allow("one", "tcp/22"));
    let narrow = scene.host.apply(&policy(1, &[narrow])).unwrap();
    assert!(
        narrow.status == 1 && narrow.err.contains("new connection"),
        "{narrow:?}"
    );
    scene
        .put(&policy(1, &[web.clone(), allow("ssh", "tcp/22")]))
        .unwrap();
    assert!(ssh[0].talks());

    // From a management zone any connection counts.
    let mut managing = pairs(trusted, host, at_lan(true, ALLOWED), 1);
    let ssh_only = [allow("ssh", "tcp/22")];
    let refused = scene.host.apply(&policy(2, &ssh_only)).unwrap();
    assert!(
        refused.status == 1 && refused.err.contains("fd77::9"),
        "{refused:?}"
    );
    assert!(managing[0].talks());
    let meant = scene
        .host
        .apply_with(&policy(2, &ssh_only), &["--allow-lockout"])
        .unwrap();
    assert!(meant.ok(), "{meant:?}");
    managing[0].says();
    std::thread::sleep(SHORT);
    assert!(managing[0].heard_nothing());
    assert!(ssh[0].talks());
}

#[test]
fn a_failsafe_satisfies_the_guard() {
    need_root!();
    let failsafe = "failsafe: [{sources: [203.0.113.0/24], services: [ssh]}]\n";
    let scene = Scene::configured(failsafe).unwrap();
    let mut ssh = pairs(scene.stranger(), scene.lab.host(), at_wan(false, 22), 1);
    scene.put(&policy(1, &[])).unwrap();
    assert!(ssh[0].talks());
}

#[test]
fn the_watched_policy_is_held_to_it_and_a_rollback_is_not() {
    need_root!();
    let ssh_rule = [allow("ssh", "tcp/22")];
    let scene = Scene::guarded(&[]).unwrap();
    scene.put(&policy(2, &ssh_rule)).unwrap();
    let mut ssh = pairs(scene.stranger(), scene.lab.host(), at_wan(true, 22), 1);
    std::fs::write(scene.host.dir.policy(), policy(3, &[])).unwrap();
    let refused = wait_until(2 * PATIENCE, || {
        let history = scene.host.json(&["history"]).ok()?;
        (history[0]["outcome"] == "refused").then(|| history[0].clone())
    });
    let refused = refused.expect("the watched policy is refused");
    assert!(
        refused["detail"].as_str().unwrap().contains("lock out"),
        "{refused:#}"
    );
    assert!(ssh[0].talks());
    let warnings = || scene.status().unwrap()["warnings"].to_string();
    let told = wait_until(PATIENCE, || warnings().contains("lock out").then_some(()));
    assert!(told.is_some(), "{}", warnings());

    let back = scene.host.cli(&["rollback"]).unwrap();
    assert!(
        back.ok() && back.out.contains("not allowed any more"),
        "{back:?}"
    );
    ssh[0].says();
    std::thread::sleep(SHORT);
    assert!(ssh[0].heard_nothing());
}

#[test]
fn what_is_cut_already_holds_up_no_policy() {
    need_root!();
    let scene = Scene::guarded(&[allow("ssh", "tcp/22")]).unwrap();
    let (host, stranger) = (scene.lab.host(), scene.stranger());
    let mut idle = pairs(stranger, host, at_wan(true, 22), 1);
    let mut cut = pairs(stranger, host, at_wan(false, 22), 1);
    let meant = ["--allow-lockout"];
    assert!(scene.host.apply_with(&policy(2, &[]), &meant).unwrap().ok());
    cut[0].says();
    std::thread::sleep(SHORT);
    assert!(cut[0].heard_nothing());
    // The sockets live on. No policy cuts them a second time.
    scene.put(&policy(3, &[])).unwrap();
    idle[0].says();
    std::thread::sleep(SHORT);
    assert!(idle[0].heard_nothing());

    scene.put(&policy(4, &[allow("ssh", "tcp/22")])).unwrap();
    let mut alive = pairs(stranger, host, at_wan(false, 22), 1);
    let refused = scene.host.apply(&policy(5, &[])).unwrap();
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(alive[0].talks());
    let log = scene.host.log();
    assert!(
        log.contains("refused: it would lock out") && !log.contains("refused: refused"),
        "{log}"
    );
    assert!(!log.contains("policy:  "), "{log}");
}
