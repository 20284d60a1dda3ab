//! Packets judged by a file alone.

use super::*;
use crate::policy::testing::{HEAD, clock, policy};

const RULES: &str = "
policies:
  - name: storage
    from: backend
    to: host
    rules:
      - {name: iscsi, action: allow, services: [tcp/3260]}
  - name: mdns
    from: host
    to: [multicast, vpn]
    rules:
      - {name: dns, action: reject, services: [udp/5353]}
";

fn explained(text: &str, mode: &str) -> Result<Explanation, Vec<CompileError>> {
    let zones = "backend: {interfaces: ['bond0.*'], cidrs: [10.20.0.0/16]}, vpn: {interfaces: [wg0]}, internet:";
    let head = HEAD.replace("internet:", zones);
    let policy = policy(&format!("{head}{RULES}{mode}"));
    let spec = packet::parse(text, &policy.zones).unwrap();
    from_file(&policy, &spec, &[], &clock())
}

fn told(text: &str) -> (String, Option<String>, String, String) {
    let found = explained(text, "").unwrap();
    (
        found.reason,
        found.rule,
        found.source_zone,
        found.destination_zone,
    )
}

fn words(
    reason: &str,
    rule: &str,
    from: &str,
    to: &str,
) -> (String, Option<String>, String, String) {
    let rule = (!rule.is_empty()).then(|| rule.to_owned());
    (reason.to_owned(), rule, from.to_owned(), to.to_owned())
}

#[test]
fn a_zone_stands_for_one_of_its_addresses_at_one_of_its_interfaces() {
    let iscsi = words("rule-allow", "storage/iscsi", "backend", "host");
    assert_eq!(told("tcp backend -> host:3260"), iscsi);
    assert_eq!(told("tcp 10.20.0.7 -> host:3260 in bond0.20"), iscsi);
    let elsewhere = words("no-policy", "unmatched/inbound", "lan", "host");
    assert_eq!(told("tcp 10.20.0.7 -> host:3260 in eth0"), elsewhere);
    assert_eq!(
        told("udp host -> vpn:5353"),
        words("rule-reject", "mdns/dns", "host", "vpn")
    );
    assert_eq!(told("udp host -> [fe80::7]:5353 out wg0").3, "vpn");
}

#[test]
fn groups_routed_traffic_and_framing_are_judged_too() {
    assert_eq!(
        told("udp host -> multicast:5353"),
        words("rule-reject", "mdns/dns", "host", "multicast")
    );
    assert_eq!(
        told("udp host -> [ff02::fb]:5353").1.as_deref(),
        Some("mdns/dns")
    );
    assert_eq!(
        told("tcp lan -> internet:443"),
        words("routed", "unmatched/routed", "lan", "internet")
    );
    // What arrives for a group is this host's, also where nothing decides.
    for group in ["224.0.0.251", "255.255.255.255"] {
        assert_eq!(
            told(&format!("udp internet -> {group}:5353")),
            words("no-policy", "unmatched/inbound", "internet", "host")
        );
    }
    assert_eq!(
        told("udp [2001:db8::7] -> [ff02::fb]:5353").1.as_deref(),
        Some("unmatched/inbound")
    );
    assert_eq!(told("tcp 127.0.0.1 -> host:22").0, "spoofed-source");
    assert!(packet::parse("tcp host -> host:22", &[]).is_err());
}

#[test]
fn what_is_monitored_says_what_would_be_done() {
    let found = explained("tcp internet -> host:22", "mode: monitor\n").unwrap();
    assert_eq!(
        (found.verdict.as_str(), found.action.as_str()),
        ("audit", "deny")
    );
    assert_eq!(found.packet, "tcp 203.0.113.9:50000 -> host:22");
}

/// The action, and the packet as shown.
fn verdict(text: &str, rules: &str, failsafe: &[FailsafeRule]) -> Explanation {
    let policy = policy(&format!("{HEAD}{rules}"));
    let spec = packet::parse(text, &policy.zones).unwrap();
    from_file(&policy, &spec, failsafe, &clock()).unwrap()
}

const OPEN: &str = "
policies:
  - name: in
    from: internet
    to: host
    rules:
      - {name: all, action: allow}
";

#[test]
fn the_action_of_what_is_only_monitored_is_what_would_be_done() {
    let of = |reason: Reason| {
        let plain = Decision::plain(reason);
        action(&Decision {
            verdict: Verdict::Audit,
            ..plain
        })
    };
    assert_eq!(of(Reason::NoPolicy), "deny");
    assert_eq!(of(Reason::RuleReject), "reject");
    assert_eq!(of(Reason::RuleAllow), "allow");
}

