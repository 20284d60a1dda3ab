//! Zones that stand for the networks on a link follow it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{self, Echo, Seen};
use ringwall_tests::net::wait_until;
use ringwall_tests::scenario::{PATIENCE, SHORT, Scene, at_lan};

/// Who is on the link of `lan0` may come in, by IPv4 and IPv6.
fn policy(revision: u64, zone: &str) -> String {
    format!(
        "apiVersion: ringwall/v1
metadata: {{name: lab, revision: {revision}, owner: tests}}
unmatched: {{inbound: deny, outbound: allow, routed: deny}}
zones:
  lan: {{{zone}}}
  internet: {{default: true}}
policies:
  - name: in
    from: lan
    to: host
    rules:
      - {{name: web, action: allow, services: [tcp/443], reason: a test, owner: tests}}
"
    )
}

fn address(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 443)
}

#[test]
fn a_zone_of_a_link_follows_its_renumbering_and_sessions_are_judged_anew() {
    need_root!();
    let scene = Scene::new().unwrap();
    let (host, peer) = (scene.lab.host(), scene.trusted());
    let _echo = Echo::tcp(host, "[::]:443".parse().unwrap()).unwrap();
    scene.put(&policy(1, "connected: lan0")).unwrap();
    assert_eq!(
        scene.knock(443),
        [Seen::Silence, Seen::Silence],
        "the stranger is on wan0"
    );
    let mut old = [false, true].map(|v6| sock::connect(peer, at_lan(v6, 443), PATIENCE).unwrap());
    // Another network comes to the link; by it nobody could come in before.
    host.ip("addr add 10.99.0.1/24 dev lan0\naddr add fd99::1/64 dev lan0 nodad\n")
        .unwrap();
    peer.ip("addr add 10.99.0.9/24 dev eth0\naddr add fd99::9/64 dev eth0 nodad\n")
        .unwrap();
    for ip in ["10.99.0.1", "fd99::1"] {
        let came = wait_until(PATIENCE, || {
            (sock::tcp(peer, address(ip), SHORT) == Seen::Answered).then_some(())
        });
        assert!(came.is_some(), "{ip}; {}", scene.host.log());
    }
    for stream in &mut old {
        assert_eq!(
            sock::exchange(stream, PATIENCE),
            Seen::Answered,
            "its network is still there"
        );
    }
    // The old network leaves the link, but the host's address stays: who has it is a stranger now.
    host.ip(
        "addr del 10.77.0.1/25 dev lan0\naddr del fd77::1/80 dev lan0\n\
             addr add 10.77.0.1/32 dev lan0\naddr add fd77::1/128 dev lan0 nodad\n\
             route add 10.77.0.9 via 10.99.0.9\nroute add fd77::9 via fd99::9\n",
    )
    .unwrap();
    for stream in &mut old {
        let cut = wait_until(PATIENCE, || {
            (sock::exchange(stream, SHORT) != Seen::Answered).then_some(())
        });
        assert!(
            cut.is_some(),
            "a session of a network that is gone lives on"
        );
    }
    let from = Some("10.77.0.9".parse().unwrap());
    assert_eq!(
        sock::tcp_from(peer, from, address("10.99.0.1"), SHORT),
        Seen::Silence
    );
    let status = scene.status().unwrap();
    assert_eq!(status["policy"]["revision"], 1, "no new revision: {status}");
}

#[test]
fn link_local_neighbours_are_on_the_link() {
    need_root!();
    let scene = Scene::configured("roles: {inside: [\"lan*\"]}\n").unwrap();
    let lan = &scene.lab.lan;
    let _echo = Echo::tcp(&lan.ns, "[::]:443".parse().unwrap()).unwrap();
    let own = |end: &ringwall_tests::net::End| {
        let shown = end.ns.exec(
            "ip",
            &[
                "-6",
                "-o",
                "addr",
                "show",
                "dev",
                &end.interface,
                "scope",
                "link",
            ],
        );
        let shown = shown.unwrap().out;
        let net = shown
            .split_whitespace()
            .find(|word| word.starts_with("fe80"))
            .unwrap()
            .to_owned();
        net.split('/')
            .next()
            .unwrap()
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
    };
    let knock = |near: &ringwall_tests::net::End, far: &ringwall_tests::net::End| {
        let to = SocketAddrV6::new(own(near), 443, 0, far.ifindex);
        sock::tcp(&far.ns, to.into(), SHORT)
    };
    for (revision, zone) in [
        (1, "connected: lan0"),
        (2, "interfaces: [role/inside], cidrs: [10.77.0.0/25]"),
    ] {
        scene.put(&policy(revision, zone)).unwrap();
        let open = wait_until(PATIENCE, || {
            (knock(lan, &scene.lab.trusted) == Seen::Answered).then_some(())
        });
        assert!(open.is_some(), "{zone}");
        assert_eq!(
            knock(&scene.lab.wan, &scene.lab.stranger),
            Seen::Silence,
            "{zone}"
        );
    }
}
