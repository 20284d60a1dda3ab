use super::*;
use crate::policy::explain::from_file;
use crate::policy::packet;
use crate::policy::testing::{HEAD, clock, policy};

const RULES: &str = "policies:
- name: blocked
  from: internet
  to: host
  rules:
  - {name: telnet, action: deny, services: [tcp/23]}
- name: public
  from: internet
  to: host
  rules:
  - {name: web, action: allow, services: [tcp/443]}
  - {name: let-in-tcp-22-203.0.113.9, action: allow, services: [tcp/22], sources: [192.0.2.1]}
  default: deny
- name: out
  from: host
  to: internet
  rules:
  - {name: smtp, action: reject, services: [tcp/25]}
  default: allow
";

/// The text with the line at its place.
fn with(text: &str, found: &LetIn) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = |lines: &[String], from: usize, begin: &str| {
        let place = lines
            .iter()
            .skip(from)
            .position(|line| line.starts_with(begin));
        place.map(|place| place + from)
    };
    let Some(policy) = &found.policy else {
        lines.push(found.line.clone());
        return lines.join("\n");
    };
    let block = at(&lines, 0, &format!("- name: {policy}")).unwrap();
    let place = match &found.before {
        Some(rule) => at(&lines, block, &format!("  - {{name: {rule},")).unwrap(),
        None => at(&lines, block, "  default").unwrap(),
    };
    lines.insert(place, format!("  {}", found.line));
    lines.join("\n")
}

/// What a text says of a packet: the reason and the rule.
fn said(text: &str, spec: &str) -> (Reason, Option<String>, String, String) {
    let policy = policy(text);
    let spec = packet::parse(spec, &policy.zones).unwrap();
    let found = from_file(&policy, &spec, &[], &clock()).unwrap();
    let reason = Reason::ALL.iter().find(|r| r.word() == found.reason);
    (
        *reason.unwrap(),
        found.rule,
        found.source_zone,
        found.destination_zone,
    )
}

fn wish(text: &str, spec: &str, course: Course, ends: [&str; 2], service: &str) -> Wish {
    let (reason, rule, source_zone, destination_zone) = said(text, spec);
    Wish {
        course,
        source: ends[0].parse().unwrap(),
        destination: ends[1].parse().unwrap(),
        service: service.to_owned(),
        reason,
        rule,
        source_zone,
        destination_zone,
    }
}

#[test]
fn with_the_line_the_packet_gets_in_and_its_neighbours_do_not() {
    use Course::{Inbound, Outbound};
    let text = format!("{HEAD}{RULES}");
    for (spec, neighbour, course, ends, service) in [
        // A rule that denies, a default, a default in IPv6, nothing at all.
        (
            "tcp 203.0.113.9 -> host:23",
            "tcp 203.0.113.10 -> host:23",
            Inbound,
            ["203.0.113.9", "192.0.2.1"],
            "tcp/23",
        ),
        (
            "tcp 203.0.113.9 -> host:22",
            "tcp 203.0.113.9 -> host:21",
            Inbound,
            ["203.0.113.9", "192.0.2.1"],
            "tcp/22",
        ),
        (
            "udp [2001:db8::9] -> host:53",
            "udp [2001:db8::8] -> host:53",
            Inbound,
            ["2001:db8::9", "2001:db8::1"],
            "udp/53",
        ),
        (
            "icmp 203.0.113.9 -> host echo-request",
            "icmp 203.0.113.8 -> host echo-request",
            Inbound,
            ["203.0.113.9", "192.0.2.1"],
            "icmp/8",
        ),
        (
            "tcp 10.0.0.9 -> host:22",
            "tcp 10.0.0.8 -> host:22",
            Inbound,
            ["10.0.0.9", "192.0.2.1"],
            "tcp/22",
        ),
        (
            "tcp [fd00::9] -> host:22",
            "tcp [fd00::9] -> host:23",
            Inbound,
            ["fd00::9", "2001:db8::1"],
            "tcp/22",
        ),
        (
            "tcp host -> 203.0.113.9:25",
            "tcp host -> 203.0.113.8:25",
            Outbound,
            ["192.0.2.1", "203.0.113.9"],
            "tcp/25",
        ),
    ] {
        let wish = wish(&text, spec, course, ends, service);
        let found = line(&policy(&text), &wish).unwrap_or_else(|| panic!("{spec}"));
        let changed = with(&text, &found);
        let (reason, rule, ..) = said(&changed, spec);
        assert_eq!(reason, Reason::RuleAllow, "{spec}\n{changed}");
        let rule = rule.unwrap();
        assert!(rule.contains("let-in-"), "{rule}");
        assert_eq!(
            said(&changed, neighbour),
            said(&text, neighbour),
            "{changed}"
        );
    }
}

#[test]
fn the_place_is_told_in_words() {
    let text = format!("{HEAD}{RULES}");
    let told = |spec, service| {
        let wish = wish(
            &text,
            spec,
            Course::Inbound,
            ["203.0.113.9", "192.0.2.1"],
            service,
        );
        line(&policy(&text), &wish).unwrap().place()
    };
    assert_eq!(
        told("tcp 203.0.113.9 -> host:23", "tcp/23"),
        "in `blocked`, before the rule `telnet`"
    );
    assert_eq!(
        told("tcp 203.0.113.9 -> host:22", "tcp/22"),
        "in `public`, as its last rule"
    );
    assert_eq!(
        told("tcp 10.0.0.9 -> host:22", "tcp/22"),
        "at the end of `policies`"
    );
}

#[test]
fn where_no_rule_helps_there_is_a_hint() {
    let text = format!("{HEAD}{RULES}");
    for reason in [
        Reason::Malformed,
        Reason::NoSession,
        Reason::SpoofedSource,
        Reason::Revoked,
    ] {
        let base = wish(
            &text,
            "tcp 203.0.113.9 -> host:22",
            Course::Inbound,
            ["203.0.113.9", "192.0.2.1"],
            "tcp/22",
        );
        assert_eq!(line(&policy(&text), &Wish { reason, ..base }), None);
        assert!(!hint(reason).is_empty());
    }
}
