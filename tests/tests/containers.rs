//! A host with containers: published ports, containers that go out, and what is none of ours.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::net::{IpAddr, SocketAddr};

use ringwall_tests::need_root;
use ringwall_tests::net::packet::{Capture, Tap};
use ringwall_tests::net::sock::{self, Echo, Seen, ping};
use ringwall_tests::net::{Host, Netns, Site, wait_until};
use ringwall_tests::scenario::{Counters, PATIENCE, SHORT, metric};

/// Who may publish and go out, and what becomes of the rest of what is routed.
fn policy(revision: u64, routed: &str, more: &str) -> String {
    format!(
        "apiVersion: ringwall/v1
metadata: {{name: site, revision: {revision}, owner: tests}}
unmatched: {{inbound: deny, outbound: allow, routed: {routed}}}
zones:
  containers: {{interfaces: [docker0]}}
  internet: {{default: true}}
policies:
  - name: in
    from: internet
    to: host
    rules:
      - {{name: site, action: allow, services: [tcp/8080, udp/8080], reason: a test, owner: tests}}
{more}"
    )
}

/// Containers may go out to port 9090, and ping.
const GO_OUT: &str = "  - name: go-out
    from: containers
    to: internet
    rules:
      - {name: nine, action: allow, services: [tcp/9090, udp/9090, ping], reason: a test, owner: tests}
";

struct World {
    host: Host,
    site: Site,
}

fn world(interfaces: &[&str], policy: &str) -> World {
    let site = Site::new().unwrap();
    let host = Host::start(site.host(), interfaces, "").unwrap();
    let ran = host.apply(policy).unwrap();
    assert!(ran.ok(), "{ran:?}");
    World { host, site }
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port)
}

const HOST: [&str; 2] = ["203.0.113.1", "2001:db8::1"];
const OUTSIDE: [&str; 2] = ["203.0.113.9", "2001:db8::9"];

/// Echo servers over TCP and UDP at all addresses.
fn serve(ns: &Netns, port: u16) -> [Echo; 2] {
    let any = ([0_u16; 8], port).into();
    [Echo::tcp(ns, any).unwrap(), Echo::udp(ns, any).unwrap()]
}

/// How TCP and UDP to a port of these addresses look.
fn tries(from: &Netns, to: [&str; 2], port: u16, patience: std::time::Duration) -> Vec<Seen> {
    let both = |ip| {
        let to = at(ip, port);
        [sock::tcp(from, to, patience), sock::udp(from, to, patience)]
    };
    to.into_iter().flat_map(both).collect()
}

fn answered(seen: &[Seen]) -> bool {
    seen.iter().all(|s| *s == Seen::Answered)
}

fn silent(seen: &[Seen]) -> bool {
    seen.iter().all(|s| *s == Seen::Silence)
}

impl World {
    fn outside(&self) -> &Netns {
        &self.site.outside.ns
    }

    /// All packets that were judged.
    fn judged(&self) -> f64 {
        metric(&self.host.metrics().unwrap(), "ringwall_packets_total", &[])
    }

    /// Each packet on the wire to the outside was judged once while `work` went on.
    fn judged_once(&self, work: impl FnOnce()) {
        let (capture, before) = (
            Capture::start(&self.site.outside, Tap::Wire).unwrap(),
            self.judged(),
        );
        work();
        // What closes a connection may come late.
        let settled = || {
            let now = self.judged();
            std::thread::sleep(std::time::Duration::from_millis(100));
            (now == self.judged()).then_some(())
        };
        wait_until(PATIENCE, settled).unwrap();
        let frames = capture.finish().len() as f64;
        assert_eq!(
            self.judged() - before,
            frames,
            "packets on the wire: {frames}"
        );
    }
}

