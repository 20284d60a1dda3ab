//! Policies that are refused: where, and with what words.

use super::{BODY, HEAD, read};
use crate::policy::{Refusal, Severity};

fn refused(text: &str) -> Refusal {
    match read(text) {
        Err(refusal) => refusal,
        Ok(_) => panic!("accepted: {text}"),
    }
}

/// One fault is found at a place with words, in the message or the advice.
fn has(refusal: &Refusal, line: usize, column: usize, words: &str) -> bool {
    refusal.diagnostics.iter().any(|found| {
        let text = format!(
            "{} {}",
            found.message,
            found.help.as_deref().unwrap_or_default()
        );
        (found.line, found.column) == (Some(line), Some(column)) && text.contains(words)
    })
}

/// Lines, columns and words; the text follows [`HEAD`], its first line is 1.
fn check(cases: &[(&str, usize, usize, &str)]) {
    for (body, line, column, words) in cases {
        let refusal = refused(&format!("{HEAD}{body}"));
        assert!(
            has(&refusal, BODY - 1 + line, *column, words),
            "{body}\n{words}\n{refusal}"
        );
    }
}

/// A rule with this field, and where its value begins in the text.
fn check_rule(cases: &[(&str, usize, &str)]) {
    for (field, column, words) in cases {
        let body = format!(
            "policies:\n- name: p\n  from: lan\n  to: host\n  rules:\n  - name: r\n    {field}\n"
        );
        let action = if field.starts_with("action") {
            ""
        } else {
            "    action: allow\n"
        };
        let refusal = refused(&format!("{HEAD}{body}{action}"));
        assert!(
            has(&refusal, BODY + 6, *column, words),
            "{field}\n{words}\n{refusal}"
        );
    }
}

#[test]
fn words_without_effect_yet_are_refused_by_name() {
    let not_yet = "is not supported by this version of Ringwall yet";
    for field in [
        "not_before: 2127-01-01",
        "users: [root]",
        "units: [a.service]",
        "cgroups: [/x]",
    ] {
        let name = field.split(':').next().unwrap();
        check_rule(&[(field, 5, &format!("`{name}` {not_yet}"))]);
    }
    check_rule(&[
        ("on_change: drop", 16, "`drop` is no way"),
        ("replies: all", 14, "`all` is no way of `replies`"),
        (
            "log: yes",
            10,
            "`log` is `true`, `false` or `{sample: 1/100}`",
        ),
        (
            "log: 1/100",
            10,
            "`log` is `true`, `false` or `{sample: 1/100}`",
        ),
        ("log: {sample: 2/3}", 19, "`sample` is one in so many"),
        ("log: {sample: 1/0}", 19, "`sample` is one in so many"),
        ("log: {rate: 1/2}", 11, "rate"),
    ]);
    let text = HEAD.replace("10.0.0.0/8", "office");
    let text = text.replace("[198.51.100.0/24]", "{dynamic: true}");
    assert!(
        refused(&text)
            .to_string()
            .contains("a dynamic set as `cidrs` of a zone is not supported")
    );
}

