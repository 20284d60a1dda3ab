//! Flow records of real traffic through a real agent: what was sent is what is told, once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen, tcp, udp};
use ringwall_tests::net::{binary, wait_until};
use ringwall_tests::scenario::records::{records, validate, wait_for};
use ringwall_tests::scenario::{PATIENCE, SHORT, Scene, allow, at_wan, metric, policy, rule};
use serde_json::{Value, json};

/// Ends of sessions are told when they leave the tables, so they leave soon.
const SOON: &str = "sessions: {timeouts: {tcp_time_wait: 1s, tcp_close: 1s, tcp_fin_wait: 30s}}\n";

fn scene(rules: &[String]) -> Scene {
    let scene = Scene::configured(SOON).unwrap();
    scene.put(&policy(1, rules)).unwrap();
    scene
}

fn web() -> String {
    allow("web", "tcp/443")
}

fn serve(scene: &Scene, port: u16) -> Echo {
    Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap()
}

#[test]
fn a_session_is_told_of_when_it_opens_and_once_when_it_has_ended() {
    need_root!();
    let scene = scene(&[web()]);
    let _server = serve(&scene, 443);
    for v6 in [false, true] {
        assert_eq!(
            tcp(scene.stranger(), at_wan(v6, 443), PATIENCE),
            Seen::Answered
        );
        let peer = if v6 { "2001:db8::9" } else { "203.0.113.9" };
        let filter = format!("src {peer} and port 443");
        let [open] = &wait_for(&scene.host, "open", &filter, 1, PATIENCE)[..] else {
            panic!("one opening");
        };
        let closes = wait_for(&scene.host, "close", &filter, 1, 2 * PATIENCE);
        let [close] = &closes[..] else {
            panic!("one end: {closes:#?}")
        };
        for (key, value) in [
            ("schema", json!("ringwall.flow/1")),
            ("verdict", json!("FORWARDED")),
            ("action", json!("allow")),
            ("direction", json!("inbound")),
            ("traffic_direction", json!("INGRESS")),
            ("zone", json!({"source": "internet", "destination": "host"})),
            ("session_id", close["session_id"].clone()),
            ("community_id", close["community_id"].clone()),
            ("initiator", json!("source")),
        ] {
            assert_eq!(open[key], value, "{key} of {open:#}");
            assert_eq!(close[key], value, "{key} of {close:#}");
        }
        assert_eq!(open["reason"], "rule-allow");
        assert_eq!(open["policy"]["name"], "lab", "{open:#}");
        assert_eq!(open["policy"]["revision"], 1);
        assert_eq!(open["policy"]["policy"], "in");
        assert_eq!(open["policy"]["rule"], "web");
        assert_eq!(open["IP"]["source"], peer);
        assert_eq!(open["interface"]["name"], "wan0");
        assert_eq!(open["packets"], json!({"sent": 1, "received": 0}));
        assert_eq!(close["reason"], "session", "{close:#}");
        for time in ["time", "start", "end"] {
            for one in [open, close] {
                let digits = one[time].as_str().unwrap().split_once('.').unwrap().1;
                assert_eq!(digits.len(), "123456789Z".len(), "{time} of {one:#}");
            }
        }
        assert_eq!(close["close_cause"], "finished", "{close:#}");
        assert_eq!(close["tcp_state"], "time-wait");
        // SYN, ACK, word, ACK of its echo, FIN …: both sides' packets, as the session counted them.
        let packets = |way: &str| close["packets"][way].as_u64().unwrap();
        assert!(
            packets("sent") >= 4 && packets("received") >= 3,
            "{close:#}"
        );
        assert!(
            close["bytes"]["sent"].as_u64() > Some(8 + 66 * 3),
            "{close:#}"
        );
        assert_eq!(
            close["tcp_flags_seen"]["received"]["SYN"], true,
            "{close:#}"
        );
        assert!(close["seq"].as_u64() > open["seq"].as_u64());
        assert_ne!(close["uuid"], open["uuid"]);
        assert!(close["start"].as_str() <= close["end"].as_str());
    }
    let text = scene.host.metrics().unwrap();
    let zone = ["direction=\"inbound\"", "zone=\"internet\""];
    assert_eq!(metric(&text, "ringwall_sessions_opened_total", &zone), 2.0);
    let finished = metric(
        &text,
        "ringwall_sessions_closed_total",
        &["cause=\"finished\""],
    );
    assert_eq!(finished, 2.0);
}