#[test]
fn host_is_never_the_address_of_its_peer() {
    for text in [
        "udp [2001:db8::1]:53 -> host",
        "tcp 192.0.2.1 -> host:22",
        "tcp 192.0.2.0/24 -> host:22",
    ] {
        let found = verdict(text, OPEN, &[]);
        assert_eq!(found.rule.as_deref(), Some("in/all"), "{text}: {found:?}");
    }
    for text in ["tcp host -> 192.0.2.1:22", "tcp host -> [2001:db8::1]:22"] {
        let found = verdict(text, OPEN, &[]);
        assert_eq!(found.rule.as_deref(), Some("unmatched/outbound"), "{text}");
    }
}

#[test]
fn what_the_link_needs_can_be_asked_about() {
    for (text, rule) in [
        ("icmpv6 fe80::1 -> ff02::1 134", "essentials/ra"),
        ("icmpv6 host -> multicast 133", "essentials/ra"),
        ("icmpv6 internet -> host 134", "essentials/ra"),
        ("icmpv6 2001:db8::7 -> host 135", "essentials/nd"),
        ("icmpv6 host -> ff02::16 143", "essentials/mld"),
        ("icmpv6 fe80::7 -> host 130", "essentials/mld"),
        ("udp 203.0.113.9:67 -> host:68", "essentials/dhcp"),
    ] {
        let found = verdict(text, "policies: []", &[]);
        assert_eq!(found.rule.as_deref(), Some(rule), "{text}: {found:?}");
        assert_eq!(found.action, "allow", "{text}");
    }
    let routers = verdict("icmpv6 2001:db8::7 -> host 134", "policies: []", &[]);
    assert_eq!(routers.reason, "nd-invalid");
}

#[test]
fn the_hosts_own_failsafe_comes_before_the_list() {
    let rule = FailsafeRule {
        sources: vec!["203.0.113.0/24".parse().unwrap()],
        services: vec![crate::policy::model::Service::Ports {
            protocol: 6,
            low: 22,
            high: 22,
        }],
    };
    let asked = |text: &str| verdict(text, "policies: []", std::slice::from_ref(&rule));
    let found = asked("tcp 203.0.113.9 -> host:22");
    assert_eq!(found.rule.as_deref(), Some("failsafe/1"));
    assert_eq!(
        (found.action.as_str(), found.reason.as_str()),
        ("allow", "failsafe")
    );
    assert_eq!(asked("tcp 203.0.113.9 -> host:23").action, "deny");
    assert_eq!(asked("tcp 198.51.100.9 -> host:22").action, "deny");
}

#[test]
fn a_rule_about_one_of_the_hosts_addresses_is_reached() {
    let rules = "
sets: {virtual: [198.51.100.80]}
policies:
  - name: in
    from: internet
    to: host
    rules:
      - {name: ssh, action: allow, services: [ssh]}
      - {name: site, action: allow, services: [https], destinations: [virtual, '2001:db8:80::/64']}
    default: deny
  - name: out
    from: host
    to: any
    rules:
      - {name: mail, action: reject, services: [tcp/25], sources: [198.51.100.81]}
";
    let head = HEAD.replace("sets: {office: [198.51.100.0/24]}\n", "");
    let asked = |text: &str| {
        let policy = policy(&format!("{head}{rules}"));
        let spec = packet::parse(text, &policy.zones).unwrap();
        let found = from_file(&policy, &spec, &[], &clock()).unwrap();
        (found.rule.unwrap(), found.host_address)
    };
    let here = |rule: &str, host: &str| (rule.to_owned(), Some(host.to_owned()));
    assert_eq!(
        asked("tcp 203.0.113.9 -> host:443"),
        here("in/site", "198.51.100.80")
    );
    let v6 = asked("tcp 2001:db8::9 -> host:443");
    assert_eq!(v6, here("in/site", "2001:db8:80::"));
    assert_eq!(
        asked("tcp host -> 203.0.113.9:25"),
        here("out/mail", "198.51.100.81")
    );
    // What rules decide whichever address it is goes by an address of no other meaning.
    let ssh = asked("tcp 203.0.113.9 -> host:22");
    assert_eq!(ssh, ("in/ssh".to_owned(), None));
    assert_eq!(asked("tcp 203.0.113.9 -> host:80").0, "in/default");
}
