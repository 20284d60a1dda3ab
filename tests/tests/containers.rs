//! A host with containers: published ports, containers that go out, and what is none of ours.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::io::{Read as _, Write as _};

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{self, Seen, ping};
use ringwall_tests::scenario::crossing::{
    Crossing, GO_OUT, HOST, OUTSIDE, answered, at, policy, serve, silent, tries,
};
use ringwall_tests::scenario::{Counters, PATIENCE, Pair, SHORT, pairs_behind};

#[test]
fn a_published_port_obeys_the_rule_about_the_host() {
    need_root!();
    let world = Crossing::new(&["wan0"], &policy(1, "deny", ""));
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
    let world = Crossing::new(&["wan0"], &policy(1, "deny", GO_OUT));
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
    let world = Crossing::new(&["wan0"], &policy(1, "pass", ""));
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
        let world = Crossing::new(interfaces, &policy(1, "deny", ""));
        let _servers = [serve(world.site.host(), 22), serve(&world.site.two, 80)];
        for ip in ["172.17.0.1", "2001:db8:17::1"] {
            assert_eq!(sock::tcp(&world.site.one, at(ip, 22), SHORT), seen, "{ip}");
        }
        // From container to container no packet is handed to IP here.
        world.judged_once(|| {
            for ip in ["172.17.0.3", "2001:db8:17::3"] {
                let neighbour = sock::tcp(&world.site.one, at(ip, 80), PATIENCE);
                assert_eq!(neighbour, Seen::Answered);
            }
        });
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
        let world = Crossing::new(interfaces, &policy(1, "deny", more));
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

/// The first policy on a host with connections to published ports: those that it allows go on, whoever speaks first,
/// and those that it does not are listed and end.
#[test]
fn connections_to_published_ports_live_through_the_first_policy() {
    need_root!();
    for interfaces in [&["wan0"][..], &["wan0", "docker0"]] {
        let world = Crossing::unjudged(interfaces);
        let open = |port: u16, inside: u16| -> Vec<Pair> {
            let to = HOST.into_iter();
            to.flat_map(|ip| {
                pairs_behind(world.outside(), &world.site.one, inside, at(ip, port), 2)
            })
            .collect()
        };
        let (mut good, mut bad) = (open(8080, 80), open(8081, 81));
        assert!(good.iter_mut().chain(&mut bad).all(Pair::talks));
        let ran = world
            .host
            .apply_with(&policy(1, "deny", ""), &["-o", "json"]);
        let answer = ran.unwrap().json().unwrap();
        assert_eq!(answer["sessions_cut"], bad.len(), "{answer:#}");
        let listed = answer["not_allowed"].as_array().unwrap();
        assert!(
            listed.iter().all(|line| line["destination_port"] == 8081),
            "{answer:#}"
        );
        let (first, second) = good.split_at_mut(2);
        for pair in first {
            // The container speaks first.
            let mut word = [0; 4];
            pair.server.write_all(b"pong").unwrap();
            pair.client.read_exact(&mut word).unwrap();
            assert!(pair.talks());
        }
        assert!(second.iter_mut().all(Pair::talks), "{interfaces:?}");
        bad.iter_mut().for_each(Pair::says);
        std::thread::sleep(SHORT);
        assert!(bad.iter_mut().all(Pair::heard_nothing), "{interfaces:?}");
    }
}