#[rustfmt::skip]
const RULE_FIELDS: &[(&str, usize, &str)] = &[
    ("acton: deny", 5, "did you mean `action`"),
    ("action: drop", 13, "ours is `deny`"),
    ("action: accept", 13, "ours is `allow`"),
    ("action: audit", 13, "`mode: monitor`"),
    ("action: Allow", 13, "ours is `allow`"),
    ("action: rejct", 13, "ours is `reject`"),
    ("action: quux", 13, "expected `allow`, `deny` or `reject`"),
    ("action: [allow]", 13, "expected `allow`, `deny` or `reject`"),
    ("services: []", 15, "empty list"),
    ("services: ssh", 15, "expected a list"),
    ("services: [shh]", 16, "did you mean `ssh`"),
    ("services: [any]", 16, "leave the key out"),
    ("services: [443/tcp]", 16, "write `tcp/443`"),
    ("services: [443]", 16, "the protocol comes first"),
    ("services: ['tcp:443']", 16, "write `tcp/443`"),
    ("services: [tcp]", 16, "`tcp` alone says no port"),
    ("services: [tcp/90-80]", 16, "runs backwards"),
    ("services: [tcp/80-]", 16, "no port"),
    ("services: [tcp/65536]", 16, "0 to 65535"),
    ("services: [tcp/080]", 16, "no port"),
    ("services: ['tcp/80,443']", 16, "one entry a port"),
    ("services: ['tcp/80:90']", 16, "write `80-90`"),
    ("services: [tpc/80]", 16, "did you mean `tcp`"),
    ("services: [icmp/echo]", 16, "no type of ICMPv4"),
    ("services: [icmpv6/300]", 16, "no type of ICMPv6"),
    ("services: [icmp/3/x]", 16, "an ICMP code"),
    ("services: [proto/256]", 16, "0 to 255"),
    ("services: [gre/1]", 16, "no ports"),
    ("source_ports: [x]", 20, "no port"),
    ("source_ports: []", 19, "empty list"),
    ("sources: []", 14, "empty list"),
    ("sources: office", 14, "expected a list"),
    ("sources: [offce]", 15, "did you mean `office`"),
    ("sources: [any]", 15, "an absent key means everything"),
    ("sources: [lan]", 15, "that is a zone"),
    ("sources: ['@office']", 15, "bare name"),
    ("sources: ['!office']", 15, "`except_sources: [office]`"),
    ("sources: [@office]", 15, "bare name"),
    ("sources: [!office]", 15, "`except_sources`"),
    ("sources: fe80::", 19, "in quotes"),
    ("reason: see: above", 16, "in quotes"),
    ("sources: [fe80::]", 15, "without quotes"),
    ("sources: [2001:db8::]", 15, "write \"2001:db8::\""),
    ("sources: [10.0.0.1/8]", 15, "write the network `10.0.0.0/8`"),
    ("sources: ['fe80::1/10']", 15, "write the network `fe80::/10`"),
    ("sources: [10.0.0.9-10.0.0.1]", 15, "runs backwards"),
    ("sources: [example.org]", 15, "host names are not looked up"),
    ("sources: [[office]]", 15, "found a list"),
    ("sources: [~]", 15, "found nothing"),
    ("except_sources: [nobody]", 22, "unknown set `nobody`"),
    ("destinations: [10.0.0.0/40]", 20, "0 to 32"),
    ("except_destinations: []", 26, "empty list"),
    ("interfaces: []", 17, "empty list"),
    ("interfaces: [abcdefghijklmnop]", 18, "longer than the 15 bytes"),
    ("interfaces: ['eth[0']", 18, "no glob"),
    ("stateful: yes", 15, "`true` or `false`"),
    ("enabled: 'true'", 14, "without quotes"),
    ("mode: audit", 11, "ours is `monitor`"),
    ("mode: off", 11, "`enforce` or `monitor`"),
    ("hosts: {percent: 101}", 22, "0 to 100"),
    ("hosts: {}", 12, "without a condition"),
    ("hosts: {names: ['web[']}", 21, "no glob"),
    ("hosts: {lables: {}}", 13, "did you mean `labels`"),
    ("hosts: {labels: {a: 1, a: 2}}", 28, "twice"),
    ("owner: \"a\\e[2J\"", 12, "control characters"),
    ("owner: ", 10, "expected text for `owner`"),
    ("reason: ' '", 13, "empty text"),
    ("review_by: tomorrow", 16, "no date or time"),
    ("expires: 2027-02-30", 14, "no date or time"),
    ("expires: 2027-06-30T12:00:00", 14, "no date or time"),
    ("expires: 30.06.2027", 14, "no date or time"),
    ("name: other", 5, "twice"),
];

