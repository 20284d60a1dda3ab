//! `ringwall doctor` on a host that is well, and on hosts that are not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::os::unix::fs::PermissionsExt as _;

use ringwall_tests::net::{Foreign, Host, Lab, Ran, RunDir, Seat, binary};
use ringwall_tests::scenario::{Scene, allow};
use ringwall_tests::{need_root, skip};
use serde_json::Value;

/// What `doctor` found, by check, state and words.
struct Found(Ran, Vec<Value>);

impl Found {
    fn on(host: &Host) -> Self {
        let ran = host.cli(&["doctor", "-o", "json"]).unwrap();
        let all = ran.json().unwrap().as_array().unwrap().clone();
        Self(ran, all)
    }

    fn of(&self, check: &str) -> Vec<(&str, &str)> {
        let word = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
        let all = self.1.iter().filter(|f| word(f, "id") == check);
        all.map(|f| (f["state"].as_str().unwrap(), f["found"].as_str().unwrap()))
            .collect()
    }

    /// The words of the only finding of a check, which must be in this state.
    fn only(&self, check: &str, state: &str) -> &str {
        match self.of(check).as_slice() {
            [(found, words)] if *found == state => words,
            other => panic!("{check}: {other:?}"),
        }
    }

    fn failed(&self) -> Vec<&Value> {
        self.1.iter().filter(|f| f["state"] == "fail").collect()
    }
}

fn scene() -> Scene {
    let rules = [allow("ssh", "tcp/22"), allow("web", "tcp/443, udp/443")];
    Scene::guarded(&rules).unwrap()
}

fn nft(scene: &Scene, ruleset: &str) {
    let ran = scene
        .lab
        .host()
        .command("nft")
        .args(["-f", "-"])
        .run_with(ruleset)
        .unwrap();
    assert!(ran.ok(), "{ran:?}");
}

#[test]
fn a_healthy_host_is_well() {
    need_root!();
    let scene = scene();
    let found = Found::on(&scene.host);
    assert!(
        found.0.ok() && found.failed().is_empty(),
        "{:#?}",
        found.failed()
    );
    assert!(found.only("policy", "ok").contains("lab revision 1"));
    assert!(found.only("interfaces", "ok").contains("lan0"));
    for check in [
        "btf",
        "bpffs",
        "capabilities",
        "agent-capabilities",
        "hooks",
        "xdp",
        "nftables",
        "routes",
        "disk",
    ] {
        found.only(check, "ok");
    }
    let table = scene.host.cli(&["doctor"]).unwrap();
    assert!(table.ok() && table.out.contains(" 0 fail"), "{table:?}");
    let lines = scene.host.cli(&["doctor", "-o", "ndjson"]).unwrap();
    assert_eq!(lines.out.lines().count(), found.1.len());
}

#[test]
fn a_rule_that_drops_what_is_allowed_is_named_by_table_and_handle() {
    need_root!();
    let scene = scene();
    nft(
        &scene,
        "table inet guard { chain in { type filter hook input priority 0; policy drop;
           ct state vmap { established : accept, related : accept, invalid : drop }
           iifname \"lo\" accept
           meta l4proto { icmp, icmpv6 } accept
           tcp dport { 443, 8443 } accept
           udp dport 400-500 accept
 }\n }\n",
    );
    let found = Found::on(&scene.host);
    assert_eq!(found.0.status, 1, "{:?}", found.0);
    let words = found.only("nftables", "fail");
    assert!(
        words.contains("table inet guard") && words.contains("(handle "),
        "{words}"
    );
    assert!(
        words.contains("in/ssh (tcp/22, IPv4)") && words.contains("IPv6"),
        "{words}"
    );
    assert!(!words.contains("in/web"), "{words}");

    nft(&scene, "add rule inet guard in tcp dport 22 accept");
    assert_eq!(Found::on(&scene.host).0.status, 0);
    nft(
        &scene,
        "insert rule inet guard in ip saddr 198.51.0.0/16 tcp dport 22 counter reject",
    );
    let found = Found::on(&scene.host);
    let words = found.only("nftables", "fail");
    assert!(
        words.starts_with("rule ") && !words.contains("IPv6"),
        "{words}"
    );
}

#[test]
fn what_is_not_understood_is_no_fault() {
    need_root!();
    let scene = scene();
    nft(
        &scene,
        "table ip odd { set banned { type ipv4_addr; }
           chain in { type filter hook input priority 0; policy accept; ip saddr @banned drop
 }\n }\n",
    );
    let found = Found::on(&scene.host);
    assert_eq!(found.0.status, 0, "{:?}", found.0);
    assert!(found.only("nftables", "warn").contains("may drop"));
}