#[test]
fn a_published_port_obeys_the_rule_about_the_host() {
    need_root!();
    let world = world(&["wan0"], &policy(1, "deny", ""));
    let _servers = [serve(&world.site.one, 80), serve(&world.site.one, 81)];
    let before = Counters::read(&world.host).unwrap();
    world.judged_once(|| {
        assert!(answered(&tries(world.outside(), HOST, 8080, PATIENCE)));
    });
    let after = Counters::read(&world.host).unwrap();
    assert_eq!(before.moved_to(&after), ["in/site"]);
    assert!(silent(&tries(world.outside(), HOST, 8081, SHORT)));
    // Not behind the translation, either: the container itself is routed traffic.
    let direct = sock::tcp(world.outside(), at("2001:db8:17::2", 80), SHORT);
    assert_eq!(direct, Seen::Silence);
}

#[test]
fn containers_go_out_where_a_rule_says_so() {
    need_root!();
    let world = world(&["wan0"], &policy(1, "deny", GO_OUT));
    let _servers = [serve(world.outside(), 9090), serve(world.outside(), 9091)];
    let before = Counters::read(&world.host).unwrap();
    world.judged_once(|| {
        assert!(answered(&tries(&world.site.one, OUTSIDE, 9090, PATIENCE)));
        for ip in OUTSIDE {
            let seen = ping(&world.site.two, ip.parse().unwrap(), PATIENCE);
            assert_eq!(seen, Seen::Answered, "{ip}");
        }
    });
    let after = Counters::read(&world.host).unwrap();
    assert_eq!(before.moved_to(&after), ["go-out/nine"]);
    assert!(silent(&tries(&world.site.one, OUTSIDE, 9091, SHORT)));
}

#[test]
fn containers_go_out_where_what_is_routed_passes() {
    need_root!();
    let world = world(&["wan0"], &policy(1, "pass", ""));
    let _servers = serve(world.outside(), 9091);
    world.judged_once(|| {
        assert!(answered(&tries(&world.site.one, OUTSIDE, 9091, PATIENCE)));
    });
    // Nobody outside may begin: what is not published is the host's own port, and closed.
    assert!(silent(&tries(world.outside(), HOST, 9091, SHORT)));
}

#[test]
fn the_bridge_is_judged_only_if_it_is_named() {
    need_root!();
    for (interfaces, seen) in [
        (&["wan0"][..], Seen::Answered),
        (&["wan0", "docker0"], Seen::Silence),
    ] {
        let world = world(interfaces, &policy(1, "deny", ""));
        let _servers = [serve(world.site.host(), 22), serve(&world.site.two, 80)];
        for ip in ["172.17.0.1", "2001:db8:17::1"] {
            assert_eq!(sock::tcp(&world.site.one, at(ip, 22), SHORT), seen, "{ip}");
        }
        // From container to container no packet is handed to IP here.
        let before = world.judged();
        for ip in ["172.17.0.3", "2001:db8:17::3"] {
            let neighbour = sock::tcp(&world.site.one, at(ip, 80), PATIENCE);
            assert_eq!(neighbour, Seen::Answered);
        }
        // But neighbours are asked for by multicast, which the host hears.
        let rules = Counters::read(&world.host).unwrap();
        assert!(world.judged() - before < 20.0);
        drop(rules);
    }
}

#[test]
fn a_container_reaches_a_published_port_by_the_hosts_address() {
    need_root!();
    let more = "  - name: among
    from: containers
    to: host
    rules:
      - {name: site, action: allow, services: [tcp/8080, udp/8080], reason: a test, owner: tests}
";
    for interfaces in [&["wan0"][..], &["wan0", "docker0"]] {
        let world = world(interfaces, &policy(1, "deny", more));
        let _servers = [serve(&world.site.one, 80), serve(&world.site.one, 81)];
        for from in [&world.site.one, &world.site.two] {
            let seen = tries(from, HOST, 8080, PATIENCE);
            assert!(answered(&seen), "{interfaces:?} {seen:?}");
        }
        let closed = tries(&world.site.two, HOST, 8081, SHORT);
        let expected = interfaces.len() == 2;
        assert_eq!(silent(&closed), expected, "{interfaces:?} {closed:?}");
    }
}
