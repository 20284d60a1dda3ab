//! `apply --confirm-within`: what is not confirmed goes back by itself, with or without an agent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange};
use ringwall_tests::net::{Daemon, binary, wait_until};
use ringwall_tests::scenario::{PATIENCE, SHORT, Scene, allow, at_wan, policy};
use serde_json::Value;

const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];
/// No firewall, no listener.
const REFUSED: [Seen; 2] = [Seen::Refused, Seen::Refused];
const CLOSED: [Seen; 2] = [Seen::Silence, Seen::Silence];

fn web() -> String {
    allow("web", "tcp/443")
}

fn api() -> String {
    allow("api", "tcp/8443")
}

fn serve(scene: &Scene, port: u16) -> Echo {
    Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap()
}

/// An apply that waits for its outcome, in the background.
struct Waiting {
    process: Daemon,
    said: PathBuf,
    /// Just before it began, so not after the deadline began to run.
    begun: Instant,
}

impl Waiting {
    fn start(scene: &Scene, text: &str, within: &str) -> Self {
        let directory = scene.host.dir.path().join("config");
        let (path, said) = (directory.join("pending.yaml"), directory.join("said"));
        std::fs::write(&path, text).unwrap();
        let _ = std::fs::remove_file(&said);
        let arguments = ["apply", path.to_str().unwrap(), "--confirm-within", within];
        let begun = Instant::now();
        let command = scene.host.ns.command(binary().unwrap());
        let command = command.args(arguments).args(["-o", "ndjson"]);
        let command = command.envs(scene.host.dir.env());
        let process = command.daemon(&said).unwrap();
        let this = Self {
            process,
            said,
            begun,
        };
        let first = wait_until(PATIENCE, || this.lines().into_iter().next());
        let first = first.unwrap_or_else(|| panic!("it says nothing: {}", this.text()));
        assert_eq!(first["outcome"], "pending-confirm");
        this
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// The JSON it has written so far.
    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().filter(|line| line.starts_with('{'));
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The exit status and the last outcome it wrote.
    fn end(mut self) -> (i32, String) {
        let ended = wait_until(4 * PATIENCE, || self.process.ended());
        let status = ended.expect("it ends").code().unwrap();
        let last = self.lines().pop().unwrap();
        (status, last["outcome"].as_str().unwrap().to_owned())
    }
}

/// Outcome of the newest record.
fn newest(scene: &Scene) -> Value {
    scene.host.json(&["history"]).unwrap()[0].clone()
}

#[test]
fn confirmed_in_time_it_stays() {
    need_root!();
    let scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 443), serve(&scene, 8443)];
    let waiting = Waiting::start(&scene, &policy(2, &[web(), api()]), "12s");
    assert_eq!(scene.knock(8443), OPEN);
    let status = scene.status().unwrap();
    assert_eq!(status["policy"]["outcome"], "pending-confirm", "{status:#}");
    // The same whenever it is asked.
    let by = status["policy"]["confirm_by"].as_str().unwrap();
    assert_eq!(scene.status().unwrap()["policy"]["confirm_by"], by);
    assert_eq!(newest(&scene)["confirm_by"], by);
    assert_eq!(newest(&scene)["outcome"], "pending-confirm");
    let table = scene.host.cli(&["status"]).unwrap().out;
    let line = table.lines().find(|line| line.starts_with("PENDING"));
    assert!(line.is_some_and(|line| !line.contains('.')), "{table}");

    let confirmed = scene.host.cli(&["confirm"]).unwrap();
    assert!(
        confirmed.ok() && confirmed.out.contains("confirmed"),
        "{confirmed:?}"
    );
    let begun = waiting.begun;
    assert_eq!(waiting.end(), (0, "applied".to_owned()));
    std::thread::sleep(Duration::from_secs(13).saturating_sub(begun.elapsed()));
    assert_eq!(scene.knock(8443), OPEN);
    let now = newest(&scene);
    assert_eq!(
        (&now["outcome"], &now["revision"]),
        (&"in-force".into(), &2.into())
    );
    assert!(now["confirmed"].is_string(), "{now:#}");
    let again = scene.host.cli(&["confirm"]).unwrap();
    assert_eq!(again.status, 1, "{again:?}");
}