#[test]
fn fields_of_a_rule() {
    check_rule(RULE_FIELDS);
}

#[rustfmt::skip]
const STRUCTURE: &[(&str, usize, usize, &str)] = &[
    ("policys: []\n", 1, 1, "did you mean `policies`"),
    ("zones: {}\n", 1, 1, "twice"),
    ("policies: {}\n", 1, 11, "expected a list"),
    ("policies: [x]\n", 1, 12, "expected a mapping for a policy"),
    ("policies: [{name: p, from: lan, to: host}]\n", 1, 12, "needs `rules`, a `default`, or both"),
    ("policies: [{from: lan, to: host, default: deny}]\n", 1, 12, "needs the key `name`"),
    ("policies: [{name: p, to: host, default: deny}]\n", 1, 12, "needs the key `from`"),
    ("policies: [{name: Web, from: lan, to: host, default: deny}]\n", 1, 19, "no name for a policy"),
    ("policies: [{name: failsafe, from: lan, to: host, default: deny}]\n", 1, 19, "cannot name"),
    ("policies: [{name: p, from: lann, to: host, default: deny}]\n", 1, 28, "did you mean `lan`"),
    ("policies: [{name: p, from: [lan, host], to: any, default: deny}]\n", 1, 34, "stands alone"),
    ("policies: [{name: p, from: [], to: any, default: deny}]\n", 1, 28, "empty list"),
    ("policies: [{name: p, from: [[lan]], to: any, default: deny}]\n", 1, 29, "found a list"),
    ("policies: [{name: p, from: office, to: host, default: deny}]\n", 1, 28, "go into a rule's `sources`"),
    ("policies: [{name: p, from: multicast, to: host, default: deny}]\n", 1, 28, "usable in `to`"),
    ("policies: [{name: p, from: default, to: host, default: deny}]\n", 1, 28, "`default: true`"),
    ("policies: [{name: p, from: host, to: host, default: deny}]\n", 1, 34, "to itself"),
    ("policies: [{name: p, from: lan, to: host, default: drop}]\n", 1, 52, "ours is `deny`"),
    ("policies:\n- {name: p, from: lan, to: host, default: deny}\n- {name: p, from: lan, to: host, default: deny}\n", 3, 10, "already"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: deny}, {name: a, action: deny}]}]\n", 1, 83, "already"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: deny, limit: {rate: 1/s}}]}]\n", 1, 82, "a `limit` belongs to an `allow`"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, limit: {rate: 10}}]}]\n", 1, 90, "no rate"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, limit: {rate: 0/s}}]}]\n", 1, 90, "no rate"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, limit: {rate: 10/day}}]}]\n", 1, 90, "no rate"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, limit: {rate: 2Mbit/s}}]}]\n", 1, 90, "a rule with sessions counts openings"),
    ("hosts: {labels: {}}\n", 1, 17, "names no label"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, limit: {rate: 1/s, burst: 0}}]}]\n", 1, 102, "from 1 to 100000000"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, stateful: false, limit: {rate: 2Mbit/s, burst: 5}}]}]\n", 1, 123, "a number of bits"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, limit: {rate: 1/h, burst: 99999999}}]}]\n", 1, 102, "more than a year"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, limit: {rate: 1/s, per: host}}]}]\n", 1, 100, "nobody a limit could be for"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, limit: {rate: 1/s, per: {v4: 33, v6: 56}}}]}]\n", 1, 105, "whole number"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, limit: {rate: 1/s, per: {v4: 24}}}]}]\n", 1, 100, "needs the key `v6`"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, limit: {burst: 5}}]}]\n", 1, 83, "needs the key `rate`"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, max_sessions: {count: 0}}]}]\n", 1, 98, "at least 1"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, max_sessions: {count: 5, per: network}}]}]\n", 1, 106, "nobody a limit could be for"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: allow, stateful: false, max_sessions: {count: 5}}]}]\n", 1, 107, "opens no sessions"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a, action: reject, max_sessions: {count: 1}}]}]\n", 1, 91, "a `max_sessions` belongs to an `allow`"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: a}]}]\n", 1, 51, "needs the key `action`"),
    ("policies: [{name: p, from: lan, to: host, rules: [{name: default, action: deny}]}]\n", 1, 58, "cannot name"),
    ("mode: audit\n", 1, 7, "ours is `monitor`"),
    ("hosts: {}\n", 1, 8, "without a condition"),
    ("essentials: {arp: false}\n", 1, 19, "cannot be switched off"),
    ("essentials: {nd: false}\n", 1, 18, "cannot be switched off"),
    ("essentials: {dns: false}\n", 1, 14, "unknown key `dns`"),
    ("essentials: {dhcp: off}\n", 1, 20, "`true` or `false`"),
    ("services: {ssh2: [ssh3]}\n", 1, 19, "unknown service `ssh3`"),
    ("services: {web: []}\n", 1, 17, "empty list"),
    ("services: {tcp: [tcp/1]}\n", 1, 12, "is a protocol"),
    ("services: {a: [b], b: [c], c: [a]}\n", 1, 32, "a -> b -> c -> a"),
    ("services: {a: [a]}\n", 1, 16, "a -> a"),
    ("services: {a: [tcp/1], a: [tcp/2]}\n", 1, 24, "already"),
    ("services: {any: [tcp/1]}\n", 1, 12, "cannot name"),
    ("tests: [{packet: \"tcp 10.0.0.1:1 -> host:22\"}]\n", 1, 9, "needs the key `expect`"),
    ("tests: [{expect: allow}]\n", 1, 9, "needs the key `packet`"),
    ("tests: [{packet: tcp 10.0.0.1 => host, expect: deny}]\n", 1, 31, "expected `->`"),
    ("tests: [{packet: \"tcp 10.0.0.1:1 -> hst:22\", expect: deny}]\n", 1, 37, "no zone and no address"),
    ("tests: [{packet: tcp lan -> host, expect: drop}]\n", 1, 43, "ours is `deny`"),
    ("tests: [{packet: tcp lan -> host, expect: deny, rule: p/x}]\n", 1, 55, "there is no rule `p/x`"),
    ("tests: [{packet: tcp lan -> host, expect: deny, at: never}]\n", 1, 53, "no date or time"),
    ("assertions: [deny lan -> host tcp/x]\n", 1, 31, "no port"),
    ("assertions: [drop lan -> host]\n", 1, 14, "ours is `deny`"),
    ("assertions: [reject lan -> host]\n", 1, 14, "holds for `reject` too"),
    ("assertions: [deny lan host]\n", 1, 23, "expected `->`"),
    ("assertions: ['deny lan -> host:22']\n", 1, 27, "no port"),
    ("? [a, b]\n: c\n", 1, 3, "expected a key"),
    ("<<: {mode: monitor}\n", 1, 1, "merge keys"),
    ("mode: [\n", 1, 7, "not YAML"),
    ("\tmode: enforce\n", 1, 1, "takes no tabs"),
    ("mode: *none\n", 1, 7, "in quotes"),
    ("---\nmode: enforce\n", 2, 1, "a second YAML document"),
];

