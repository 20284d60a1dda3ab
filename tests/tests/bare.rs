//! Devices whose packets begin with the IP header: a tun device, as tunnels and VPNs make them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringwall_tests::case::packet::{flag, syn, tcp, udp};
use ringwall_tests::case::{Case, Family, Step, families};
use ringwall_tests::need_root;
use ringwall_tests::net::sock::{self, Echo, Seen};
use ringwall_tests::net::{Host, Netns, Pump, Tun, wait_until};
use ringwall_tests::run::host::HostBench;
use ringwall_tests::scenario::{Door, PATIENCE, SHORT, allow, policy, rule};
use ringwall_tests::{cases, run};

const HERE: [&str; 2] = ["10.9.0.1/24", "fd09::1/64"];
const THERE: [&str; 2] = ["10.9.0.9/24", "fd09::9/64"];

fn here(v6: bool, port: u16) -> SocketAddr {
    at(if v6 { "fd09::1" } else { "10.9.0.1" }, port)
}

fn there(v6: bool, port: u16) -> SocketAddr {
    at(if v6 { "fd09::9" } else { "10.9.0.9" }, port)
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port)
}

/// A guarded host and its peer, joined by a tunnel.
struct Joined {
    host: Host,
    peer: Netns,
    _pump: Pump,
}

impl Joined {
    fn new(rules: &[String]) -> Self {
        let [near, peer] = ["host", "peer"].map(|name| Netns::new(name).unwrap());
        let own = Tun::new(&near, "tun0", &HERE).unwrap();
        let other = Tun::new(&peer, "tun0", &THERE).unwrap();
        let _pump = Pump::between(own, other);
        // No `--interface`: that it is guarded is the agent's own choice.
        let host = Host::start(&near, &[], "").unwrap();
        let ran = host.apply(&policy(1, rules)).unwrap();
        assert!(ran.ok(), "{ran:?}");
        Self { host, peer, _pump }
    }
}

#[test]
fn a_tunnel_is_guarded_by_default_and_says_so() {
    need_root!();
    let joined = Joined::new(&[]);
    let status = joined.host.json(&["status"]).unwrap();
    assert_eq!(status["enforcing"], true);
    let lines = status["interfaces"].as_array().unwrap();
    let tun = lines.iter().find(|line| line["name"] == "tun0").unwrap();
    assert_eq!(tun["state"], "guarded", "{tun}");
    assert_eq!(tun["why"], "a tun device", "{tun}");
}

#[test]
fn what_comes_by_a_tunnel_is_judged() {
    need_root!();
    let rules = [
        allow("web", "tcp/443, udp/443, ping"),
        rule("no", "reject", "tcp/25, udp/25"),
    ];
    let joined = Joined::new(&rules);
    for v6 in [false, true] {
        let host = &joined.host.ns;
        let _web = Echo::tcp(host, here(v6, 443)).unwrap();
        let _quic = Echo::udp(host, here(v6, 443)).unwrap();
        let shut = Door::tcp(host, 22 + u16::from(v6)).unwrap();
        let peer = &joined.peer;
        assert_eq!(sock::tcp(peer, here(v6, 443), PATIENCE), Seen::Answered);
        assert_eq!(sock::udp(peer, here(v6, 443), PATIENCE), Seen::Answered);
        assert_eq!(sock::ping(peer, here(v6, 0).ip(), PATIENCE), Seen::Answered);
        let silent = here(v6, 22 + u16::from(v6));
        assert_eq!(sock::tcp(peer, silent, SHORT), Seen::Silence);
        assert_eq!(sock::tcp(peer, here(v6, 25), PATIENCE), Seen::Refused);
        assert_eq!(sock::udp(peer, here(v6, 25), PATIENCE), Seen::Refused);
        assert_eq!(shut.entered(), 0);
    }
}

