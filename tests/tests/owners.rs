//! Which process a connection is of: told when it connects or listens, also where it is gone a moment later.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::net::SocketAddr;

use ringwall_tests::faults::{Fresh, World, own};
use ringwall_tests::net::sock::{self, Echo, Seen};
use ringwall_tests::net::{Netns, Ran, wait_until};
use ringwall_tests::scenario::PATIENCE;
use ringwall_tests::scenario::records::{records, wait_for};
use ringwall_tests::{need_root, skip};
use serde_json::Value;

/// A world with an agent that sees who calls.
fn world() -> Option<World> {
    let world = World::new().unwrap();
    (!world.host.log().contains("owners are not known")).then_some(world)
}

macro_rules! world {
    () => {
        match world() {
            Some(world) => world,
            None => skip!("this kernel does not tell who calls"),
        }
    };
}

/// Connects with a program of this name, which ends at once; its process, where it got so far.
fn call(world: &World, ns: &Netns, program: &str, to: SocketAddr) -> u32 {
    let path = world.host.dir.path().join(program);
    std::fs::copy("/bin/bash", &path).unwrap();
    let script = format!("echo $$; exec 3<>/dev/tcp/{}/{}", to.ip(), to.port());
    let ran: Ran = ns.command(&path).args(["-c", &script]).run().unwrap();
    ran.out.trim().parse().unwrap_or_else(|_| panic!("{ran:?}"))
}

fn told(world: &World, event: &str, port: u16) -> Value {
    let filter = format!("port {port}");
    let all = wait_for(&world.host, event, &filter, 1, 2 * PATIENCE);
    all[0].clone()
}