#[test]
fn names_and_structure() {
    check(STRUCTURE);
}

#[rustfmt::skip]
const HEADS: &[(&str, &str, usize, usize, &str)] = &[
    ("ringwall/v1", "ringwall/v2", 1, 13, "write `ringwall/v1`"),
    ("apiVersion: ringwall/v1\n", "", 1, 1, "needs the key `apiVersion`"),
    ("metadata: {name: t, revision: 1}", "mode: enforce", 1, 1, "needs the key `metadata`"),
    ("revision: 1", "revision: \"1\"", 2, 31, "without quotes"),
    ("revision: 1", "revision: 1.5", 2, 31, "whole number"),
    ("revision: 1", "revision: -1", 2, 31, "whole number"),
    (", revision: 1", "", 2, 11, "needs the key `revision`"),
    ("name: t, ", "", 2, 11, "needs the key `name`"),
    ("name: t", "name: \"a\\nb\"", 2, 18, "one line"),
    ("unmatched: ", "unmached: ", 3, 1, "did you mean `unmatched`"),
    (", routed: pass", "", 3, 12, "needs the key `routed`"),
    ("inbound: deny", "inbound: pass", 3, 22, "ours is `allow`"),
    ("routed: pass", "routed: passs", 3, 53, "expected `allow`, `deny` or `reject`"),
    ("[198.51.100.0/24]", "[]", 4, 16, "empty list"),
    ("[198.51.100.0/24]", "[other]", 4, 17, "no address"),
    ("[198.51.100.0/24]", "[]", 4, 16, "at least one member"),
    ("[198.51.100.0/24]", "{}", 4, 16, "needs the key `file`"),
    ("[198.51.100.0/24]", "{file: a, max: 1}", 4, 26, "belongs to a dynamic set"),
    ("[198.51.100.0/24]", "{dynamic: true, file: a}", 4, 32, "not both"),
    ("[198.51.100.0/24]", "{dynamic: true, max: 1000001}", 4, 37, "from 0 to 1000000"),
    ("[198.51.100.0/24]", "{dynamic: true, default_for: 1}", 4, 45, "no time for"),
    ("[198.51.100.0/24]", "{file: /etc/hosts}", 4, 23, "absolute path"),
    ("[198.51.100.0/24]", "{file: ../x}", 4, 23, "leads out of the directory"),
    ("[198.51.100.0/24]", "{file: no-such-list}", 4, 23, "cannot open"),
    ("{office:", "{Office:", 4, 8, "no name for a set"),
    ("{office:", "{any:", 4, 8, "cannot name a set"),
    ("{office:", "{\"10.0.0.1\":", 4, 8, "read as an address"),
    ("{office:", "{a: [10.0.0.1], a:", 4, 23, "already"),
    ("{lan: {cidrs: [10.0.0.0/8]}", "{lan: {}", 5, 14, "says of nobody"),
    ("{lan: {cidrs: [10.0.0.0/8]}", "{lan: {cidr: [10.0.0.0/8]}", 5, 15, "did you mean `cidrs`"),
    ("{lan: {cidrs: [10.0.0.0/8]}", "{lan: {cidrs: []}", 5, 22, "empty list"),
    ("{lan:", "{host:", 5, 9, "cannot name a zone"),
    ("{lan:", "{a: {cidrs: [10.0.0.0/8]}, lan:", 5, 35, "is in the zone `a` too"),
    ("{lan:", "{lan: {cidrs: [10.1.0.0/16]}, lan:", 5, 38, "already"),
    ("{lan: {cidrs: [10.0.0.0/8]}", "{a: {interfaces: [\"e*\"]}, b: {interfaces: [eth0]}", 5, 34, "one interface could be in both"),
    ("{cidrs: [10.0.0.0/8]}", "{cidrs: [10.0.0.0/8], source_check: lose}", 5, 50, "did you mean `loose`"),
    ("{cidrs: [10.0.0.0/8]}", "{source_check: strict}", 5, 14, "says of nobody"),
    ("{default: true}", "{default: false, management: true}", 5, 47, "says of nobody"),
    ("{cidrs: [10.0.0.0/8]}", "{default: true}", 5, 31, "exactly one zone"),
    (", internet: {default: true}", "", 5, 9, "no zone says `default: true`"),
];

