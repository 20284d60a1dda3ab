//! SYN cookies: while half-open sessions are being pushed out, who answers still gets in, and nothing is kept of who
//! does not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::time::Duration;

use ringwall_tests::case::packet::ack;
use ringwall_tests::need_root;
use ringwall_tests::net::packet::{Tap, Wire};
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange};
use ringwall_tests::net::wait_until;
use ringwall_tests::scenario::flood::{Flood, way_back_to_anybody};
use ringwall_tests::scenario::{PATIENCE, Scene, Worker, allow, at_wan, metric, policy};

fn scene(config: &str, sysctl: &str) -> (Scene, Echo) {
    let scene = Scene::configured(config).unwrap();
    scene.put(&policy(1, &[allow("web", "tcp/443")])).unwrap();
    let host = scene.lab.host();
    way_back_to_anybody(&scene).unwrap();
    host.run(|| std::fs::write("/proc/sys/net/ipv4/tcp_syncookies", sysctl))
        .unwrap();
    let server = Echo::tcp(host, ([0_u16; 8], 443).into()).unwrap();
    (scene, server)
}

fn cookies(scene: &Scene) -> (bool, u64, u64) {
    let status = scene.status().unwrap();
    let of = &status["sessions"]["syn_cookies"];
    let number = |key: &str| of[key].as_u64().unwrap();
    (
        of["on"].as_bool().unwrap(),
        number("sent"),
        number("accepted"),
    )
}

#[test]
fn handshakes_complete_by_cookies_while_a_flood_goes_on() {
    need_root!();
    for hook in ["", "hook: xdp-generic\n"] {
        let config = format!("{hook}sessions: {{max: 1024, half_open_max: 256}}\n");
        let (scene, _server) = scene(&config, "2");
        let floods = [false, true].map(|v6| {
            let flood = Flood::syns(at_wan(v6, 443), 1000);
            flood.start(&scene.lab.stranger, &scene.lab.wan).unwrap()
        });
        let on = || cookies(&scene).0.then_some(());
        assert!(
            wait_until(2 * PATIENCE, on).is_some(),
            "{:#}",
            scene.status().unwrap()
        );
        for round in 0..10 {
            // The stranger is nobody's favourite.
            let to = at_wan(round % 2 == 1, 443);
            let mut stream = connect(scene.stranger(), to, PATIENCE)
                .unwrap_or_else(|seen| panic!("{hook} round {round}: {seen}"));
            for _ in 0..3 {
                assert_eq!(
                    exchange(&mut stream, PATIENCE),
                    Seen::Answered,
                    "round {round}"
                );
            }
        }
        let (_, sent, accepted) = cookies(&scene);
        println!("{sent} cookies were sent, {accepted} came back");
        assert!(accepted >= 8 && sent > accepted);
        let shown = scene.host.cli(&["status"]).unwrap().out;
        assert!(shown.contains("SYN cookies are on"), "{shown}");
        forged(&scene);
        let sent: u64 = floods.map(Worker::finish).iter().sum();
        println!("{sent} SYNs");
    }
}

/// Acknowledgements of answers that never were.
fn forged(scene: &Scene) {
    let failed = || {
        let metrics = scene.host.metrics().unwrap();
        let label = ["reason=\"syn-cookie-failed\""];
        metric(&metrics, "ringwall_dropped_packets_total", &label) as u64
    };
    let before = failed();
    let wire = Wire::open(&scene.lab.stranger, Tap::Wire).unwrap();
    for v6 in [false, true] {
        let from = if v6 { "2001:db8::9" } else { "203.0.113.9" };
        let to = at_wan(v6, 443);
        let packet = ack((from.parse().unwrap(), 7), (to.ip(), to.port()));
        let mut frame = packet.to_mac(scene.lab.wan.mac).frame();
        frame[6..12].copy_from_slice(&scene.lab.stranger.mac);
        wire.send(&frame).unwrap();
    }
    let counted = || (failed() == before + 2).then_some(());
    assert!(
        wait_until(PATIENCE, counted).is_some(),
        "{} {before}",
        failed()
    );
}

/// The kernel makes no cookies: openings go their usual way, and the oldest give way.
#[test]
fn without_the_kernels_will_openings_go_their_usual_way() {
    need_root!();
    let (scene, _server) = scene("sessions: {max: 1024, half_open_max: 256}\n", "0");
    let flood = Flood::syns(at_wan(false, 443), 200);
    let flood = flood.start(&scene.lab.stranger, &scene.lab.wan).unwrap();
    let of = || scene.status().unwrap()["sessions"]["syn_cookies"].clone();
    let pressed = || (of()["pressure"] == true).then_some(());
    assert!(wait_until(2 * PATIENCE, pressed).is_some(), "{:#}", of());
    std::thread::sleep(Duration::from_millis(200));
    // Pressure is one thing, and who makes cookies another.
    assert_eq!(cookies(&scene), (false, 0, 0));
    assert_eq!(of()["kernel"], 0);
    let shown = scene.host.cli(&["status"]).unwrap().out;
    assert!(shown.contains("tcp_syncookies is 0"), "{shown}");
    let text = scene.host.metrics().unwrap();
    let gauges = ["ringwall_syn_cookies_active", "ringwall_half_open_pressure"];
    assert_eq!(gauges.map(|name| metric(&text, name, &[]) as u64), [0, 1]);
    let doctor = scene.host.cli(&["doctor"]).unwrap();
    assert!(doctor.out.contains("tcp_syncookies is 0"), "{doctor:?}");
    flood.finish();
}
