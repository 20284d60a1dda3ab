//! The agent with no more rights than its unit gives it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::path::Path;

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen};
use ringwall_tests::net::{Host, Lab};
use ringwall_tests::scenario::{Scene, allow, policy};

const CLOSED: [Seen; 2] = [Seen::Silence, Seen::Silence];
const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];

/// `CapabilityBoundingSet=` of the unit, as `setpriv` writes it.
fn capabilities() -> String {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/ringwall.service");
    let text = std::fs::read_to_string(unit).unwrap();
    let mut lines = text.lines();
    let named = lines
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="))
        .unwrap();
    let words = named
        .split(' ')
        .map(|name| name.trim_start_matches("CAP_").to_lowercase());
    words.fold("-all".to_owned(), |all, word| format!("{all},+{word}"))
}

#[test]
fn the_capabilities_of_the_unit_are_enough() {
    need_root!();
    let lab = Lab::quiet().unwrap();
    let mut host = Host::prepare(lab.host(), &["lan0", "wan0"], "").unwrap();
    // The unit relies on a bpffs that is mounted: mounting takes more than it is given.
    host.dir.mount_bpffs().unwrap();
    let bounding = format!("--bounding-set={}", capabilities());
    host.starter = ["setpriv", "--no-new-privs", &bounding]
        .map(str::to_owned)
        .to_vec();
    host.restart().unwrap();
    let mut scene = Scene { host, lab };
    let serve = |port: u16| Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap();
    let _servers = [serve(22), serve(443)];

    scene.put(&policy(1, &[allow("web", "tcp/443")])).unwrap();
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    scene.host.restart().unwrap();
    scene.put(&policy(2, &[allow("ssh", "tcp/22")])).unwrap();
    assert_eq!((scene.knock(22), scene.knock(443)), (OPEN, CLOSED));
    for args in [
        &["status"][..],
        &["sessions"],
        &["policy", "show"],
        &[
            "policy",
            "explain",
            "tcp 203.0.113.9:40000 -> host:22 in wan0",
        ],
        &["rollback"],
    ] {
        let ran = scene.host.cli(args).unwrap();
        assert!(ran.ok(), "{args:?}: {ran:?}");
    }
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    let log = scene.host.log();
    for bad in ["not permitted", "Permission denied", "ERROR"] {
        assert!(!log.contains(bad), "{log}");
    }
}
