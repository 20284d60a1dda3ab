//! Other owners' programs on the hooks are respected, noticed and named; ours are put back where somebody took
//! them off.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::path::PathBuf;

use firewall_common::config::LAYOUT_VERSION;
use ringwall_tests::bpf::{At, Other, attach, detach};
use ringwall_tests::earlier;
use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange};
use ringwall_tests::net::wait_until;
use ringwall_tests::scenario::{Door, PATIENCE, Scene, allow, at_wan};
use serde_json::{Value, json};

const CLOSED: [Seen; 2] = [Seen::Silence, Seen::Silence];
const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];
/// Answers of programs at TC: on to the next, and this was all.
const NEXT: i32 = -1;
const OK: i32 = 0;
const XDP_PASS: i32 = 2;

fn guarded() -> (Scene, [Echo; 2]) {
    let scene = Scene::guarded(&[allow("web", "tcp/443")]).unwrap();
    let serve = |port: u16| Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap();
    let servers = [serve(22), serve(443)];
    (scene, servers)
}

fn put(scene: &Scene, at: At, answer: i32, name: &str) -> Other {
    let (host, index) = (scene.lab.host(), scene.lab.wan.ifindex);
    host.run(|| attach(at, index, answer, name)).unwrap()
}

fn others(status: &Value) -> Value {
    let mut lines = status["interfaces"].as_array().unwrap().iter();
    lines.find(|line| line["name"] == "wan0").unwrap()["others"].clone()
}

fn warned(status: &Value, word: &str) -> Option<String> {
    let mut warnings = status["warnings"].as_array().unwrap().iter();
    let found = warnings.find(|text| text.as_str().unwrap().contains(word))?;
    Some(found.as_str().unwrap().to_owned())
}

/// Waits until the status is as wanted; the agent looks every two seconds.
fn wait_for(scene: &Scene, wanted: impl Fn(&Value) -> bool) -> Value {
    let seen = || Some(scene.status().unwrap()).filter(|status| wanted(status));
    let found = wait_until(2 * PATIENCE, seen);
    found.unwrap_or_else(|| panic!("{:#}\n{}", scene.status().unwrap(), scene.host.log()))
}

#[test]
fn a_program_in_front_of_ours_is_named_and_what_it_can_do_is_said() {
    need_root!();
    let (scene, _servers) = guarded();
    let other = put(&scene, At::First { egress: false }, OK, "gatekeeper");
    let status = wait_for(&scene, |status| warned(status, "gatekeeper").is_some());
    let expected = json!([{
        "hook": "tcx", "direction": "ingress", "program": other.id, "name": "gatekeeper", "order": "before",
    }]);
    assert_eq!(others(&status), expected);
    let warning = warned(&status, "gatekeeper").unwrap();
    assert!(
        warning.contains("wan0 comes before Ringwall's"),
        "{warning}"
    );
    let table = scene.host.cli(&["status"]).unwrap().out;
    assert!(
        table.contains("(`gatekeeper`) at tcx ingress on wan0, before ours"),
        "{table}"
    );
    // It is respected, and the warning is true: what is denied comes in.
    let door = Door::udp(scene.lab.host(), 161).unwrap();
    let knock = || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.send_to(b"knock", at_wan(false, 161)).unwrap();
    };
    scene.stranger().run(knock);
    let entered = || (door.entered() == 1).then_some(());
    assert!(wait_until(PATIENCE, entered).is_some());
    drop(other);
    wait_for(&scene, |status| {
        warned(status, "gatekeeper").is_none() && others(status) == json!([])
    });
    scene.stranger().run(knock);
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    assert_eq!(door.entered(), 1);
}

#[test]
fn a_program_behind_ours_is_shown_and_sees_what_we_pass() {
    need_root!();
    let (scene, _servers) = guarded();
    let _ahead = put(&scene, At::Last { egress: false }, NEXT, "meter");
    let behind = put(&scene, At::Last { egress: true }, NEXT, "shaper");
    let status = wait_for(&scene, |status| {
        others(status).as_array().is_some_and(|all| all.len() == 2)
    });
    let last = &others(&status)[1];
    assert_eq!(
        (&last["program"], &last["order"]),
        (&json!(behind.id), &json!("after"))
    );
    assert_eq!(warned(&status, "comes before"), None);
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    // One that drops (`TC_ACT_SHOT`) is obeyed.
    let drops = put(&scene, At::Last { egress: false }, 2, "wall");
    assert_eq!(scene.knock(443), CLOSED);
    drop(drops);
    assert_eq!(scene.knock(443), OPEN);
}

#[test]
fn a_foreign_xdp_program_is_named_also_without_an_agent() {
    need_root!();
    let (mut scene, _servers) = guarded();
    let other = put(&scene, At::Xdp, XDP_PASS, "balancer");
    let status = wait_for(&scene, |status| warned(status, "balancer").is_some());
    let named = json!({
        "hook": "xdp", "direction": "ingress", "program": other.id, "name": "balancer", "order": "before",
    });
    assert_eq!(others(&status), json!([named]));
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    scene.host.kill9();
    let status = scene
        .host
        .cli(&["status", "-o", "json"])
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(others(&status), json!([named]));
    assert!(warned(&status, "balancer").is_some());
}

fn links(scene: &Scene) -> PathBuf {
    let first = earlier::pins(&scene.host).unwrap();
    first
        .with_file_name(LAYOUT_VERSION.to_string())
        .join("links")
}

fn put_back(scene: &Scene, session: &mut std::net::TcpStream) {
    let status = wait_for(scene, |status| {
        warned(status, "took Ringwall's programs off").is_some()
    });
    let warning = warned(&status, "took Ringwall's programs off").unwrap();
    assert!(
        warning.contains("off wan0") && warning.contains("were put back"),
        "{warning}"
    );
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    assert_eq!(exchange(session, PATIENCE), Seen::Answered);
    assert_eq!(
        earlier::programs_on(scene.lab.host(), "wan0").unwrap(),
        [1, 1]
    );
}

#[test]
fn programs_that_somebody_took_off_are_put_back() {
    need_root!();
    for ways in [&["ingress"][..], &["egress"], &["ingress", "egress"]] {
        let (scene, _servers) = guarded();
        let mut session = connect(scene.stranger(), at_wan(false, 443), PATIENCE).unwrap();
        for way in ways {
            detach(&links(&scene).join(format!("{}-{way}", scene.lab.wan.ifindex))).unwrap();
        }
        put_back(&scene, &mut session);
    }
}

/// The agent holds the links, so that packets do not even notice.
#[test]
fn pins_that_somebody_removed_are_put_back_under_the_same_links() {
    need_root!();
    let (scene, _servers) = guarded();
    let mut session = connect(scene.stranger(), at_wan(true, 443), PATIENCE).unwrap();
    let pins = ["ingress", "egress"]
        .map(|way| links(&scene).join(format!("{}-{way}", scene.lab.wan.ifindex)));
    for pin in &pins {
        std::fs::remove_file(pin).unwrap();
    }
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    assert_eq!(exchange(&mut session, PATIENCE), Seen::Answered);
    let status = wait_for(&scene, |status| {
        warned(status, "the pins were put back").is_some()
    });
    assert!(pins.iter().all(|pin| pin.exists()));
    assert_eq!(warned(&status, "took Ringwall's programs off"), None);
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    assert_eq!(exchange(&mut session, PATIENCE), Seen::Answered);
    assert_eq!(
        earlier::programs_on(scene.lab.host(), "wan0").unwrap(),
        [1, 1]
    );
}
