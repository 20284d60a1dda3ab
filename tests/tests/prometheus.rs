//! A real Prometheus scrapes the real agent: what it then knows is exactly what was sent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::net::SocketAddr;
use std::time::Duration;

use etherparse::PacketBuilder;
use ringwall_tests::net::packet::{Tap, Wire};
use ringwall_tests::net::sock::Echo;
use ringwall_tests::net::{Command, METRICS, Ran, wait_until};
use ringwall_tests::scenario::{Door, PATIENCE, Scene, allow, metric};
use ringwall_tests::wall::{Prometheus, find};
use ringwall_tests::{need_program, need_root, skip};

/// Packets that are let in, and packets that are not, by family.
const ALLOWED: [u64; 2] = [300, 200];
const DENIED: [u64; 2] = [171, 29];
/// Conversations that they belong to, in each family: the first packet of each is the rule's, the rest is
/// the session's.
const SOURCES: u16 = 50;

#[test]
fn a_scrape_tells_exactly_what_was_sent() {
    need_root!();
    need_program!("prometheus");
    let scene = Scene::guarded(&[allow("quic", "udp/443")]).unwrap();
    let door = Door::udp(scene.lab.host(), 443).unwrap();
    let prometheus = beside(&scene);
    let wait_for = |query: &str, value| wait_for(&prometheus, query, value);
    wait_for("up", 1.0);
    let before = Totals::settled(&scene);
    wait_for(FORWARDED, before.forwarded);
    wait_for(DROPPED, before.dropped);

    for (v6, (allowed, denied)) in [false, true]
        .into_iter()
        .zip(ALLOWED.into_iter().zip(DENIED))
    {
        send(&scene, v6, 443, allowed);
        send(&scene, v6, 161, denied);
    }
    let (allowed, denied) = (sum(ALLOWED), sum(DENIED));
    let all_in = || (door.entered() as f64 >= allowed).then_some(());
    let came = wait_until(PATIENCE, all_in);
    assert!(came.is_some(), "{} of {allowed} arrived", door.entered());
    wait_for(FORWARDED, before.forwarded + allowed);
    wait_for(DROPPED, before.dropped + denied);
    wait_for(DENIALS, denied);
    wait_for(
        "ringwall_rule_packets_total{policy=\"in\",rule=\"quic\",action=\"allow\"}",
        2.0 * f64::from(SOURCES),
    );
    wait_for("ringwall_policy_info{name=\"lab\",revision=\"1\"}", 1.0);
    for interface in ["lan0", "wan0"] {
        for direction in ["ingress", "egress"] {
            let query = format!(
                "ringwall_enforcing{{interface=\"{interface}\",direction=\"{direction}\"}}"
            );
            wait_for(&query, 1.0);
        }
    }
    wait_for("ringwall_policy_apply_total{outcome=\"applied\"}", 1.0);
}

const FORWARDED: &str = "sum(ringwall_packets_total{direction=\"ingress\",verdict=\"forwarded\"})";
const DROPPED: &str = "sum(ringwall_packets_total{direction=\"ingress\",verdict=\"dropped\"})";
const DENIALS: &str = "ringwall_dropped_packets_total{direction=\"ingress\",zone=\"internet\",reason=\"default-deny\"}";

fn sum(of: [u64; 2]) -> f64 {
    of.iter().sum::<u64>() as f64
}

/// The agent's own totals at the arriving side.
#[derive(Clone, Copy, PartialEq)]
struct Totals {
    forwarded: f64,
    dropped: f64,
}

impl Totals {
    fn read(scene: &Scene) -> Self {
        let text = scene.host.metrics().unwrap();
        let of = |verdict| {
            metric(
                &text,
                "ringwall_packets_total",
                &["direction=\"ingress\"", verdict],
            )
        };
        Self {
            forwarded: of("verdict=\"forwarded\""),
            dropped: of("verdict=\"dropped\""),
        }
    }

    /// Once nothing moves any more: new interfaces report their multicast groups for some seconds.
    fn settled(scene: &Scene) -> Self {
        let still = || {
            let before = Self::read(scene);
            std::thread::sleep(Duration::from_secs(3));
            (before == Self::read(scene)).then_some(before)
        };
        wait_until(6 * PATIENCE, still).expect("a quiet network")
    }
}