#[test]
fn foreign_programs_are_named_with_their_place() {
    need_root!();
    let scene = scene();
    let sit = |interface, seat, name| Foreign::attach(scene.lab.host(), interface, seat, name);
    let _late = match sit("wan0", Seat::TcxLast, c"latecomer") {
        Ok(program) => program,
        Err(error) => skip!("no TCX here: {error:#}"),
    };
    let found = Found::on(&scene.host);
    let words = found.only("hooks", "ok");
    assert!(
        words.contains("latecomer") && words.contains("after ours"),
        "{words}"
    );

    let _early = sit("lan0", Seat::TcxFirst, c"early_bird").unwrap();
    let _shaper = sit("lan0", Seat::Xdp, c"shaper").unwrap();
    let found = Found::on(&scene.host);
    let hooks = found.of("hooks");
    let early = hooks
        .iter()
        .find(|(_, words)| words.contains("early_bird"))
        .unwrap();
    assert!(
        early.0 == "warn" && early.1.contains("at ingress of lan0"),
        "{early:?}"
    );
    let words = found.only("xdp", "warn");
    assert!(
        words.contains("shaper") && words.contains("XDP of lan0, native"),
        "{words}"
    );
    assert_eq!(found.0.status, 0, "they are respected");
}

/// What `doctor` says of the order is true: a new start takes over the link that is there, where it is.
#[test]
fn a_new_start_of_the_agent_changes_no_order() {
    need_root!();
    let mut scene = scene();
    let early = Foreign::attach(scene.lab.host(), "lan0", Seat::TcxFirst, c"early_bird");
    let _early = match early {
        Ok(program) => program,
        Err(error) => skip!("no TCX here: {error:#}"),
    };
    let before = |scene: &Scene| {
        let found = Found::on(&scene.host);
        assert!(found.only("hooks", "warn").contains("runs before ours"));
        let advice = found.1.iter().find(|f| f["id"] == "hooks").unwrap()["advice"].clone();
        assert!(
            advice.as_str().unwrap().contains("changes no order"),
            "{advice}"
        );
    };
    before(&scene);
    scene.host.restart().unwrap();
    before(&scene);
    // Put on anew, ours are the first.
    assert!(scene.host.cli(&["detach"]).unwrap().ok());
    scene.host.restart().unwrap();
    assert!(
        Found::on(&scene.host)
            .only("hooks", "ok")
            .contains("runs after ours")
    );
}

#[test]
fn drivers_are_told_with_what_auto_makes_of_them() {
    need_root!();
    let scene = scene();
    let found = Found::on(&scene.host);
    let drivers = found.of("drivers");
    assert_eq!(drivers.len(), 2, "{drivers:?}");
    for (state, words) in drivers {
        assert_eq!(state, "ok", "{words}");
        assert!(
            words.contains("the driver veth") && words.contains("`hook: auto` takes tc"),
            "{words}"
        );
        assert!(words.contains("judged at tcx now") || words.contains("judged at clsact now"));
    }
}

#[test]
fn a_foreign_filter_is_noticed() {
    need_root!();
    let scene = scene();
    let tc = |args: &str| {
        let words: Vec<&str> = args.split(' ').collect();
        scene.lab.host().exec("tc", &words)
    };
    let ran = tc("qdisc add dev wan0 clsact").unwrap();
    if !ran.ok() {
        skip!("this kernel has no clsact: {}", ran.err.trim());
    }
    let ran = tc("filter add dev wan0 ingress prio 7 protocol ip u32 match u32 0 0").unwrap();
    if !ran.ok() {
        skip!("this kernel has no u32 filter: {}", ran.err.trim());
    }
    let found = Found::on(&scene.host);
    let words = found.only("clsact", "warn");
    assert!(
        words.contains("u32") && words.contains("priority 7") && words.contains("wan0"),
        "{words}"
    );
}

#[test]
fn without_an_agent_and_without_root_it_says_what_it_cannot_see() {
    need_root!();
    let lab = Lab::quiet().unwrap();
    let host = Host::prepare(lab.host(), &[], "").unwrap();
    let found = Found::on(&host);
    assert_eq!(found.0.status, 0, "{:?}", found.0);
    found.only("agent", "warn");

    let public = tempfile::tempdir().unwrap();
    std::fs::set_permissions(public.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = public.path().join("ringwall");
    std::fs::copy(binary().unwrap(), &program).unwrap();
    let who = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let nobody = lab.host().command("setpriv").args(who).args([&program]);
    let elsewhere = RunDir::new("doctor").unwrap();
    let ran = nobody
        .args(["doctor", "-o", "json"])
        .envs(elsewhere.env())
        .run()
        .unwrap();
    assert_eq!(ran.status, 0, "{ran:?}");
    let found = Found(ran.clone(), ran.json().unwrap().as_array().unwrap().clone());
    for check in ["hooks", "nftables", "capabilities"] {
        found.only(check, "skipped");
    }
}

#[test]
fn damaged_settings_and_open_files_need_doing() {
    need_root!();
    let scene = scene();
    let file = scene.host.dir.config();
    std::fs::write(&file, "sessions: [").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let found = Found::on(&scene.host);
    assert_eq!(found.0.status, 1);
    found.only("settings", "fail");
    assert!(found.only("files", "fail").contains("0666"));
}
