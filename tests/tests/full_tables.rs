//! Session tables under pressure: who still gets in when they are full, and that nothing verified ever gives way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::net::TcpStream;
use std::time::Duration;

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange, tcp, udp};
use ringwall_tests::scenario::flood::{Flood, From, way_back_to_anybody};
use ringwall_tests::scenario::{
    PATIENCE, SHORT, Scene, Worker, allow, at_lan, at_wan, metric, policy, talk,
};

const RULES: [(&str, &str); 2] = [("web", "tcp/443"), ("names", "udp/53")];

/// A host with small tables, servers, and rules that allow all of them to everyone.
fn scene(config: &str) -> (Scene, Vec<Echo>) {
    let scene = Scene::configured(config).unwrap();
    let rules: Vec<String> = RULES.iter().map(|(name, what)| allow(name, what)).collect();
    scene.put(&policy(1, &rules)).unwrap();
    let any = |port| ([0_u16; 8], port).into();
    let servers = vec![
        Echo::tcp(scene.lab.host(), any(443)).unwrap(),
        Echo::udp(scene.lab.host(), any(53)).unwrap(),
    ];
    (scene, servers)
}

fn count(scene: &Scene, key: &str) -> u64 {
    scene.status().unwrap()["sessions"][key].as_u64().unwrap()
}

fn refused(scene: &Scene, zone: &str, reason: &str) -> u64 {
    let labels = [format!("zone=\"{zone}\""), format!("reason=\"{reason}\"")];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let metrics = scene.host.metrics().unwrap();
    let dropped = metric(&metrics, "ringwall_dropped_packets_total", &labels);
    let refused = metric(&metrics, "ringwall_sessions_refused_total", &labels);
    assert!(
        (dropped - refused).abs() < 0.5,
        "{dropped} dropped, {refused} refused"
    );
    refused as u64
}

#[test]
fn a_full_table_refuses_openings_and_keeps_the_reserve_for_management() {
    need_root!();
    let (scene, _servers) = scene("sessions: {max: 80, half_open_max: 40}\n");
    let open = |v6| connect(scene.stranger(), at_wan(v6, 443), PATIENCE);
    // An eighth, ten, is kept.
    let mut held: Vec<TcpStream> = (0..70).map(|n| open(n % 2 == 1).unwrap()).collect();
    assert_eq!(count(&scene, "open"), 70);
    assert_eq!(
        (count(&scene, "capacity"), count(&scene, "reserve")),
        (80, 10)
    );
    // The opening is refused, not what completes it: the stranger never hears of the server.
    for v6 in [false, true] {
        assert_eq!(tcp(scene.stranger(), at_wan(v6, 443), SHORT), Seen::Silence);
        assert_eq!(udp(scene.stranger(), at_wan(v6, 53), SHORT), Seen::Silence);
    }
    let full = refused(&scene, "internet", "session-table-full");
    assert!(full >= 4, "{full}");
    let trusted = |v6| connect(scene.trusted(), at_lan(v6, 443), PATIENCE);
    let operators: Vec<_> = (0..10).map(|n| trusted(n % 2 == 1).unwrap()).collect();
    assert_eq!(
        tcp(scene.trusted(), at_lan(false, 443), SHORT),
        Seen::Silence
    );
    assert!(refused(&scene, "trusted", "session-table-full") > 0);
    let status = scene.status().unwrap();
    let told = |words: &str| status["warnings"].to_string().contains(words);
    assert!(told("the session table is 100 % full"), "{status:#}");
    assert_eq!(status["sessions"]["sources"][0]["open"], 35, "{status:#}");
    let shown = scene.host.cli(&["status"]).unwrap().out;
    assert!(
        shown.contains("session-table-full") && shown.contains("35 open"),
        "{shown}"
    );
    for stream in &mut held {
        assert_eq!(exchange(stream, PATIENCE), Seen::Answered);
    }
    drop(operators);
}

#[test]
fn one_source_has_so_many_half_open_sessions_and_others_do_not_notice() {
    need_root!();
    let (scene, _servers) = scene("sessions: {half_open_per_source: 16}\n");
    for (v6, bad) in [(false, "203.0.113.66"), (true, "2001:db8::66")] {
        let before = (
            count(&scene, "half_open"),
            refused(&scene, "internet", "half-open-limit"),
        );
        let from = From::One(bad.parse().unwrap());
        // Nothing listens for it there, so nothing of it is ever answered to.
        let flood = Flood::burst(from, at_wan(v6, 443), true, 100);
        flood.run(&scene.lab.stranger, &scene.lab.wan).unwrap();
        let after = (
            count(&scene, "half_open"),
            refused(&scene, "internet", "half-open-limit"),
        );
        assert_eq!((after.0 - before.0, after.1 - before.1), (16, 84));
    }
    // The stranger's other address over IPv4; of IPv6 the whole network is one source.
    assert_eq!(
        tcp(scene.stranger(), at_wan(false, 443), PATIENCE),
        Seen::Answered
    );
    assert_eq!(
        tcp(scene.stranger(), at_wan(true, 443), SHORT),
        Seen::Silence
    );
    let sources = &scene.status().unwrap()["sessions"]["sources"];
    assert_eq!(sources[0]["half_open"], 16, "{sources:#}");
}

/// The half-open table is full of openings that nobody will ever complete, and full again as soon as one gives
/// way: exchanges go on, and who answers gets in.
#[test]
fn a_flood_of_openings_pushes_out_nothing_that_is_verified() {
    need_root!();
    for hook in ["", "hook: xdp\n"] {
        flooded(&format!(
            "{hook}sessions: {{max: 1024, half_open_max: 512}}\n"
        ));
    }
}

fn flooded(config: &str) {
    let (scene, _servers) = scene(config);
    way_back_to_anybody(&scene).unwrap();
    // Else listeners answer with cookies soon, and nothing has to give way any more (`cookies.rs`).
    let sysctl = "/proc/sys/net/ipv4/tcp_syncookies";
    let host = scene.lab.host();
    host.run(|| std::fs::write(sysctl, "0")).unwrap();
    let live: Vec<_> = [false, true]
        .map(|v6| connect(scene.stranger(), at_wan(v6, 443), PATIENCE).unwrap())
        .into_iter()
        .map(talk)
        .collect();
    let floods = [false, true].map(|v6| {
        let flood = Flood::syns(at_wan(v6, 443), 4000);
        flood.start(&scene.lab.stranger, &scene.lab.wan).unwrap()
    });
    std::thread::sleep(Duration::from_millis(1500));
    for round in 0..20 {
        let seen = tcp(scene.trusted(), at_lan(round % 2 == 1, 443), PATIENCE);
        assert_eq!(seen, Seen::Answered, "round {round}");
    }
    let sent: u64 = floods.map(Worker::finish).iter().sum();
    for talked in live.into_iter().map(Worker::finish) {
        assert_eq!(talked.error, None);
    }
    let metrics = scene.host.metrics().unwrap();
    let evicted = metric(
        &metrics,
        "ringwall_sessions_closed_total",
        &["cause=\"evicted\""],
    );
    let limited = refused(&scene, "internet", "half-open-limit");
    println!("{sent} SYNs: {evicted} gave way, {limited} were refused");
    assert!(evicted > 100.0 && limited > 100);
    assert_eq!(refused(&scene, "internet", "session-table-full"), 0);
    assert!(count(&scene, "half_open") <= 512);
}
