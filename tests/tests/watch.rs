//! What the agent does by itself when files change.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{self, Echo, Seen};
use ringwall_tests::net::wait_until;
use ringwall_tests::scenario::{PATIENCE, SHORT, Scene, allow, at_wan, metric, policy, rule};

fn serve(scene: &Scene, port: u16) -> Echo {
    Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap()
}

fn refusals(scene: &Scene) -> f64 {
    let text = scene.host.metrics().unwrap();
    metric(&text, "ringwall_policy_apply_total", &["refused"])
}

#[test]
fn an_edited_policy_is_applied_and_a_bad_edit_is_not() {
    need_root!();
    let scene = Scene::new().unwrap();
    let _ssh = serve(&scene, 22);
    let file = scene.host.dir.policy();
    std::fs::write(&file, policy(1, &[allow("web", "tcp/443")])).unwrap();
    scene.wait_for_revision(1).unwrap();
    assert_eq!(scene.knock(22), [Seen::Silence, Seen::Silence]);
    // As editors do it: a new file takes the old one's place.
    let new = file.with_extension("new");
    std::fs::write(&new, policy(2, &[allow("ssh", "tcp/22")])).unwrap();
    std::fs::rename(&new, &file).unwrap();
    scene.wait_for_revision(2).unwrap();
    assert_eq!(scene.knock(22), [Seen::Answered, Seen::Answered]);
    let history = scene.host.json(&["history"]).unwrap();
    let hows: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["how"])
        .collect();
    assert_eq!(hows, ["watch", "watch"]);

    let before = refusals(&scene);
    std::fs::write(&file, policy(3, &[rule("ssh", "alow", "tcp/22")])).unwrap();
    let counted = wait_until(2 * PATIENCE, || (refusals(&scene) > before).then_some(()));
    assert!(
        counted.is_some(),
        "a bad edit is counted; log:\n{}",
        scene.host.log()
    );
    assert_eq!(scene.revision().unwrap(), Some(2));
    assert_eq!(scene.knock(22), [Seen::Answered, Seen::Answered]);
    let log = scene.host.log();
    assert!(
        log.contains("policy.yaml:") && log.contains("alow"),
        "{log}"
    );
    let warnings = || scene.status().unwrap()["warnings"].to_string();
    let told = wait_until(PATIENCE, || {
        warnings().contains("policy.yaml").then_some(())
    });
    assert!(told.is_some(), "status tells: {}", warnings());
    let history = scene.host.json(&["history"]).unwrap();
    let last = &history[0];
    assert_eq!(last["outcome"], "refused", "{history:#}");
    assert_eq!(
        (&last["name"], &last["revision"]),
        (&"lab".into(), &3.into())
    );
    assert!(last["detail"].as_str().unwrap().contains("alow"));
}

#[test]
fn a_policy_that_others_may_write_is_not_taken() {
    need_root!();
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new().unwrap();
    let file = scene.host.dir.policy();
    let new = file.with_extension("new");
    std::fs::write(&new, policy(1, &[allow("web", "tcp/443")])).unwrap();
    std::fs::set_permissions(&new, Permissions::from_mode(0o666)).unwrap();
    std::fs::rename(&new, &file).unwrap();
    let told = || scene.host.log().contains("is refused").then_some(());
    assert!(
        wait_until(2 * PATIENCE, told).is_some(),
        "{}",
        scene.host.log()
    );
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(scene.revision().unwrap(), None);
}

#[test]
fn a_changed_list_judges_live_sessions_anew() {
    need_root!();
    let scene = Scene::new().unwrap();
    let _web = serve(&scene, 443);
    let base = scene.host.dir.path().join("config");
    let list = base.join("scanners.txt");
    std::fs::write(&list, "# nobody yet\n192.0.2.7\n").unwrap();
    let deny = "name: scanners, action: deny, sources: [scanners]".to_owned();
    let text =
        policy(1, &[deny, allow("web", "tcp/443")]) + "sets: {scanners: {file: scanners.txt}}\n";
    scene.put(&text).unwrap();
    let open = |v6| sock::connect(scene.stranger(), at_wan(v6, 443), PATIENCE).unwrap();
    let mut sessions = [open(false), open(true)];
    let mut talk = |first| {
        let patience = [first, PATIENCE];
        [0, 1].map(|i| sock::exchange(&mut sessions[i], patience[i]))
    };
    assert_eq!(talk(PATIENCE), [Seen::Answered, Seen::Answered]);
    let before = scene.status().unwrap()["policy"].clone();

    std::fs::write(&list, "192.0.2.7\n203.0.113.0/28\n").unwrap();
    let banned = || (scene.knock(443)[0] == Seen::Silence).then_some(());
    assert!(
        wait_until(2 * PATIENCE, banned).is_some(),
        "{}",
        scene.host.log()
    );
    assert_eq!(
        talk(SHORT),
        [Seen::Silence, Seen::Answered],
        "a ban cuts what it bans"
    );
    assert_eq!(
        scene.status().unwrap()["policy"],
        before,
        "members are outside the revision"
    );
    let revoked = metric(
        &scene.host.metrics().unwrap(),
        "ringwall_dropped_packets_total",
        &["\"revoked\""],
    );
    assert!(revoked > 0.0);

    std::fs::write(&list, "203.0.113.0/28\nnonsense\n").unwrap();
    let told = || scene.host.log().contains("nonsense").then_some(());
    assert!(
        wait_until(2 * PATIENCE, told).is_some(),
        "{}",
        scene.host.log()
    );
    assert_eq!(
        scene.knock(443),
        [Seen::Silence, Seen::Answered],
        "the old members stay"
    );
    std::fs::write(&list, "").unwrap();
    let free = || (scene.knock(443)[0] == Seen::Answered).then_some(());
    assert!(
        wait_until(2 * PATIENCE, free).is_some(),
        "{}",
        scene.host.log()
    );
}

