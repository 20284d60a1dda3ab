//! A reboot: nothing is pinned any more, and the confirmed policy is in force at once, whatever became of
//! its files meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen};
use ringwall_tests::scenario::{Scene, allow, policy};
use rustix::mount::{UnmountFlags, unmount};

const CLOSED: [Seen; 2] = [Seen::Silence, Seen::Silence];
const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];

/// A policy with a list file of so many prefixes, beside it, that are denied the web server.
fn listed(scene: &Scene, prefixes: u32) -> String {
    let mut list = String::new();
    for n in 0..prefixes {
        let _ = writeln!(
            list,
            "100.{}.{}.{}/32",
            64 + (n >> 16),
            (n >> 8) & 255,
            n & 255
        );
    }
    std::fs::write(scene.host.dir.path().join("config/banned.txt"), list).unwrap();
    let banned = "name: banned, action: deny, services: [tcp/443], sources: [banned]".to_owned();
    let text = policy(1, &[banned, allow("web", "tcp/443")]);
    text.replace("zones:", "sets: {banned: {file: banned.txt}}\nzones:")
}

fn kept(scene: &Scene) -> PathBuf {
    scene.host.dir.state().join("revisions/000001")
}

#[test]
fn the_saved_form_is_in_force_though_every_text_and_list_is_lost() {
    need_root!();
    let mut scene = Scene::new().unwrap();
    let _servers =
        [22, 443].map(|port| Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap());
    scene.put(&listed(&scene, 10)).unwrap();
    scene.reboot(22);
    for path in [
        scene.host.dir.path().join("config/banned.txt"),
        scene.host.dir.path().join("config/candidate.yaml"),
        kept(&scene).join("banned.txt"),
    ] {
        std::fs::remove_file(path).unwrap();
    }
    std::fs::write(scene.host.dir.policy(), "nonsense: [").unwrap();
    std::fs::write(kept(&scene).join("candidate.yaml"), "nonsense: [").unwrap();
    scene.host.restart().unwrap();
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    assert_eq!(scene.revision().unwrap(), Some(1));
    let rules = scene.host.json(&["policy", "show"]).unwrap();
    let ids: Vec<_> = rules
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["id"].clone())
        .collect();
    assert!(ids.contains(&"in/banned".into()), "{ids:?}");
    let log = scene.host.log();
    assert!(
        log.contains("from the history") && log.contains("saved compiled form"),
        "{log}"
    );
}

#[test]
fn a_damaged_saved_form_is_noted_and_the_text_serves() {
    need_root!();
    let mut scene = Scene::guarded(&[allow("web", "tcp/443")]).unwrap();
    let _servers =
        [22, 443].map(|port| Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap());
    scene.reboot(22);
    let saved = kept(&scene).join("compiled.bin");
    let mut bytes = std::fs::read(&saved).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&saved, &bytes).unwrap();
    scene.host.restart().unwrap();
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    let log = scene.host.log();
    assert!(
        log.contains("is not used") && log.contains("checksum"),
        "{log}"
    );
    bytes[last] ^= 1;
    assert_eq!(std::fs::read(&saved).unwrap(), bytes, "it is saved anew");
}

/// A rule whose time runs out while the machine is off does not come back; one that has time left keeps it.
#[test]
fn what_has_expired_stays_expired() {
    need_root!();
    let mut scene = Scene::new().unwrap();
    let _servers =
        [80, 443].map(|port| Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap());
    let until = |seconds| jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    let rule = |name: &str, port, expires: jiff::Timestamp| {
        format!(
            "{}, expires: \"{expires:.0}\"",
            allow(name, &format!("tcp/{port}"))
        )
    };
    let (soon, late) = (until(12), until(3600));
    scene
        .put(&policy(1, &[rule("a", 80, soon), rule("b", 443, late)]))
        .unwrap();
    assert_eq!((scene.knock(80), scene.knock(443)), (OPEN, OPEN));
    scene.host.kill9();
    while unmount(scene.host.dir.bpf(), UnmountFlags::DETACH).is_ok() {}
    std::fs::remove_file(kept(&scene).join("candidate.yaml")).unwrap();
    while jiff::Timestamp::now() <= soon {
        std::thread::sleep(Duration::from_millis(100));
    }
    scene.host.restart().unwrap();
    assert_eq!((scene.knock(80), scene.knock(443)), (CLOSED, OPEN));
}

/// Not judged, only shown: how long a start takes with the saved form, and without.
#[test]
fn a_long_list_comes_back_fast() {
    need_root!();
    let mut scene = Scene::new().unwrap();
    let _ssh = Echo::tcp(scene.lab.host(), ([0_u16; 8], 22).into()).unwrap();
    scene.put(&listed(&scene, 50_000)).unwrap();
    for way in ["the saved form", "the text"] {
        scene.reboot(22);
        if way == "the text" {
            std::fs::remove_file(kept(&scene).join("compiled.bin")).unwrap();
        }
        let begin = Instant::now();
        scene.host.restart().unwrap();
        println!("50,000 prefixes from {way}: ready in {:?}", begin.elapsed());
        assert_eq!(scene.knock(22), CLOSED);
    }
}
