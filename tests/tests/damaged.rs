//! Damaged files of the agent's own do not leave a host unguarded after a reboot, and are told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen};
use ringwall_tests::net::wait_until;
use ringwall_tests::scenario::{PATIENCE, Scene, allow, policy};
use rustix::process::{Pid, Signal, kill_process};

const CLOSED: [Seen; 2] = [Seen::Silence, Seen::Silence];
const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];
/// Served, and allowed by nobody.
const SHUT: u16 = 80;

/// A host whose policy allows 443, and whose agent file is this; with its servers.
fn guarded(config: &str) -> (Scene, Vec<Echo>) {
    let scene = Scene::configured(config).unwrap();
    let serve = |port: u16| Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap();
    let servers = [22, SHUT, 443].map(serve).into();
    scene.put(&policy(1, &[allow("web", "tcp/443")])).unwrap();
    (scene, servers)
}

/// A service manager that waits for words.
struct Manager(UnixDatagram);

impl Manager {
    fn of(scene: &mut Scene) -> Self {
        let path = scene.host.dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let path = path.to_str().unwrap().to_owned();
        scene.host.vars.push(("NOTIFY_SOCKET", path));
        Self(socket)
    }

    /// Waits until a word with this in it has come; all that came before it.
    fn hears(&self, wanted: &str) -> Vec<String> {
        let mut all = Vec::new();
        let heard = wait_until(2 * PATIENCE, || {
            let mut buffer = [0; 1024];
            let length = self.0.recv(&mut buffer).ok()?;
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            all.last()?.contains(wanted).then_some(())
        });
        assert!(heard.is_some(), "{wanted} did not come: {all:?}");
        all
    }
}

fn warnings(scene: &Scene) -> String {
    scene.status().unwrap()["warnings"].to_string()
}

/// A failsafe rule that lets the stranger in by SSH.
const FAILSAFE: &str = "failsafe: [{sources: [203.0.113.9, \"2001:db8::9\"], services: [ssh]}]\n";

#[test]
fn a_damaged_agent_file_gives_way_to_its_last_good_copy_under_a_service_manager() {
    need_root!();
    let (mut scene, _servers) = guarded(FAILSAFE);
    assert_eq!((scene.knock(22), scene.knock(SHUT)), (OPEN, CLOSED));
    let file = scene.host.dir.config();
    let good = std::fs::read(&file).unwrap();
    scene.reboot(SHUT);
    std::fs::write(&file, "failsafe: [{sources: [203.0.113.9\n").unwrap();
    // By hand: the error, as ever.
    let ran = scene.host.cli(&["run", "--interface", "wan0"]).unwrap();
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("agent.yaml"), "{ran:?}");
    let manager = Manager::of(&mut scene);
    scene.host.restart().unwrap();
    manager.hears("READY=1");
    let knocks = [22, SHUT, 443].map(|port| scene.knock(port));
    assert_eq!(knocks, [OPEN, CLOSED, OPEN]);
    let told = warnings(&scene);
    assert!(
        told.contains("last good copy") && told.contains("agent.yaml"),
        "{told}"
    );
    // Mended, and read again.
    std::fs::write(&file, &good).unwrap();
    let pid = scene.host.agent().unwrap().pid();
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    let well = || (!warnings(&scene).contains("last good copy")).then_some(());
    assert!(wait_until(PATIENCE, well).is_some(), "{}", warnings(&scene));
    // Without any good copy there is nothing to go by.
    scene.reboot(SHUT);
    std::fs::write(&file, "failsafe: [").unwrap();
    std::fs::remove_file(scene.host.dir.state().join("agent.last-good.yaml")).unwrap();
    scene.host.spawn().unwrap();
    let ended = wait_until(PATIENCE, || scene.host.agent().unwrap().ended());
    assert_eq!(ended.unwrap().code(), Some(2));
}

#[test]
fn damaged_records_give_way_to_their_copies() {
    need_root!();
    let (mut scene, _servers) = guarded("");
    scene.reboot(SHUT);
    let state = scene.host.dir.state();
    for name in ["history.json", "numbers.json"] {
        std::fs::write(state.join(name), "{\"version\": 1, \"rec").unwrap();
    }
    scene.host.restart().unwrap();
    assert_eq!((scene.knock(SHUT), scene.knock(443)), (CLOSED, OPEN));
    assert_eq!(scene.revision().unwrap(), Some(1));
    let told = warnings(&scene);
    for name in [
        "history.json is damaged",
        "numbers.json is damaged",
        "its copy is used",
    ] {
        assert!(told.contains(name), "{told}");
    }
    assert!(state.join("history.damaged").exists() && state.join("numbers.damaged").exists());
    scene.put(&policy(2, &[])).unwrap();
    // The copies have taken their places.
    scene.reboot(SHUT);
    scene.host.restart().unwrap();
    assert!(
        !warnings(&scene).contains("damaged"),
        "{}",
        warnings(&scene)
    );
    assert_eq!(
        (scene.knock(443), scene.revision().unwrap()),
        (CLOSED, Some(2))
    );
}

#[test]
fn a_host_whose_metrics_nobody_can_read_is_guarded() {
    need_root!();
    let (mut scene, _servers) = guarded("");
    scene.host.kill9();
    let at = ringwall_tests::net::METRICS.parse().unwrap();
    let other = Echo::tcp(scene.lab.host(), at).unwrap();
    scene.host.restart().unwrap();
    assert_eq!((scene.knock(SHUT), scene.knock(443)), (CLOSED, OPEN));
    let told = || warnings(&scene).contains("metrics");
    assert!(wait_until(PATIENCE, || told().then_some(())).is_some());
    drop(other);
    let served = || {
        scene
            .host
            .metrics()
            .ok()
            .filter(|text| text.contains("ringwall_"))
    };
    assert!(
        wait_until(3 * PATIENCE, served).is_some(),
        "{}",
        scene.host.log()
    );
    assert!(!told());
}

#[test]
fn ready_is_said_only_when_the_hooks_hold_by_the_policy_that_was_in_force() {
    need_root!();
    let (mut scene, _servers) = guarded("");
    scene.reboot(SHUT);
    let kept = scene.host.dir.state().join("revisions/000001");
    for entry in std::fs::read_dir(kept).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let manager = Manager::of(&mut scene);
    scene.host.restart().unwrap();
    let said = manager.hears("STATUS=not ready: the policy of the history is not in force");
    assert!(
        !said.iter().any(|word| word.contains("READY=1")),
        "{said:?}"
    );
    // All is served meanwhile, so that somebody can repair it.
    assert!(warnings(&scene).contains("NOTHING IS FILTERED"));
    std::thread::sleep(Duration::from_secs(2));
    scene.put(&policy(2, &[allow("web", "tcp/443")])).unwrap();
    let said = manager.hears("READY=1");
    let ready = said.iter().filter(|word| word.contains("READY=1")).count();
    assert_eq!(ready, 1, "{said:?}");
    assert_eq!((scene.knock(SHUT), scene.knock(443)), (CLOSED, OPEN));
}