/// A directory is one policy: the file with the metadata, and rules in files beside it.
fn directory(scene: &Scene) -> PathBuf {
    let directory = scene.host.dir.path().join("config/policy.d");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn write_tree(directory: &Path, revision: u64, first: &str) {
    let head = policy(revision, &[allow("web", "tcp/443")]);
    std::fs::write(directory.join("50-base.yaml"), head).unwrap();
    let early = format!(
        "apiVersion: ringwall/v1\npolicies:\n  - name: early\n    from: internet\n    to: host\n    rules:\n      - {{{first}}}\n"
    );
    std::fs::write(directory.join("10-early.yaml"), early).unwrap();
}

#[test]
fn a_directory_is_one_policy() {
    need_root!();
    let scene = Scene::new().unwrap();
    let _servers = [serve(&scene, 22), serve(&scene, 443)];
    let tree = directory(&scene);
    write_tree(&tree, 1, "name: no-web, action: deny, services: [tcp/443]");
    let ran = scene.host.cli(&["apply", &tree.to_string_lossy()]).unwrap();
    assert!(ran.ok(), "{ran:?}");
    assert_eq!(scene.knock(443), [Seen::Silence, Seen::Silence]);
    write_tree(&tree, 2, "name: ssh, action: allow, services: [ssh]");
    let ran = scene.host.cli(&["apply", &tree.to_string_lossy()]).unwrap();
    assert!(ran.ok(), "{ran:?}");
    assert_eq!(scene.knock(443), [Seen::Answered, Seen::Answered]);
    assert_eq!(scene.knock(22), [Seen::Answered, Seen::Answered]);
    std::fs::write(tree.join("99-late.yaml"), "polices: []\n").unwrap();
    let ran = scene.host.cli(&["apply", &tree.to_string_lossy()]).unwrap();
    assert!(
        ran.status == 2 && ran.err.contains("99-late.yaml"),
        "{ran:?}"
    );
    // What was applied is kept with the revision: it can be gone back to though the files are others now.
    let ran = scene.host.cli(&["rollback"]).unwrap();
    assert!(ran.ok(), "{ran:?}");
    assert_eq!(scene.knock(443), [Seen::Silence, Seen::Silence]);
}

/// Writes the same tree again and again for two seconds; the longest time in between.
fn keep_writing(tree: &Path, revision: u64) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let begin = Instant::now();
        write_tree(tree, revision, "name: ssh, action: allow, services: [ssh]");
        std::thread::sleep(Duration::from_millis(100));
        longest = longest.max(begin.elapsed());
    }
    longest
}

#[test]
fn a_watched_directory_counts_when_it_is_quiet() {
    need_root!();
    let mut scene = Scene::new().unwrap();
    let tree = directory(&scene);
    let config = format!("policy: {{path: {}}}\n", tree.display());
    std::fs::write(scene.host.dir.config(), config).unwrap();
    // At the start of an agent as well as later: the revision has risen from the beginning.
    for revision in [1, 2] {
        let before = (revision > 1).then_some(revision - 1);
        let path = tree.clone();
        let writer = std::thread::spawn(move || keep_writing(&path, revision));
        if revision == 1 {
            scene.host.restart().unwrap();
        }
        let mut early = false;
        while !writer.is_finished() {
            let now = scene.revision().unwrap();
            early |= now != before && !writer.is_finished();
        }
        let longest = writer.join().unwrap();
        // On a machine that is busy enough, the writer too is quiet for a second.
        let stuck = longest > Duration::from_millis(900);
        assert!(
            !early || stuck,
            "{revision} while it changes, at least every {longest:?}"
        );
        scene.wait_for_revision(revision).unwrap();
    }
}
