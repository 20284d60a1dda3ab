//! Policies that are taken, and what they mean.

use super::{BODY, EXAMPLE, HEAD, host, read};
use crate::policy::model::*;
use crate::policy::{Checked, read_bytes, read_sources};

fn policy(body: &str) -> Policy {
    match read(&format!("{HEAD}{body}")) {
        Ok(checked) => checked.policy,
        Err(refusal) => panic!("{refusal}"),
    }
}

fn nets(texts: &[&str]) -> Vec<ipnet::IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn the_example_of_the_contract() {
    let checked = read(EXAMPLE).unwrap_or_else(|refusal| panic!("{refusal}"));
    let policy = &checked.policy;
    assert!(checked.for_this_host);
    assert_eq!(checked.warnings, []);
    assert_eq!((policy.name.as_str(), policy.revision), ("web-tier", 7));
    assert_eq!(policy.unmatched.routed, RoutedAction::Pass);
    assert_eq!(
        policy.sets[0].members,
        nets(&["198.51.100.0/24", "2001:db8:10::/48"])
    );
    assert_eq!(policy.zones[0].cidrs.len(), 4, "the set's members are in");
    assert!(policy.zones[0].management);
    assert_eq!(
        policy.zones[1].interfaces,
        ["bond0.20"],
        "the role is resolved"
    );
    assert_eq!(policy.blocks.len(), 4);
    let web = &policy.blocks[2].rules[0];
    assert_eq!(web.services.as_ref().map(Vec::len), Some(3));
    assert_eq!(web.service_words, ["web"]);
    let expires = policy.blocks[2].rules[1].expires.unwrap();
    assert_eq!(
        expires.to_string(),
        "2127-07-01T00:00:00Z",
        "the end of that day"
    );
    assert_eq!(policy.blocks[3].from, Ends::Host);
    assert_eq!(policy.blocks[3].to, Ends::Any);
    assert_eq!(policy.tests.len(), 3);
    assert_eq!(policy.assertions[0].source, Endpoint::Zone(2));
}

#[test]
fn json_is_yaml() {
    let text = r#"{"apiVersion": "ringwall/v1", "metadata": {"name": "j", "revision": 1},
        "unmatched": {"inbound": "deny", "outbound": "allow", "routed": "deny"},
        "zones": {"all": {"default": true}},
        "policies": [{"name": "p", "from": "all", "to": "host", "default": "deny"}]}"#;
    let policy = read(text)
        .unwrap_or_else(|refusal| panic!("{refusal}"))
        .policy;
    assert_eq!(policy.blocks[0].default, Some(Action::Deny));
}

#[test]
fn the_kept_sources_read_to_the_same_policy() {
    let first = read(EXAMPLE).unwrap();
    let again = read_sources(first.sources.clone(), first.directory, &host()).unwrap();
    assert_eq!(first.policy.digest, again.policy.digest);
    let renamed = read_bytes("other.yaml", EXAMPLE.as_bytes().to_vec(), &host()).unwrap();
    assert_eq!(
        first.policy.digest, renamed.policy.digest,
        "a file's name is not its content"
    );
}

