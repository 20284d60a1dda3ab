//! What rules bound: exact when many ask at once, kept across revisions, and given back when sessions end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::time::Duration;

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange, tcp, udp};
use ringwall_tests::net::wait_until;
use ringwall_tests::scenario::flood::{Flood, From, at_once, way_back_to_anybody};
use ringwall_tests::scenario::{PATIENCE, SHORT, Scene, at_lan, at_wan, metric, policy, rule};

fn scene(config: &str, rules: &[String]) -> (Scene, Vec<Echo>) {
    let scene = Scene::configured(config).unwrap();
    scene.put(&policy(1, rules)).unwrap();
    way_back_to_anybody(&scene).unwrap();
    let any = |port| ([0_u16; 8], port).into();
    let host = scene.lab.host();
    let servers = vec![
        Echo::tcp(host, any(443)).unwrap(),
        Echo::udp(host, any(53)).unwrap(),
    ];
    (scene, servers)
}

fn with(name: &str, services: &str, more: &str) -> String {
    format!("{}, {more}", rule(name, "allow", services))
}

fn refused(scene: &Scene, reason: &str) -> u64 {
    let label = format!("reason=\"{reason}\"");
    let metrics = scene.host.metrics().unwrap();
    metric(&metrics, "ringwall_sessions_refused_total", &[&label]) as u64
}

/// Of so many that were sent exactly so many were let in, and all others refused. A veth that is overrun loses some on
/// the way: those are not refused, and nobody is let in for them.
fn let_in_exactly(scene: &Scene, most: u64, sent: u64, reason: &str, opened: u64) {
    let all = || (refused(scene, reason) == sent - most).then_some(());
    let seen = wait_until(2 * PATIENCE, all).is_some();
    let (refused, opened) = (refused(scene, reason), self::opened(scene) - opened);
    println!("{sent} sent, {opened} let in, {refused} refused");
    assert_eq!(opened, most);
    assert!(seen || (most..sent - most).contains(&refused));
}

fn opened(scene: &Scene) -> u64 {
    let metrics = scene.host.metrics().unwrap();
    let inbound = ["direction=\"inbound\""];
    metric(&metrics, "ringwall_sessions_opened_total", &inbound) as u64
}

/// A token is given out once, and a session counted once, whoever asks at the same time.
#[test]
fn bounds_are_exact_when_many_ask_at_once() {
    need_root!();
    for hook in ["", "hook: xdp\n"] {
        let rules = [
            with("names", "udp/53", "limit: {rate: 1/h, burst: 100}"),
            with("web", "tcp/443", "max_sessions: {count: 70}"),
        ];
        let (scene, _servers) = scene(hook, &rules);
        let before = opened(&scene);
        let sent = at_once(&scene, 53, false, 500).unwrap();
        let_in_exactly(&scene, 100, sent, "rate-limited", before);
        let before = opened(&scene);
        let sent = at_once(&scene, 443, true, 500).unwrap();
        let_in_exactly(&scene, 70, sent, "session-limit", before);
        // Buckets follow the rule's id; another id has another bucket.
        scene.put(&policy(2, &rules)).unwrap();
        assert_eq!(
            udp(scene.stranger(), at_wan(false, 53), SHORT),
            Seen::Silence
        );
        let other = with("other", "udp/53", "limit: {rate: 1/h, burst: 100}");
        scene.put(&policy(3, &[other, rules[1].clone()])).unwrap();
        assert_eq!(
            udp(scene.stranger(), at_wan(true, 53), PATIENCE),
            Seen::Answered
        );
    }
}

#[test]
fn each_source_has_its_own_bound_and_ended_sessions_make_room() {
    need_root!();
    let rules = [
        with("web", "tcp/443", "max_sessions: {count: 2, per: source}"),
        with(
            "names",
            "udp/53",
            "limit: {rate: 1/h, burst: 2, per: source}",
        ),
    ];
    let config = "sessions: {timeouts: {tcp_time_wait: 1s, tcp_close: 1s}}\n";
    let (scene, _servers) = scene(config, &rules);
    for v6 in [false, true] {
        let open = || connect(scene.stranger(), at_wan(v6, 443), PATIENCE).unwrap();
        let (mut first, second) = (open(), open());
        assert_eq!(tcp(scene.stranger(), at_wan(v6, 443), SHORT), Seen::Silence);
        assert_eq!(
            tcp(scene.trusted(), at_lan(v6, 443), PATIENCE),
            Seen::Answered
        );
        assert_eq!(exchange(&mut first, PATIENCE), Seen::Answered);
        drop(second);
        let room =
            || (tcp(scene.stranger(), at_wan(v6, 443), SHORT) == Seen::Answered).then_some(());
        assert!(
            wait_until(2 * PATIENCE, room).is_some(),
            "{}",
            scene.host.log()
        );
        for seen in [Seen::Answered, Seen::Answered, Seen::Silence] {
            assert_eq!(udp(scene.stranger(), at_wan(v6, 53), SHORT), seen);
        }
        assert_eq!(
            udp(scene.trusted(), at_lan(v6, 53), PATIENCE),
            Seen::Answered
        );
    }
    assert!(refused(&scene, "source-limit") >= 2);
    assert_eq!(refused(&scene, "rate-limited"), 2);
    let metrics = scene.host.metrics().unwrap();
    let used = metric(
        &metrics,
        "ringwall_limit_table_entries",
        &["table=\"buckets\""],
    );
    assert!((3.5..4.5).contains(&used), "{used}");
}

