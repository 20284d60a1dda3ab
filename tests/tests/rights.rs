//! Who may do what, and what `ringwall run` refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ringwall_tests::need_root;
use ringwall_tests::net::{Host, Lab, Netns, Ran, RunDir, binary, wait_until};
use ringwall_tests::scenario::{PATIENCE, Scene, allow, policy};

/// A group id that nothing on this machine uses.
const GROUP: &str = "64242";

/// The program at a place where anyone may start it.
struct Public(tempfile::TempDir);

impl Public {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::copy(binary().unwrap(), dir.path().join("ringwall")).unwrap();
        Self(dir)
    }

    /// Runs it as nobody, in these further groups only.
    fn as_nobody(&self, ns: &Netns, dir: &RunDir, groups: &str, args: &[&str]) -> Ran {
        let groups = if groups.is_empty() {
            "--clear-groups".to_owned()
        } else {
            format!("--groups={groups}")
        };
        let who = ["--reuid=65534", "--regid=65534", &groups];
        let command = ns
            .command("setpriv")
            .args(who)
            .args([self.0.path().join("ringwall")]);
        command.args(args).envs(dir.env()).run().unwrap()
    }
}

/// A policy file that nobody can read.
fn candidate(dir: &RunDir) -> PathBuf {
    let file = dir.path().join("config/candidate.yaml");
    std::fs::write(&file, policy(2, &[allow("ssh", "tcp/22")])).unwrap();
    file
}

#[test]
fn nobody_may_neither_read_nor_write() {
    need_root!();
    let scene = Scene::guarded(&[allow("web", "tcp/443")]).unwrap();
    let (public, dir) = (Public::new(), &scene.host.dir);
    let file = candidate(dir);
    let socket = std::fs::metadata(dir.socket()).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);
    // By the socket's mode, and then, where that is no obstacle, by who asks.
    for mode in [0o660, 0o666] {
        std::fs::set_permissions(dir.socket(), Permissions::from_mode(mode)).unwrap();
        for args in [
            &["status"][..],
            &["sessions"],
            &["policy", "show"],
            &["apply", &file.to_string_lossy()],
            &["rollback"],
            &["detach"],
        ] {
            let ran = public.as_nobody(scene.lab.host(), dir, "", args);
            assert_eq!(ran.status, 4, "{mode:o} {args:?}: {ran:?}");
        }
    }
    assert_eq!(scene.revision().unwrap(), Some(1));
    let ran = public.as_nobody(scene.lab.host(), dir, "", &["run"]);
    assert!(ran.status == 4 && ran.err.contains("root"), "{ran:?}");
}

/// An agent that finds a group `ringwall` on the machine.
fn with_group(lab: &Lab) -> (Host, ringwall_tests::net::Daemon) {
    let host = Host::prepare(lab.host(), &[], "").unwrap();
    let group = host.dir.path().join("group");
    let text = std::fs::read_to_string("/etc/group").unwrap();
    std::fs::write(&group, format!("{text}ringwall:x:{GROUP}:\n")).unwrap();
    // Mounted beforehand, so that its pins are seen outside of the agent's own mount namespace.
    host.dir.mount_bpffs().unwrap();
    let line =
        "mount --bind \"$0\" /etc/group && exec \"$1\" run --interface lan0 --interface wan0";
    let command = lab
        .host()
        .command("unshare")
        .args(["--mount", "sh", "-c", line]);
    let command = command
        .args([group, binary().unwrap()])
        .envs(host.dir.env());
    let daemon = command.daemon(&host.dir.log()).unwrap();
    let ready = || host.cli(&["status"]).is_ok_and(|r| r.ok()).then_some(());
    assert!(wait_until(6 * PATIENCE, ready).is_some(), "{}", host.log());
    (host, daemon)
}

#[test]
fn members_of_the_group_may_read_and_not_write() {
    need_root!();
    let lab = Lab::quiet().unwrap();
    let (host, mut agent) = with_group(&lab);
    let public = Public::new();
    let ran = host.apply(&policy(1, &[allow("web", "tcp/443")])).unwrap();
    assert!(ran.ok(), "{ran:?}");
    let file = candidate(&host.dir);
    let packet = "tcp 203.0.113.9:40000 -> host:443 in wan0";
    for (args, status) in [
        (&["status"][..], 0),
        (&["sessions"], 0),
        (&["policy", "show"], 0),
        (&["history"], 0),
        (&["policy", "explain", packet], 0),
        (&["apply", &file.to_string_lossy()], 4),
        (&["rollback"], 4),
        (&["detach"], 4),
    ] {
        let ran = public.as_nobody(lab.host(), &host.dir, GROUP, args);
        assert_eq!(ran.status, status, "{args:?}: {ran:?}");
        let stranger = public.as_nobody(lab.host(), &host.dir, "", args);
        assert_eq!(stranger.status, 4, "{args:?}: {stranger:?}");
    }
    assert_eq!(host.json(&["status"]).unwrap()["policy"]["revision"], 1);
    agent.stop(PATIENCE).unwrap();
}

/// Runs `ringwall run ARGS`, which is expected to end by itself.
fn run(ns: &Netns, dir: &RunDir, more: &[(&'static str, PathBuf)], args: &[&str]) -> Ran {
    let command = ns.command("timeout").args(["60"]).args([binary().unwrap()]);
    let command = command.args(["run"]).args(args);
    command.envs(dir.env()).envs(more.to_vec()).run().unwrap()
}

#[test]
fn two_agents_do_not_share_their_pins() {
    need_root!();
    let mut scene = Scene::guarded(&[allow("web", "tcp/443")]).unwrap();
    let pid = scene.host.agent().unwrap().pid().to_string();
    let other = RunDir::new("other").unwrap();
    let pins = [("RINGWALL_BPF_DIR", scene.host.dir.bpf())];
    let ran = run(scene.lab.host(), &other, &pins, &["--interface", "lan0"]);
    assert!(
        ran.status == 1 && ran.err.contains(&pid),
        "pid {pid} in {ran:?}"
    );
    // Its twin, down to the socket.
    let ran = run(
        scene.lab.host(),
        &scene.host.dir,
        &[],
        &["--interface", "lan0"],
    );
    assert!(
        ran.status == 1 && ran.err.contains(&pid),
        "pid {pid} in {ran:?}"
    );
    assert_eq!(scene.revision().unwrap(), Some(1));
}

#[test]
fn run_refuses_nonsense() {
    need_root!();
    let ns = Netns::new("host").unwrap();
    let dir = RunDir::new("host").unwrap();
    let with = |text: &str| {
        std::fs::write(dir.config(), text).unwrap();
        run(&ns, &dir, &[], &[])
    };
    for (text, words) in [
        (
            "labels: {role: web}\nlables: {}\n",
            &["agent.yaml:2:1", "labels"][..],
        ),
        ("sessions: {max: many}\n", &["agent.yaml:1:17"]),
        (
            "failsafe: [{sources: [anyone], services: [ssh]}]\n",
            &["agent.yaml:1:", "anyone"],
        ),
        ("metrics: [}\n", &["agent.yaml:1:"]),
    ] {
        let ran = with(text);
        assert_eq!(ran.status, 2, "{text}: {ran:?}");
        assert!(
            words.iter().all(|w| ran.err.contains(w)),
            "{words:?} in {ran:?}"
        );
    }
    assert!(!Path::new(&dir.socket()).exists());
    std::fs::remove_file(dir.config()).unwrap();
    assert_eq!(run(&ns, &dir, &[], &["--nonsense"]).status, 2);
}
