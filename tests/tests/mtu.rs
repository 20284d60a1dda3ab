//! Packets that do not fit: fragments of large datagrams, and a hop with a smaller MTU on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Instant;

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, LARGE, Seen, connect, large, ping};
use ringwall_tests::net::{Host, Netns, Veth};
use ringwall_tests::scenario::{Door, PATIENCE, SHORT, Scene, allow, at_wan, counter_in, policy};

fn at_stranger(v6: bool, port: u16) -> SocketAddr {
    let ip: IpAddr = if v6 { "2001:db8::9" } else { "203.0.113.9" }
        .parse()
        .unwrap();
    SocketAddr::new(ip, port)
}

#[test]
fn large_datagrams_go_both_ways_where_a_rule_allows_them() {
    need_root!();
    for hook in ["tc", "xdp"] {
        large_datagrams(hook);
    }
}

fn large_datagrams(hook: &str) {
    let scene = Scene::configured(&format!("hook: {hook}\n")).unwrap();
    scene.put(&policy(1, &[allow("quic", "udp/443")])).unwrap();
    let host = scene.lab.host();
    for v6 in [false, true] {
        let _in = Echo::udp(host, at_wan(v6, 443)).unwrap();
        let _out = Echo::udp(scene.stranger(), at_stranger(v6, 5000)).unwrap();
        let inward = large(scene.stranger(), at_wan(v6, 443), PATIENCE);
        assert_eq!(inward.unwrap(), LARGE, "from outside, v6: {v6}");
        let outward = large(host, at_stranger(v6, 5000), PATIENCE);
        assert_eq!(outward.unwrap(), LARGE, "from the host, v6: {v6}");
        let closed = Door::udp(host, 161).unwrap();
        assert!(large(scene.stranger(), at_wan(v6, 161), SHORT).is_err());
        assert_eq!(closed.entered(), 0, "no fragment trick, v6: {v6}");
    }
}

#[test]
fn ping_both_ways() {
    need_root!();
    let scene = Scene::guarded(&[allow("ping", "ping")]).unwrap();
    let both = |scene: &Scene, inward| {
        [false, true].map(|v6| {
            let inward = ping(scene.stranger(), at_wan(v6, 0).ip(), inward);
            (
                inward,
                ping(scene.lab.host(), at_stranger(v6, 0).ip(), PATIENCE),
            )
        })
    };
    let good = (Seen::Answered, Seen::Answered);
    assert_eq!(both(&scene, PATIENCE), [good.clone(), good]);
    scene.put(&policy(2, &[allow("web", "tcp/443")])).unwrap();
    let outward_only = (Seen::Silence, Seen::Answered);
    assert_eq!(both(&scene, SHORT), [outward_only.clone(), outward_only]);
}

/// host wan0 ---- 1500 ---- router ---- 1300 ----> far: and far does not know of the narrow hop.
struct Narrow {
    host: Host,
    far: Netns,
    _router: Netns,
}

impl Narrow {
    fn new(hook: &str) -> Self {
        let [host, router, far] = ["host", "router", "far"].map(|n| Netns::new(n).unwrap());
        let near = Veth::between(
            (&host, "wan0", &["203.0.113.1/24", "2001:db8::1/64"]),
            (&router, "eth0", &["203.0.113.2/24", "2001:db8::2/64"]),
        );
        let away = Veth::between(
            (&router, "eth1", &["198.51.100.2/24", "2001:db8:5::2/64"]),
            (&far, "eth0", &["198.51.100.9/24", "2001:db8:5::9/64"]),
        );
        near.create().unwrap();
        away.create().unwrap();
        router.sysctl("ipv4/ip_forward", "1").unwrap();
        router.sysctl("ipv6/conf/all/forwarding", "1").unwrap();
        router.ip("link set eth1 mtu 1300\n").unwrap();
        host.ip("route add default via 203.0.113.2\nroute add ::/0 via 2001:db8::2\n")
            .unwrap();
        far.ip("route add default via 198.51.100.2\nroute add ::/0 via 2001:db8:5::2\n")
            .unwrap();
        let host = Host::start(&host, &["wan0"], &format!("hook: {hook}\n")).unwrap();
        let ran = host.apply(&policy(1, &[allow("web", "tcp/443")])).unwrap();
        assert!(ran.ok(), "{ran:?}");
        let _router = router;
        Self { host, far, _router }
    }

    /// A counter of the host's own stack: what the firewall let through to it.
    fn counter(&self, v6: bool) -> u64 {
        let (file, name) = if v6 {
            ("/proc/thread-self/net/snmp6", "Icmp6InPktTooBigs")
        } else {
            ("/proc/thread-self/net/snmp", "InDestUnreachs")
        };
        let text = self.host.ns.run(|| std::fs::read_to_string(file)).unwrap();
        if v6 {
            let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap();
            return line.trim().parse().unwrap();
        }
        counter_in(&text, "Icmp:", name).unwrap()
    }
}

const SIZE: usize = 8 << 20;

fn download(hook: &str, v6: bool) {
    let narrow = Narrow::new(hook);
    let at = at_wan(v6, 443);
    let listener = narrow.host.ns.run(|| TcpListener::bind(at)).unwrap();
    let server = std::thread::spawn(move || {
        let mut peer = listener.accept().unwrap().0;
        peer.set_write_timeout(Some(2 * PATIENCE)).unwrap();
        peer.write_all(&vec![7; SIZE])
    });
    let begin = Instant::now();
    let mut client = connect(&narrow.far, at, PATIENCE).unwrap();
    client.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    server.join().unwrap().unwrap();
    println!(
        "{} bytes over the narrow hop in {:?}",
        got.len(),
        begin.elapsed()
    );
    assert_eq!(got.len(), SIZE);
    assert!(
        narrow.counter(v6) > 0,
        "the router's errors reach the sender's stack"
    );
}

#[test]
fn a_download_over_a_narrow_hop_finishes_at_tc() {
    need_root!();
    for v6 in [false, true] {
        download("tc", v6);
    }
}

#[test]
fn a_download_over_a_narrow_hop_finishes_at_xdp() {
    need_root!();
    for v6 in [false, true] {
        download("xdp", v6);
    }
}
