//! What nft lists, and what becomes of packets by it.

use std::net::IpAddr;

use super::packet::{Packet, Probe};
use super::ruleset::Ruleset;
use super::walk::{Fate, fate};
use super::{State, judge};

fn packet(source: &str, protocol: u8, port: u16) -> Packet {
    let source: IpAddr = source.parse().unwrap();
    let own = if source.is_ipv4() {
        "192.0.2.1"
    } else {
        "2001:db8::1"
    };
    Packet {
        interface: "eth0".to_owned(),
        source,
        destination: own.parse().unwrap(),
        protocol,
        port: Some(port),
        leaving: false,
    }
}

fn tcp(port: u16) -> Packet {
    packet("198.51.100.7", 6, port)
}

/// A ruleset with one filter chain at input, and rules as JSON lists of statements.
fn input(policy: &str, rules: &[&str]) -> Ruleset {
    let mut objects = vec![format!(
        r#"{{"chain": {{"family": "inet", "table": "filter", "name": "in", "handle": 3, "type": "filter", "hook": "input", "prio": 0, "policy": "{policy}"}}}}"#
    )];
    objects.push(
        r#"{"chain": {"family": "inet", "table": "filter", "name": "web", "handle": 4}}"#
            .to_owned(),
    );
    for (at, rule) in rules.iter().enumerate() {
        let handle = at + 10;
        objects.push(format!(
            r#"{{"rule": {{"family": "inet", "table": "filter", "chain": "in", "handle": {handle}, "expr": {rule}}}}}"#
        ));
    }
    objects.push(
        r#"{"rule": {"family": "inet", "table": "filter", "chain": "web", "handle": 90, "expr": [{"accept": null}]}}"#.to_owned(),
    );
    Ruleset::read(&format!(r#"{{"nftables": [{}]}}"#, objects.join(",")))
}

fn at_port(port: u16, op: &str, verdict: &str) -> String {
    format!(
        r#"[{{"match": {{"op": "{op}", "left": {{"payload": {{"protocol": "tcp", "field": "dport"}}}}, "right": {port}}}}}, {{"counter": {{"packets": 0, "bytes": 0}}}}, {{"{verdict}": null}}]"#
    )
}

const NEW: &str = r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}}"#;
const OLD: &str = r#"[{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}]"#;
const IN: &str = "chain in (handle 3) of table inet filter";

fn drops(ruleset: &Ruleset, packet: &Packet) -> Option<String> {
    let Fate { drop, doubts } = fate(ruleset, packet);
    assert_eq!(doubts, Vec::<String>::new());
    drop
}

#[test]
fn a_policy_to_drop_drops_what_no_rule_accepts() {
    let rules = input("drop", &[OLD, &at_port(443, "==", "accept")]);
    assert_eq!(drops(&rules, &tcp(443)), None);
    assert_eq!(drops(&rules, &tcp(22)).as_deref(), Some(IN));
    assert_eq!(
        drops(&rules, &packet("2001:db8::9", 17, 443)).as_deref(),
        Some(IN)
    );
}

#[test]
fn a_rule_is_named_by_its_handle() {
    let rules = input("accept", &[&at_port(22, "==", "drop")]);
    assert_eq!(drops(&rules, &tcp(22)), Some(format!("rule 10 of {IN}")));
    assert_eq!(drops(&rules, &tcp(443)), None);
    let others = input("accept", &[&at_port(443, "!=", "reject")]);
    assert!(drops(&others, &tcp(22)).is_some() && drops(&others, &tcp(443)).is_none());
}

