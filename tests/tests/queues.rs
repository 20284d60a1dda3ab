//! Wires of eight queues, whose packets several CPUs judge at the same time: bounds and tables hold to the packet, and live
//! sessions do not notice.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop with a message"
)]

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen, connect, tcp};
use ringwall_tests::net::{Host, Lab, wait_until};
use ringwall_tests::scenario::flood::{at_once, way_back_to_anybody};
use ringwall_tests::scenario::{
    PATIENCE, Scene, Worker, allow, at_lan, at_wan, metric, policy, talk,
};

const QUEUES: u32 = 8;

fn scene(hook: &str) -> (Scene, Vec<Echo>) {
    let lab = Lab::with_queues(QUEUES).unwrap();
    let config = format!("{hook}sessions: {{max: 1024, half_open_max: 512}}\n");
    let host = Host::start(lab.host(), &["lan0", "wan0"], &config).unwrap();
    let scene = Scene { host, lab };
    let names = format!(
        "{}, limit: {{rate: 1/h, burst: 100}}",
        allow("names", "udp/53")
    );
    let web = format!("{}, max_sessions: {{count: 600}}", allow("web", "tcp/443"));
    scene.put(&policy(1, &[names, web])).unwrap();
    way_back_to_anybody(&scene).unwrap();
    let any = |port| ([0_u16; 8], port).into();
    let host = scene.lab.host();
    // Else listeners answer with cookies, and nothing has to give way.
    host.sysctl("ipv4/tcp_syncookies", "0").unwrap();
    let servers = vec![
        Echo::tcp(host, any(443)).unwrap(),
        Echo::udp(host, any(53)).unwrap(),
    ];
    (scene, servers)
}

fn sum(scene: &Scene, name: &str, label: &str) -> u64 {
    metric(&scene.host.metrics().unwrap(), name, &[label]) as u64
}

#[test]
fn bounds_and_tables_hold_where_several_cpus_judge() {
    need_root!();
    for hook in ["", "hook: xdp\n"] {
        let (scene, _servers) = scene(hook);
        let live: Vec<_> = [false, true]
            .map(|v6| connect(scene.stranger(), at_wan(v6, 443), PATIENCE).unwrap())
            .into_iter()
            .map(talk)
            .collect();
        // Of a bucket of 100 exactly 100 are taken, whoever asks at the same time.
        let sent = at_once(&scene, 53, false, 1000).unwrap();
        let limited = || {
            sum(
                &scene,
                "ringwall_sessions_refused_total",
                "reason=\"rate-limited\"",
            )
        };
        let all = wait_until(2 * PATIENCE, || (limited() == sent - 100).then_some(()));
        // A veth that is overrun loses some, and nobody is let in for them.
        assert!(all.is_some() || limited() <= sent - 100, "{}", limited());
        let opened = sum(
            &scene,
            "ringwall_sessions_opened_total",
            "zone=\"internet\"",
        );
        assert!(opened <= 100 + 2, "{opened}");
        // Openings without end: the table stays within its size, who talks does not notice, who is trusted gets in.
        let sent = at_once(&scene, 443, true, 3000).unwrap();
        for round in 0..10 {
            let seen = tcp(scene.trusted(), at_lan(round % 2 == 1, 443), PATIENCE);
            assert_eq!(seen, Seen::Answered, "{hook} round {round}");
        }
        let status = scene.status().unwrap();
        assert!(
            status["sessions"]["half_open"].as_u64().unwrap() <= 512,
            "{status:#}"
        );
        for talked in live.into_iter().map(Worker::finish) {
            assert_eq!(talked.error, None);
        }
        println!("{hook}{sent} SYNs: {:#}", status["sessions"]);
    }
}
