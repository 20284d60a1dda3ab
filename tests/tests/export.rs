//! `ringwall policy export nft`: nft itself takes every ruleset, in both forms, and says it again the same way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::path::Path;

use ringwall_tests::need_root;
use ringwall_tests::net::{Command, Netns, Ran, binary};

/// Every word of the language that a ruleset can say.
const ALL: &str = include_str!("../data/export/all.yaml");
const EXPECTED: &str = include_str!("../data/export/all.nft");

fn export(policy: &str, args: &[&str]) -> Ran {
    let command = Command::outside(binary().unwrap()).args(["policy", "export", "nft", "-"]);
    command.args(args).run_with(policy).unwrap()
}

fn taken(ns: &Netns, args: &[&str], ruleset: &str) {
    let nft = ns.command("nft").args(args).args(["-f", "-"]);
    let ran = nft.run_with(ruleset).unwrap();
    assert!(ran.ok(), "{}\n{ruleset}", ran.err);
}

/// A ruleset as the kernel has it, without handles.
fn listed(ns: &Netns) -> String {
    let ran = ns.exec("nft", &["-s", "list", "table", "inet", "ringwall"]);
    ran.unwrap().out
}

#[test]
fn nft_takes_every_example_in_both_forms() {
    need_root!();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut policies = vec![ALL.to_owned()];
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let yaml = path.extension().is_some_and(|e| e == "yaml");
        if yaml && !path.ends_with("agent.yaml") {
            policies.push(std::fs::read_to_string(path).unwrap());
        }
    }
    assert!(policies.len() > 4);
    for policy in policies {
        let (text, json) = (export(&policy, &[]), export(&policy, &["-o", "json"]));
        let (one, other) = (Netns::new("nft").unwrap(), Netns::new("nft").unwrap());
        taken(&one, &["-c"], &text.out);
        taken(&one, &[], &text.out);
        // Twice: it replaces itself.
        taken(&one, &[], &text.out);
        taken(&other, &["-j", "-c"], &json.out);
        taken(&other, &["-j"], &json.out);
        let (one, other) = (listed(&one), listed(&other));
        for (line, same) in one.lines().zip(other.lines()) {
            assert_eq!(line, same, "of\n{policy}");
        }
        assert_eq!(one.lines().count(), other.lines().count());
    }
}

#[test]
fn every_word_has_its_place_in_the_ruleset() {
    let ran = export(ALL, &[]);
    let left_out = "LEFT OUT: in/odd-names: its interfaces need globs";
    assert!(ran.status == 1 && ran.out.contains(left_out), "{ran:?}");
    assert!(ran.err.contains("left out: in/odd-names"), "{}", ran.err);
    let notes = export(ALL, &["-o", "json"]).json().unwrap()["notes"].clone();
    let left: Vec<_> = notes
        .as_array()
        .unwrap()
        .iter()
        .filter(|n| n["left_out"] == true)
        .collect();
    assert_eq!(left.len(), 1, "{notes}");
    if std::env::var_os("RINGWALL_BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/export/all.nft");
        std::fs::write(path, &ran.out).unwrap();
    } else {
        assert_eq!(ran.out, EXPECTED, "RINGWALL_BLESS=1 writes it anew");
    }
}

#[test]
fn what_all_can_be_said_of_has_status_0() {
    let policy = "apiVersion: ringwall/v1
metadata: {name: least, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: pass}
zones: {internet: {default: true}}
";
    let ran = export(policy, &[]);
    assert!(ran.ok() && ran.out.contains("policy drop"), "{ran:?}");
    assert_eq!(export("{", &[]).status, 2);
}