#[test]
fn sets_ranges_prefixes_and_names_are_understood() {
    let ports = r#"{"payload": {"protocol": "tcp", "field": "dport"}}"#;
    let source = r#"{"payload": {"protocol": "ip", "field": "saddr"}}"#;
    let one = |left: &str, right: &str| {
        let rule = format!(
            r#"[{{"match": {{"op": "==", "left": {left}, "right": {right}}}}}, {{"drop": null}}]"#
        );
        drops(&input("accept", &[&rule]), &tcp(443)).is_some()
    };
    assert!(one(ports, r#"{"set": [22, {"range": [400, 500]}]}"#));
    assert!(!one(ports, r#"{"set": [22, 80]}"#));
    assert!(one(
        source,
        r#"{"prefix": {"addr": "198.51.100.0", "len": 24}}"#
    ));
    assert!(!one(
        source,
        r#"{"prefix": {"addr": "10.0.0.0", "len": 8}}"#
    ));
    assert!(one(r#"{"meta": {"key": "iifname"}}"#, r#""eth*""#));
    assert!(one(r#"{"meta": {"key": "l4proto"}}"#, r#""tcp""#));
    assert!(!one(
        r#"{"payload": {"protocol": "ip6", "field": "saddr"}}"#,
        r#""2001:db8::1""#
    ));
}

#[test]
fn jumps_and_verdict_maps_are_followed() {
    let jump = r#"[{"jump": {"target": "web"}}]"#;
    assert_eq!(drops(&input("drop", &[jump]), &tcp(22)), None);
    let map = r#"[{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["established", {"accept": null}], ["new", {"jump": {"target": "web"}}]]}}}]"#;
    assert_eq!(drops(&input("drop", &[map]), &tcp(22)), None);
    let fresh = format!(r#"[{NEW}, {{"drop": null}}]"#);
    assert!(drops(&input("accept", &[&fresh]), &tcp(22)).is_some());
}

#[test]
fn what_is_not_understood_is_told_as_a_doubt() {
    let named = r#"[{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@banned"}}, {"drop": null}]"#;
    let found = fate(&input("accept", &[named]), &tcp(443));
    assert_eq!((found.drop, found.doubts.len()), (None, 1));
    let future = r#"[{"from the future": 1}, {"accept": null}]"#;
    let found = fate(&input("drop", &[future]), &tcp(443));
    assert_eq!(found.drop, None, "the rule may have accepted it");
    assert!(
        found.doubts.iter().any(|place| place == IN),
        "{:?}",
        found.doubts
    );
    let limited = r#"[{"limit": {"rate": 5, "per": "second"}}, {"accept": null}]"#;
    assert_eq!(fate(&input("drop", &[limited]), &tcp(443)).doubts, [IN]);
}

#[test]
fn findings_name_the_place_once_with_all_that_it_hits() {
    let rules = input("drop", &[&at_port(443, "==", "accept")]);
    let probe = |word: &str, port| Probe {
        packet: tcp(port),
        word: word.to_owned(),
    };
    let found = judge(
        &rules,
        &[
            probe("in/ssh", 22),
            probe("in/web", 443),
            probe("in/smtp", 25),
        ],
    );
    assert_eq!((found.len(), found[0].state), (1, State::Fail));
    assert!(
        found[0].found.contains(IN) && found[0].found.ends_with("in/smtp, in/ssh"),
        "{found:?}"
    );
    let strange =
        Ruleset::read(r#"{"nftables": [{"from the future": {}}, {"metainfo": {"version": "1"}}]}"#);
    assert_eq!(strange.strange, 1);
}

#[test]
fn what_leaves_meets_other_chains_and_leaves_by_its_interface() {
    let ruleset = Ruleset::read(
        r#"{"nftables": [
        {"chain": {"family": "inet", "table": "filter", "name": "in", "handle": 3, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
        {"chain": {"family": "inet", "table": "filter", "name": "out", "handle": 4, "type": "filter", "hook": "output", "prio": 0, "policy": "accept"}},
        {"rule": {"family": "inet", "table": "filter", "chain": "out", "handle": 9, "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "eth0"}},
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 25}},
            {"drop": null}]}}
    ]}"#,
    );
    let leaving = |port, interface: &str| Packet {
        leaving: true,
        interface: interface.to_owned(),
        ..tcp(port)
    };
    let drop = super::walk::fate(&ruleset, &leaving(25, "eth0"))
        .drop
        .unwrap();
    assert!(
        drop.contains("rule 9") && drop.contains("chain out"),
        "{drop}"
    );
    for other in [leaving(26, "eth0"), leaving(25, "eth1")] {
        assert_eq!(super::walk::fate(&ruleset, &other), Fate::default());
    }
}
