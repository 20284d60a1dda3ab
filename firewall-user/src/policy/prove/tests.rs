//! Tests and assertions that hold, and those that must not.

use firewall_common::config::Fallback;
use firewall_common::policy::rule::Action as Act;

use super::assertions::{Prover, queries};
use super::{Outcome, run};
use crate::policy::compile::{compile, tuned};
use crate::policy::compiled::{Clock, Numbers};
use crate::policy::model::{Action, Assertion, Endpoint, Policy, Service, Span};
use crate::policy::oracle::against::{THIN, drawn};
use crate::policy::space::Space;
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

/// Is a statement true, by looking at every piece of the space?
fn by_pieces(policy: &Policy, claim: &Assertion, clock: &Clock) -> bool {
    let mut compiled = compile(policy, &mut Numbers::default(), clock).unwrap();
    compiled.head.flags &= !firewall_common::config::GENERATION_MONITOR;
    let space = Space::whole(policy, &compiled);
    let mask = space.deciding(clock.boot);
    queries(policy, &space, claim).iter().all(|query| {
        let cases = space.cases(query, &mask, usize::MAX).unwrap();
        cases.iter().all(|case| {
            let rule = case.matching().next();
            let action = rule.map(|rule| compiled.rules[rule as usize].action);
            let fallback = compiled.head.unmatched[query.course as usize];
            let allowed = match action {
                Some(action) => action == Act::Allow as u8,
                None => matches!(
                    Fallback::from_number(fallback),
                    Fallback::Allow | Fallback::Pass
                ),
            };
            allowed == (claim.expect == Action::Allow)
        })
    })
}

/// A random statement about a policy.
fn claim(policy: &Policy, dice: &mut impl FnMut(usize) -> usize) -> Assertion {
    let end = |dice: &mut dyn FnMut(usize) -> usize| match dice(6) {
        0 => Endpoint::Any,
        1 => Endpoint::Net(
            ["10.0.0.0/9", "192.0.2.0/24", "::/1", "fd00::/8"][dice(4)]
                .parse()
                .unwrap(),
        ),
        _ => Endpoint::Zone(dice(policy.zones.len())),
    };
    let (source, destination) = match dice(3) {
        0 => (end(dice), Endpoint::Host),
        1 => (Endpoint::Host, end(dice)),
        _ => (end(dice), end(dice)),
    };
    let service = |protocol, low| Service::Ports {
        protocol,
        low,
        high: low + 3,
    };
    Assertion {
        span: Span::default(),
        text: String::new(),
        expect: [Action::Allow, Action::Deny][dice(2)],
        source,
        destination,
        services: (dice(3) > 0).then(|| vec![service(6, 79), service(17, 52)]),
    }
}

#[test]
fn random_statements_are_true_by_the_search_where_they_are_by_every_piece() {
    let clock = Clock {
        boot: super::BOOT,
        ..clock()
    };
    let (mut passed, mut failed) = (0, 0);
    for seed in 0..100 {
        let (mut policy, mut dice) = drawn(seed, clock.wall);
        policy.assertions = (0..6).map(|_| claim(&policy, &mut dice)).collect();
        let prove = || run(&policy, &clock).unwrap();
        let report = if seed % 2 == 0 {
            prove()
        } else {
            tuned(THIN, prove)
        };
        for (claim, result) in policy.assertions.iter().zip(&report.assertions) {
            let wanted = by_pieces(&policy, claim, &clock);
            let found = result.outcome == Outcome::Passed;
            assert_eq!(
                found, wanted,
                "seed {seed}: {claim:?} {result:?} {policy:#?}"
            );
            assert_eq!(found, result.counterexample.is_none());
            passed += usize::from(found);
            failed += usize::from(!found);
        }
    }
    println!("{passed} true, {failed} not");
    assert!(passed > 60 && failed > 60, "{passed} {failed}");
}

#[test]
fn what_cannot_be_decided_has_failed() {
    let policy = with("assertions: [deny internet -> host tcp/22]");
    let compiled = compile(&policy, &mut Numbers::default(), &clock()).unwrap();
    let space = Space::new(&policy, &compiled);
    let mut prover = Prover::new(&policy, &compiled, clock().boot).with(5);
    let result = prover.prove(&space, &policy.assertions[0]);
    assert_eq!(
        (result.outcome, result.counterexample.clone()),
        (Outcome::Failed, None)
    );
    assert_eq!(result.diagnostic().code, "assertion-undecided");
}

/// Many rules with networks and ports of their own, one that can never match, and a way in that should not be.
fn large(rules: u32) -> Policy {
    let rule = |n: u32| {
        let (a, b) = (n / 250 % 250, n % 250);
        let (port, bits) = (1000 + n % 60_000, if n < 62_500 { 24 } else { 25 });
        format!(
            "      - {{name: r{n}, action: allow, services: [tcp/{port}], sources: [203.{a}.{b}.0/{bits}]}}\n"
        )
    };
    let rules: String = (0..rules).map(rule).collect();
    let lost = "      - {name: lost, action: deny, services: [tcp/1007], sources: [203.0.7.9]}\n";
    let claims = "assertions: [deny internet -> host tcp/22, allow host -> any, deny 203.1.1.0/24 -> host tcp/1000-1250, deny 203.0.0.0/16 -> host]";
    policy(&format!(
        "{HEAD}policies:\n  - name: in\n    from: internet\n    to: host\n    rules:\n{rules}{lost}{claims}"
    ))
}

#[test]
fn more_rules_than_there_are_pieces_to_look_at_are_proved_and_linted() {
    let policy = large(8_000);
    let start = std::time::Instant::now();
    let report = run(&policy, &clock()).unwrap();
    println!("proved in {:?}", start.elapsed());
    let outcomes: Vec<_> = report.assertions.iter().map(|a| a.outcome).collect();
    let (held, refuted) = (Outcome::Passed, Outcome::Failed);
    assert_eq!(outcomes, [held, held, held, refuted]);
    let packet = report.assertions[3].counterexample.as_ref().unwrap();
    assert!(packet.starts_with("tcp 203.0."), "{packet}");
    let start = std::time::Instant::now();
    let found = crate::policy::lint::lint(&policy, &clock());
    println!("linted in {:?}", start.elapsed());
    let found: Vec<&str> = found
        .iter()
        .map(|warning| warning.message.as_str())
        .collect();
    assert_eq!(
        found,
        ["`in/lost` can never match: `in/r7` decide before it"]
    );
}
