//! `source_check` on a host with two uplinks: whose way back leads elsewhere, or nowhere, is refused; and the routes
//! are followed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;
use ringwall_tests::need_root;
use ringwall_tests::net::packet::{Tap, Wire};
use ringwall_tests::net::sock::{self, Echo, Seen};
use ringwall_tests::net::wait_until;
use ringwall_tests::scenario::{PATIENCE, SHORT, Scene, at_lan, at_wan, metric, pairs};

/// `trusted` stands for a prefix on `lan0`; what else its zone says, and the default zone's.
fn policy(revision: u64, trusted: &str, internet: &str) -> String {
    format!(
        "apiVersion: ringwall/v1
metadata: {{name: lab, revision: {revision}, owner: tests}}
unmatched: {{inbound: deny, outbound: allow, routed: deny}}
zones:
  trusted: {{cidrs: [10.77.0.0/25, \"fd77::/80\"]{trusted}}}
  internet: {{default: true{internet}}}
policies:
  - name: in
    from: any
    to: host
    rules:
      - {{name: web, action: allow, services: [tcp/443], reason: a test, owner: tests}}
"
    )
}

/// Addresses of the trusted prefix that the stranger gives itself.
const STOLEN: [&str; 2] = ["10.77.0.100", "fd77::100"];
/// Addresses of the stranger's that no route of the host leads to.
const LOST: [&str; 2] = ["198.51.100.7", "2001:db8:7::7"];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The stranger has all those addresses, and the host a server.
fn scene(config: &str) -> (Scene, Echo) {
    let scene = Scene::configured(config).unwrap();
    for own in STOLEN.into_iter().chain(LOST) {
        let length = if own.contains(':') { 128 } else { 32 };
        let add = format!("addr add {own}/{length} dev eth0 nodad\n");
        let add = if own.contains(':') {
            add
        } else {
            add.replace(" nodad", "")
        };
        scene.stranger().ip(&add).unwrap();
    }
    let echo = Echo::tcp(scene.lab.host(), "[::]:443".parse().unwrap()).unwrap();
    (scene, echo)
}

/// How attempts from these of the stranger's addresses look, over IPv4 and IPv6.
fn from(scene: &Scene, own: [&str; 2]) -> [Seen; 2] {
    let knock = |own: &str| {
        let to: SocketAddr = at_wan(own.contains(':'), 443);
        sock::tcp_from(scene.stranger(), Some(ip(own)), to, SHORT)
    };
    own.map(knock)
}

fn sum(scene: &Scene, name: &str, labels: &[&str]) -> f64 {
    metric(&scene.host.metrics().unwrap(), name, labels)
}

fn martians(scene: &Scene, zone: &str) -> f64 {
    let zone = format!("zone=\"{zone}\"");
    sum(
        scene,
        "ringwall_dropped_packets_total",
        &["reason=\"martian\"", &zone],
    )
}

fn let_in(scene: &Scene) -> f64 {
    sum(scene, "ringwall_rule_packets_total", &["rule=\"web\""])
}

/// Attempts from there are refused as martians of the zone, in both families.
fn refused(scene: &Scene, own: [&str; 2], zone: &str) {
    let before = (martians(scene, zone), let_in(scene));
    assert_eq!(from(scene, own), [Seen::Silence, Seen::Silence]);
    let after = (martians(scene, zone), let_in(scene));
    assert!(after.0 >= before.0 + 2.0, "{before:?} {after:?}");
    assert!((after.1 - before.1).abs() < 0.5, "{before:?} {after:?}");
}

/// The policy lets attempts from there in, in both families; whether the answers find their way is not its concern.
fn passed(scene: &Scene, own: [&str; 2], zone: &str) {
    let before = (martians(scene, zone), let_in(scene));
    let _ = from(scene, own);
    let after = (martians(scene, zone), let_in(scene));
    assert!(after.1 >= before.1 + 2.0, "{before:?} {after:?}");
    assert!((after.0 - before.0).abs() < 0.5, "{before:?} {after:?}");
}

#[test]
fn whose_way_back_leads_elsewhere_or_nowhere_is_refused() {
    need_root!();
    for config in ["", "hook: xdp-generic\n"] {
        let (scene, _echo) = scene(config);
        // By itself: strict for a zone of prefixes, loose for the default zone.
        scene.put(&policy(1, "", "")).unwrap();
        refused(&scene, STOLEN, "trusted");
        refused(&scene, LOST, "internet");
        assert_eq!(scene.knock(443), [Seen::Answered, Seen::Answered]);
        for v6 in [false, true] {
            let seen = sock::tcp(scene.trusted(), at_lan(v6, 443), PATIENCE);
            assert_eq!(seen, Seen::Answered);
        }
        scene
            .put(&policy(
                2,
                ", source_check: loose",
                ", source_check: strict",
            ))
            .unwrap();
        passed(&scene, STOLEN, "trusted");
        refused(&scene, LOST, "internet");
        assert_eq!(scene.knock(443), [Seen::Answered, Seen::Answered]);
        scene
            .put(&policy(3, ", source_check: strict", ", source_check: off"))
            .unwrap();
        refused(&scene, STOLEN, "trusted");
        passed(&scene, LOST, "internet");
    }
}

/// Waits until attempts from there look so, in both families.
fn until(scene: &Scene, own: [&str; 2], wanted: &Seen) {
    let so = || {
        from(scene, own)
            .iter()
            .all(|seen| seen == wanted)
            .then_some(())
    };
    assert!(wait_until(PATIENCE, so).is_some(), "{}", scene.host.log());
}

#[test]
fn routes_are_followed_those_of_every_table_and_a_dead_agent_leaves_them_as_they_are() {
    need_root!();
    let (mut scene, _echo) = scene("");
    let host = scene.lab.host().clone();
    scene.put(&policy(1, "", "")).unwrap();
    refused(&scene, LOST, "internet");
    host.ip(
        "route add 198.51.100.0/24 via 203.0.113.9\nroute add 2001:db8:7::/48 via 2001:db8::9\n",
    )
    .unwrap();
    until(&scene, LOST, &Seen::Answered);
    host.ip("route del 198.51.100.0/24\nroute del 2001:db8:7::/48\n")
        .unwrap();
    // The kernel has no way to answer either: what counts is that they are refused.
    let followed = wait_until(4 * PATIENCE, || {
        let before = martians(&scene, "internet");
        let _silence = from(&scene, LOST);
        (martians(&scene, "internet") >= before + 2.0).then_some(())
    });
    assert!(followed.is_some(), "{}", scene.host.log());
    refused(&scene, LOST, "internet");
    // Policy routing: only what the host sends from this address asks that table.
    host.ip("route add 198.51.100.0/24 via 203.0.113.9 table 77\n\
         route add 2001:db8:7::/48 via 2001:db8::9 table 77\n")
        .unwrap();
    for (family, own) in [("-4", "203.0.113.1"), ("-6", "2001:db8::1")] {
        let rule = [family, "rule", "add", "from", own, "lookup", "77"];
        assert!(host.exec("ip", &rule).unwrap().ok());
    }
    until(&scene, LOST, &Seen::Answered);
    scene.host.kill9();
    assert_eq!(from(&scene, LOST), [Seen::Answered, Seen::Answered]);
    assert_eq!(from(&scene, STOLEN), [Seen::Silence, Seen::Silence]);
    scene.host.restart().unwrap();
    assert_eq!(from(&scene, LOST), [Seen::Answered, Seen::Answered]);
    refused(&scene, STOLEN, "trusted");
}

#[test]
fn a_live_session_goes_on_wherever_its_way_back_leads_by_now() {
    need_root!();
    let (scene, echo) = scene("");
    drop(echo);
    let host = scene.lab.host();
    scene.put(&policy(1, "", "")).unwrap();
    let mut live =
        [false, true].map(|v6| pairs(scene.trusted(), host, at_lan(v6, 443), 1).remove(0));
    let _echo = Echo::tcp(host, "[::]:443".parse().unwrap()).unwrap();
    assert!(live.iter_mut().all(|pair| pair.talks()));
    let before = martians(&scene, "trusted");
    host.ip("route add 10.77.0.9/32 via 203.0.113.9\nroute add fd77::9/128 via 2001:db8::9\n")
        .unwrap();
    let opens = |v6| sock::tcp(scene.trusted(), at_lan(v6, 443), SHORT);
    let refused = || (martians(&scene, "trusted") >= before + 2.0).then_some(());
    let both = wait_until(PATIENCE, || {
        let _ = [false, true].map(opens);
        refused()
    });
    assert!(both.is_some(), "{}", scene.host.log());
    // Its packets still come by lan0, and are let by.
    let before = martians(&scene, "trusted");
    for pair in &mut live {
        let mut word = [0; 4];
        pair.client.write_all(b"ping").unwrap();
        pair.server.read_exact(&mut word).unwrap();
    }
    host.ip("route del 10.77.0.9/32\nroute del fd77::9/128\n")
        .unwrap();
    assert!((martians(&scene, "trusted") - before).abs() < 0.5);
    let back = wait_until(PATIENCE, || {
        [false, true]
            .map(opens)
            .iter()
            .all(|seen| *seen == Seen::Answered)
            .then_some(())
    });
    assert!(back.is_some(), "{}", scene.host.log());
}

#[test]
fn who_asks_is_told_where_the_way_back_leads() {
    need_root!();
    let (scene, _echo) = scene("");
    scene.put(&policy(1, "", "")).unwrap();
    let why = |address: &str, interface: &str| {
        let rows = scene
            .host
            .json(&["zone", "of", address, "in", interface])
            .unwrap();
        rows[0]["why"].as_str().unwrap().to_owned()
    };
    let stolen = why("10.77.0.100", "wan0");
    assert!(
        stolen.contains("source_check strict refuses") && stolen.contains("lan0"),
        "{stolen}"
    );
    assert!(why("198.51.100.7", "wan0").contains("no way back"));
    assert!(!why("203.0.113.9", "wan0").contains("refuses"));
    // Asked without an interface, a packet comes by the one that its way back leads to.
    for (packet, reason) in [
        ("tcp 10.77.0.100 -> host:443 in wan0", "martian"),
        ("tcp 10.77.0.100 -> host:443", "rule-allow"),
        ("tcp trusted -> host:443", "rule-allow"),
        ("tcp internet -> host:443", "rule-allow"),
        ("tcp internet -> host:443 in wan0", "rule-allow"),
    ] {
        let told = scene.host.json(&["policy", "explain", packet]).unwrap();
        assert_eq!(told["reason"], reason, "{packet}: {told:#}");
    }
}

/// Openings that the stranger sends in the host's own name, one of each family.
fn send_as_the_host(scene: &Scene) {
    let (from, to) = (&scene.lab.stranger, &scene.lab.wan);
    let wire = Wire::open(from, Tap::Wire).unwrap();
    for v6 in [false, true] {
        let own = at_wan(v6, 443).ip();
        let ethernet = PacketBuilder::ethernet2(from.mac, to.mac);
        let ip = match own {
            IpAddr::V4(own) => ethernet.ipv4(own.octets(), own.octets(), 64),
            IpAddr::V6(own) => ethernet.ipv6(own.octets(), own.octets(), 64),
        };
        let mut frame = Vec::new();
        ip.tcp(40_000, 443, 1, 64_240)
            .syn()
            .write(&mut frame, &[])
            .unwrap();
        wire.send(&frame).unwrap();
    }
}

/// A twin (VRRP, anycast) sends in the address that this host has, too.
#[test]
fn a_twin_is_believed_only_where_the_agent_file_names_the_address() {
    need_root!();
    let spoofed = |scene: &Scene| {
        let labels = ["reason=\"spoofed-source\""];
        sum(scene, "ringwall_dropped_packets_total", &labels)
    };
    for (config, believed) in [
        ("own_address_from: [192.0.2.0/24]\n", false),
        ("own_address_from: [203.0.113.1, \"2001:db8::/64\"]\n", true),
    ] {
        let (scene, _echo) = scene(config);
        scene.put(&policy(1, "", "")).unwrap();
        send_as_the_host(&scene);
        let judged = || {
            let (dropped, passed) = (spoofed(&scene), let_in(&scene));
            (dropped + passed >= 2.0).then_some((dropped, passed))
        };
        let (dropped, passed) = wait_until(PATIENCE, judged).unwrap();
        let wanted = if believed { (0.0, 2.0) } else { (2.0, 0.0) };
        assert_eq!(
            (dropped as u64, passed as u64),
            (wanted.0 as u64, wanted.1 as u64)
        );
    }
}