#[test]
fn heads() {
    for (from, to, line, column, words) in HEADS {
        let text = HEAD.replacen(from, to, 1);
        assert_ne!(text, HEAD, "{from}");
        let refusal = refused(&text);
        assert!(
            has(&refusal, *line, *column, words),
            "{text}\n{words}\n{refusal}"
        );
    }
}

#[test]
fn all_errors_of_a_file_are_told_at_once_in_order() {
    let body = "\
policies:
- name: P
  from: nowhere
  to: host
  rules:
  - {name: r, action: drop, services: [shh], sources: [10.0.0.1/8, @office], lgo: true}
  - {name: r, action: allow, sources: [@offce]}
";
    let refusal = refused(&format!("{HEAD}{body}"));
    let errors: Vec<_> = refusal
        .diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error)
        .map(|found| (found.line.unwrap() - BODY + 1, found.column.unwrap()))
        .collect();
    assert_eq!(
        errors,
        [
            (2, 9),
            (3, 9),
            (6, 23),
            (6, 40),
            (6, 56),
            (6, 68),
            (6, 78),
            (7, 12),
            (7, 40)
        ]
        .into_iter()
        .collect::<Vec<_>>(),
        "{refusal}"
    );
    for found in &refusal.diagnostics {
        assert_eq!(found.file.as_deref(), Some("t.yaml"));
        assert!(
            found
                .source_line
                .as_ref()
                .is_some_and(|line| !line.is_empty())
        );
    }
}

