use std::collections::BTreeMap;

use super::exposure::{Exposure, Open, expose};
use crate::policy::model::Policy;
use crate::policy::{HostContext, read_bytes};

const POLICY: &str = "apiVersion: ringwall/v1
metadata: {name: t, revision: 1, owner: tests}
unmatched: {inbound: deny, outbound: allow, routed: deny}
zones:
  office: {cidrs: [10.1.0.0/16]}
  world: {default: true}
policies:
  - name: in
    from: any
    to: host
    rules:
      - {name: admin, action: allow, services: [tcp/22], sources: [10.1.0.0/24], reason: r, owner: o}
      - {name: web, action: allow, services: [tcp/443, tcp/8000-8010], reason: r, owner: o}
      - {name: gone, action: allow, services: [tcp/9000], enabled: false, reason: r, owner: o}
  - name: staff
    from: office
    to: host
    rules:
      - {name: old, action: deny, services: [udp/53], reason: r, owner: o}
    default: allow
";

fn policy() -> Policy {
    let host = HostContext {
        labels: BTreeMap::new(),
        hostname: "h".to_owned(),
        machine_id: String::new(),
        roles: BTreeMap::new(),
        connected: BTreeMap::new(),
        failsafe: Vec::new(),
    };
    match read_bytes("t.yaml", POLICY.into(), &host) {
        Ok(checked) => checked.policy,
        Err(refusal) => panic!("{refusal}"),
    }
}

fn open(protocol: u8, port: u16) -> Open {
    Open {
        protocol,
        address: [0, 0, 0, 0].into(),
        port,
        last_port: None,
        published_to: None,
        process: None,
    }
}

/// From where a port is reachable, one word a way in.
fn ways(found: &Exposure, port: u16) -> Vec<String> {
    let one = found.open.iter().find(|one| one.open.port == port).unwrap();
    let ways = one.reachable.iter();
    ways.map(|reach| format!("{} {} {}", reach.who, reach.zone, reach.rule))
        .collect()
}

#[test]
fn each_zone_meets_the_list_in_order() {
    let answers = [open(6, 22), open(6, 443), open(17, 53), open(6, 25)];
    let found = expose(Some(&policy()), &[], &answers);
    assert_eq!(
        ways(&found, 22),
        [
            "some office in/admin",
            "all office staff/default",
            "some world in/admin"
        ]
    );
    assert_eq!(ways(&found, 443), ["all office in/web", "all world in/web"]);
    assert_eq!(ways(&found, 53), [""; 0]);
    assert_eq!(ways(&found, 25), ["all office staff/default"]);
    let silent: Vec<u16> = found
        .open
        .iter()
        .filter(|one| one.unmentioned)
        .map(|one| one.open.port)
        .collect();
    assert_eq!(silent, [25]);
}

#[test]
fn a_rule_whose_ports_nobody_answers_is_named() {
    let found = expose(Some(&policy()), &[], &[open(6, 22), open(6, 8005)]);
    let idle: Vec<String> = found
        .idle
        .iter()
        .map(|idle| format!("{} {}", idle.rule, idle.service))
        .collect();
    assert_eq!(idle, ["in/web tcp/443"]);
}

#[test]
fn of_a_range_a_rule_may_open_some() {
    let range = |first, last| Open {
        last_port: Some(last),
        ..open(6, first)
    };
    let found = expose(Some(&policy()), &[], &[range(440, 450), range(443, 443)]);
    assert!(ways(&found, 440).contains(&"some world in/web".to_owned()));
    assert!(!ways(&found, 440).contains(&"all world in/web".to_owned()));
    assert!(ways(&found, 443).contains(&"all world in/web".to_owned()));
}

#[test]
fn without_a_policy_all_is_reachable() {
    let found = expose(None, &[], &[open(6, 22)]);
    assert_eq!(ways(&found, 22), ["all any no policy is in force"]);
    assert!(!found.open[0].unmentioned && found.idle.is_empty());
}
