//! The life of a policy: into force, refused, back, and again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use ringwall_tests::need_root;
use ringwall_tests::net::Ran;
use ringwall_tests::net::sock::{Echo, Seen};
use ringwall_tests::scenario::{Scene, allow, metric, policy, rule};
use serde_json::{Value, json};

const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];
const CLOSED: [Seen; 2] = [Seen::Silence, Seen::Silence];

fn web() -> String {
    allow("web", "tcp/443")
}

fn ssh() -> String {
    allow("ssh", "tcp/22")
}

/// A server at every address of the host.
fn serve(scene: &Scene, port: u16) -> Echo {
    Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap()
}

fn apply(scene: &Scene, policy: &str, args: &[&str]) -> (Ran, Value) {
    let ran = scene
        .host
        .apply_with(policy, &[args, &["-o", "json"]].concat());
    let ran = ran.unwrap();
    let answer = ran.json().unwrap_or_default();
    (ran, answer)
}

/// Applies; the exit status and the outcome must be these.
fn outcome(scene: &Scene, policy: &str, args: &[&str], status: i32, outcome: &str) -> Value {
    let (ran, answer) = apply(scene, policy, args);
    assert_eq!(
        (ran.status, answer["outcome"].as_str()),
        (status, Some(outcome)),
        "{ran:?}"
    );
    answer
}

fn history(scene: &Scene) -> Vec<Value> {
    let history = scene.host.json(&["history"]).unwrap();
    history.as_array().expect("a list").clone()
}

/// The outcomes of a revision, in the order of the history's numbers.
fn outcomes(scene: &Scene, revision: u64) -> Vec<String> {
    let mut rows = history(scene);
    rows.sort_by_key(|row| row["id"].as_u64());
    let rows = rows.iter().filter(|row| row["revision"] == revision);
    rows.map(|row| row["outcome"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn enforcement_begins_with_the_first_apply() {
    need_root!();
    let scene = Scene::new().unwrap();
    let _servers = [serve(&scene, 22), serve(&scene, 443)];
    assert_eq!(scene.knock(22), OPEN);
    let status = scene.status().unwrap();
    assert_eq!(
        (&status["mode"], &status["enforcing"]),
        (&json!("no-policy"), &json!(false))
    );
    assert!(status["policy"].is_null(), "{status:#}");
    let said = scene.host.cli(&["status"]).unwrap();
    assert!(
        said.ok() && said.out.to_lowercase().contains("no policy"),
        "{said:?}"
    );
    let passed = metric(
        &scene.host.metrics().unwrap(),
        "ringwall_packets_total",
        &["ingress", "forwarded"],
    );
    assert!(passed > 0.0);

    let (ran, answer) = apply(&scene, &policy(1, &[web()]), &[]);
    assert!(ran.ok(), "{ran:?}");
    let digest = answer["digest"].as_str().unwrap();
    assert_eq!(digest.len(), 64);
    let expected = json!({"changed": true, "outcome": "applied", "revision": 1, "digest": digest,
        "previous": null, "sessions_cut": answer["sessions_cut"]});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&answer[key], value, "{key} of {answer:#}");
    }
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    let status = scene.status().unwrap();
    assert_eq!(
        (&status["mode"], &status["enforcing"]),
        (&json!("enforce"), &json!(true))
    );
    assert_eq!(status["policy"]["name"], "lab");
    assert_eq!(status["policy"]["digest"], digest);
}

#[test]
fn revisions_only_rise() {
    need_root!();
    let scene = Scene::guarded(&[web()]).unwrap();
    let five = policy(5, &[web()]);
    let answer = outcome(&scene, &five, &[], 0, "applied");
    assert_eq!(
        (&answer["previous"], &answer["changed"]),
        (&json!(1), &json!(true))
    );
    let same = outcome(&scene, &five, &[], 0, "unchanged");
    assert_eq!(
        (&same["changed"], &same["digest"]),
        (&json!(false), &answer["digest"])
    );
    let said = scene.host.apply(&five).unwrap();
    assert!(said.ok() && (said.out + &said.err).contains("unchanged"));

    outcome(&scene, &policy(4, &[web()]), &[], 1, "refused");
    let lower = scene.host.apply(&policy(4, &[web()])).unwrap();
    assert!(
        lower.err.contains("--allow-older") && lower.err.contains("rollback"),
        "{lower:?}"
    );
    outcome(&scene, &policy(5, &[ssh()]), &[], 1, "refused");
    assert_eq!(scene.revision().unwrap(), Some(5));

    let renamed = policy(1, &[web()]).replace("name: lab", "name: other");
    outcome(&scene, &renamed, &[], 1, "refused");
    outcome(
        &scene,
        &policy(4, &[web()]),
        &["--allow-older"],
        0,
        "applied",
    );
    let rows = history(&scene);
    let row = rows
        .iter()
        .find(|r| r["revision"] == 4 && r["outcome"] == "in-force");
    assert_eq!(row.unwrap()["downgrade"], true, "{rows:#?}");
    outcome(&scene, &renamed, &["--allow-rename"], 0, "applied");
    assert_eq!(scene.status().unwrap()["policy"]["name"], "other");
    assert!(
        outcomes(&scene, 5).contains(&"replaced".to_owned()),
        "{:?}",
        history(&scene)
    );
}

#[test]
fn a_bad_file_changes_nothing_and_says_where() {
    need_root!();
    let scene = Scene::guarded(&[web()]).unwrap();
    let before = scene.status().unwrap()["policy"].clone();
    let good = policy(2, &[ssh()]);
    let bad = good.replace("services: [tcp/22]", "servces: [tcp/22]");
    let (ran, answer) = apply(&scene, &bad, &[]);
    assert_eq!(ran.status, 2, "{ran:?}");
    assert_eq!(answer["outcome"], "refused", "{ran:?}");
    let said = scene.host.apply(&bad).unwrap();
    assert_eq!(said.status, 2);
    let line = 1 + bad.lines().position(|l| l.contains("servces")).unwrap();
    let column = 1 + bad.lines().nth(line - 1).unwrap().find("servces").unwrap();
    let place = format!("candidate.yaml:{line}:{column}");
    assert!(
        said.err.contains(&place) && said.err.contains("services"),
        "{place} in {}",
        said.err
    );

    let test = "tests:\n  - {packet: \"tcp 203.0.113.9:4000 -> host:22 in wan0\", expect: deny}\n";
    let failing = scene.host.apply(&(good.clone() + test)).unwrap();
    assert_eq!(failing.status, 1, "{failing:?}");
    assert!(
        failing.err.contains("in/ssh"),
        "the rule that decided: {}",
        failing.err
    );
    let failing = scene
        .host
        .apply(&(good.clone() + "assertions: [deny internet -> host tcp/22]\n"));
    let failing = failing.unwrap();
    assert_eq!(failing.status, 1, "{failing:?}");
    assert!(failing.err.contains("in/ssh"), "{}", failing.err);
    assert_eq!(scene.status().unwrap()["policy"], before);
    let refused = metric(
        &scene.host.metrics().unwrap(),
        "ringwall_policy_apply_total",
        &["refused"],
    );
    assert!(refused >= 4.0, "{refused}");
    scene
        .put(&(good + "assertions: [allow internet -> host tcp/22]\n"))
        .unwrap();
}

#[test]
fn back_and_forth() {
    need_root!();
    let scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 22), serve(&scene, 443)];
    let two = policy(2, &[ssh()]);
    scene.put(&two).unwrap();
    assert_eq!((scene.knock(22), scene.knock(443)), (OPEN, CLOSED));
    let answer = scene.host.json(&["rollback"]).unwrap();
    assert_eq!(
        (&answer["outcome"], &answer["revision"]),
        (&json!("applied"), &json!(1))
    );
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    assert_eq!(outcomes(&scene, 2), ["rolled-back"]);
    assert_eq!(outcomes(&scene, 1).last().unwrap(), "in-force");

    outcome(&scene, &two, &[], 1, "refused");
    let said = scene.host.apply(&two).unwrap();
    assert!(said.err.contains("--again"), "{said:?}");
    outcome(&scene, &policy(3, &[ssh()]), &[], 0, "applied");
    let said = scene.host.cli(&["rollback", "1"]).unwrap();
    assert!(said.ok(), "{said:?}");
    outcome(&scene, &policy(3, &[ssh()]), &["--again"], 0, "applied");
    assert_eq!(scene.knock(22), OPEN);
    assert_eq!(scene.host.cli(&["rollback", "77"]).unwrap().status, 1);
    let listing = scene.host.cli(&["history"]).unwrap();
    assert!(listing.ok());
    for word in ["in-force", "rolled-back", "lab", "root"] {
        assert!(listing.out.contains(word), "{word} in\n{}", listing.out);
    }
}

