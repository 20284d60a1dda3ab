//! Tests and assertions that hold, and those that must not.

use firewall_common::config::Fallback;
use firewall_common::policy::rule::Action as Act;

use super::assertions::{Prover, queries};
use super::{Outcome, ProofReport};
use crate::policy::compile::{CompileError, compile, tuned};
use crate::policy::compiled::{Clock, Numbers};
use crate::policy::explain::Judge;
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

fn run(policy: &Policy, clock: &Clock) -> Result<ProofReport, Vec<CompileError>> {
    super::run(policy, &[], clock)
}

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
    let found = crate::policy::explain::from_file(&policy, &spec, &[], &clock()).unwrap();
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
    assert_eq!(rule.as_deref(), Some("unmatched/inbound"));
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
    let mut judge = Judge::new(&policy, &compiled);
    let mut prover = Prover::new(&policy, &compiled, clock().boot).with(5);
    let result = prover.prove(&mut judge, &policy.assertions[0]);
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

/// Every statement with what is wanted: proved, or refuted with a packet that `explain` agrees about.
fn settled(rules: &str, statements: &[(&str, bool)]) {
    for (statement, holds) in statements {
        let text = format!("{HEAD}{rules}assertions: ['{statement}']\n");
        let policy = policy(&text);
        let report = run(&policy, &clock()).unwrap();
        let result = &report.assertions[0];
        assert_eq!(
            result.outcome == Outcome::Passed,
            *holds,
            "{statement}: {result:?}"
        );
        let Some(packet) = &result.counterexample else {
            continue;
        };
        let spec = crate::policy::packet::parse(packet, &policy.zones).unwrap();
        let found = crate::policy::explain::from_file(&policy, &spec, &[], &clock()).unwrap();
        assert_eq!(Some(&found.action), result.action.as_ref(), "{packet}");
        assert_eq!(found.rule, result.rule, "{packet}");
    }
}

#[test]
fn what_essentials_let_by_counts_as_allowed() {
    let statements = [
        ("deny internet -> host udp/68", false),
        ("deny internet -> host udp/546", false),
        ("deny internet -> host udp/1-1023", false),
        ("deny internet -> host udp/69-545", true),
        ("deny any -> host icmpv6/134", false),
        ("deny any -> host icmpv6/130", false),
        ("deny any -> host icmpv6/135", false),
        ("allow any -> host icmpv6/135", true),
        ("deny any -> host proto/2", false),
        ("allow any -> host proto/2", true),
        ("deny host -> any udp/67", false),
        ("deny 2001:db8::/32 -> host icmpv6/134", true),
        ("deny 2001:db8::/32 -> host icmpv6/136", false),
    ];
    settled("policies: []\n", &statements);
    let off = "essentials: {ra: false, dhcp: false, dhcpv6: false, igmp: false, mld: false}\npolicies: []\n";
    let statements = [
        ("deny internet -> host udp/68", true),
        ("deny internet -> host icmpv6/134", true),
        ("deny internet -> host icmpv6/130", true),
        ("deny internet -> host proto/2", true),
        ("deny any -> host icmpv6/135", false),
    ];
    settled(off, &statements);
}

#[test]
fn errors_about_nothing_count_as_denied_and_a_whole_protocol_goes_by_the_list() {
    let open =
        "policies:\n  - {name: in, from: any, to: host, rules: [{name: all, action: allow}]}\n";
    let statements = [
        ("allow internet -> host icmp/3/4", false),
        ("deny internet -> host icmp/3/4", true),
        ("allow internet -> host icmpv6/2", false),
        ("deny internet -> host icmpv6/1", true),
        ("allow internet -> host icmp", true),
        ("allow internet -> host icmpv6", true),
        ("allow internet -> host", true),
        ("deny internet -> host ping", false),
    ];
    settled(open, &statements);
    let closed = "policies: []\n";
    settled(
        closed,
        &[
            ("deny internet -> host", true),
            ("deny internet -> host udp/*", true),
            ("deny internet -> host icmpv6", true),
        ],
    );
    let policy = policy(&format!(
        "{HEAD}{closed}assertions: [deny internet -> host]\n"
    ));
    let report = run(&policy, &clock()).unwrap();
    assert_eq!(report.assertions[0].notes, [super::aside::THE_LIST]);
}