/// Packets of a stateless rule, by their bits; and a bucket fills again.
#[test]
fn a_stateless_rule_counts_packets_and_bits() {
    need_root!();
    let back = "
  - name: out
    from: host
    to: any
    rules:
      - {name: answers, action: allow, services: [\"udp/*\"], source_ports: [53], stateful: false}
";
    let rules = [with(
        "names",
        "udp/53",
        "stateful: false, limit: {rate: 8kbit/s, burst: 8kbit}",
    )];
    let (scene, _servers) = scene("", &[]);
    scene.put(&(policy(2, &rules) + back)).unwrap();
    // 47 bytes a frame over IPv4, so 21 of them are a second's worth, and a few more for the time it takes.
    let from = From::One("203.0.113.77".parse().unwrap());
    let flood = Flood::burst(from, at_wan(false, 53), false, 200);
    flood.run(&scene.lab.stranger, &scene.lab.wan).unwrap();
    let refused = refused(&scene, "rate-limited");
    assert!((150..=179).contains(&refused), "{refused}");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        udp(scene.stranger(), at_wan(false, 53), PATIENCE),
        Seen::Answered
    );
}

/// Who explains has full buckets, and leaves them as they are.
#[test]
fn explain_judges_with_full_buckets() {
    need_root!();
    let rules = [with("names", "udp/53", "limit: {rate: 1/h, burst: 1}")];
    let (scene, _servers) = scene("", &rules);
    let explain = || {
        let packet = "udp 203.0.113.9:4000 -> host:53 in wan0";
        scene.host.json(&["policy", "explain", packet]).unwrap()
    };
    for _ in 0..3 {
        assert!(
            explain().to_string().contains("rule-allow"),
            "{}",
            explain()
        );
    }
    assert_eq!(
        udp(scene.stranger(), at_wan(false, 53), PATIENCE),
        Seen::Answered
    );
    assert_eq!(
        udp(scene.stranger(), at_wan(false, 53), SHORT),
        Seen::Silence
    );
    assert!(explain().to_string().contains("rule-allow"));
    let shown = scene.host.cli(&["policy", "show"]).unwrap().out;
    assert!(
        shown.contains("limit: {rate: 1/h, burst: 1, per: rule}"),
        "{shown}"
    );
}

/// More sources than there are buckets: the rest share one, and that is said.
#[test]
fn a_full_table_of_buckets_is_told() {
    need_root!();
    let rules = [with(
        "names",
        "udp/53",
        "limit: {rate: 1/h, burst: 1, per: source}",
    )];
    let (scene, _servers) = scene("", &rules);
    let used = || {
        let text = scene.host.metrics().unwrap();
        let of = |name: &str| metric(&text, name, &["table=\"buckets\""]) as u64;
        let shared = metric(&text, "ringwall_limit_shared_total", &[]) as u64;
        let (entries, places) = (
            of("ringwall_limit_table_entries"),
            of("ringwall_limit_table_capacity"),
        );
        (entries, places, shared)
    };
    let full = || {
        // Drawn by chance, so it takes more than there are places.
        at_once(&scene, 53, false, 20_000).unwrap();
        let (entries, places, shared) = used();
        (entries == places && shared > 0).then_some(())
    };
    assert!(wait_until(8 * PATIENCE, full).is_some(), "{:?}", used());
    let told = scene.status().unwrap()["warnings"].to_string();
    assert!(
        told.contains("places for buckets of sources are taken"),
        "{told}"
    );
    // All who come now share what is left of one bucket: nothing, soon.
    let seen = [false, true].map(|v6| udp(scene.stranger(), at_wan(v6, 53), SHORT));
    assert!(seen.contains(&Seen::Silence), "{seen:?}");
}

#[test]
fn what_only_monitors_lets_in_what_is_past_a_bound() {
    need_root!();
    let rules = [
        with("web", "tcp/443", "max_sessions: {count: 1, per: source}"),
        with("names", "udp/53", "max_sessions: {count: 1}"),
    ];
    let (scene, _servers) = scene("", &rules);
    scene.put(&(policy(2, &rules) + "mode: monitor\n")).unwrap();
    let open = || connect(scene.stranger(), at_wan(true, 443), PATIENCE).unwrap();
    let mut all = [open(), open(), open()];
    for stream in &mut all {
        assert_eq!(exchange(stream, PATIENCE), Seen::Answered);
    }
    for v6 in [false, true] {
        let asked = udp(scene.stranger(), at_wan(v6, 53), PATIENCE);
        assert_eq!(asked, Seen::Answered);
    }
    // Two connections and a question too many, and nothing that follows them is a stray.
    let rows = || {
        let rows = scene.host.json(&["drops"]).unwrap();
        let rows = rows.as_array().unwrap().iter();
        let row = |row: &serde_json::Value| {
            let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            (word("reason"), word("verdict"), row["packets"].as_u64())
        };
        rows.map(row).collect::<std::collections::BTreeSet<_>>()
    };
    let row = |reason: &str, packets| (reason.to_owned(), "AUDIT".to_owned(), Some(packets));
    let wanted = [row("session-limit", 1), row("source-limit", 2)].into();
    let told = wait_until(PATIENCE, || (rows() == wanted).then_some(()));
    assert!(told.is_some(), "{:?}", rows());
    let table = scene.host.cli(&["drops"]).unwrap().out;
    assert!(
        table.contains("AUDIT") && !table.contains("DROPPED"),
        "{table}"
    );
    // What was let in goes on under the rule that allows it; the next one is one too many.
    scene.put(&policy(3, &rules)).unwrap();
    for stream in &mut all {
        assert_eq!(exchange(stream, PATIENCE), Seen::Answered);
    }
    assert_eq!(
        tcp(scene.stranger(), at_wan(true, 443), SHORT),
        Seen::Silence
    );
}