#[test]
fn a_dry_run_and_a_policy_for_others_change_nothing() {
    need_root!();
    let scene = Scene::configured("labels: {role: web}\n").unwrap();
    scene.put(&policy(1, &[web()])).unwrap();
    let before = (scene.status().unwrap()["policy"].clone(), history(&scene));
    let (ran, answer) = apply(&scene, &policy(2, &[ssh()]), &["--dry-run"]);
    assert!(ran.ok() && answer["revision"] == 2, "{ran:?}");
    let shown = scene
        .host
        .apply_with(&policy(2, &[ssh()]), &["--dry-run"])
        .unwrap();
    assert!(
        shown.out.contains("in/ssh") && shown.out.contains("in/web"),
        "{}",
        shown.out
    );
    outcome(&scene, &policy(1, &[ssh()]), &["--dry-run"], 1, "refused");
    let others = policy(2, &[ssh()]) + "hosts: {labels: {role: database}}\n";
    let answer = outcome(&scene, &others, &[], 0, "not-for-this-host");
    assert_eq!(answer["changed"], false);
    let status = scene.status().unwrap();
    assert_eq!(status["policy"], before.0);
    assert_eq!(status["offered"]["outcome"], "not-for-this-host");
    assert_eq!(status["offered"]["revision"], 2);
    // Once, however often it is offered.
    outcome(&scene, &others, &[], 0, "not-for-this-host");
    let now = scene.host.json(&["history"]).unwrap();
    let rows = now.as_array().unwrap();
    assert_eq!(rows[0]["outcome"], "not-for-this-host");
    assert_eq!(rows.len(), 2, "{rows:#?}");
    let table = scene.host.cli(&["status"]).unwrap().out;
    assert!(table.contains("revision 2: not-for-this-host"), "{table}");
    let ours = policy(2, &[ssh()]) + "hosts: {labels: {role: web}}\n";
    outcome(&scene, &ours, &[], 0, "applied");
    assert!(scene.status().unwrap()["offered"].is_null());
}

#[test]
fn a_policy_comes_by_standard_input_too() {
    need_root!();
    let scene = Scene::new().unwrap();
    let program = ringwall_tests::net::binary().unwrap();
    let stdin = |text: &str| {
        let command = scene.host.ns.command(&program).args(["apply", "-"]);
        command.envs(scene.host.dir.env()).run_with(text).unwrap()
    };
    let ran = stdin(&policy(1, &[web(), rule("no", "reject", "tcp/25")]));
    assert!(ran.ok(), "{ran:?}");
    assert_eq!(scene.knock(25), [Seen::Refused, Seen::Refused]);
    assert_eq!(stdin("{").status, 2);
}
