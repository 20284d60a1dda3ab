//! `ringwall diagnose` names the layer at fault, and `ringwall exposure` says what is reachable from where.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use ringwall_tests::faults::{Fault, Kind, World};
use ringwall_tests::net::sock::Echo;
use ringwall_tests::{need_program, need_root};
use serde_json::Value;

fn world() -> World {
    World::new().unwrap()
}

fn diagnose(world: &World, fault: &Fault) -> Value {
    let inbound = fault.destination.ip() == ringwall_tests::faults::own(fault.v6);
    let peer = if inbound {
        fault.source
    } else {
        fault.destination.ip()
    };
    let (peer, port) = (peer.to_string(), fault.destination.port().to_string());
    let mut words = vec!["diagnose", &peer, &port, "-o", "json", "--wait", "12s"];
    if inbound {
        words.push("--inbound");
    }
    let ran = world.host.cli(&words).unwrap();
    assert_eq!(ran.status, 1, "{ran:?}");
    ran.json().unwrap()
}

/// The step that is at fault.
fn fault(found: &Value) -> (&str, &str) {
    let layer = found["fault"].as_str().unwrap();
    let mut steps = found["steps"].as_array().unwrap().iter();
    let step = steps.find(|step| step["layer"] == layer && step["verdict"] == "fault");
    (layer, step.unwrap()["found"].as_str().unwrap())
}

#[test]
fn the_layer_at_fault_is_named_with_what_says_so() {
    need_root!();
    need_program!("nft");
    let world = world();
    let cases = [
        (Kind::Denied, "policy", "in/default"),
        (Kind::OutDenied, "policy", "out/shut"),
        (Kind::Nobody, "listener", "nothing listens"),
        (Kind::Elsewhere, "listener", "only on"),
        (Kind::Overflow, "listener", "wait to be accepted"),
        (Kind::FilterIn, "filters", "table inet faults"),
        (Kind::OwnOutput, "filters", "chain out"),
        (Kind::Refused, "probe", "refused"),
        (Kind::Silent, "probe", "silent-drop"),
        (Kind::LostAnswer, "probe", "reply-path"),
    ];
    for v6 in [false, true] {
        // All at once: each waits for packets for a while.
        std::thread::scope(|s| {
            let asked = cases
                .iter()
                .map(|(kind, ..)| s.spawn(|| diagnose(&world, &kind.make(&world, v6).unwrap())));
            let asked: Vec<_> = asked.collect();
            for ((kind, layer, word), asked) in cases.iter().zip(asked) {
                let found = asked.join().unwrap();
                let (at, text) = fault(&found);
                assert_eq!(at, *layer, "{kind:?}: {found:#}");
                assert!(text.contains(word), "{kind:?}: {text}");
                assert!(found["next"].is_string(), "{found:#}");
            }
        });
    }
}

#[test]
fn what_works_has_no_fault() {
    need_root!();
    let world = world();
    for v6 in [false, true] {
        let fresh = world.fresh(v6).unwrap();
        let _server = Echo::tcp(&world.peer, fresh.there()).unwrap();
        let (peer, port) = (fresh.address.to_string(), fresh.port.to_string());
        let ran = world.host.cli(&["diagnose", &peer, &port]).unwrap();
        assert!(ran.ok() && ran.out.contains("it works"), "{ran:?}");
        assert!(ran.out.contains("next hop"), "{ran:?}");
    }
    let ran = world.host.cli(&["diagnose", "no such name", "1"]).unwrap();
    assert_eq!(ran.status, 2, "{ran:?}");
}

#[test]
fn what_answers_is_held_against_the_policy() {
    need_root!();
    let world = world();
    let at = |port: u16| std::net::SocketAddr::from(([0_u16; 8], port));
    let _open = Echo::tcp(&world.ns, at(10_500)).unwrap();
    let _shut = Echo::udp(&world.ns, at(500)).unwrap();
    let _own = Echo::tcp(&world.ns, "127.0.0.1:10600".parse().unwrap()).unwrap();
    let nat = "table ip nat { chain pre { type nat hook prerouting priority -100; tcp dport 10700 dnat to 10.91.0.9:80; } }";
    let nat = nat.replace("ip nat", "ip own").replace(
        "; } }",
        "; udp dport { 10701, 10710-10720 } redirect to :53; } }",
    );
    let made = world.ns.command("nft").args(["-f", "-"]).run_with(&nat);
    let published = made.is_ok_and(|ran| ran.ok());
    // As container engines do.
    let engine = "-t nat -A PREROUTING -p tcp -m tcp --dport 10730:10735 -j DNAT --to-destination 10.91.0.9:80";
    let made = world
        .ns
        .command("iptables-nft")
        .args(engine.split(' '))
        .run();
    let by_engine = made.is_ok_and(|ran| ran.ok());
    let found = world.host.json(&["exposure"]).unwrap();
    let open = found["open"].as_array().unwrap();
    let of = |port: u16| open.iter().find(|one| one["port"] == port);
    let reach = |port: u16| of(port).unwrap()["reachable"].clone();
    assert_eq!(reach(10_500)[0]["rule"], "in/open", "{found:#}");
    assert_eq!(reach(10_500)[0]["zone"], "world");
    assert_eq!(reach(500).as_array().unwrap().len(), 0);
    assert_eq!(of(500).unwrap()["unmentioned"], true);
    assert!(of(10_600).is_none(), "{found:#}");
    if published {
        assert_eq!(of(10_700).unwrap()["published_to"], "10.91.0.9:80");
        assert_eq!(reach(10_700)[0]["rule"], "in/open");
        assert_eq!(of(10_701).unwrap()["published_to"], "this host:53");
        assert_eq!(of(10_710).unwrap()["last_port"], 10_720);
        assert_eq!(reach(10_710).as_array().unwrap().len(), 0, "{found:#}");
    }
    if by_engine {
        assert_eq!(of(10_730).unwrap()["published_to"], "10.91.0.9:80");
        assert_eq!(of(10_730).unwrap()["last_port"], 10_735);
        assert_eq!(reach(10_730)[0]["who"], "all", "{found:#}");
    }
    let table = world.host.cli(&["exposure"]).unwrap();
    assert!(
        table.ok() && table.out.contains("world (in/open)"),
        "{table:?}"
    );
    assert!(table.out.contains("not guarded"), "{table:?}");
}