#[test]
fn unquoted_addresses_in_block_style() {
    for (text, column) in [("- fe80::", 3), ("- 2001:db8::", 3), ("- ::", 3)] {
        let body = format!(
            "{HEAD}policies:\n- name: p\n  from: lan\n  to: host\n  rules:\n  - name: r\n    action: deny\n    sources:\n    {text}\n"
        );
        let refusal = refused(&body);
        assert!(
            has(&refusal, BODY + 8, column + 4, "without quotes"),
            "{text} {refusal}"
        );
    }
}

#[test]
fn not_utf8_and_empty_files() {
    use crate::policy::read_bytes;
    let host = super::host();
    let refusal = read_bytes("t.yaml", b"a: 1\nb: \xff\n".to_vec(), &host).unwrap_err();
    assert!(has(&refusal, 2, 4, "not UTF-8"), "{refusal}");
    for text in ["", "\n# nothing\n"] {
        let refusal = refused(text);
        assert!(
            refusal.to_string().contains("the file is empty"),
            "{refusal}"
        );
    }
}

#[test]
fn bombs_are_refused_quickly() {
    let mut aliases = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        aliases.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    for text in [
        aliases,
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "{a: ".repeat(100_000),
    ] {
        refused(&text);
    }
    let nested =
        "a: &a [x]\n".to_owned() + &(0..200).map(|_| "b: &a [[[*a]]]\n").collect::<String>();
    refused(&nested);
}

#[test]
fn a_tab_is_told_at_its_line() {
    let good = "policies:\n  - name: in\n    from: internet\n    to: host\n    rules:\n      - {name: a, action: allow}\n";
    for (line, text) in good.lines().enumerate().skip(1) {
        let tabbed = format!("\t{}", text.trim_start());
        let all: Vec<&str> = good.lines().collect();
        let mut lines = all.clone();
        lines[line] = &tabbed;
        let bad = format!("{HEAD}{}\n", lines.join("\n"));
        let refusal = refused(&bad);
        let first = &refusal.diagnostics[0];
        let at = HEAD.lines().count() + line + 1;
        assert_eq!(first.line, Some(at), "{refusal}");
        assert!(first.help.as_ref().unwrap().contains("tabs"), "{refusal}");
    }
}

#[test]
fn no_policy_is_named_as_what_no_rule_decides() {
    for name in ["unmatched", "essentials", "failsafe"] {
        let text = format!(
            "{HEAD}policies:\n  - {{name: {name}, from: internet, to: host, default: deny}}\n"
        );
        let refusal = refused(&text);
        assert_eq!(refusal.diagnostics[0].code, "reserved-name", "{refusal}");
    }
}
