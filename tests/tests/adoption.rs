//! Connections that live when enforcement begins: those that the policy allows go on, those that it does not are
//! said beforehand and end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ringwall_tests::need_root;
use ringwall_tests::net::wait_until;
use ringwall_tests::scenario::{
    PATIENCE, Pair, SHORT, Scene, allow, at_wan, metric, pairs, policy,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

const ALLOWED: u16 = 443;
const DENIED: u16 = 5432;

/// Each connection takes two descriptors.
fn room_for(connections: u64) {
    let most = getrlimit(Resource::Nofile).maximum;
    let wanted = 2 * connections + 1024;
    let room = most.is_none_or(|most| wanted <= most);
    assert!(room, "this process may have {most:?} descriptors");
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

fn size() -> usize {
    let asked = std::env::var("RINGWALL_CONNECTIONS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(1000)
}

/// The first default-deny policy on a host with a thousand connections.
#[test]
fn a_thousand_connections_live_through_the_first_policy() {
    need_root!();
    let count = size();
    let parts = count.div_ceil(40_000);
    room_for(count as u64);
    let scene = Scene::new().unwrap();
    let (host, stranger) = (scene.lab.host(), scene.stranger());
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for v6 in [false, true] {
        // From one address there are not enough ports to one of ours.
        for port in (ALLOWED..).take(parts) {
            good.extend(pairs(
                stranger,
                host,
                at_wan(v6, port),
                count * 4 / 10 / parts,
            ));
        }
        bad.extend(pairs(stranger, host, at_wan(v6, DENIED), count / 20));
        // This host's own: nobody listens here.
        let far = if v6 {
            "[2001:db8::9]:8080"
        } else {
            "203.0.113.9:8080"
        };
        good.extend(pairs(host, stranger, far.parse().unwrap(), count / 20));
    }
    assert!(good.iter_mut().chain(&mut bad).all(Pair::talks));

    let text = policy(1, &[allow("web", "tcp/443-450")]);
    let would = scene.host.apply_with(&text, &["--dry-run"]).unwrap();
    assert!(
        would.ok() && would.out.contains("not allowed any more: tcp 203.0.113.9:"),
        "{would:?}"
    );
    let begin = Instant::now();
    let ran = scene.host.apply_with(&text, &["-o", "json"]).unwrap();
    let took = begin.elapsed();
    assert!(ran.ok(), "{ran:?}");
    println!(
        "{} connections adopted in an apply of {took:?}",
        good.len() + bad.len()
    );
    let answer = ran.json().unwrap();
    assert_eq!(answer["sessions_cut"], bad.len(), "{}", answer["outcome"]);
    assert_eq!(answer["adopted"], good.len() + bad.len());
    let listed = answer["not_allowed"].as_array().unwrap();
    assert_eq!(listed.len(), bad.len().min(1000));
    assert!(
        listed
            .iter()
            .all(|line| line["destination_port"] == DENIED && line["rule"] == "in/default")
    );

    let cut = good
        .iter_mut()
        .filter_map(|pair| (!pair.talks()).then_some(()))
        .count();
    assert_eq!(cut, 0, "of those allowed are cut");
    bad.iter_mut().for_each(Pair::says);
    std::thread::sleep(Duration::from_millis(500));
    assert!(
        bad.iter_mut().all(Pair::heard_nothing),
        "one that is not allowed goes on"
    );
    let metrics = scene.host.metrics().unwrap();
    let dropped = metric(
        &metrics,
        "ringwall_dropped_packets_total",
        &["reason=\"revoked\""],
    );
    assert!(dropped >= bad.len() as f64, "{dropped}");
}

/// The sessions of `ringwall sessions`, by the port that they were opened to.
fn sessions(scene: &Scene, port: u16) -> Vec<Value> {
    let all = scene.host.json(&["sessions"]).unwrap();
    let all = all.as_array().unwrap().iter();
    all.filter(|row| row["destination_port"] == port)
        .cloned()
        .collect()
}

#[test]
fn connected_datagram_sockets_and_half_closed_streams_go_on() {
    need_root!();
    let scene = Scene::new().unwrap();
    let (host, stranger) = (scene.lab.host(), scene.stranger());
    let mut half: Vec<Pair> = [false, true]
        .into_iter()
        .flat_map(|v6| pairs(stranger, host, at_wan(v6, ALLOWED), 1))
        .collect();
    for pair in &half {
        pair.client.shutdown(std::net::Shutdown::Write).unwrap();
    }
    // The far end may answer only one that asked: the policy would not let it open.
    let far: SocketAddr = "203.0.113.9:5000".parse().unwrap();
    let server = stranger.run(|| UdpSocket::bind(far)).unwrap();
    let client = host.run(|| UdpSocket::bind("203.0.113.1:0")).unwrap();
    client.connect(far).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send(b"ask").unwrap();
    let (_, from) = server.recv_from(&mut [0; 8]).unwrap();

    scene.put(&policy(1, &[allow("web", "tcp/443")])).unwrap();
    server.send_to(b"late", from).unwrap();
    let mut word = [0; 4];
    assert_eq!(client.recv(&mut word).unwrap(), 4);
    for pair in &mut half {
        pair.server.write_all(b"pong").unwrap();
        pair.client.read_exact(&mut word).unwrap();
    }
    let rows = sessions(&scene, ALLOWED);
    assert_eq!(rows.len(), 2, "{rows:?}");
    for row in rows {
        let found = (
            &row["state"],
            &row["direction"],
            &row["interface"],
            &row["rule"],
        );
        assert_eq!(
            found,
            (
                &"fin-wait".into(),
                &"inbound".into(),
                &"wan0".into(),
                &"in/web".into()
            )
        );
    }
}

#[test]
fn what_was_open_under_monitoring_is_judged_when_enforcement_begins() {
    need_root!();
    let scene = Scene::new().unwrap();
    let (host, stranger) = (scene.lab.host(), scene.stranger());
    let ports = [ALLOWED, DENIED];
    let [mut good, mut bad] = ports.map(|port| pairs(stranger, host, at_wan(true, port), 2));
    let web = allow("web", "tcp/443");
    let watch = policy(1, std::slice::from_ref(&web)) + "mode: monitor\n";
    scene.put(&watch).unwrap();
    assert!(good.iter_mut().chain(&mut bad).all(Pair::talks));
    let audited = metric(
        &scene.host.metrics().unwrap(),
        "ringwall_packets_total",
        &["audit"],
    );
    assert!(audited > 0.0);
    let ran = scene
        .host
        .apply_with(&policy(2, &[web]), &["-o", "json"])
        .unwrap();
    assert_eq!(ran.json().unwrap()["sessions_cut"], 2, "{ran:?}");
    assert!(good.iter_mut().all(Pair::talks));
    bad.iter_mut().for_each(Pair::says);
    std::thread::sleep(SHORT);
    assert!(bad.iter_mut().all(Pair::heard_nothing));
}

#[test]
fn after_a_detach_and_on_a_new_interface_it_begins_again() {
    need_root!();
    let mut scene = Scene::guarded(&[allow("web", "tcp/443")]).unwrap();
    let (host, stranger) = (scene.lab.host().clone(), scene.stranger().clone());
    assert!(scene.host.cli(&["detach"]).unwrap().ok());
    let mut good = pairs(&stranger, &host, at_wan(false, ALLOWED), 3);
    let mut bad = pairs(&stranger, &host, at_wan(true, DENIED), 3);
    let again = scene
        .host
        .apply_with(&policy(2, &[allow("web", "tcp/443")]), &["-o", "json"]);
    let again = again.unwrap().json().unwrap();
    assert_eq!(
        (&again["adopted"], &again["sessions_cut"]),
        (&6.into(), &3.into()),
        "{again:#}"
    );
    assert!(good.iter_mut().all(Pair::talks));
    bad.iter_mut().for_each(Pair::says);
    std::thread::sleep(SHORT);
    assert!(bad.iter_mut().all(Pair::heard_nothing));

    // Enforcement begins with the start of the agent, too.
    assert!(scene.host.cli(&["detach"]).unwrap().ok());
    let mut late = pairs(&stranger, &host, at_wan(true, ALLOWED), 3);
    scene.host.restart().unwrap();
    assert!(good.iter_mut().chain(&mut late).all(Pair::talks));
}

/// A router between the stranger and the trusted peer: who is to be reached knows nothing of it.
fn router(config: &str) -> Scene {
    let scene = Scene::configured(config).unwrap();
    for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        scene.lab.host().sysctl(key, "1").unwrap();
    }
    scene
}

const ROUTED: &str = "apiVersion: ringwall/v1
metadata: {name: router, revision: 1, owner: tests}
unmatched: {inbound: deny, outbound: allow, routed: deny}
zones:
  lan: {interfaces: [lan0], cidrs: [10.77.0.0/25, \"fd77::/80\"]}
  internet: {default: true}
policies:
  - name: through
    from: lan
    to: internet
    rules:
      - {name: web, action: allow, services: [tcp/443], reason: a test, owner: tests}
  - {name: rest, from: any, to: any, default: deny}
";

#[test]
fn routed_connections_are_taken_up_from_either_side() {
    need_root!();
    let scene = router("");
    let (lan, internet) = (scene.trusted().clone(), scene.stranger().clone());
    let at = |v6, port: u16| -> SocketAddr {
        let ip = if v6 { "2001:db8::9" } else { "203.0.113.9" };
        SocketAddr::new(ip.parse().unwrap(), port)
    };
    let mut good: Vec<Pair> = [false, true]
        .into_iter()
        .flat_map(|v6| pairs(&lan, &internet, at(v6, ALLOWED), 2))
        .collect();
    let mut bad: Vec<Pair> = [false, true]
        .into_iter()
        .flat_map(|v6| pairs(&lan, &internet, at(v6, DENIED), 1))
        .collect();
    scene.put(ROUTED).unwrap();
    let mut word = [0; 4];
    for pair in &mut good {
        // The one who is waited for speaks first: its packets are answers to openings that nobody saw.
        pair.server.write_all(b"pong").unwrap();
        pair.client.read_exact(&mut word).unwrap();
        assert!(pair.talks());
    }
    bad.iter_mut().for_each(Pair::says);
    std::thread::sleep(SHORT);
    assert!(bad.iter_mut().all(Pair::heard_nothing));
    let rows = sessions(&scene, ALLOWED);
    assert_eq!(rows.len(), 4, "{rows:#?}");
    for row in rows {
        let found = (&row["direction"], &row["rule"], &row["state"]);
        assert_eq!(
            found,
            (
                &"routed".into(),
                &"through/web".into(),
                &"established".into()
            )
        );
    }
}

/// A connection of the stranger to a port that is allowed again, whose session was revoked meanwhile: what
/// comes of it now is a stray.
fn stray(config: &str) -> (Scene, Pair) {
    let scene = Scene::configured(config).unwrap();
    let web = [allow("web", "tcp/443")];
    scene.put(&policy(1, &web)).unwrap();
    let mut pair = pairs(scene.stranger(), scene.lab.host(), at_wan(true, ALLOWED), 1).remove(0);
    assert!(pair.talks());
    scene.put(&policy(2, &[])).unwrap();
    pair.client.write_all(b"ping").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(sessions(&scene, ALLOWED).is_empty());
    scene.put(&policy(3, &web)).unwrap();
    (scene, pair)
}

fn counted(scene: &Scene, labels: &[&str]) -> f64 {
    let metrics = scene.host.metrics().unwrap();
    metric(&metrics, "ringwall_dropped_packets_total", labels)
}

#[test]
fn strays_are_dropped_reset_or_taken_up() {
    need_root!();
    let (scene, mut pair) = stray("");
    let dropped = || (counted(&scene, &["no-session"]) > 0.0).then_some(());
    assert!(
        wait_until(4 * PATIENCE, dropped).is_some(),
        "it is sent again"
    );
    assert!(pair.heard_nothing());

    let (scene, mut pair) = stray("sessions: {stray: reset}\n");
    pair.client.set_read_timeout(Some(4 * PATIENCE)).unwrap();
    let error = pair.client.read(&mut [0; 4]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(counted(&scene, &["no-session"]) > 0.0);

    let (scene, mut pair) = stray("sessions: {stray: pass}\n");
    let mut word = [0; 4];
    pair.server.set_read_timeout(Some(4 * PATIENCE)).unwrap();
    pair.server.read_exact(&mut word).unwrap();
    assert!(pair.talks());
    let row = sessions(&scene, ALLOWED).remove(0);
    let found = (&row["rule"], &row["state"]);
    assert_eq!(found, (&"in/web".into(), &"established".into()));
}
