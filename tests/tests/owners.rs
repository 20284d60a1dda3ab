//! Which process a connection is of: told when it connects or listens, also where it is gone a moment later.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::net::SocketAddr;
use std::time::Duration;

use ringwall_tests::faults::{Fresh, World, own};
use ringwall_tests::need_root;
use ringwall_tests::net::sock::{self, Echo, Seen};
use ringwall_tests::scenario::PATIENCE;
use ringwall_tests::scenario::records::wait_for;
use serde_json::Value;

/// Connects with a program of this name, which ends at once; its process.
fn call(world: &World, program: &str, to: SocketAddr) -> u32 {
    let path = world.host.dir.path().join(program);
    std::fs::copy("/bin/bash", &path).unwrap();
    let script = format!("echo $$; exec 3<>/dev/tcp/{}/{}", to.ip(), to.port());
    let ran = world.ns.command(&path).args(["-c", &script]).run().unwrap();
    ran.out.trim().parse().unwrap_or_else(|_| panic!("{ran:?}"))
}

fn told(world: &World, event: &str, fresh: Fresh) -> Value {
    let filter = format!("port {}", fresh.port);
    let all = wait_for(&world.host, event, &filter, 1, 2 * PATIENCE);
    all[0].clone()
}

#[test]
fn who_connects_is_named_also_when_it_is_refused_and_gone() {
    need_root!();
    let world = World::new().unwrap();
    for v6 in [false, true] {
        let open = world.fresh(v6).unwrap();
        let _server = Echo::tcp(&world.peer, open.there()).unwrap();
        let pid = call(&world, "caller", open.there());
        let process = &told(&world, "open", open)["process"];
        assert_eq!(process["pid"], pid, "{process:#}");
        assert_eq!(process["comm"], "caller");
        assert_eq!(process["uid"], 0);
        let refused = world.fresh(v6).unwrap();
        let pid = call(&world, "unlucky", refused.there());
        let record = told(&world, "one_sided", refused);
        assert_eq!(record["cause"], "refused");
        assert_eq!(record["process"]["pid"], pid, "{record:#}");
        let rows = world.host.json(&["one-sided"]).unwrap();
        let rows = rows.as_array().unwrap();
        let row = rows
            .iter()
            .find(|row| row["destination_port"] == refused.port);
        assert_eq!(row.unwrap()["process"]["comm"], "unlucky");
    }
    let picked = world.host.cli(&["flows", "process unlucky"]).unwrap();
    assert!(
        picked.out.contains("unlucky[") && !picked.out.contains("caller["),
        "{picked:?}"
    );
}

#[test]
fn who_listens_is_named_and_nobody_once_it_does_no_more() {
    need_root!();
    let world = World::new().unwrap();
    for v6 in [false, true] {
        let fresh = world.fresh(v6).unwrap();
        let to = SocketAddr::new(own(v6), fresh.port);
        let server = Echo::tcp(&world.ns, to).unwrap();
        let from = Some(fresh.address);
        assert_eq!(
            sock::tcp_from(&world.peer, from, to, PATIENCE),
            Seen::Answered
        );
        let process = &told(&world, "open", fresh)["process"];
        assert_eq!(process["pid"], std::process::id(), "{process:#}");
        let rows = world
            .host
            .json(&["sessions", &format!("port {}", fresh.port)])
            .unwrap();
        assert_eq!(rows[0]["process"]["pid"], std::process::id(), "{rows:#}");
        drop(server);
        let again = sock::tcp_from(&world.peer, from, to, Duration::from_secs(1));
        assert_eq!(again, Seen::Refused);
        let record = told(&world, "one_sided", fresh);
        assert_eq!(record["cause"], "no-listener");
        assert!(record.get("process").is_none(), "{record:#}");
    }
}

#[test]
fn a_name_cannot_steer_a_terminal() {
    need_root!();
    let world = World::new().unwrap();
    let fresh = world.fresh(false).unwrap();
    let _server = Echo::tcp(&world.peer, fresh.there()).unwrap();
    call(&world, "a\u{1b}[31m\"b", fresh.there());
    let record = told(&world, "open", fresh);
    assert_eq!(record["process"]["comm"], "a\u{1b}[31m\"b");
    for words in [
        &["flows"][..],
        &["sessions"],
        &["one-sided"],
        &["flows", "-o", "ndjson"],
    ] {
        let shown = world.host.cli(words).unwrap();
        assert!(shown.ok() && !shown.out.contains('\u{1b}'), "{shown:?}");
    }
}