/// Fragments have no link header either: the first opens the way for the others, and for those of the answer.
#[test]
fn large_datagrams_go_both_ways_through_a_tunnel() {
    need_root!();
    let joined = Joined::new(&[allow("quic", "udp/443")]);
    let (host, peer) = (&joined.host.ns, &joined.peer);
    for v6 in [false, true] {
        let _in = Echo::udp(host, here(v6, 443)).unwrap();
        let _out = Echo::udp(peer, there(v6, 5000)).unwrap();
        let inward = sock::large(peer, here(v6, 443), PATIENCE);
        assert_eq!(inward.unwrap(), sock::LARGE, "from outside, v6: {v6}");
        let outward = sock::large(host, there(v6, 5000), PATIENCE);
        assert_eq!(outward.unwrap(), sock::LARGE, "from the host, v6: {v6}");
        let closed = Door::udp(host, 161).unwrap();
        assert!(sock::large(peer, here(v6, 161), SHORT).is_err());
        assert_eq!(closed.entered(), 0, "v6: {v6}");
    }
}

/// An answer on the way out has to come back to the local socket at once.
#[test]
fn what_leaves_by_a_tunnel_is_judged() {
    need_root!();
    let joined = Joined::new(&[]);
    let out = "\n  - name: out\n    from: host\n    to: any\n    rules:\n      - {name: mail, action: reject, services: [tcp/25, udp/25], reason: a test, owner: tests}\n      - {name: chat, action: deny, services: [tcp/194], reason: a test, owner: tests}\n";
    let text = policy(2, &[]) + out;
    let ran = joined.host.apply(&text).unwrap();
    assert!(ran.ok(), "{ran:?}");
    for v6 in [false, true] {
        let _echo = Echo::tcp(&joined.peer, there(v6, 80)).unwrap();
        let host = &joined.host.ns;
        assert_eq!(sock::tcp(host, there(v6, 80), PATIENCE), Seen::Answered);
        assert_eq!(sock::tcp(host, there(v6, 25), PATIENCE), Seen::Refused);
        assert_eq!(sock::udp(host, there(v6, 25), PATIENCE), Seen::Refused);
        assert_eq!(sock::tcp(host, there(v6, 194), SHORT), Seen::Silence);
    }
}

#[test]
fn a_session_by_a_tunnel_outlives_its_agent_and_is_listed_and_explained() {
    need_root!();
    let mut joined = Joined::new(&[allow("web", "tcp/443")]);
    let _echo = Echo::tcp(&joined.host.ns, at("::", 443)).unwrap();
    let both = [false, true];
    let mut streams = both.map(|v6| sock::connect(&joined.peer, here(v6, 443), PATIENCE).unwrap());
    joined.host.kill9();
    for stream in &mut streams {
        assert_eq!(sock::exchange(stream, PATIENCE), Seen::Answered);
    }
    joined.host.restart().unwrap();
    for stream in &mut streams {
        assert_eq!(sock::exchange(stream, PATIENCE), Seen::Answered);
    }
    let rows = joined.host.json(&["sessions"]).unwrap();
    let rows = rows.as_array().unwrap();
    let by_tun = rows.iter().filter(|row| row["interface"] == "tun0");
    assert_eq!(by_tun.count(), 2, "{rows:?}");
    for from in ["10.9.0.9:4000", "[fd09::9]:4000"] {
        let packet = format!("tcp {from} -> host:443 in tun0");
        let told = joined.host.json(&["policy", "explain", &packet]).unwrap();
        assert_eq!(told["rule"], "in/web", "{told}");
        let packet = format!("tcp {from} -> host:22 in tun0");
        let told = joined.host.json(&["policy", "explain", &packet]).unwrap();
        assert_eq!(told["reason"], "default-deny", "{told}");
    }
}