#[test]
fn every_field_of_a_rule() {
    let policy = policy(
        "policies:
  - name: p
    from: [lan, internet]
    to: host
    rules:
      - name: r
        action: reject
        services: [tcp/1-9, icmp/3/4, gre, proto/112, ping, dns, 'udp/*']
        source_ports: [53, 1024-65535]
        sources: [office, 192.0.2.1, 10.0.0.1-10.0.0.2]
        except_sources: [198.51.100.7]
        destinations: [\"2001:db8::/32\"]
        except_destinations: [\"2001:db8::1\"]
        interfaces: [eth0, \"en*\", role/storage]
        stateful: false
        mode: monitor
        enabled: false
        on_change: recheck
        hosts: {names: [\"db-*\"]}
        owner: o
        reason: r
        ticket: 12
        review_by: 2127-01-31T12:00:00+02:00
        expires: 9999-12-31
",
    );
    let block = &policy.blocks[0];
    let Ends::Zones { zones, multicast } = &block.from else {
        panic!()
    };
    assert_eq!((zones.len(), *multicast), (2, false));
    let rule = &block.rules[0];
    assert_eq!(rule.span.line, BODY + 5);
    assert_eq!(rule.services.as_ref().map(Vec::len), Some(9));
    assert_eq!(
        rule.source_ports.as_deref(),
        Some(&[(53, 53), (1024, 65535)][..])
    );
    let sources = rule.sources.as_ref().unwrap();
    assert_eq!(sources.sets, [0]);
    assert_eq!(
        sources.prefixes,
        nets(&["192.0.2.1/32", "10.0.0.1/32", "10.0.0.2/32"])
    );
    assert_eq!(
        rule.interfaces.as_ref().unwrap(),
        &["eth0", "en*", "bond0.20"]
    );
    assert_eq!(
        (rule.stateful, rule.enabled, rule.for_this_host),
        (false, false, false)
    );
    assert_eq!(rule.mode, Mode::Monitor);
    assert_eq!(rule.ticket.as_deref(), Some("12"));
    assert_eq!(rule.review_by.unwrap().to_string(), "2127-01-31T10:00:00Z");
    assert!(!rule.active());
}

#[test]
fn heads_and_selectors() {
    let text = format!(
        "{HEAD}mode: monitor\nessentials: {{dhcp: false, arp: true}}\nhosts: {{labels: {{role: db}}, names: [\"web-*\"], percent: 10}}\n"
    );
    let checked = read(&text).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert!(!checked.for_this_host, "the label differs");
    assert_eq!(checked.policy.mode, Mode::Monitor);
    assert!(!checked.policy.essentials.dhcp && checked.policy.essentials.ra);
    let hosts = checked.policy.hosts.unwrap();
    assert_eq!(hosts.labels, [("role".to_owned(), "db".to_owned())]);
    assert_eq!(
        (hosts.names, hosts.percent),
        (vec!["web-*".to_owned()], Some(10))
    );
}

#[test]
fn an_unknown_role_stands_for_no_interface_with_a_warning_where_the_policy_counts() {
    let zones = HEAD.replace("{cidrs: [10.0.0.0/8]}", "{interfaces: [role/nowhere]}");
    let other = format!("{zones}hosts: {{labels: {{role: db}}}}\n");
    let policy = read(&other)
        .unwrap_or_else(|refusal| panic!("{refusal}"))
        .policy;
    assert!(policy.zones[0].has_interfaces && policy.zones[0].interfaces.is_empty());
    let here = read(&zones).unwrap_or_else(|refusal| panic!("{refusal}"));
    let zone = &here.policy.zones[0];
    assert!(zone.has_interfaces && zone.interfaces.is_empty());
    let told = |checked: &Checked| checked.warnings.iter().any(|w| w.code == "unknown-role");
    assert!(told(&here));
    assert!(!told(
        &read(&other).unwrap_or_else(|refusal| panic!("{refusal}"))
    ));
}

#[test]
fn services_name_services_in_any_order() {
    let policy =
        policy("services: {all: [web, dns, both], both: [web, tcp/22], web: [tcp/80, tcp/443]}\n");
    assert_eq!(policy.services[0].parts.len(), 5, "flattened, none twice");
}

#[test]
fn zones_that_cannot_meet_stand_side_by_side() {
    let text = HEAD.replace(
        "{lan: {cidrs: [10.0.0.0/8]}",
        "{a: {interfaces: [\"eth[0-3]\"]}, b: {interfaces: [\"eth[4-7]\"]}, \
         c: {interfaces: [wg0], cidrs: [10.0.0.0/8]}, d: {interfaces: [wg1], cidrs: [10.0.0.0/8]}",
    );
    assert!(read(&text).is_ok());
}

#[test]
fn ends_of_policies() {
    let policy =
        policy("policies: [{name: p, from: [any], to: [lan, multicast], default: deny}]\n");
    assert_eq!(policy.blocks[0].from, Ends::Any);
    assert_eq!(
        policy.blocks[0].to,
        Ends::Zones {
            zones: [0].into(),
            multicast: true
        }
    );
}

#[test]
fn anchors_and_aliases_are_yaml() {
    let policy = policy(
        "policies:\n- {name: p, from: lan, to: host, rules: [{name: a, action: deny, sources: &s [office]}, {name: b, action: deny, sources: *s}]}\n",
    );
    let rules = &policy.blocks[0].rules;
    assert_eq!(rules[0].sources, rules[1].sources);
}

#[test]
fn tests_name_rules_times_and_what_is_built_in() {
    let policy = policy(
        "policies: [{name: p, from: lan, to: host, rules: [{name: a, action: deny}], default: allow}]
tests:
- {packet: tcp lan -> host, expect: deny, rule: p/a, at: 2030-01-01}
- {packet: tcp lan -> host, expect: allow, rule: p/default, at: 2030-01-01T12:00:00Z}
- {packet: tcp lan -> host, expect: allow, rule: essentials/dhcp}
- {packet: tcp lan -> host, expect: allow, rule: failsafe/1}
",
    );
    assert_eq!(
        policy.tests[0].at.unwrap().to_string(),
        "2030-01-01T00:00:00Z"
    );
    assert_eq!(policy.tests[3].rule.as_deref(), Some("failsafe/1"));
}

#[test]
fn log_is_all_or_one_in_so_many() {
    let rule = |field: &str| {
        let body = format!(
            "policies:\n- {{name: p, from: lan, to: host, rules: [{{name: r, action: deny{field}}}]}}\n"
        );
        policy(&body).blocks[0].rules[0].log.map(|log| log.one_in)
    };
    assert_eq!(rule(""), None);
    assert_eq!(rule(", log: true"), Some(1));
    assert_eq!(rule(", log: {sample: 1/100}"), Some(100));
    assert_eq!(rule(", log: {sample: \"1/1\"}"), Some(1));
}

#[test]
fn networks_on_links_are_prefixes_of_their_zones() {
    let zones = "{here: {connected: eth0}, there: {connected: [\"eth*\", eth7], cidrs: [198.51.100.0/24]}, \
                 own: {cidrs: [\"2001:db8:1::/64\"]}, none: {connected: role/storage}, internet: {default: true}}";
    let text = HEAD.replace(
        "{lan: {cidrs: [10.0.0.0/8]}, internet: {default: true}}",
        zones,
    );
    let policy = read(&text)
        .unwrap_or_else(|refusal| panic!("{refusal}"))
        .policy;
    let cidrs: Vec<_> = policy.zones.iter().map(|zone| zone.cidrs.clone()).collect();
    assert_eq!(
        cidrs[0],
        nets(&["192.0.2.0/24"]),
        "what is written out goes before what is found"
    );
    assert_eq!(
        cidrs[1],
        nets(&["198.51.100.0/24", "172.16.0.0/12"]),
        "the first zone of two has it"
    );
    assert_eq!(cidrs[2], nets(&["2001:db8:1::/64"]));
    assert_eq!(policy.zones[3].connected, ["bond0.20"]);
    assert!(
        policy.zones[3].has_cidrs && cidrs[3].is_empty(),
        "nobody is there"
    );
}

#[test]
fn only_links_that_zones_name_matter() {
    let text = HEAD.replace("{cidrs: [10.0.0.0/8]}", "{connected: eth1}");
    let checked = read(&text).unwrap_or_else(|refusal| panic!("{refusal}"));
    let links: Vec<&String> = checked.host.connected.keys().collect();
    assert_eq!(links, ["eth1"]);
    assert!(read(HEAD).unwrap().host.connected.is_empty());
}
