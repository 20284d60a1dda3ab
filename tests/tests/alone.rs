//! One agent for a network namespace, and what root can do where none runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use ringwall_tests::need_root;
use ringwall_tests::net::Host;
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange};
use ringwall_tests::scenario::{PATIENCE, Scene, allow, at_wan, policy};
use serde_json::{Value, json};

const CLOSED: [Seen; 2] = [Seen::Silence, Seen::Silence];
const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];

fn web() -> String {
    allow("web", "tcp/443")
}

fn serve(scene: &Scene, port: u16) -> Echo {
    Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap()
}

fn run_again(scene: &Scene, host: &Host) -> String {
    let run = scene
        .host
        .ns
        .command(ringwall_tests::net::binary().unwrap());
    let ran = run
        .args(["run", "--interface", "wan0"])
        .envs(host.dir.env())
        .run()
        .unwrap();
    assert_ne!(ran.status, 0, "{ran:?}");
    ran.err + &ran.out
}

#[test]
fn a_second_agent_is_told_who_is_there_and_since_when() {
    need_root!();
    let mut scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 22), serve(&scene, 443)];
    let pid = scene.host.agent().unwrap().pid();
    let year = jiff::Timestamp::now().strftime("%Y-").to_string();
    let said = run_again(&scene, &scene.host);
    let who = format!("another agent (process {pid}, since {year}");
    assert!(said.contains(&who) && said.contains("works with"), "{said}");
    // With places of its own it would guard the same interfaces all the same.
    let other = Host::prepare(&scene.host.ns, &["wan0"], "").unwrap();
    let said = run_again(&scene, &other);
    assert!(
        said.contains(&who) && said.contains("guards this network namespace"),
        "{said}"
    );
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    assert_eq!(scene.revision().unwrap(), Some(1));
    // A lock that a killed agent leaves keeps nobody out.
    scene.host.kill9();
    scene.host.restart().unwrap();
}

/// Exit status and JSON of a command.
fn ask(scene: &Scene, args: &[&str]) -> (i32, Value) {
    let ran = scene.host.cli(&[args, &["-o", "json"]].concat()).unwrap();
    (
        ran.status,
        ran.json()
            .unwrap_or_else(|error| panic!("{args:?}: {error:#}")),
    )
}

#[test]
fn every_command_that_root_has_without_an_agent() {
    need_root!();
    let mut scene = Scene::guarded(&[web()]).unwrap();
    let _servers = [serve(&scene, 22), serve(&scene, 443)];
    scene
        .put(&policy(2, &[web(), allow("ssh", "tcp/22")]))
        .unwrap();
    let mut session = connect(scene.stranger(), at_wan(true, 443), PATIENCE).unwrap();
    let mut cut = connect(scene.stranger(), at_wan(false, 22), PATIENCE).unwrap();
    assert_eq!(exchange(&mut cut, PATIENCE), Seen::Answered);
    scene.host.kill9();

    let (status, said) = ask(&scene, &["status"]);
    assert_eq!(
        (status, &said["enforcing"], &said["mode"]),
        (3, &json!(true), &json!("enforce"))
    );
    assert_eq!(
        (&said["policy"]["revision"], &said["agent"]),
        (&json!(2), &Value::Null)
    );
    let guarded = said["interfaces"].as_array().unwrap().iter();
    assert_eq!(
        guarded.filter(|line| line["state"] == "guarded").count(),
        2,
        "{said:#}"
    );

    let (status, sessions) = ask(&scene, &["sessions", "zone", "internet"]);
    assert_eq!(
        (status, sessions.as_array().unwrap().len()),
        (0, 2),
        "{sessions:#}"
    );
    let (status, rules) = ask(&scene, &["policy", "show"]);
    let ssh = rules
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["id"] == "in/ssh");
    assert_eq!(
        (status, ssh.unwrap()["packets"].as_u64() > Some(0)),
        (0, true),
        "{rules:#}"
    );

    let (status, back) = ask(&scene, &["rollback"]);
    assert_eq!(
        (status, &back["outcome"], &back["sessions_cut"]),
        (0, &json!("applied"), &json!(1))
    );
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    assert_eq!(exchange(&mut session, PATIENCE), Seen::Answered);
    let (_, said) = ask(&scene, &["status"]);
    assert_eq!(said["policy"]["revision"], 1);

    let ran = scene.host.cli(&["detach"]).unwrap();
    assert!(ran.ok() && (ran.out + &ran.err).contains("ENFORCEMENT ENDED"));
    assert_eq!((scene.knock(22), scene.knock(443)), (OPEN, OPEN));
}

#[test]
fn where_nothing_is_pinned_every_command_says_so() {
    need_root!();
    let mut scene = Scene::guarded(&[web()]).unwrap();
    scene.host.kill9();
    assert!(scene.host.cli(&["detach"]).unwrap().ok());
    for args in [
        &["status"][..],
        &["sessions"],
        &["policy", "show"],
        &["rollback"],
    ] {
        let ran = scene.host.cli(args).unwrap();
        assert!(
            ran.status == 3 && ran.err.contains("nothing is pinned either"),
            "{args:?}: {ran:?}"
        );
    }
    let again = scene.host.cli(&["detach"]).unwrap();
    assert!(again.ok() && (again.out + &again.err).contains("nothing is pinned here"));
}