/// Datagrams, written by another hand than the kernel's, straight onto the stranger's wire.
fn send(scene: &Scene, v6: bool, port: u16, count: u64) {
    let (from, to) = (&scene.lab.stranger, &scene.lab.wan);
    let wire = Wire::open(from, Tap::Wire).unwrap();
    for i in 0..count {
        let ethernet = PacketBuilder::ethernet2(from.mac, to.mac);
        let ip = if v6 {
            let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
            ethernet.ipv6(address("2001:db8::9"), address("2001:db8::1"), 64)
        } else {
            ethernet.ipv4([203, 0, 113, 9], [203, 0, 113, 1], 64)
        };
        let mut frame = Vec::new();
        let source = 20_000 + i as u16 % SOURCES;
        ip.udp(source, port).write(&mut frame, b"counted").unwrap();
        wire.send(&frame).unwrap();
    }
}

/// A Prometheus beside the agent, with nothing else to scrape.
fn beside(scene: &Scene) -> Prometheus {
    let base = scene.host.dir.path().join("prometheus");
    let agent: SocketAddr = METRICS.parse().unwrap();
    let every = Duration::from_secs(1);
    Prometheus::start(scene.lab.host(), &base, every, &[("here", agent)]).unwrap()
}

/// Waits until a query has one answer, and it is this value.
fn wait_for(prometheus: &Prometheus, query: &str, value: f64) {
    let mut last = None;
    let ask = || {
        let found = prometheus.query(query).ok()?;
        last = match &found[..] {
            [only] => Some(only.value),
            _ => None,
        };
        (last == Some(value)).then_some(())
    };
    let came = wait_until(4 * PATIENCE, ask);
    assert!(came.is_some(), "{query}: {last:?} and not {value}");
}

#[test]
fn promtool_has_nothing_to_say() {
    need_root!();
    let Some(promtool) = find("promtool") else {
        skip!("promtool is not installed");
    };
    let check = |text: &str| {
        Command::outside(&promtool)
            .args(["check", "metrics"])
            .run_with(text)
            .unwrap()
    };
    let clean = |ran: &Ran| ran.ok() && ran.out.is_empty() && ran.err.is_empty();
    // Before any policy, and with traffic of every kind behind it.
    let scene = Scene::new().unwrap();
    let text = scene.host.metrics().unwrap();
    let ran = check(&text);
    assert!(clean(&ran), "{ran:?}\n{text}");
    scene
        .put(&ringwall_tests::scenario::policy(
            1,
            &[allow("web", "tcp/443")],
        ))
        .unwrap();
    let _web = Echo::tcp(scene.lab.host(), ([0_u16; 8], 443).into()).unwrap();
    assert_ne!(scene.knock(443), scene.knock(22));
    let text = scene.host.metrics().unwrap();
    let ran = check(&text);
    assert!(clean(&ran), "{ran:?}\n{text}");
    for family in FAMILIES {
        assert!(text.contains(&format!("# TYPE {family} ")), "{family}");
    }
    // The tool would have noticed.
    assert!(!clean(&check("x_total 1\nx_total 2\n")));
}

/// The families of the contract.
const FAMILIES: [&str; 25] = [
    "ringwall_packets_total",
    "ringwall_bytes_total",
    "ringwall_dropped_packets_total",
    "ringwall_rule_packets_total",
    "ringwall_rule_bytes_total",
    "ringwall_rule_last_hit_timestamp_seconds",
    "ringwall_enforcing",
    "ringwall_sessions",
    "ringwall_session_table_entries",
    "ringwall_session_table_capacity",
    "ringwall_sessions_refused_total",
    "ringwall_set_entries",
    "ringwall_set_updated_timestamp_seconds",
    "ringwall_sessions_opened_total",
    "ringwall_sessions_closed_total",
    "ringwall_one_sided_syn_total",
    "ringwall_half_open_sessions",
    "ringwall_policy_info",
    "ringwall_policy_applied_timestamp_seconds",
    "ringwall_policy_apply_total",
    "ringwall_policy_rule_expiry_timestamp_seconds",
    "ringwall_events_total",
    "ringwall_events_lost_total",
    "ringwall_interface_info",
    "ringwall_build_info",
];
