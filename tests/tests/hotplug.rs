//! Interfaces that come, go, are renamed, moved, or look like one that was there before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{self, Echo, Seen};
use ringwall_tests::net::{Host, Lab, wait_until};
use ringwall_tests::scenario::{PATIENCE, SHORT, allow, at_wan, policy};
use serde_json::Value;

const CLOSED: [Seen; 2] = [Seen::Silence, Seen::Silence];
const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];

/// The small world; which interfaces are guarded is said by the agent's file.
struct World {
    lab: Lab,
    host: Host,
    _echo: [Echo; 2],
}

impl World {
    fn new(interfaces: &str) -> Self {
        let lab = Lab::quiet().unwrap();
        let host = Host::start(lab.host(), &[], &format!("interfaces: {interfaces}\n")).unwrap();
        let ran = host.apply(&policy(1, &[allow("web", "tcp/443")])).unwrap();
        assert!(ran.ok(), "{ran:?}");
        let echo = |port: u16| Echo::tcp(lab.host(), ([0_u16; 8], port).into()).unwrap();
        let _echo = [echo(22), echo(443)];
        Self { lab, host, _echo }
    }

    fn knock(&self, port: u16) -> [Seen; 2] {
        let stranger = &self.lab.stranger.ns;
        [false, true].map(|v6| sock::tcp(stranger, at_wan(v6, port), SHORT))
    }

    /// The policy holds. An address that has just come is this host's once the agent has heard of it.
    fn holds(&self) {
        let open = wait_until(4 * PATIENCE, || (self.knock(443) == OPEN).then_some(()));
        assert!(open.is_some(), "{}", self.host.log());
        assert_eq!(self.knock(22), CLOSED);
    }

    /// The line of an interface once it satisfies a condition.
    fn line(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = || {
            let lines = self.host.json(&["interfaces"]).ok()?;
            let line = lines.as_array()?.iter().find(|line| line["name"] == name)?;
            wanted(line).then(|| line.clone())
        };
        let line = wait_until(PATIENCE, found);
        line.unwrap_or_else(|| {
            panic!(
                "{name}: {:?}\n{}",
                self.host.json(&["interfaces"]),
                self.host.log()
            )
        })
    }

    fn guarded(&self, name: &str) -> Value {
        self.line(name, |line| line["state"] == "guarded")
    }

    /// A wire to the stranger as it was, under an index.
    fn rewire(&self, index: u32) {
        let peer = self.lab.stranger.ns.name();
        let lines = format!(
            "link del wan0\nlink add wan0 index {index} type veth peer name eth0 netns {peer}\n\
             addr add 203.0.113.1/24 dev wan0\naddr add 2001:db8::1/64 dev wan0 nodad\nlink set wan0 up\n"
        );
        self.lab.host().ip(&lines).unwrap();
        self.lab.stranger.ns.ip(
            "addr add 203.0.113.9/24 dev eth0\naddr add 2001:db8::9/64 dev eth0 nodad\nlink set eth0 up\n",
        )
        .unwrap();
    }
}

#[test]
fn what_comes_in_the_place_of_another_is_guarded_afresh() {
    need_root!();
    let world = World::new("{guard: [lan0, wan0]}");
    let line = world.guarded("wan0");
    assert_eq!(
        line["unguarded_ms"],
        Value::Null,
        "it was there before the agent"
    );
    world.holds();
    // Same name, same index: the list of interfaces looks as it did before.
    world.rewire(world.lab.wan.ifindex);
    let line = world.line("wan0", |line| line["unguarded_ms"].is_number());
    let ms = line["unguarded_ms"].as_f64().unwrap();
    assert!(ms > 0.0, "{line}");
    world.holds();
    let log = world.host.log();
    assert!(log.contains("ms after it came"), "{log}");
    // Another index.
    world.rewire(4711);
    world.line("wan0", |line| {
        line["index"] == 4711 && line["state"] == "guarded"
    });
    world.holds();
}

