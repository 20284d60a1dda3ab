//! What lasts: through an orderly end, an interface that comes back, and many hands at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{self, Echo, Seen, connect, exchange};
use ringwall_tests::net::{Veth, wait_until};
use ringwall_tests::scenario::{PATIENCE, SHORT, Scene, allow, at_wan, policy};

const CLOSED: [Seen; 2] = [Seen::Silence, Seen::Silence];
const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];

fn web() -> String {
    allow("web", "tcp/443")
}

fn serve(scene: &Scene, port: u16) -> Echo {
    Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap()
}

#[test]
fn an_orderly_end_changes_nothing_for_packets() {
    need_root!();
    let mut scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 22), serve(&scene, 443)];
    let mut session = connect(scene.stranger(), at_wan(true, 443), PATIENCE).unwrap();
    scene.host.stop().unwrap();
    assert!(
        !scene.host.dir.socket().exists(),
        "the socket goes with the agent"
    );
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    assert_eq!(exchange(&mut session, PATIENCE), Seen::Answered);
    scene.host.restart().unwrap();
    assert_eq!(scene.revision().unwrap(), Some(1));
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    assert_eq!(exchange(&mut session, PATIENCE), Seen::Answered);
}

#[test]
fn an_interface_that_comes_back_is_guarded_again() {
    need_root!();
    let scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 22), serve(&scene, 443)];
    scene.lab.host().ip("link del wan0\n").unwrap();
    let guarded = |wanted: bool| {
        let status = scene.status().unwrap();
        let lines = status["interfaces"].as_array().unwrap().clone();
        let found = lines
            .iter()
            .any(|l| l["name"] == "wan0" && l["state"] == "guarded");
        (found == wanted).then_some(())
    };
    assert!(
        wait_until(PATIENCE, || guarded(false)).is_some(),
        "{}",
        scene.host.log()
    );
    Veth::between(
        (
            scene.lab.host(),
            "wan0",
            &["203.0.113.1/24", "2001:db8::1/64"],
        ),
        (
            scene.stranger(),
            "eth0",
            &["203.0.113.9/24", "2001:db8::9/64"],
        ),
    )
    .create()
    .unwrap();
    assert!(
        wait_until(PATIENCE, || guarded(true)).is_some(),
        "{}",
        scene.host.log()
    );
    // Its addresses are this host's once the agent has heard of them.
    let open = wait_until(PATIENCE, || (scene.knock(443) == OPEN).then_some(()));
    assert!(open.is_some(), "{}", scene.host.log());
    assert_eq!(scene.knock(22), CLOSED);
}

#[test]
fn many_applies_at_once_are_done_one_after_another() {
    need_root!();
    let scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 22), serve(&scene, 443)];
    let base = scene.host.dir.path().join("config");
    let apply = |revision: u64| {
        let file = base.join(format!("{revision}.yaml"));
        std::fs::write(&file, policy(revision, &[web()])).unwrap();
        let ran = scene.host.cli(&["apply", &file.to_string_lossy()]).unwrap();
        (revision, ran.status)
    };
    let results: Vec<(u64, i32)> = std::thread::scope(|s| {
        let apply = &apply;
        let threads: Vec<_> = (2..12).map(|n| s.spawn(move || apply(n))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    // Whoever comes after a higher one is refused; the highest always gets through.
    assert!(
        results.iter().all(|(_, status)| [0, 1].contains(status)),
        "{results:?}"
    );
    assert_eq!(results.last(), Some(&(11, 0)));
    assert_eq!(scene.revision().unwrap(), Some(11));
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    assert_eq!(
        sock::tcp(scene.trusted(), "10.77.0.1:22".parse().unwrap(), SHORT),
        Seen::Silence
    );
}
