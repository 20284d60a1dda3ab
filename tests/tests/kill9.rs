//! kill -9 of the agent as in the row `kill` of the torture table, wherever packets are judged.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop with a message"
)]

use ringwall_tests::need_root;
use ringwall_tests::net::xdp::PassAll;
use ringwall_tests::net::{Host, Lab};
use ringwall_tests::scenario::{Scene, policy};
use ringwall_tests::torture::kills::{Plan, kills, rules};
use ringwall_tests::torture::table;

/// At XDP, and in the clsact qdisc, as below Linux 6.6.
#[test]
fn kills_change_no_verdict_and_lose_no_session_at_any_hook() {
    need_root!();
    for (config, clsact, place) in [
        ("hook: xdp\n", false, ("xdp", "native")),
        ("hook: xdp-generic\n", false, ("xdp", "generic")),
        ("", true, ("clsact", "tc")),
        ("hook: xdp-generic\n", true, ("xdp", "generic")),
    ] {
        let lab = Lab::quiet().unwrap();
        // So the peers get answers by native XDP.
        let _far = [&lab.trusted, &lab.stranger].map(|end| PassAll::attach(end).unwrap());
        let mut host = Host::prepare(lab.host(), &["lan0", "wan0"], config).unwrap();
        let mut plan = Plan {
            place: Some(place),
            ..Plan::default()
        };
        if clsact {
            plan.vars.push(("RINGWALL_TEST_CLSACT", "1".to_owned()));
        }
        host.vars.clone_from(&plan.vars);
        host.restart().unwrap();
        let scene = Scene { host, lab };
        scene.put(&policy(1, &rules(1))).unwrap();
        let figures = kills(scene, &plan).unwrap();
        let text = table(&figures);
        println!("{config}{place:?}\n{text}");
        assert!(
            figures.iter().all(|figure| figure.held),
            "{place:?}\n{text}"
        );
    }
}