#[test]
fn a_refusal_is_told_with_its_rule_and_the_line_that_mends_it() {
    need_root!();
    let rules = [web(), rule("ident", "reject", "tcp/113")];
    let scene = scene(&rules);
    let _servers = [serve(&scene, 22), serve(&scene, 113)];
    let mut text = policy(2, &rules);
    for (port, id, reason) in [
        (22, "in/default", "default-deny"),
        (113, "in/ident", "rule-reject"),
    ] {
        assert!(scene.knock(port).iter().all(|seen| *seen != Seen::Answered));
        let told = wait_for(&scene.host, "drop", &format!("rule {id}"), 2, PATIENCE);
        let families: Vec<&Value> = told.iter().map(|one| &one["IP"]["ipVersion"]).collect();
        assert!(families.contains(&&json!("IPv4")) && families.contains(&&json!("IPv6")));
        for one in &told {
            assert_eq!(one["verdict"], "DROPPED");
            assert_eq!(one["reason"], reason, "{one:#}");
            assert_eq!(one["l4"]["TCP"]["destination_port"], port);
            assert_eq!(one["l4"]["TCP"]["flags"], json!({"SYN": true}));
            assert_eq!(one["zone"]["source"], "internet");
            assert!(
                one["drop_reason_desc"]
                    .as_str()
                    .unwrap()
                    .starts_with("POLICY_DEN")
            );
        }
        let rows = scene.host.json(&["drops"]).unwrap();
        for peer in ["203.0.113.9", "2001:db8::9"] {
            let found = |row: &&Value| row["peer"] == peer && row["rule"] == id;
            let row = rows.as_array().unwrap().iter().find(found).unwrap();
            assert_eq!(row["service"], format!("tcp/{port}"));
            let line = row["let_in"]["line"]
                .as_str()
                .unwrap_or_else(|| panic!("{row:#}"));
            text = insert(&text, line, row["let_in"]["before"].as_str());
        }
    }
    let table = scene.host.cli(&["drops", "--since", "10m"]).unwrap();
    assert!(
        table.ok() && table.out.contains("to let tcp/22 of 203.0.113.9 pass"),
        "{table:?}"
    );
    scene.put(&text).unwrap();
    for port in [22, 113] {
        assert_eq!(
            scene.knock(port),
            [Seen::Answered, Seen::Answered],
            "{text}"
        );
    }
    assert_eq!(scene.knock(23), [Seen::Silence, Seen::Silence]);
}

/// Puts a rule of the policy `in` where the answer says.
fn insert(text: &str, line: &str, before: Option<&str>) -> String {
    let begin = match before {
        Some(rule) => format!("      - {{name: {rule},"),
        None => "    default:".to_owned(),
    };
    let at = text
        .find(&begin)
        .unwrap_or_else(|| panic!("{begin} in {text}"));
    let line = line.replace("reason: WHY, owner: WHO", "reason: a test, owner: tests");
    format!("{}      {line}\n{}", &text[..at], &text[at..])
}

