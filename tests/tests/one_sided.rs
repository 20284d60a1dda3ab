//! Handshakes that do not complete, each with a fault made on purpose, in both families.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::io::Write as _;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use ringwall_tests::net::sock::{Echo, Seen, tcp};
use ringwall_tests::net::{Netns, wait_until};
use ringwall_tests::scenario::records::wait_for;
use ringwall_tests::scenario::{
    PATIENCE, Resent, SHORT, Scene, allow, at_lan, at_wan, metric, pairs, policy,
};
use ringwall_tests::{need_root, skip};
use serde_json::Value;

/// A handshake has some four seconds to complete, and is looked at once a second.
const FOUND: Duration = Duration::from_secs(12);

/// Loads rules into the stranger's own nftables; `None` where there is none.
fn filter(ns: &Netns, rules: &str) -> Option<()> {
    let table = format!("table inet fault {{ chain c {{ {rules}\n }}\n }}\n");
    let ran = ns.command("nft").args(["-f", "-"]).run_with(&table).ok()?;
    assert!(ran.ok(), "{ran:?}");
    Some(())
}

/// The rows of `one-sided` for a port, once there are so many.
fn found(scene: &Scene, port: u16, count: usize) -> Vec<Value> {
    let of_port = || {
        let rows = scene.host.json(&["one-sided"]).unwrap();
        let mut rows = rows.as_array().unwrap().clone();
        rows.retain(|row| row["destination_port"] == port);
        rows
    };
    let rows = wait_until(FOUND, || Some(of_port()).filter(|rows| rows.len() >= count));
    rows.unwrap_or_else(|| panic!("not {count} for {port}: {:#?}", of_port()))
}

/// Both families have this cause, with evidence, and a record.
fn expect(scene: &Scene, port: u16, direction: &str, cause: &str) {
    let rows = found(scene, port, 2);
    for row in &rows {
        assert_eq!(row["cause"], cause, "{row:#}");
        assert_eq!(row["direction"], direction, "{row:#}");
        assert!(!row["evidence"].as_array().unwrap().is_empty());
    }
    let v6 = |row: &Value| row["source"].as_str().unwrap().contains(':');
    assert!(
        rows.iter().any(v6) && !rows.iter().all(v6),
        "both families: {rows:#?}"
    );
    let told = wait_for(
        &scene.host,
        "one_sided",
        &format!("port {port}"),
        2,
        PATIENCE,
    );
    assert!(told.iter().all(|one| one["cause"] == cause), "{told:#?}");
    let labels = [
        format!("direction=\"{direction}\""),
        format!("cause=\"{cause}\""),
    ];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let text = scene.host.metrics().unwrap();
    assert!(metric(&text, "ringwall_one_sided_syn_total", &labels) >= 2.0);
}

fn scene() -> Scene {
    let scene = Scene::new().unwrap();
    let allowed = allow("some", "tcp/1000-1099");
    scene.put(&policy(1, &[allowed])).unwrap();
    scene
}

/// Attempts in both families, each for so long.
fn attempt(ns: &Netns, to: impl Fn(bool) -> SocketAddr, patience: Duration) {
    for v6 in [false, true] {
        let _how_it_ends = tcp(ns, to(v6), patience);
    }
}

fn at_stranger(port: u16) -> impl Fn(bool) -> SocketAddr {
    move |v6| {
        let ip = if v6 { "2001:db8::9" } else { "203.0.113.9" };
        SocketAddr::new(ip.parse().unwrap(), port)
    }
}

#[test]
fn what_we_drop_and_what_nobody_listens_for() {
    need_root!();
    let scene = scene();
    attempt(scene.stranger(), |v6| at_wan(v6, 22), SHORT);
    attempt(scene.stranger(), |v6| at_wan(v6, 1001), SHORT);
    let _elsewhere = [
        Echo::tcp(scene.lab.host(), "127.0.0.1:1002".parse().unwrap()).unwrap(),
        Echo::tcp(scene.lab.host(), (Ipv6Addr::LOCALHOST, 1002).into()).unwrap(),
    ];
    attempt(scene.stranger(), |v6| at_wan(v6, 1002), SHORT);
    expect(&scene, 22, "inbound", "policy-drop");
    assert_eq!(found(&scene, 22, 2)[0]["rule"], "in/default");
    expect(&scene, 1001, "inbound", "no-listener");
    expect(&scene, 1002, "inbound", "listener-elsewhere");
    let table = scene.host.cli(&["one-sided"]).unwrap();
    assert!(table.ok() && table.out.contains("no-listener"), "{table:?}");
}

#[test]
fn what_is_refused_and_what_is_dropped_out_there() {
    need_root!();
    let scene = scene();
    let faults = "type filter hook prerouting priority -300; tcp dport 1011 drop";
    let Some(()) = filter(scene.stranger(), faults) else {
        skip!("nft is not installed");
    };
    let host = scene.lab.host();
    attempt(host, at_stranger(1010), SHORT);
    std::thread::scope(|s| {
        for v6 in [false, true] {
            s.spawn(move || tcp(host, at_stranger(1011)(v6), FOUND));
        }
        expect(&scene, 1010, "outbound", "refused");
        expect(&scene, 1011, "outbound", "silent-drop");
    });
}

