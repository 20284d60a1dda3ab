//! Sessions ended by hand: those that the filter picks stand still, are counted and recorded, with an agent and
//! without; no other notices.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::net::TcpStream;

use ringwall_tests::need_root;
use ringwall_tests::net::Host;
use ringwall_tests::net::sock::{self, Echo, Seen, connect, exchange};
use ringwall_tests::scenario::crossing::{Crossing, GO_OUT, OUTSIDE, at, policy as site, serve};
use ringwall_tests::scenario::records::wait_for;
use ringwall_tests::scenario::{PATIENCE, SHORT, Scene, allow, at_wan, metric};

fn kill(host: &Host, filter: &str) -> u64 {
    let ran = host
        .cli(&["sessions", "kill", filter, "-o", "json"])
        .unwrap();
    assert!(ran.ok(), "{ran:?}");
    ran.json().unwrap()["killed"].as_u64().unwrap()
}

fn killed(host: &Host) -> f64 {
    let text = host.metrics().unwrap();
    metric(
        &text,
        "ringwall_sessions_closed_total",
        &["cause=\"killed\""],
    )
}

fn talking(scene: &Scene, v6: bool, port: u16) -> TcpStream {
    let mut stream = connect(scene.stranger(), at_wan(v6, port), PATIENCE).unwrap();
    assert_eq!(exchange(&mut stream, PATIENCE), Seen::Answered);
    stream
}

#[test]
fn what_the_filter_picks_stands_still_and_nothing_else() {
    need_root!();
    let mut scene = Scene::guarded(&[allow("web", "tcp/443, tcp/8443")]).unwrap();
    let any = |port: u16| ([0_u16; 8], port).into();
    let _echoes = [443, 8443].map(|port| Echo::tcp(scene.lab.host(), any(port)).unwrap());
    for v6 in [false, true] {
        let (mut picked, mut other) = (talking(&scene, v6, 8443), talking(&scene, v6, 443));
        assert_eq!(kill(&scene.host, "port 8443 and state established"), 1);
        assert_eq!(exchange(&mut picked, SHORT), Seen::Silence);
        assert_eq!(exchange(&mut other, PATIENCE), Seen::Answered);
        // It may begin anew.
        talking(&scene, v6, 8443);
    }
    let told = wait_for(&scene.host, "close", "port 8443", 2, PATIENCE);
    assert!(told.iter().all(|record| record["close_cause"] == "killed"));
    assert!((killed(&scene.host) - 2.0).abs() < 0.1);

    // Without an agent; what was ended then is counted, too.
    let mut alone = talking(&scene, true, 443);
    scene.host.kill9();
    assert!(kill(&scene.host, "port 443") > 0);
    assert_eq!(exchange(&mut alone, SHORT), Seen::Silence);
    scene.host.restart().unwrap();
    assert!(killed(&scene.host) > 2.5);
}

#[test]
fn nothing_is_ended_by_mistake() {
    need_root!();
    let scene = Scene::guarded(&[allow("web", "tcp/443")]).unwrap();
    let _echo = Echo::tcp(scene.lab.host(), at_wan(false, 443)).unwrap();
    let mut stream = talking(&scene, false, 443);
    for (words, status, says) in [
        (&["sessions", "kill"][..], 2, "--all"),
        (&["sessions", "kill", "--all", "port 443"], 2, "--all"),
        (&["sessions", "kill", "prot 443"], 2, "nothing was ended"),
        (&["sessions", "kill", "port 444"], 0, ""),
    ] {
        let ran = scene.host.cli(words).unwrap();
        assert!(ran.status == status && ran.err.contains(says), "{ran:?}");
    }
    assert_eq!(exchange(&mut stream, PATIENCE), Seen::Answered);
    let ran = scene.host.cli(&["sessions", "kill", "--all"]).unwrap();
    assert!(ran.ok() && ran.out.contains("ended"), "{ran:?}");
    assert_eq!(exchange(&mut stream, SHORT), Seen::Silence);
}

#[test]
fn routed_and_translated_sessions_are_ended_in_both_directions() {
    need_root!();
    let world = Crossing::new(&["wan0", "docker0"], &site(1, "deny", GO_OUT));
    let _servers = serve(world.outside(), 9090);
    for ip in OUTSIDE {
        let mut stream = connect(&world.site.one, at(ip, 9090), PATIENCE).unwrap();
        assert_eq!(exchange(&mut stream, PATIENCE), Seen::Answered);
        assert_eq!(
            sock::udp(&world.site.one, at(ip, 9090), PATIENCE),
            Seen::Answered
        );
        // IPv4 is translated, so each of its sessions has a stand-in.
        let listed = if ip.contains(':') { 2 } else { 4 };
        assert_eq!(kill(&world.host, &format!("dst {ip}")), listed, "{ip}");
        // Enforcement has just begun, so it would be taken up from its middle, were it not told.
        assert_eq!(exchange(&mut stream, PATIENCE), Seen::Reset, "{ip}");
        let rows = world
            .host
            .json(&["sessions", &format!("dst {ip}")])
            .unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 0, "{rows:#}");
        assert_eq!(
            sock::udp(&world.site.one, at(ip, 9090), PATIENCE),
            Seen::Answered
        );
        kill(&world.host, &format!("dst {ip}"));
    }
    // Conversations are counted, stand-ins are not.
    let ended = world.metric("ringwall_sessions_closed_total", &["cause=\"killed\""]);
    assert!((ended - 6.0).abs() < 0.1, "{ended}");
}
