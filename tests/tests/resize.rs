//! What is pinned and is not as this agent would make it: tables of another size, and tables of a network
//! namespace that is gone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::os::unix::fs::MetadataExt as _;

use ringwall_tests::earlier;
use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange};
use ringwall_tests::net::{Host, Lab, Netns};
use ringwall_tests::scenario::{
    PATIENCE, Resent, Scene, Worker, allow, at_wan, metric, policy, probe, talk,
};

const CLOSED: [Seen; 2] = [Seen::Silence, Seen::Silence];
const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];

fn serve(scene: &Scene, port: u16) -> Echo {
    Echo::tcp(scene.lab.host(), ([0_u16; 8], port).into()).unwrap()
}

fn resize(scene: &Scene, max: u32, half_open: u32) {
    let own = format!("policy: {{path: {}}}\n", scene.host.dir.policy().display());
    let sizes = format!("sessions: {{max: {max}, half_open_max: {half_open}}}\n");
    std::fs::write(scene.host.dir.config(), own + &sizes).unwrap();
}

fn sizes(scene: &Scene) -> (u64, u64) {
    let status = scene.status().unwrap();
    let of = |key: &str| status["sessions"][key].as_u64().unwrap();
    (of("capacity"), of("half_open_capacity"))
}

fn put(scene: &Scene) {
    scene.put(&policy(1, &[allow("web", "tcp/443")])).unwrap();
}

#[test]
fn tables_grow_and_shrink_with_their_sessions() {
    need_root!();
    let mut scene = Scene::configured("sessions: {max: 64, half_open_max: 32}\n").unwrap();
    put(&scene);
    let _servers = [serve(&scene, 22), serve(&scene, 443)];
    let open = |v6| connect(scene.stranger(), at_wan(v6, 443), PATIENCE).unwrap();
    let mut idle = [open(false), open(true)];
    let talks = [talk(open(false)), talk(open(true))];
    let both = |port| vec![at_wan(false, port), at_wan(true, port)];
    let knocks = probe(scene.stranger(), both(22), both(161));
    let before = Resent::read(scene.stranger()).unwrap();
    for (max, half_open) in [(100_000, 50_000), (100_000, 16), (48, 32)] {
        resize(&scene, max, half_open);
        scene.host.restart().unwrap();
        assert_eq!(sizes(&scene), (max.into(), half_open.into()));
        assert!(scene.host.log().contains("their sessions live on"));
        for stream in &mut idle {
            assert_eq!(exchange(stream, PATIENCE), Seen::Answered);
        }
    }
    // The next start finds nothing to do, and nothing is left beside the tables.
    scene.host.restart().unwrap();
    let left = scene.host.ns.command("find").args([scene.host.dir.bpf()]);
    let left = left
        .args(["-name", "*_old", "-o", "-name", "*_new"])
        .run()
        .unwrap();
    assert_eq!(left.out, "");
    for talked in talks.into_iter().map(Worker::finish) {
        println!(
            "{} bytes, the longest exchange {:?}",
            talked.bytes, talked.longest
        );
        assert_eq!(talked.error, None);
    }
    let (knocked, after) = (knocks.finish(), Resent::read(scene.stranger()).unwrap());
    println!("{} segments sent again", after.segments - before.segments);
    assert!(knocked.answered.is_empty(), "{:?}", knocked.answered);
    let metrics = scene.host.metrics().unwrap();
    let denied = metric(
        &metrics,
        "ringwall_dropped_packets_total",
        &["reason=\"default-deny\""],
    );
    assert_eq!(denied, knocked.sent as f64);
}

#[test]
fn sessions_that_do_not_fit_refuse_the_start_and_stay() {
    need_root!();
    let mut scene = Scene::guarded(&[allow("web", "tcp/443")]).unwrap();
    let _servers = [serve(&scene, 22), serve(&scene, 443)];
    let open = |v6| connect(scene.stranger(), at_wan(v6, 443), PATIENCE).unwrap();
    let mut sessions = [open(false), open(true)];
    resize(&scene, 1, 1);
    let error = scene.host.restart().unwrap_err().to_string();
    assert!(
        error.contains("`sessions: {max: 1}` has no place"),
        "{error}"
    );
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    for stream in &mut sessions {
        assert_eq!(exchange(stream, PATIENCE), Seen::Answered);
    }
    resize(&scene, 64, 64);
    scene.host.restart().unwrap();
    assert_eq!(sizes(&scene), (64, 64));
    assert_eq!(exchange(&mut sessions[0], PATIENCE), Seen::Answered);
}

fn number(ns: &Netns) -> String {
    std::fs::metadata(ns.path()).unwrap().ino().to_string()
}

/// The pins of one namespace come under the number of another, as if that had been given again.
fn given_again(host: &mut Host, to: &Lab) {
    let bpf = host.dir.bpf();
    std::fs::rename(bpf.join(number(&host.ns)), bpf.join(number(to.host()))).unwrap();
    host.ns = to.host().clone();
}

#[test]
fn pins_of_a_namespace_that_is_gone_are_not_taken_up() {
    need_root!();
    let mut scene = Scene::guarded(&[allow("web", "tcp/443")]).unwrap();
    let web = serve(&scene, 443);
    let _session = connect(scene.stranger(), at_wan(false, 443), PATIENCE).unwrap();
    scene.host.kill9();
    drop(web);
    let next = Lab::quiet().unwrap();
    given_again(&mut scene.host, &next);
    scene.lab = next;
    // Nothing is known of them without an agent either.
    let ran = scene.host.cli(&["status"]).unwrap();
    assert!(
        ran.status == 3 && ran.err.contains("nothing is pinned"),
        "{ran:?}"
    );
    afresh(&mut scene, "1");
}

#[test]
fn nor_are_those_of_layout_1() {
    need_root!();
    let lab = Lab::quiet().unwrap();
    let mut host = Host::prepare(lab.host(), &["lan0", "wan0"], "").unwrap();
    earlier::put_in_force(&host, &["lan0", "wan0"]).unwrap();
    lab.host().ip("link del lan0\nlink del wan0\n").unwrap();
    let next = Lab::quiet().unwrap();
    given_again(&mut host, &next);
    afresh(&mut Scene { host, lab: next }, "7");
}

fn afresh(scene: &mut Scene, revision: &str) {
    let _servers = [serve(scene, 22), serve(scene, 443)];
    scene.host.restart().unwrap();
    let log = scene.host.log();
    assert!(log.contains("left by another network namespace"), "{log}");
    assert!(!log.contains("took over"), "{log}");
    assert_eq!((scene.knock(22), scene.knock(443)), (CLOSED, OPEN));
    let status = scene.status().unwrap();
    assert_eq!(status["policy"]["revision"].to_string(), revision);
    let show = scene.host.json(&["policy", "show"]).unwrap();
    let web = show
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["id"] == "in/web")
        .unwrap()
        .clone();
    // A knock over each family, and nothing from the namespace before.
    let sessions = scene.host.json(&["sessions"]).unwrap();
    assert!(sessions.as_array().unwrap().len() <= 2, "{sessions:#}");
    assert!(web["packets"].as_u64() <= Some(20), "{web:#}");
}