#[test]
fn a_name_or_an_mtu_that_changes_costs_no_session() {
    need_root!();
    let world = World::new("{guard: [lan0, \"wan*\"]}");
    let stranger = &world.lab.stranger.ns;
    let mut streams =
        [false, true].map(|v6| sock::connect(stranger, at_wan(v6, 443), PATIENCE).unwrap());
    let host = world.lab.host();
    host.ip("link set wan0 mtu 1400\n").unwrap();
    for stream in &mut streams {
        assert_eq!(sock::exchange(stream, PATIENCE), Seen::Answered);
    }
    host.ip(
        "link set wan0 down\nlink set wan0 name wan7\nlink set wan7 up\n\
             addr replace 2001:db8::1/64 dev wan7 nodad\n",
    )
    .unwrap();
    let line = world.guarded("wan7");
    assert_eq!(line["index"], world.lab.wan.ifindex);
    assert_eq!(
        line["unguarded_ms"],
        Value::Null,
        "its programs never left it: {line}"
    );
    for stream in &mut streams {
        assert_eq!(sock::exchange(stream, PATIENCE), Seen::Answered);
    }
    world.holds();
    // A name that nobody asked for.
    host.ip("link set wan7 down\nlink set wan7 name other\nlink set other up\n")
        .unwrap();
    let line = world.line("other", |line| line["state"] == "not-guarded");
    assert_eq!(line["why"], "interfaces.guard names others");
}

#[test]
fn who_moves_to_another_namespace_takes_nothing_along() {
    need_root!();
    let world = World::new("{guard: [lan0, wan0]}");
    let away = ringwall_tests::net::Netns::new("away").unwrap();
    world
        .lab
        .host()
        .ip(&format!("link set wan0 netns {}\n", away.name()))
        .unwrap();
    let gone = || {
        let lines = world.host.json(&["interfaces"]).ok()?;
        let there = lines.as_array()?.iter().any(|line| line["name"] == "wan0");
        (!there).then_some(())
    };
    assert!(wait_until(PATIENCE, gone).is_some());
    away.ip("addr add 203.0.113.1/24 dev wan0\naddr add 2001:db8::1/64 dev wan0 nodad\nlink set wan0 up\n")
        .unwrap();
    let _echo = Echo::tcp(&away, ([0_u16; 8], 22).into()).unwrap();
    let open = wait_until(PATIENCE, || (world.knock(22) == OPEN).then_some(()));
    assert!(open.is_some(), "nothing of ours sits on it there");
    away.ip(&format!(
        "link set wan0 netns {}\n",
        world.lab.host().name()
    ))
    .unwrap();
    world.lab.host()
        .ip("addr add 203.0.113.1/24 dev wan0\naddr add 2001:db8::1/64 dev wan0 nodad\nlink set wan0 up\n")
        .unwrap();
    world.guarded("wan0");
    world.holds();
}

#[test]
fn what_comes_late_can_be_left_alone() {
    need_root!();
    let world = World::new("{guard: [lan0, \"wan*\"], late: ignore}");
    let host = world.lab.host();
    host.ip("link add wan1 type veth peer name eth1\nlink set wan1 up\n")
        .unwrap();
    let line = world.line("wan1", |line| line["state"] == "not-guarded");
    assert!(
        line["why"].as_str().unwrap().contains("interfaces.late"),
        "{line}"
    );
    world.guarded("wan0");
}

/// The default choice, with real devices.
#[test]
fn bridges_and_their_ports_by_default() {
    need_root!();
    let lab = Lab::quiet().unwrap();
    lab.host()
        .ip("link add br0 type bridge\nlink add port0 type veth peer name far0\nlink set port0 master br0\n\
             link set br0 up\nlink add br-abc type bridge\n")
        .unwrap();
    let host = Host::start(lab.host(), &[], "").unwrap();
    let lines = host.json(&["interfaces"]).unwrap();
    let why = |name: &str| {
        let line = lines
            .as_array()
            .unwrap()
            .iter()
            .find(|l| l["name"] == name)
            .unwrap();
        assert_eq!(line["state"], "not-guarded", "{line}");
        line["why"].as_str().unwrap().to_owned()
    };
    assert_eq!(why("br0"), "a bridge without a hardware port");
    assert_eq!(why("port0"), "a port of br0, which is judged instead");
    assert_eq!(
        why("br-abc"),
        "its name is one that container engines and hypervisors give"
    );
    assert_eq!(why("lan0"), "veth devices are not guarded unless named");
    assert_eq!(why("lo"), "loopback is never filtered");
}