#[test]
fn sources_that_no_packet_has_are_no_examples() {
    let rules = "
policies:
  - name: in
    from: any
    to: host
    rules:
      - {name: odd, action: allow, sources: [127.0.0.0/8, 224.0.0.0/4, 240.0.0.0/4, 0.0.0.0, '::1', 'ff00::/8']}
      - {name: web, action: allow, services: [https], sources: [0.0.0.0/1]}
";
    let statements = [
        ("deny 0.0.0.0/0 -> host tcp/22", true),
        ("deny ::/0 -> host tcp/22", true),
        ("allow 0.0.0.0/1 -> host tcp/443", true),
        ("deny 127.0.0.0/8 -> host", true),
        ("allow 127.0.0.0/8 -> host", false),
        ("allow 224.0.0.0/4 -> host tcp/443", false),
        ("deny 240.0.0.0/4 -> host tcp/22", true),
    ];
    settled(rules, &statements);
}

#[test]
fn a_statement_about_no_packet_at_all_has_failed() {
    let statement = "assertions: [deny 192.0.2.0/24 -> host icmpv6/128]";
    let policy = policy(&format!("{HEAD}policies: []\n{statement}"));
    let report = run(&policy, &clock()).unwrap();
    let result = &report.assertions[0];
    assert_eq!(result.outcome, Outcome::Failed);
    assert_eq!(result.diagnostic().code, "assertion-empty");
}

#[test]
fn a_test_about_a_rule_that_is_not_for_this_host_is_skipped() {
    let rules = "
policies:
  - name: in
    from: internet
    to: host
    rules:
      - {name: web, action: allow, services: [https], hosts: {labels: {role: web}}}
      - {name: ssh, action: allow, services: [ssh]}
    default: deny
tests:
  - {packet: 'tcp 203.0.113.9 -> host:443', expect: allow, rule: in/web}
  - {packet: 'tcp 203.0.113.9 -> host:443', expect: allow}
  - {packet: 'tcp 203.0.113.9 -> host:443', expect: deny}
  - {packet: 'tcp 203.0.113.9 -> host:22', expect: deny}
";
    let report = run(&policy(&format!("{HEAD}{rules}")), &clock()).unwrap();
    let outcomes: Vec<Outcome> = report.tests.iter().map(|test| test.outcome).collect();
    let (passed, failed, skipped) = (Outcome::Passed, Outcome::Failed, Outcome::Skipped);
    assert_eq!(outcomes, [skipped, skipped, passed, failed]);
    let note = report.tests[1].note.as_deref();
    assert_eq!(note, Some("`in/web` is not for this host"));
}

#[test]
fn tests_meet_the_failsafe_rules_of_the_host() {
    let rules = "
policies: []
tests:
  - {packet: 'tcp 203.0.113.9 -> host:22', expect: allow, rule: failsafe/1}
  - {packet: 'tcp 203.0.113.9 -> host:22', expect: deny, rule: unmatched/inbound}
  - {packet: 'tcp 198.51.100.9 -> host:22', expect: deny, rule: unmatched/inbound}
  - {packet: 'tcp 203.0.113.9 -> host:22', expect: allow, rule: failsafe/2}
";
    let policy = policy(&format!("{HEAD}{rules}"));
    let failsafe = [crate::agent::config::FailsafeRule {
        sources: vec!["203.0.113.0/24".parse().unwrap()],
        services: vec![Service::Ports {
            protocol: 6,
            low: 22,
            high: 22,
        }],
    }];
    let outcomes = |failsafe: &[_]| {
        let report = super::run(&policy, failsafe, &clock()).unwrap();
        let tests = report.tests.iter();
        tests.map(|test| test.outcome).collect::<Vec<Outcome>>()
    };
    let (passed, skipped) = (Outcome::Passed, Outcome::Skipped);
    assert_eq!(outcomes(&failsafe), [passed, skipped, passed, skipped]);
    assert_eq!(outcomes(&[]), [skipped, passed, passed, skipped]);
}

#[test]
fn a_test_reaches_a_rule_about_one_of_the_hosts_addresses() {
    let rules = "
policies:
  - name: in
    from: internet
    to: host
    rules:
      - {name: site, action: allow, services: [https], destinations: [198.51.100.80]}
    default: deny
tests:
  - {packet: 'tcp 203.0.113.9 -> host:443', expect: allow, rule: in/site}
  - {packet: 'tcp 203.0.113.9 -> host:443', expect: deny, rule: in/default}
  - {packet: 'tcp 203.0.113.9 -> host:80', expect: allow}
";
    let report = run(&policy(&format!("{HEAD}{rules}")), &clock()).unwrap();
    let outcomes: Vec<Outcome> = report.tests.iter().map(|test| test.outcome).collect();
    let (passed, failed) = (Outcome::Passed, Outcome::Failed);
    assert_eq!(outcomes, [passed, passed, failed]);
    let note = report.tests[0].note.as_deref();
    assert_eq!(note, Some("with 198.51.100.80 as this host's address"));
}
