//! Traffic that crosses two guarded devices, translated between them or not: judged and counted once, its
//! replies and errors pass, and what the policy ends is ended in both directions.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{self, Seen, connect, ping};
use ringwall_tests::net::{Netns, Veth};
use ringwall_tests::scenario::crossing::{
    Crossing, GO_OUT, HOST, OUTSIDE, answered, at, policy, serve, silent, tries,
};
use ringwall_tests::scenario::{Counters, PATIENCE, SHORT};
use serde_json::Value;

const BOTH: &[&str] = &["wan0", "docker0"];
const CONTAINER: [&str; 2] = ["172.17.0.2", "2001:db8:17::2"];

fn going_out(revision: u64) -> String {
    policy(revision, "deny", GO_OUT)
}

fn nobody_goes_out(revision: u64) -> String {
    policy(revision, "deny", "")
}

#[test]
fn replies_to_masqueraded_traffic_pass_and_each_packet_counts_once() {
    need_root!();
    let world = Crossing::new(BOTH, &going_out(1));
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
    // Nobody outside may begin.
    assert!(silent(&tries(world.outside(), HOST, 9090, SHORT)));
}

#[test]
fn a_published_port_needs_no_second_rule_behind_the_translation() {
    need_root!();
    let world = Crossing::new(BOTH, &nobody_goes_out(1));
    let _servers = [serve(&world.site.one, 80), serve(&world.site.one, 81)];
    let before = Counters::read(&world.host).unwrap();
    world.judged_once(|| {
        assert!(answered(&tries(world.outside(), HOST, 8080, PATIENCE)));
    });
    let after = Counters::read(&world.host).unwrap();
    assert_eq!(before.moved_to(&after), ["in/site"]);
    assert!(silent(&tries(world.outside(), HOST, 8081, SHORT)));
    // The container by its own address is routed traffic, which nobody allows.
    let direct = sock::tcp(world.outside(), at(CONTAINER[1], 80), SHORT);
    assert_eq!(direct, Seen::Silence);
}

/// The sessions of a protocol with their states: in themselves, and translated.
fn states(world: &Crossing, protocol: &str) -> (Vec<String>, Vec<String>) {
    let rows = world.host.json(&["sessions"]).unwrap();
    let of = |translated: bool| {
        let rows = rows.as_array().unwrap().iter();
        let fits = |row: &&Value| row["protocol"] == protocol && row["translated"] == translated;
        let state = |row: &Value| format!("{} {}", row["source"], row["state"]).replace('"', "");
        rows.filter(fits).map(state).collect()
    };
    (of(false), of(true))
}

#[test]
fn both_the_session_and_its_stand_in_follow_the_conversation() {
    need_root!();
    let world = Crossing::new(BOTH, &going_out(1));
    let _servers = serve(world.outside(), 9090);
    let mut stream = connect(&world.site.one, at(OUTSIDE[0], 9090), PATIENCE).unwrap();
    assert_eq!(sock::exchange(&mut stream, PATIENCE), Seen::Answered);
    let own = vec!["172.17.0.2 established".to_owned()];
    let other = vec!["203.0.113.1 established".to_owned()];
    assert_eq!(states(&world, "tcp"), (own, other));
    let to = at(OUTSIDE[0], 9090);
    assert_eq!(sock::udp(&world.site.one, to, PATIENCE), Seen::Answered);
    let own = vec!["172.17.0.2 udp-stream".to_owned()];
    let other = vec!["203.0.113.1 udp-stream".to_owned()];
    assert_eq!(states(&world, "udp"), (own, other));
    // What is not translated has no stand-in.
    let to = at(OUTSIDE[1], 9090);
    assert_eq!(sock::tcp(&world.site.one, to, PATIENCE), Seen::Answered);
    assert_eq!(states(&world, "tcp").1.len(), 1);
}

/// A socket of a container and one outside that have spoken with each other.
struct Talk {
    inside: UdpSocket,
    outside: UdpSocket,
}

impl Talk {
    fn begin(world: &Crossing, ip: &str) -> Self {
        let any: SocketAddr = ([0_u16; 8], 0).into();
        let to = at(ip, 9090);
        let inside = world.site.one.run(|| UdpSocket::bind(any)).unwrap();
        let outside = world.outside().run(|| UdpSocket::bind(to)).unwrap();
        inside.connect(mapped(to)).unwrap();
        inside.set_read_timeout(Some(SHORT)).unwrap();
        outside.set_read_timeout(Some(PATIENCE)).unwrap();
        inside.send(b"hello").unwrap();
        let (_, from) = outside.recv_from(&mut [0; 16]).unwrap();
        outside.connect(from).unwrap();
        let talk = Self { inside, outside };
        assert_eq!(talk.comes_in(1), 1);
        talk
    }

    /// Datagrams from outside that arrive, of so many sent.
    fn comes_in(&self, count: usize) -> usize {
        for _ in 0..count {
            self.outside.send(b"more").unwrap();
        }
        (0..count)
            .take_while(|_| self.inside.recv(&mut [0; 16]).is_ok())
            .count()
    }
}

/// An IPv4 address as a socket for both families has it.
fn mapped(to: SocketAddr) -> SocketAddr {
    match to {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        v6 @ SocketAddr::V6(_) => v6,
    }
}