#[test]
fn a_flood_costs_the_agent_nothing_and_what_is_not_told_is_counted() {
    need_root!();
    use etherparse::PacketBuilder;
    use ringwall_tests::net::packet::{Tap, Wire};
    const FLOOD: u32 = 30_000;
    let scene = scene(&[web()]);
    let counted = |text: &str| {
        let of = |name, label: &str| metric(text, name, &[label]);
        of("ringwall_events_total", "kind=\"drop\"")
            + of("ringwall_events_lost_total", "stage=\"limit\"")
            + of("ringwall_events_lost_total", "stage=\"ring\"")
    };
    let drops = |text: &str| {
        metric(
            text,
            "ringwall_dropped_packets_total",
            &["direction=\"ingress\""],
        )
    };
    let before = scene.host.metrics().unwrap();
    let wire = Wire::open(&scene.lab.stranger, Tap::Wire).unwrap();
    for number in 0..FLOOD {
        let port = 10_000 + (number % 40_000) as u16;
        let packet = PacketBuilder::ethernet2(scene.lab.stranger.mac, scene.lab.wan.mac)
            .ipv4([203, 0, 113, 9], [203, 0, 113, 1], 64)
            .tcp(port, 22, number, 1000)
            .syn();
        let mut frame = Vec::new();
        packet.write(&mut frame, &[]).unwrap();
        wire.send(&frame).unwrap();
    }
    let arrived = |text: &str| (drops(text) - drops(&before)) as u64 >= u64::from(FLOOD);
    let after = wait_until(2 * PATIENCE, || {
        Some(scene.host.metrics().unwrap()).filter(|text| arrived(text))
    });
    let after = after.expect("all of the flood is counted");
    let (told, dropped) = (
        counted(&after) - counted(&before),
        drops(&after) - drops(&before),
    );
    // Every refusal is a record, or one that is counted as lost; other drops come on both sides.
    assert!(
        (told - dropped).abs() < 50.0,
        "{told} of {dropped}\n{after}"
    );
    let lost = metric(&after, "ringwall_events_lost_total", &["stage=\"limit\""]);
    assert!(lost > 1000.0, "{lost}");
    let rows = scene.host.cli(&["drops", "-o", "json"]).unwrap();
    assert!(
        rows.ok() && rows.err.contains("more were refused without a record"),
        "{}",
        rows.err
    );
}

#[test]
fn following_streams_live_across_nothing_but_the_agents_end() {
    need_root!();
    let mut scene = scene(&[web()]);
    let follow = |scene: &Scene| {
        let vars = scene.host.dir.env();
        let mut command = std::process::Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", scene.lab.host().name()))
            .arg(binary().unwrap())
            .args([
                "flows", "--follow", "verdict", "dropped", "and", "port", "2222", "-o", "ndjson",
            ])
            .envs(vars)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let mut following = follow(&scene);
    let (send, lines) = std::sync::mpsc::channel();
    let out = BufReader::new(following.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let told = wait_until(2 * PATIENCE, || {
        let _refused = tcp(
            scene.stranger(),
            at_wan(false, 2222),
            Duration::from_millis(50),
        );
        lines.try_recv().ok()
    });
    let record: Value = serde_json::from_str(&told.expect("a record as it happens")).unwrap();
    validate(&record);
    assert_eq!(record["l4"]["TCP"]["destination_port"], 2222);
    // An end of the agent ends it; what the kernel tells meanwhile is kept in the ring for the next one.
    let begin = std::time::Instant::now();
    scene.host.stop().unwrap();
    assert!(
        begin.elapsed() < 2 * PATIENCE,
        "nobody who follows holds the agent up"
    );
    assert!(following.wait().is_ok());
    reader.join().unwrap();
    assert_eq!(
        tcp(scene.stranger(), at_wan(true, 2323), SHORT),
        Seen::Silence
    );
    scene.host.restart().unwrap();
    let told = wait_for(&scene.host, "drop", "port 2323", 1, PATIENCE);
    assert_eq!(told[0]["IP"]["source"], "2001:db8::9");
    assert_eq!(told[0]["policy"]["rule"], "default", "{:#}", told[0]);
}

#[test]
fn records_go_to_the_file_and_a_rule_may_ask_for_a_sample() {
    need_root!();
    let scene = Scene::new().unwrap();
    let file = scene.host.dir.state().join("flows.ndjson");
    let config = std::fs::read_to_string(scene.host.dir.config()).unwrap();
    let more = format!("{config}flows: {{file: {}}}\n", file.display());
    std::fs::write(scene.host.dir.config(), more).unwrap();
    let mut scene = scene;
    scene.host.restart().unwrap();
    let quiet =
        "name: telnet, action: deny, services: [tcp/23], log: {sample: 1/1000000}".to_owned();
    let loud = "name: smtp, action: deny, services: [tcp/25], log: true".to_owned();
    scene.put(&policy(1, &[quiet, loud])).unwrap();
    for port in [23, 25] {
        assert_eq!(scene.knock(port), [Seen::Silence, Seen::Silence]);
    }
    let lines = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|one| one["event"] == "drop")
            .collect::<Vec<_>>()
    };
    let written = wait_until(PATIENCE, || Some(lines()).filter(|lines| lines.len() >= 2));
    let written = written.expect("records in the file");
    written.iter().for_each(validate);
    let ports: Vec<u64> = written
        .iter()
        .filter_map(|one| one["l4"]["TCP"]["destination_port"].as_u64())
        .collect();
    assert!(ports.contains(&25) && !ports.contains(&23), "{ports:?}");
    let text = scene.host.metrics().unwrap();
    let skipped = metric(&text, "ringwall_events_skipped_total", &["kind=\"drop\""]);
    assert!(skipped >= 2.0, "{skipped}");
}

