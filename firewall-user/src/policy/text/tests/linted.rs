//! Policies that are taken with a warning.

use super::{HEAD, host, read};
use crate::policy::{Diagnostic, read_bytes};

fn warnings(body: &str) -> Vec<Diagnostic> {
    match read(&format!("{HEAD}{body}")) {
        Ok(checked) => checked.warnings,
        Err(refusal) => panic!("{refusal}"),
    }
}

fn codes(body: &str) -> Vec<&'static str> {
    warnings(body).iter().map(|warning| warning.code).collect()
}

/// A block of these rules from and to, behind one that lets SSH in.
fn block(from: &str, to: &str, rules: &str) -> String {
    format!(
        "policies:
- {{name: admin, from: lan, to: host, rules: [{{name: ssh, action: allow, services: [ssh], owner: o, reason: r}}]}}
- {{name: p, from: {from}, to: {to}, rules: [{rules}]}}
"
    )
}

#[test]
fn purposes() {
    let rule = "{name: a, action: deny, services: [tcp/1], owner: o}";
    let found = warnings(&block("lan", "host", rule));
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("`p/a` has no `reason`"));
    assert_eq!((found[0].line, found[0].column), (Some(8), Some(49)));
    let rule = "{name: a, action: deny, services: [tcp/1]}";
    assert!(
        warnings(&block("lan", "host", rule))[0]
            .message
            .contains("neither")
    );
}

#[test]
fn dates() {
    for (field, code) in [
        ("review_by: 2020-01-01", Some("date-review")),
        ("review_by: 2120-01-01", None),
        ("expires: 2020-01-01", Some("date-expired")),
        ("expires: 2120-01-01", None),
    ] {
        let rule = format!("{{name: a, action: deny, owner: o, reason: r, {field}}}");
        assert_eq!(
            codes(&block("lan", "host", &rule)).first().copied(),
            code,
            "{field}"
        );
    }
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let rule = format!("{{name: a, action: deny, owner: o, reason: r, expires: '{soon}'}}");
    let found = warnings(&block("lan", "host", &rule));
    assert_eq!(found[0].code, "date-expires");
    assert!(found[0].is_about_dates());
}

#[test]
fn allow_everything() {
    let purpose = "owner: o, reason: r";
    for (from, rule, warned) in [
        ("any", "{name: a, action: allow, PURPOSE}", true),
        (
            "internet",
            "{name: a, action: allow, sources: [0.0.0.0/0], PURPOSE}",
            true,
        ),
        ("lan", "{name: a, action: allow, PURPOSE}", false),
        (
            "any",
            "{name: a, action: allow, services: [https], PURPOSE}",
            false,
        ),
        (
            "any",
            "{name: a, action: allow, sources: [office], PURPOSE}",
            false,
        ),
        ("any", "{name: a, action: deny, PURPOSE}", false),
        (
            "any",
            "{name: a, action: allow, enabled: false, PURPOSE}",
            false,
        ),
    ] {
        let body = block(from, "host", &rule.replace("PURPOSE", purpose));
        assert_eq!(
            codes(&body).contains(&"allow-everything"),
            warned,
            "{from} {rule}"
        );
    }
    let body = block("any", "host", "").replace(", rules: []}", ", default: allow}");
    assert_eq!(codes(&body), ["allow-everything"]);
    // What no rule decides, too, unless some rule refuses something.
    let open = HEAD.replace("inbound: deny", "inbound: allow");
    let warned = |body: &str| {
        let checked = crate::policy::read_bytes("p", format!("{open}{body}").into_bytes(), &host());
        let warnings = checked
            .unwrap_or_else(|refusal| panic!("{refusal}"))
            .warnings;
        warnings.iter().any(|w| w.code == "allow-everything")
    };
    assert!(warned("policies: []\n"));
    let deny = "{name: a, action: deny, services: [ssh], owner: o, reason: r}";
    assert!(!warned(&block("internet", "host", deny)));
}

#[test]
fn stateless_rules_and_their_answers() {
    let there = "{name: a, action: allow, services: [https], stateful: false, owner: o, reason: r}";
    let one_way = block("internet", "host", there);
    assert_eq!(codes(&one_way), ["no-return-rule"]);
    let back = |fields: &str| {
        format!(
            "{one_way}- {{name: q, from: host, to: internet, rules: [{{name: b, action: allow, {fields}, owner: o, reason: r}}]}}\n"
        )
    };
    assert!(codes(&back("stateful: false, source_ports: [443]")).is_empty());
    assert!(codes(&back("stateful: false, services: ['tcp/*']")).is_empty());
    assert_eq!(
        codes(&back("stateful: false, source_ports: [80]")),
        ["no-return-rule"]
    );
    assert_eq!(codes(&back("source_ports: [443]")), ["no-return-rule"]);
    let udp = one_way.replace("[https]", "[ntp]");
    assert!(
        codes(&udp).is_empty(),
        "UDP answers go out by unmatched.outbound"
    );
}

#[test]
fn no_way_in() {
    assert_eq!(codes(""), ["no-way-in"]);
    for field in ["expires: 2020-01-01", "mode: monitor"] {
        let with = format!("services: [ssh], {field}, owner");
        let found = codes(&block("lan", "host", "").replace("services: [ssh], owner", &with));
        assert!(found.contains(&"no-way-in"), "{field}: {found:?}");
    }
    let text = HEAD.as_bytes().to_vec();
    let mut guarded = host();
    guarded.failsafe = vec![crate::agent::config::FailsafeRule {
        sources: vec!["10.1.0.0/24".parse().unwrap()],
        services: Vec::new(),
    }];
    assert!(
        read_bytes("t.yaml", text, &guarded)
            .unwrap()
            .warnings
            .is_empty()
    );
    assert!(codes("mode: monitor\n").is_empty());
    assert!(codes(&block("lan", "host", "")).is_empty());
}

#[test]
fn replaced_services() {
    let body = block("lan", "host", "");
    assert_eq!(
        codes(&format!("services: {{ssh: [tcp/2222]}}\n{body}")),
        ["service-replaced"]
    );
    assert!(codes(&format!("services: {{ssh: [tcp/22]}}\n{body}")).is_empty());
}