#[test]
fn what_the_policy_ends_is_ended_in_both_directions() {
    need_root!();
    for ip in OUTSIDE {
        let world = Crossing::new(BOTH, &going_out(1));
        let talk = Talk::begin(&world, ip);
        world.put(&nobody_goes_out(2));
        // From outside first: nothing from inside has told the tables of the change.
        assert_eq!(talk.comes_in(5), 0, "{ip}");
        let revoked = world.metric("ringwall_dropped_packets_total", &["reason=\"revoked\""]);
        assert!((revoked - 1.0).abs() < 0.1, "{ip}: {revoked}");
        talk.inside.send(b"hello?").unwrap();
        talk.outside.set_read_timeout(Some(SHORT)).unwrap();
        assert!(talk.outside.recv(&mut [0; 16]).is_err(), "{ip}");
        assert_eq!(talk.comes_in(5), 0, "{ip}, after the other side tried");
        // What is allowed again may begin again.
        world.put(&going_out(3));
        talk.inside.send(b"hello").unwrap();
        talk.outside.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(talk.outside.recv(&mut [0; 16]).is_ok(), "{ip}");
        assert_eq!(talk.comes_in(5), 5, "{ip}");
    }
}

#[test]
fn what_stays_allowed_goes_on_by_replies_alone() {
    need_root!();
    for ip in OUTSIDE {
        let world = Crossing::new(BOTH, &going_out(1));
        let talk = Talk::begin(&world, ip);
        for revision in 2..5 {
            world.put(&going_out(revision));
            assert_eq!(talk.comes_in(5), 5, "{ip}");
        }
    }
}

#[test]
fn a_connection_that_the_policy_ends_is_cut_for_its_replies_too() {
    need_root!();
    for ip in OUTSIDE {
        let world = Crossing::new(BOTH, &going_out(1));
        let to = at(ip, 9090);
        let listener = world.outside().run(|| TcpListener::bind(to)).unwrap();
        let mut inside = connect(&world.site.one, to, PATIENCE).unwrap();
        let (mut outside, _) = listener.accept().unwrap();
        let mut word = [0; 4];
        outside.write_all(b"word").unwrap();
        inside.read_exact(&mut word).unwrap();
        world.put(&nobody_goes_out(2));
        outside.write_all(b"more").unwrap();
        inside.set_read_timeout(Some(SHORT)).unwrap();
        assert!(inside.read_exact(&mut word).is_err(), "{ip}");
    }
}

/// Also in the first minutes, when conversations are taken up from their middle: what the container sends leaves in
/// this host's own name, as a masqueraded conversation would.
#[test]
fn a_published_connection_that_the_policy_ends_is_cut_for_the_container_too() {
    need_root!();
    for ip in HOST {
        let world = Crossing::new(BOTH, &nobody_goes_out(1));
        let inside = at(CONTAINER[usize::from(ip.contains(':'))], 80);
        let listener = world.site.one.run(|| TcpListener::bind(inside)).unwrap();
        let mut client = connect(world.outside(), at(ip, 8080), PATIENCE).unwrap();
        let (mut container, _) = listener.accept().unwrap();
        let mut word = [0; 4];
        container.write_all(b"word").unwrap();
        client.read_exact(&mut word).unwrap();
        world.put(&nobody_goes_out(2).replace("8080", "8088"));
        client.write_all(b"more").unwrap();
        for _ in 0..3 {
            container.write_all(b"more").unwrap();
            client.set_read_timeout(Some(SHORT)).unwrap();
            assert!(client.read_exact(&mut word).is_err(), "{ip}");
        }
    }
}

#[test]
fn errors_about_translated_packets_find_back() {
    need_root!();
    for interfaces in [&["wan0"][..], BOTH] {
        let world = Crossing::new(interfaces, &going_out(1));
        for ip in OUTSIDE {
            // Nobody listens: the port is unreachable.
            let seen = sock::udp(&world.site.one, at(ip, 9090), PATIENCE);
            assert_eq!(seen, Seen::Refused, "{interfaces:?} {ip}");
        }
    }
}

/// Someone behind a hop that takes no more than 1300 bytes, of which nobody knows.
fn far_behind(world: &Crossing) -> Netns {
    let far = Netns::new("far").unwrap();
    let router = world.outside();
    Veth::between(
        (router, "eth1", &["198.51.100.2/24", "2001:db8:5::2/64"]),
        (&far, "eth0", &["198.51.100.9/24", "2001:db8:5::9/64"]),
    )
    .create()
    .unwrap();
    router.sysctl("ipv4/ip_forward", "1").unwrap();
    router.sysctl("ipv6/conf/all/forwarding", "1").unwrap();
    router.ip("link set eth1 mtu 1300\n").unwrap();
    let routes = "route add default via 203.0.113.9\nroute add ::/0 via 2001:db8::9\n";
    world.site.host().ip(routes).unwrap();
    let back = "route add default via 198.51.100.2\nroute add ::/0 via 2001:db8:5::2\n";
    far.ip(back).unwrap();
    far
}

const SIZE: usize = 1 << 20;

#[test]
fn the_path_mtu_is_found_over_masquerading() {
    need_root!();
    for interfaces in [&["wan0"][..], BOTH] {
        let world = Crossing::new(interfaces, &going_out(1));
        let far = far_behind(&world);
        for ip in ["198.51.100.9", "2001:db8:5::9"] {
            let to = at(ip, 9090);
            let listener = far.run(|| TcpListener::bind(to)).unwrap();
            let server = std::thread::spawn(move || {
                let mut peer = listener.accept().unwrap().0;
                peer.set_read_timeout(Some(4 * PATIENCE)).unwrap();
                peer.read_to_end(&mut Vec::new())
            });
            let mut client = connect(&world.site.one, to, PATIENCE).unwrap();
            client.set_write_timeout(Some(4 * PATIENCE)).unwrap();
            client.write_all(&vec![7; SIZE]).unwrap();
            drop(client);
            assert_eq!(server.join().unwrap().unwrap(), SIZE, "{interfaces:?} {ip}");
            let route = world.site.one.exec("ip", &["route", "get", ip]).unwrap();
            assert!(
                route.out.contains("mtu 1300"),
                "{interfaces:?} {}",
                route.out
            );
        }
    }
}
