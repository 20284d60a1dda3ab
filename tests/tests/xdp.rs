//! Arriving packets judged at XDP: what sits on the hooks, what is judged, and what happens when the hook
//! changes, the agent dies, or another program is there first.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use aya::programs::{SchedClassifier, TcAttachType};
use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange, tcp, udp};
use ringwall_tests::net::xdp::{NAME, PassAll};
use ringwall_tests::net::{End, Host, Netns, Veth, wait_until};
use ringwall_tests::scenario::{
    Door, PATIENCE, SHORT, Scene, allow, at_lan, at_wan, metric, policy, probe, rule, talk,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What sits on the hooks of a device, as the kernel says.
#[derive(Debug, PartialEq, Eq)]
struct Hooks {
    ingress: Vec<String>,
    egress: Vec<String>,
    /// The number of the XDP program, and `native` or `generic`.
    xdp: Option<(u64, &'static str)>,
}

fn hooks(end: &End) -> Hooks {
    end.ns.run(|| {
        let at = |direction| {
            let (_, programs) = SchedClassifier::query_tcx(&end.interface, direction).unwrap();
            let name = |p: &aya::programs::ProgramInfo| p.name_as_str().unwrap().to_owned();
            programs.iter().map(name).collect()
        };
        Hooks {
            ingress: at(TcAttachType::Ingress),
            egress: at(TcAttachType::Egress),
            xdp: xdp(end),
        }
    })
}

/// By `ip`, which asks through netlink.
fn xdp(end: &End) -> Option<(u64, &'static str)> {
    let ran = end
        .ns
        .exec("ip", &["-j", "link", "show", "dev", &end.interface]);
    let shown: Value = serde_json::from_str(&ran.unwrap().out).unwrap();
    let xdp = &shown[0]["xdp"];
    let mode = match xdp["mode"].as_u64()? {
        1 => "native",
        2 => "generic",
        other => panic!("mode {other}"),
    };
    Some((xdp["prog"]["id"].as_u64()?, mode))
}

/// The kernel keeps fifteen bytes of a name.
const INGRESS: &str = "ringwall_ingres";
const EGRESS: &str = "ringwall_egress";

fn only_at_tc() -> Hooks {
    Hooks {
        ingress: vec![INGRESS.into()],
        egress: vec![EGRESS.into()],
        xdp: None,
    }
}

/// The line of an interface in `ringwall status`.
fn line(host: &Host, interface: &str) -> Value {
    let status = host.json(&["status"]).unwrap();
    let lines = status["interfaces"].as_array().unwrap().iter();
    let found = { lines }.find(|line| line["name"] == interface);
    found
        .unwrap_or_else(|| panic!("{interface} in {status:#}"))
        .clone()
}

fn rules() -> [String; 2] {
    [
        allow("web", "tcp/443, udp/443"),
        rule("ident", "reject", "tcp/113, udp/113"),
    ]
}

/// A scene with a configured hook and the rules in force.
fn scene(hook: &str) -> Scene {
    let scene = Scene::configured(&format!("hook: {hook}\n")).unwrap();
    scene.put(&policy(1, &rules())).unwrap();
    scene
}

/// Allowed, denied and refused, over both families; the last only where answers can get back.
fn judges(scene: &Scene, answers: bool) {
    let host = scene.lab.host();
    for v6 in [false, true] {
        let _web = Echo::tcp(host, at_wan(v6, 443)).unwrap();
        let _udp = Echo::udp(host, at_wan(v6, 443)).unwrap();
        let stranger = scene.stranger();
        assert_eq!(tcp(stranger, at_wan(v6, 443), PATIENCE), Seen::Answered);
        assert_eq!(udp(stranger, at_wan(v6, 443), PATIENCE), Seen::Answered);
        assert_eq!(tcp(stranger, at_wan(v6, 22), SHORT), Seen::Silence);
        if answers {
            assert_eq!(tcp(stranger, at_wan(v6, 113), PATIENCE), Seen::Refused);
            assert_eq!(udp(stranger, at_wan(v6, 113), PATIENCE), Seen::Refused);
        }
    }
}

#[test]
fn no_program_of_ours_is_at_tc_ingress_where_xdp_judges() {
    need_root!();
    let scene = scene("xdp");
    let _far = PassAll::attach(&scene.lab.stranger).unwrap();
    for end in [&scene.lab.lan, &scene.lab.wan] {
        let found = hooks(end);
        assert_eq!(found.ingress, [] as [String; 0], "{found:?}");
        assert_eq!(found.egress, [EGRESS], "{found:?}");
        assert_eq!(found.xdp.unwrap().1, "native", "{found:?}");
        let line = line(&scene.host, &end.interface);
        assert_eq!(
            (&line["hook"], &line["mode"]),
            (&"xdp".into(), &"native".into())
        );
    }
    let metrics = scene.host.metrics().unwrap();
    let labels = ["interface=\"wan0\"", "hook=\"xdp\"", "mode=\"native\""];
    assert_eq!(metric(&metrics, "ringwall_interface_info", &labels), 1.0);
    judges(&scene, true);
    let rejected = ["direction=\"ingress\"", "verdict=\"rejected\""];
    let metrics = scene.host.metrics().unwrap();
    let rejected = metric(&metrics, "ringwall_packets_total", &rejected);
    assert!(rejected >= 4.0, "{rejected} refused");
    scene.host.cli(&["detach"]).unwrap();
    assert_eq!(hooks(&scene.lab.wan).xdp, None);
}

#[test]
fn a_refusal_counts_as_such_where_its_answer_is_lost() {
    need_root!();
    let scene = scene("xdp");
    for v6 in [false, true] {
        let seen = tcp(scene.stranger(), at_wan(v6, 113), SHORT);
        assert_eq!(seen, Seen::Silence, "a veth whose other end has no XDP");
    }
    let metrics = scene.host.metrics().unwrap();
    let count = |verdict: &str| metric(&metrics, "ringwall_packets_total", &[verdict]);
    assert_eq!(count("verdict=\"rejected\""), 2.0);
    assert_eq!(count("verdict=\"dropped\""), 0.0);
}

#[test]
fn generic_xdp_only_where_it_is_asked_for() {
    need_root!();
    let rejecting = policy(2, &rules()).replace("outbound: allow", "outbound: reject");
    let scene = scene("{default: auto, wan0: xdp-generic}");
    let found = hooks(&scene.lab.wan);
    assert_eq!((found.ingress.len(), found.xdp.unwrap().1), (0, "generic"));
    assert_eq!(hooks(&scene.lab.lan), only_at_tc());
    let lan = line(&scene.host, "lan0");
    assert_eq!(lan["hook"], "tcx");
    assert!(lan["hook_why"].as_str().unwrap().contains("veth"), "{lan}");
    assert_eq!(line(&scene.host, "wan0")["mode"], "generic");
    judges(&scene, true);
    // The answer to a local sender arrives by the same device.
    scene.put(&rejecting).unwrap();
    for far in ["203.0.113.9:25", "[2001:db8::9]:25"] {
        let far: SocketAddr = far.parse().unwrap();
        assert_eq!(tcp(scene.lab.host(), far, PATIENCE), Seen::Refused);
        assert_eq!(udp(scene.lab.host(), far, PATIENCE), Seen::Refused);
    }
}

/// Gives the agent another `hook`, and waits until a device has it.
fn switch(scene: &mut Scene, hook: &str, wanted: (&str, &str)) {
    let path = scene.host.dir.config();
    let text = std::fs::read_to_string(&path).unwrap();
    let others = text.lines().filter(|line| !line.starts_with("hook:"));
    let text: Vec<&str> = others.collect();
    std::fs::write(&path, format!("{}\nhook: {hook}\n", text.join("\n"))).unwrap();
    let pid = scene.host.agent().unwrap().pid().cast_signed();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::HUP).unwrap();
    let there = || {
        let line = line(&scene.host, "wan0");
        (line["hook"] == wanted.0 && line["mode"] == wanted.1).then_some(())
    };
    let came = wait_until(6 * PATIENCE, there);
    assert!(came.is_some(), "{hook}: {}", scene.host.log());
}

#[test]
fn an_interface_changes_its_hook_and_nothing_gets_in_meanwhile() {
    need_root!();
    let mut scene = scene("tc");
    let host = scene.lab.host().clone();
    let everywhere = SocketAddr::from(([0_u16; 8], 443));
    let _echo = Echo::tcp(&host, everywhere).unwrap();
    let doors = [
        Door::tcp(&host, 22).unwrap(),
        Door::udp(&host, 161).unwrap(),
    ];
    let both = |port| vec![at_wan(false, port), at_wan(true, port)];
    let knocks = probe(scene.stranger(), both(22), both(161));
    let long = talk(connect(scene.stranger(), at_wan(true, 443), PATIENCE).unwrap());
    assert_eq!(hooks(&scene.lab.wan), only_at_tc());
    for _ in 0..3 {
        switch(&mut scene, "xdp", ("xdp", "native"));
        let found = hooks(&scene.lab.wan);
        assert_eq!((found.ingress.len(), found.xdp.unwrap().1), (0, "native"));
        switch(&mut scene, "xdp-generic", ("xdp", "generic"));
        let found = hooks(&scene.lab.wan);
        assert_eq!((found.ingress.len(), found.xdp.unwrap().1), (0, "generic"));
        switch(&mut scene, "auto", ("tcx", "tc"));
        assert_eq!(hooks(&scene.lab.wan), only_at_tc());
    }
    let (knocked, talked) = (knocks.finish(), long.finish());
    assert_eq!(talked.error, None, "the session did not notice");
    assert_eq!(knocked.answered, [] as [String; 0]);
    assert!(knocked.sent > 100, "it hardly knocked");
    assert_eq!(doors.map(|door| door.entered()), [0, 0]);
}

#[test]
fn a_killed_agent_leaves_xdp_judging_and_its_successor_takes_it_over() {
    need_root!();
    let mut scene = scene("xdp");
    let host = scene.lab.host().clone();
    let everywhere = SocketAddr::from(([0_u16; 8], 443));
    let _echo = Echo::tcp(&host, everywhere).unwrap();
    let doors = [
        Door::tcp(&host, 22).unwrap(),
        Door::udp(&host, 161).unwrap(),
    ];
    let both = |port| vec![at_wan(false, port), at_wan(true, port)];
    let knocks = probe(scene.stranger(), both(22), both(161));
    let mut live = connect(scene.trusted(), at_lan(false, 443), PATIENCE).unwrap();
    for _ in 0..5 {
        let before = hooks(&scene.lab.wan);
        scene.host.kill9();
        assert_eq!(hooks(&scene.lab.wan), before, "the link outlives the agent");
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(exchange(&mut live, PATIENCE), Seen::Answered);
        scene.host.restart().unwrap();
        let after = hooks(&scene.lab.wan);
        assert_eq!(
            (&after.ingress, after.xdp.unwrap().1),
            (&before.ingress, "native")
        );
        assert_eq!(after.xdp, before.xdp, "its programs are taken up");
        assert_eq!(exchange(&mut live, PATIENCE), Seen::Answered);
    }
    let knocked = knocks.finish();
    assert_eq!(knocked.answered, [] as [String; 0]);
    assert!(knocked.sent > 100, "it hardly knocked");
    assert_eq!(doors.map(|door| door.entered()), [0, 0]);
    let metrics = scene.host.metrics().unwrap();
    let dropped = metric(&metrics, "ringwall_dropped_packets_total", &[]);
    assert_eq!(dropped, knocked.sent as f64, "each probe was judged once");
}

#[test]
fn who_has_xdp_already_is_named_and_tc_judges() {
    need_root!();
    let scene = Scene::configured("hook: tc\n").unwrap();
    scene.put(&policy(1, &rules())).unwrap();
    let mut scene = scene;
    let other = PassAll::attach(&scene.lab.wan).unwrap();
    let theirs = hooks(&scene.lab.wan).xdp;
    switch(&mut scene, "xdp", ("tcx", "tc"));
    let warned = || {
        let status = scene.status().unwrap();
        let warnings = status["warnings"].as_array().unwrap().clone();
        let named = |w: &Value| w.as_str().unwrap().contains(NAME);
        warnings.iter().any(named).then_some(())
    };
    let came = wait_until(PATIENCE, warned);
    assert!(came.is_some(), "{:#}", scene.status().unwrap());
    let line = line(&scene.host, "wan0");
    let why = line["hook_why"].as_str().unwrap();
    assert!(why.contains(NAME) && why.contains("already"), "{why}");
    assert_eq!(hooks(&scene.lab.wan).xdp, theirs, "left alone");
    assert_eq!(hooks(&scene.lab.wan).ingress, [INGRESS]);
    judges(&scene, false);
    // The others of the host do have it, and this one gets it once it is free.
    assert_eq!(self::line(&scene.host, "lan0")["hook"], "xdp");
    drop(other);
    switch(&mut scene, "xdp", ("xdp", "native"));
}

/// A frame of several buffers is judged by its headers and counted whole.
#[test]
fn jumbo_frames_are_judged_and_counted_to_the_byte() {
    need_root!();
    let [near, far] = ["host", "far"].map(|name| Netns::new(name).unwrap());
    let wire = Veth::between(
        (&near, "wan0", &["203.0.113.1/24", "2001:db8::1/64"]),
        (&far, "eth0", &["203.0.113.9/24", "2001:db8::9/64"]),
    );
    let (near, far) = wire.mtu(9000).static_neighbours().create().unwrap();
    let host = Host::start(&near.ns, &["wan0"], "hook: xdp\n").unwrap();
    assert!(host.apply(&policy(1, &rules())).unwrap().ok());
    assert_eq!(hooks(&near).xdp.unwrap().1, "native", "{}", host.log());
    let shut = Door::udp(&near.ns, 161).unwrap();
    let mut expected = 0;
    for (v6, headers) in [(false, 14 + 20 + 8), (true, 14 + 40 + 8)] {
        let open = near.ns.run(|| UdpSocket::bind(at_wan(v6, 443))).unwrap();
        open.set_read_timeout(Some(PATIENCE)).unwrap();
        let from: IpAddr = if v6 { [0; 16].into() } else { [0; 4].into() };
        let socket = far.ns.run(|| UdpSocket::bind((from, 0))).unwrap();
        for size in [100, 4000, 8000, 8900] {
            let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            socket.send_to(&data, at_wan(v6, 161)).unwrap();
            socket.send_to(&data, at_wan(v6, 443)).unwrap();
            let mut got = vec![0; 9000];
            let length = open.recv(&mut got).unwrap();
            assert!(got[..length] == data, "v6: {v6}, {size} bytes: another");
            expected += size + headers;
        }
    }
    assert_eq!(shut.entered(), 0);
    let metrics = host.metrics().unwrap();
    let labels = |verdict: &'static str| ["direction=\"ingress\"", verdict];
    for verdict in ["verdict=\"forwarded\"", "verdict=\"dropped\""] {
        let bytes = metric(&metrics, "ringwall_bytes_total", &labels(verdict));
        let packets = metric(&metrics, "ringwall_packets_total", &labels(verdict));
        assert_eq!((packets, bytes), (8.0, expected as f64), "{verdict}");
    }
}