#[test]
fn an_answer_that_does_not_arrive_and_a_filter_of_this_host() {
    need_root!();
    let scene = scene();
    let back = "type filter hook prerouting priority -300; tcp sport 1020 tcp flags & (syn|ack) == syn|ack drop";
    let Some(()) = filter(scene.stranger(), back) else {
        skip!("nft is not installed");
    };
    let own = "type filter hook input priority 0; tcp dport 1021 drop";
    filter(scene.lab.host(), own).unwrap();
    let _server = Echo::tcp(scene.lab.host(), ([0_u16; 8], 1020).into()).unwrap();
    std::thread::scope(|s| {
        for v6 in [false, true] {
            for port in [1020, 1021] {
                let ns = scene.stranger();
                s.spawn(move || tcp(ns, at_wan(v6, port), FOUND));
            }
        }
        expect(&scene, 1020, "inbound", "reply-path");
        expect(&scene, 1021, "inbound", "local-filter");
    });
}

#[test]
fn an_icmp_error_about_our_syn_names_its_code() {
    need_root!();
    let scene = scene();
    let faults =
        "type filter hook input priority 0; tcp dport 1030 reject with icmpx type admin-prohibited";
    let Some(()) = filter(scene.stranger(), faults) else {
        skip!("nft is not installed");
    };
    let host = scene.lab.host();
    std::thread::scope(|s| {
        for v6 in [false, true] {
            s.spawn(move || {
                // An error of this kind ends some attempts at once; the kernel may also try on.
                tcp(host, at_stranger(1030)(v6), FOUND)
            });
        }
        expect(&scene, 1030, "outbound", "unreachable");
    });
}

#[test]
fn a_retransmitted_syn_that_then_completes_is_no_fault() {
    need_root!();
    let scene = scene();
    let lossy = "type filter hook prerouting priority -300; tcp dport 1040 drop";
    let Some(()) = filter(scene.stranger(), lossy) else {
        skip!("nft is not installed");
    };
    let _server = Echo::tcp(scene.stranger(), ([0_u16; 8], 1040).into()).unwrap();
    let host = scene.lab.host();
    let resent = || Resent::read(host).unwrap().syns;
    let before = resent();
    std::thread::scope(|s| {
        let attempts =
            [false, true].map(|v6| s.spawn(move || tcp(host, at_stranger(1040)(v6), FOUND)));
        let again = wait_until(FOUND, || (resent() >= before + 2).then_some(()));
        assert!(again.is_some(), "no SYN was sent again");
        let gone = scene
            .stranger()
            .command("nft")
            .args(["delete", "table", "inet", "fault"]);
        assert!(gone.run().unwrap().ok());
        for attempt in attempts {
            assert_eq!(attempt.join().unwrap(), Seen::Answered);
        }
    });
    std::thread::sleep(Duration::from_secs(6));
    let rows = scene.host.json(&["one-sided"]).unwrap();
    let of_port = |row: &&Value| row["destination_port"] == 1040;
    let wrong: Vec<_> = rows.as_array().unwrap().iter().filter(of_port).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_was_only_asked_about_and_what_we_have_cut_are_no_riddles() {
    need_root!();
    let scene = scene();
    let (host, stranger, trusted) = (scene.lab.host(), scene.stranger(), scene.trusted());
    let mut revoked = pairs(stranger, host, at_wan(false, 1050), 1);
    let mut killed = pairs(trusted, host, at_lan(true, 1051), 1);
    let asked = "tcp host:50000 -> 203.0.113.9:1052";
    let explained = scene.host.cli(&["policy", "explain", asked]).unwrap();
    assert!(explained.ok(), "{explained:?}");
    scene.put(&policy(2, &[allow("one", "tcp/1051")])).unwrap();
    let kill = ["sessions", "kill", "port 1051"];
    assert!(scene.host.cli(&kill).unwrap().ok());
    // Their ends know nothing of it, and send again and again: in one direction.
    for pair in revoked.iter_mut().chain(&mut killed) {
        pair.client.write_all(b"ping").unwrap();
    }
    // Nobody has this address: two that are told, one after the other, so that the others had their time.
    for port in [1053, 1054] {
        let nobody = SocketAddr::new("203.0.113.77".parse().unwrap(), port);
        let _how_it_ends = tcp(host, nobody, FOUND);
        assert_eq!(found(&scene, port, 1)[0]["cause"], "no-route");
    }
    let rows = scene.host.json(&["one-sided"]).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 2, "{rows:#}");
    let told = wait_for(&scene.host, "one_sided", "", 2, PATIENCE);
    assert_eq!(told.len(), 2, "{told:#?}");
    let text = scene.host.metrics().unwrap();
    for cause in ["unknown", "midstream-only"] {
        let label = format!("cause=\"{cause}\"");
        let count = metric(&text, "ringwall_one_sided_syn_total", &[&label]);
        assert!(count < 0.5, "{cause}: {count}");
    }
}