/// Packets by hand: what they count, and what is no packet.
#[test]
fn bytes_are_counted_from_the_ip_header_on() {
    need_root!();
    let near = Netns::new("host").unwrap();
    let tun = Tun::new(&near, "tun0", &HERE).unwrap();
    let host = Host::start(&near, &["tun0"], "").unwrap();
    let ran = host.apply(&policy(1, &[allow("dns", "udp/53")])).unwrap();
    assert!(ran.ok(), "{ran:?}");
    let bytes = |frame: Vec<u8>| frame[14..].to_vec();
    let mut sent = 0;
    for v6 in [false, true] {
        let packet = bytes(udp(pair(there(v6, 5353)), pair(here(v6, 53)), b"question").frame());
        tun.send(&packet).unwrap();
        sent += packet.len() as u64;
        let mut cut = bytes(syn(pair(there(v6, 999)), pair(here(v6, 53))).frame());
        cut.truncate(30);
        tun.send(&cut).unwrap();
    }
    // The host has nobody at port 53 and says so: an answer of its own stack, by the session.
    assert!(tun.receive(Duration::from_secs(2)).is_some());
    let rows = host.json(&["policy", "show"]).unwrap();
    let row = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["id"] == "in/dns");
    let row = row.unwrap();
    assert_eq!((&row["packets"], &row["bytes"]), (&2.into(), &sent.into()));
    let metrics = host.metrics().unwrap();
    let truncated = metrics.lines().filter(|line| {
        line.starts_with("ringwall_dropped_packets_total") && line.contains("\"truncated\"")
    });
    let truncated: Vec<_> = truncated.collect();
    assert!(
        truncated.iter().any(|line| line.ends_with(" 2")),
        "{truncated:?}"
    );
}

/// Packets that need no link header: IP, without tags, to nobody's group.
fn needs_none(case: &Case, family: &Family) -> bool {
    (case.steps)(family).iter().all(|step| match step {
        Step::Packet { frame, tag, .. } => {
            let ip = matches!(frame.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd]));
            ip && frame[0] & 1 == 0 && tag.is_none()
        }
        _ => true,
    })
}

/// The table of cases once more: what an Ethernet header has no part in is decided the same without one.
#[test]
fn without_its_link_header_a_packet_is_judged_the_same() {
    let mut tried = 0;
    for family in families() {
        let cases = cases::all();
        let over = cases.iter().filter(|case| case.runs_over(&family));
        for case in over.filter(|case| needs_none(case, &family)) {
            let mut bench = HostBench::default();
            bench.bare = true;
            if let Err(error) = run::run(&mut bench, case, &family) {
                panic!("{} (v6: {}): {error:#}", case.name, family.v6);
            }
            tried += 1;
        }
    }
    assert!(tried > 150, "{tried} cases");
}

#[test]
fn a_large_segment_counts_as_what_it_is_cut_into() {
    need_root!();
    let near = Netns::new("host").unwrap();
    let tun = Tun::with_offloads(&near, "tun0", &HERE).unwrap();
    let host = Host::start(&near, &["tun0"], "").unwrap();
    let ran = host
        .apply(&policy(1, &[rule("no", "deny", "tcp/443")]))
        .unwrap();
    assert!(ran.ok(), "{ran:?}");
    let mut bytes = 0;
    for v6 in [false, true] {
        let ends = (pair(there(v6, 4000)), pair(here(v6, 443)));
        let mut segment = tcp(ends.0, ends.1, flag::ACK, 1, 1);
        segment.body.extend([7; 2500]);
        tun.send_large(&segment.frame()[14..], 1000, v6).unwrap();
        bytes += 2500 + 3 * if v6 { 60 } else { 40 };
    }
    let counted = wait_until(PATIENCE, || {
        let rows = host.json(&["policy", "show"]).unwrap();
        let row = rows
            .as_array()?
            .iter()
            .find(|row| row["id"] == "in/no")?
            .clone();
        (row["packets"].as_u64()? >= 6).then_some(row)
    });
    let row = counted.expect("three packets in each family");
    assert_eq!((&row["packets"], &row["bytes"]), (&6.into(), &bytes.into()));
}

fn pair(at: SocketAddr) -> (IpAddr, u16) {
    (at.ip(), at.port())
}