#[test]
fn outbound_routed_and_icmp_flows_validate_and_filters_pick() {
    need_root!();
    let scene = scene(&[web(), allow("ping", "ping")]);
    let host = scene.lab.host();
    let _out = Echo::tcp(scene.stranger(), ([0_u16; 8], 8080).into()).unwrap();
    let to: SocketAddr = "203.0.113.9:8080".parse().unwrap();
    assert_eq!(tcp(host, to, PATIENCE), Seen::Answered);
    for to in ["203.0.113.1", "2001:db8::1"] {
        let seen = ringwall_tests::net::sock::ping(scene.stranger(), to.parse().unwrap(), PATIENCE);
        assert_eq!(seen, Seen::Answered);
    }
    let out = wait_for(
        &scene.host,
        "open",
        "direction outbound and port 8080",
        1,
        PATIENCE,
    );
    assert_eq!(out[0]["policy"]["policy"], "unmatched", "{:#}", out[0]);
    assert_eq!(out[0]["traffic_direction"], "EGRESS");
    wait_for(
        &scene.host,
        "open",
        "proto icmp and rule in/ping",
        1,
        PATIENCE,
    );
    wait_for(
        &scene.host,
        "open",
        "proto icmpv6 and zone internet",
        1,
        PATIENCE,
    );
    let live = records(&scene.host, "proto icmp").unwrap();
    assert!(live.iter().any(|one| one["event"] == "update"), "{live:#?}");
    let table = scene.host.cli(&["flows", "proto", "icmp"]).unwrap();
    assert!(
        table.out.contains("update") && !table.out.contains(" open "),
        "{}",
        table.out
    );
    for wrong in ["verdict gone", "reason nonsense", "colour x", "port"] {
        assert_eq!(
            scene.host.cli(&["flows", wrong]).unwrap().status,
            2,
            "{wrong}"
        );
    }
    assert_eq!(
        scene.host.cli(&["flows", "--since", "10"]).unwrap().status,
        2
    );
}

#[test]
fn what_only_monitoring_let_in_says_what_the_policy_says_of_it() {
    need_root!();
    let rules = [web(), rule("dns", "reject", "udp/53")];
    let scene = scene(&rules);
    scene.put(&(policy(2, &rules) + "mode: monitor\n")).unwrap();
    let _servers = (
        serve(&scene, 22),
        Echo::udp(scene.lab.host(), ([0_u16; 8], 53).into()).unwrap(),
    );
    assert_eq!(scene.knock(22), [Seen::Answered, Seen::Answered]);
    let asked = udp(scene.stranger(), at_wan(true, 53), PATIENCE);
    assert_eq!(asked, Seen::Answered);
    let told = |event: &str, filter: &str, expect: [&str; 2]| {
        let found = wait_for(&scene.host, event, filter, 1, 2 * PATIENCE);
        for one in &found {
            assert_eq!(one["verdict"], "AUDIT", "{one:#}");
            assert_eq!([&one["action"], &one["reason"]], expect, "{one:#}");
        }
        found[0].clone()
    };
    told("open", "port 22", ["deny", "default-deny"]);
    told("close", "port 22", ["deny", "session"]);
    told("drop", "port 53", ["reject", "rule-reject"]);
    let open = told("open", "port 53", ["reject", "rule-reject"]);
    // A conversation over UDP has a state, and none of TCP's.
    assert!(
        open["tcp_state"].is_null() && open["state"] == "udp",
        "{open:#}"
    );
    let killed = ["sessions", "kill", "port 53"];
    assert!(scene.host.cli(&killed).unwrap().ok());
    let close = told("close", "port 53", ["reject", "session"]);
    assert_eq!(close["close_cause"], "killed", "{close:#}");
}