#[test]
fn zones_are_told_with_their_reasons() {
    need_root!();
    let world = World::new("{guard: [lan0, wan0]}");
    let of = |words: &[&str]| world.host.json(&[&["zone", "of"], words].concat()).unwrap();
    for (address, interface, zone, why) in [
        (
            "10.77.0.9",
            "lan0",
            "trusted",
            "10.77.0.0/25 is the longest prefix",
        ),
        ("10.77.0.9", "wan0", "internet", "the default zone"),
        (
            "fd77::9",
            "lan0",
            "trusted",
            "fd77::/80 is the longest prefix",
        ),
        ("fe80::9", "lan0", "trusted", "owns fe80::/10"),
        ("fe80::9", "wan0", "internet", "the default zone"),
        (
            "203.0.113.1",
            "lan0",
            "host",
            "by the local route 203.0.113.1/32",
        ),
        (
            "2001:db8::1",
            "lan0",
            "host",
            "by the local route 2001:db8::1/128",
        ),
        ("ff02::fb", "wan0", "multicast", "multicast or broadcast"),
        (
            "203.0.113.255",
            "wan0",
            "multicast",
            "the broadcast address of a link",
        ),
    ] {
        let rows = of(&[address, "in", interface]);
        assert_eq!(rows[0]["zone"], zone, "{rows}");
        assert!(rows[0]["why"].as_str().unwrap().contains(why), "{rows}");
        if !["host", "multicast"].contains(&zone) {
            let bracketed = match address.contains(':') {
                true => format!("[{address}]"),
                false => address.to_owned(),
            };
            let packet = format!("tcp {bracketed}:4000 -> host:22 in {interface}");
            let told = world.host.json(&["policy", "explain", &packet]).unwrap();
            assert_eq!(
                told["source_zone"], zone,
                "the program says otherwise: {told}"
            );
        }
    }
    let rows = of(&["10.77.0.9"]);
    assert_eq!(
        (&rows[0]["zone"], &rows[0]["interface"]),
        (&"internet".into(), &Value::Null)
    );
    assert_eq!(
        (&rows[1]["zone"], &rows[1]["interface"]),
        (&"trusted".into(), &"lan0".into())
    );
    for wrong in [
        &["zone", "of", "10.0.0.300"][..],
        &["zone", "of", "10.0.0.3", "at", "lan0"],
        &["zone", "of", "10.0.0.3", "in", "no0"],
    ] {
        assert_eq!(world.host.cli(wrong).unwrap().status, 2, "{wrong:?}");
    }
}

/// A tagged frame of a VLAN device is judged there, and passes its parent counted apart.
#[test]
fn frames_of_a_vlan_device_are_judged_on_it() {
    need_root!();
    let world = World::new("{guard: [wan0, \"wan0.*\"]}");
    let tagged = |ns: &ringwall_tests::net::Netns, parent: &str, last: u8| {
        let device = format!("{parent}.100");
        ns.ip(&format!(
            "link add link {parent} name {device} type vlan id 100\naddr add 10.100.0.{last}/24 dev {device}\n\
             addr add fd64::{last}/64 dev {device} nodad\nlink set {device} up\n"
        ))
    };
    if let Err(error) = tagged(world.lab.host(), "wan0", 1) {
        ringwall_tests::skip!("this kernel makes no VLAN devices: {error:#}");
    }
    tagged(&world.lab.stranger.ns, "eth0", 9).unwrap();
    world.guarded("wan0.100");
    for ip in ["10.100.0.1", "fd64::1"] {
        let at = |port| std::net::SocketAddr::new(ip.parse().unwrap(), port);
        let knock = |port| sock::tcp(&world.lab.stranger.ns, at(port), SHORT);
        assert_eq!((knock(22), knock(443)), (Seen::Silence, Seen::Answered));
    }
    let rows = world.host.json(&["sessions"]).unwrap();
    let rows = rows.as_array().unwrap();
    assert!(!rows.is_empty());
    assert!(
        rows.iter().all(|row| row["interface"] == "wan0.100"),
        "{rows:?}"
    );
}