#[test]
fn who_connects_is_named_also_when_it_is_refused_and_gone() {
    need_root!();
    let world = world!();
    for v6 in [false, true] {
        let open = world.fresh(v6).unwrap();
        let _server = Echo::tcp(&world.peer, open.there()).unwrap();
        let pid = call(&world, &world.ns, "caller", open.there());
        let process = &told(&world, "open", open.port)["process"];
        assert_eq!(process["pid"], pid, "{process:#}");
        assert_eq!(process["comm"], "caller");
        assert_eq!(process["uid"], 0);
        let refused = world.fresh(v6).unwrap();
        let pid = call(&world, &world.ns, "unlucky", refused.there());
        let record = told(&world, "one_sided", refused.port);
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
    let world = world!();
    for v6 in [false, true] {
        let fresh = world.fresh(v6).unwrap();
        let to = SocketAddr::new(own(v6), fresh.port);
        // Elsewhere the same port is somebody else's.
        let _other = Echo::tcp(&world.peer, fresh.there()).unwrap();
        let server = Echo::tcp(&world.ns, to).unwrap();
        let stranger = call(&world, &world.peer, "stranger", to);
        let mine = std::process::id();
        let process = &told(&world, "open", fresh.port)["process"];
        assert_eq!(process["pid"], mine, "{process:#}, not {stranger}");
        let filter = format!("port {} and process {mine}", fresh.port);
        let held = sock::connect_from(&world.peer, Some(fresh.address), to, PATIENCE);
        let rows = world.host.json(&["sessions", &filter]).unwrap();
        assert_eq!(rows[0]["process"]["pid"], mine, "{rows:#}");
        drop((held, server));
        let again = || sock::tcp_from(&world.peer, Some(fresh.address), to, PATIENCE);
        let refused = wait_until(PATIENCE, || (again() == Seen::Refused).then_some(()));
        refused.expect("nobody listens any more");
        let record = unheard(&world, fresh.port);
        assert!(record.get("process").is_none(), "{record:#}");
    }
}

/// The record of a handshake for which nobody listened.
fn unheard(world: &World, port: u16) -> Value {
    let found = wait_until(2 * PATIENCE, || {
        let filter = format!("port {port}");
        let all = records(&world.host, &filter).unwrap();
        all.into_iter()
            .find(|record| record["cause"] == "no-listener")
    });
    found.expect("`no-listener` is told")
}

/// The processes that hold live sessions to a place, by the source port.
fn owners_at(world: &World, fresh: Fresh, count: usize) -> Vec<u64> {
    let filter = format!("dst {} and port {}", fresh.address, fresh.port);
    let all = wait_until(PATIENCE, || {
        let rows = world.host.json(&["sessions", &filter]).unwrap();
        let pids: Vec<u64> = rows
            .as_array()?
            .iter()
            .filter_map(|row| row["process"]["pid"].as_u64())
            .collect();
        (pids.len() == count).then_some(pids)
    });
    all.expect("all of them have an owner")
}

/// Two processes that call the same place in the same moment: the end of each handshake says whose it was.
#[test]
fn of_two_that_call_at_once_each_owns_its_own() {
    need_root!();
    let world = world!();
    for v6 in [false, true] {
        let fresh = world.fresh(v6).unwrap();
        let _server = Echo::tcp(&world.peer, fresh.there()).unwrap();
        let to = format!("/dev/tcp/{}/{}", fresh.address, fresh.port);
        let enough = world
            .host
            .dir
            .path()
            .join(format!("enough{}", fresh.number));
        let script = format!(
            "for i in 1 2 3; do (exec 3<>{to}; echo $BASHPID; \
             for n in {{1..600}}; do [ -e {} ] && break; sleep 0.1; done) & done; wait",
            enough.display()
        );
        let ns = world.ns.clone();
        let talk = std::thread::spawn(move || {
            let command = ns.command("bash").args(["-c", &script]);
            command.run().unwrap()
        });
        let mut owners = owners_at(&world, fresh, 3);
        std::fs::write(&enough, "").unwrap();
        let ran = talk.join().unwrap();
        let mut pids: Vec<u64> = ran.out.lines().map(|line| line.parse().unwrap()).collect();
        owners.sort_unstable();
        pids.sort_unstable();
        assert_eq!(owners, pids, "{ran:?}");
    }
}

#[test]
fn where_there_is_no_route_at_all_the_call_is_told_with_its_process() {
    need_root!();
    let world = world!();
    if world
        .host
        .log()
        .contains("calls that find no route are not seen")
    {
        skip!("cgroup2 is not to be had here");
    }
    world
        .ns
        .ip("route del default\nroute del ::/0\n")
        .expect("the default routes");
    for v6 in [false, true] {
        let fresh = world.unused(v6);
        let pid = call(&world, &world.ns, "lost", fresh.there());
        let record = told(&world, "one_sided", fresh.port);
        assert_eq!(record["cause"], "no-route", "{record:#}");
        assert_eq!(record["process"]["pid"], pid, "{record:#}");
        assert_eq!(record["traffic_direction"], "EGRESS", "{record:#}");
    }
}

/// In every output, text or JSON, and on the page of metrics.
#[test]
fn a_name_cannot_steer_a_terminal() {
    need_root!();
    let world = world!();
    let name = "a\u{1b}[31m\"b\u{85}";
    let fresh = world.fresh(false).unwrap();
    let _server = Echo::tcp(&world.peer, fresh.there()).unwrap();
    call(&world, &world.ns, name, fresh.there());
    let record = told(&world, "open", fresh.port);
    // What JSON does not escape, and a terminal may obey, is replaced.
    assert_eq!(
        record["process"]["comm"],
        name.replace('\u{85}', "\u{fffd}")
    );
    let refused = world.fresh(false).unwrap();
    call(&world, &world.ns, name, refused.there());
    told(&world, "one_sided", refused.port);
    let commands = [
        "flows",
        "sessions",
        "one-sided",
        "exposure",
        "drops",
        "status",
    ];
    for words in commands {
        for output in ["table", "json", "ndjson"] {
            let shown = world.host.cli(&[words, "-o", output]).unwrap();
            assert!(shown.ok(), "{shown:?}");
            let steers = |c: char| c.is_control() && c != '\n';
            assert!(!shown.out.contains(steers), "{shown:?}");
        }
    }
    let metrics = world.host.metrics().unwrap();
    assert!(!metrics.contains('\u{1b}') && !metrics.contains("[31m"));
}