#[test]
fn with_a_killed_agent_it_goes_back_and_sessions_are_judged_anew() {
    need_root!();
    let mut scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 443), serve(&scene, 8443)];
    let open = |v6, port| connect(scene.stranger(), at_wan(v6, port), PATIENCE).unwrap();
    let mut old = [false, true].map(|v6| open(v6, 443));
    let waiting = Waiting::start(&scene, &policy(2, &[web(), api()]), "12s");
    let mut new = [false, true].map(|v6| open(v6, 8443));
    for stream in old.iter_mut().chain(&mut new) {
        assert_eq!(exchange(stream, PATIENCE), Seen::Answered);
    }
    scene.host.kill9();
    assert_eq!(scene.knock(8443), OPEN);
    // By the kernel alone: nobody writes to the tables any more.
    let gone = wait_until(2 * PATIENCE, || {
        (scene.knock(8443) == CLOSED).then(|| waiting.begun.elapsed())
    });
    println!("closed {:?} after apply began", gone.expect("it goes back"));
    for stream in &mut new {
        assert_eq!(exchange(stream, SHORT), Seen::Silence);
    }
    for stream in &mut old {
        assert_eq!(exchange(stream, PATIENCE), Seen::Answered);
    }
    assert_eq!(waiting.end(), (5, "reverted".to_owned()));
    let pinned = scene.host.json(&["status"]).unwrap();
    assert_eq!(pinned["policy"]["revision"], 1, "{pinned:#}");

    scene.host.restart().unwrap();
    assert_eq!(newest(&scene)["outcome"], "reverted");
    let status = scene.status().unwrap();
    assert_eq!(
        (&status["policy"]["revision"], &status["policy"]["outcome"]),
        (&1.into(), &"in-force".into())
    );
    for stream in &mut old {
        assert_eq!(exchange(stream, PATIENCE), Seen::Answered);
    }
    let same = scene.host.apply(&policy(2, &[web(), api()])).unwrap();
    assert!(same.status == 1 && same.err.contains("--again"), "{same:?}");
    let again = scene
        .host
        .apply_with(&policy(2, &[web(), api()]), &["--again"]);
    assert!(again.unwrap().ok());
    assert_eq!(scene.knock(8443), OPEN);
}

#[test]
fn before_the_first_policy_there_is_nothing_to_go_back_to() {
    need_root!();
    let scene = Scene::new().unwrap();
    let _servers = [serve(&scene, 443), serve(&scene, 22)];
    let waiting = Waiting::start(&scene, &policy(1, &[web()]), "10s");
    assert_eq!(scene.knock(22), CLOSED);
    assert_eq!(waiting.end(), (5, "reverted".to_owned()));
    assert_eq!(scene.knock(22), OPEN);
    assert_eq!(scene.status().unwrap()["mode"], "no-policy");
    let path = scene.host.dir.path().join("config/text.yaml");
    std::fs::write(&path, policy(2, &[web()])).unwrap();
    let text = scene
        .host
        .cli(&["apply", path.to_str().unwrap(), "--confirm-within", "1s"])
        .unwrap();
    assert_eq!(text.status, 5);
    assert!(
        text.out.contains("nothing is filtered") && text.out.contains("NEW connection"),
        "{text:?}"
    );
    assert!(text.err.contains("reverted"), "{text:?}");
}

#[test]
fn a_restart_keeps_the_deadline_and_confirm_needs_no_agent() {
    need_root!();
    let mut scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 443), serve(&scene, 8443)];
    let waiting = Waiting::start(&scene, &policy(2, &[web(), api()]), "90s");
    scene.host.kill9();
    scene.host.restart().unwrap();
    let status = scene.status().unwrap();
    assert_eq!(status["policy"]["outcome"], "pending-confirm", "{status:#}");
    scene.host.kill9();
    let confirmed = scene.host.cli(&["confirm"]).unwrap();
    assert!(confirmed.ok(), "{confirmed:?}");
    assert_eq!(waiting.end(), (0, "applied".to_owned()));
    scene.host.restart().unwrap();
    assert_eq!(newest(&scene)["outcome"], "in-force");
    assert_eq!(scene.knock(8443), OPEN);
}

#[test]
fn while_one_waits_others_are_refused_and_a_rollback_ends_it() {
    need_root!();
    let scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 443), serve(&scene, 8443)];
    let waiting = Waiting::start(&scene, &policy(2, &[web(), api()]), "30s");
    let other = scene.host.apply(&policy(3, &[])).unwrap();
    assert!(
        other.status == 1 && other.err.contains("ringwall confirm"),
        "{other:?}"
    );
    let same = scene.host.apply(&policy(2, &[web(), api()])).unwrap();
    assert!(same.ok() && same.out.contains("unchanged"), "{same:?}");
    let back = scene.host.cli(&["rollback"]).unwrap();
    assert!(back.ok(), "{back:?}");
    assert_eq!(waiting.end(), (5, "reverted".to_owned()));
    assert_eq!((scene.knock(443), scene.knock(8443)), (OPEN, CLOSED));
    assert!(scene.host.apply(&policy(3, &[web()])).unwrap().ok());
}

#[test]
fn a_reboot_boots_what_was_confirmed_last() {
    need_root!();
    let mut scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 443), serve(&scene, 8443)];
    let waiting = Waiting::start(&scene, &policy(2, &[web(), api()]), "30s");
    scene.host.kill9();
    // What a reboot takes away.
    rustix::mount::unmount(scene.host.dir.bpf(), rustix::mount::UnmountFlags::DETACH).unwrap();
    let unguarded = wait_until(PATIENCE, || (scene.knock(22) == REFUSED).then_some(()));
    unguarded.expect("the links go with their pins");
    scene.host.restart().unwrap();
    assert_eq!(scene.revision().unwrap(), Some(1));
    assert_eq!(newest(&scene)["outcome"], "reverted");
    assert_eq!((scene.knock(443), scene.knock(8443)), (OPEN, CLOSED));
    assert_eq!(waiting.end(), (5, "reverted".to_owned()));
}

#[test]
fn a_time_that_is_none_is_wrong_usage() {
    need_root!();
    let scene = Scene::new().unwrap();
    for within in ["0s", "x", "60", "48h"] {
        let ran = scene
            .host
            .apply_with(&policy(1, &[]), &["--confirm-within", within]);
        assert_eq!(ran.unwrap().status, 2);
    }
}
