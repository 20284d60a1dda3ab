//! Tests and assertions that hold, and those that must not.

use super::{Outcome, run};
use crate::policy::model::Policy;
use crate::policy::testing::{HEAD, clock, policy};

const RULES: &str = "
policies:
  - name: admin
    from: lan
    to: host
    rules:
      - {name: ssh, action: allow, services: [ssh], except_sources: [10.0.0.77]}
  - name: public
    from: internet
    to: host
    rules:
      - {name: scanners, action: reject, sources: [office]}
      - {name: web, action: allow, services: [tcp/443], expires: 2027-06-30}
    default: deny
  - name: out
    from: host
    to: any
    rules:
      - {name: mail, action: reject, services: [tcp/25]}
";

fn with(more: &str) -> Policy {
    policy(&format!("{HEAD}{RULES}{more}"))
}

fn outcomes(more: &str) -> Vec<Outcome> {
    let report = run(&with(more), &clock()).unwrap();
    let tests = report.tests.iter().map(|test| test.outcome);
    tests
        .chain(report.assertions.iter().map(|a| a.outcome))
        .collect()
}

fn refuted(statement: &str) -> (String, Option<String>) {
    let report = run(&with(&format!("assertions: ['{statement}']")), &clock()).unwrap();
    let result = report.assertions.first().unwrap();
    assert_eq!(result.outcome, Outcome::Failed, "{statement}");
    let packet = result.counterexample.clone().unwrap();
    // The counterexample is one: `explain` gives the same answer.
    let policy = with("");
    let spec = crate::policy::packet::parse(&packet, &policy.zones).unwrap();
    let found = crate::policy::explain::from_file(&policy, &spec, &clock()).unwrap();
    assert_eq!(Some(&found.action), result.action.as_ref(), "{packet}");
    assert_eq!(found.rule, result.rule, "{packet}");
    (packet, result.rule.clone())
}

#[test]
fn tests_pass_fail_and_name_the_rule_that_decided() {
    let report = run(
        &with(
            "tests:
  - {packet: 'tcp 203.0.113.9:40000 -> host:443', expect: allow, rule: public/web}
  - {packet: 'tcp lan -> host:22', expect: allow, rule: admin/ssh}
  - {packet: 'tcp 198.51.100.1 -> host:443', expect: reject, rule: public/scanners}
  - {packet: 'tcp host -> 203.0.113.9:25', expect: reject}
  - {packet: 'udp host -> internet:53', expect: allow}
  - {packet: 'icmpv6 2001:db8:77::1 -> host', expect: deny, rule: public/default}
  - {packet: 'tcp lan -> internet:443', expect: allow}
  - {packet: 'tcp 203.0.113.9:40000 -> host:22', expect: allow}
",
        ),
        &clock(),
    );
    let report = report.unwrap();
    let (last, rest) = report.tests.split_last().unwrap();
    for test in rest {
        assert_eq!(test.outcome, Outcome::Passed, "{test:?}");
    }
    assert_eq!(last.outcome, Outcome::Failed);
    assert_eq!(last.rule.as_deref(), Some("public/default"));
    assert!(!report.holds());
    let told = report.diagnostics(&with(""))[0].to_string();
    assert!(
        told.contains("found deny by `public/default` (default-deny)"),
        "{told}"
    );
}

#[test]
fn the_test_of_an_expired_rule_is_skipped_and_time_can_be_chosen() {
    let more = "tests:
  - {packet: 'tcp 203.0.113.9 -> host:443', expect: allow, at: 2027-07-02}
  - {packet: 'tcp 203.0.113.9 -> host:443', expect: deny, at: 2027-07-02}
  - {packet: 'tcp 203.0.113.9 -> host:443', expect: allow, at: 2020-01-01}
";
    assert_eq!(
        outcomes(more),
        [Outcome::Skipped, Outcome::Passed, Outcome::Passed]
    );
}

#[test]
fn statements_that_hold_are_proved() {
    let more = "assertions:
  - deny internet -> host tcp/22
  - deny internet -> host tcp/444-65535
  - deny any -> host udp/53
  - deny host -> any tcp/25
  - allow host -> internet tcp/443
  - deny lan -> host icmp
  - deny 10.0.0.77 -> host
  - allow 10.0.0.0/26 -> host tcp/22
  - allow lan -> internet
";
    assert!(
        outcomes(more).iter().all(|o| *o == Outcome::Passed),
        "{:?}",
        outcomes(more)
    );
}

#[test]
fn statements_that_do_not_hold_are_refuted_by_a_packet() {
    let (packet, rule) = refuted("allow lan -> host tcp/22");
    assert_eq!(packet, "tcp 10.0.0.77:50000 -> host:22");
    assert_eq!(rule, None);
    let (packet, rule) = refuted("deny internet -> host tcp/440-450");
    assert!(packet.ends_with("-> host:443"), "{packet}");
    assert_eq!(rule.as_deref(), Some("public/web"));
    let (_, rule) = refuted("allow internet -> host tcp/443");
    assert_eq!(rule.as_deref(), Some("public/scanners"));
    let (packet, _) = refuted("deny host -> lan");
    assert!(packet.contains("host"), "{packet}");
}

#[test]
fn monitored_and_disabled_rules_are_absent() {
    let more = |extra: &str| {
        let rules = RULES.replace(
            "services: [ssh], except",
            &format!("services: [ssh], {extra}, except"),
        );
        let text = format!("{HEAD}{rules}assertions: [deny any -> host tcp/22]");
        run(&policy(&text), &clock()).unwrap().holds()
    };
    assert!(more("mode: monitor") && more("enabled: false") && !more("stateful: true"));
}

#[test]
fn the_example_of_the_language_holds() {
    let text = include_str!("../text/tests/example.yaml").replace("role/storage", "bond0.20");
    let report = run(&policy(&text), &clock()).unwrap();
    assert_eq!((report.tests.len(), report.assertions.len()), (3, 2));
    assert!(report.holds(), "{report:#?}");
}

/// A thousand rules with networks and ports of their own.
fn large() -> Policy {
    let rule = |n: u32| {
        let (a, b) = (n / 250, n % 250);
        format!(
            "      - {{name: r{n}, action: allow, services: [tcp/{}], sources: [203.{a}.{b}.0/24]}}\n",
            1000 + n
        )
    };
    let rules: String = (0..1000).map(rule).collect();
    let claims = "assertions: [deny internet -> host tcp/22, allow host -> any, deny 203.1.1.0/24 -> host tcp/1000-1250]";
    policy(&format!(
        "{HEAD}policies:\n  - name: in\n    from: internet\n    to: host\n    rules:\n{rules}{claims}"
    ))
}

#[test]
fn a_thousand_rules_are_proved_in_seconds() {
    let policy = large();
    let start = std::time::Instant::now();
    let report = run(&policy, &clock()).unwrap();
    println!("proved in {:?}", start.elapsed());
    assert!(report.holds(), "{:?}", report.assertions);
    let start = std::time::Instant::now();
    assert!(crate::policy::lint::lint(&policy, &clock()).is_empty());
    println!("linted in {:?}", start.elapsed());
}
