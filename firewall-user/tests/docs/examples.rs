//! Every policy and agent file that the documentation shows is read by the code that operators' files meet.

use std::path::Path;

use firewall_user::agent::config::{AgentConfig, FailsafeRule};
use firewall_user::policy::compiled::Clock;
use firewall_user::policy::diagnostic::Diagnostic;
use firewall_user::policy::model::Policy;
use firewall_user::policy::{Checked, HostContext, Refusal, lint, prove, read, read_bytes};

use crate::markdown::{self, Block, blocks, code, pages, root, rows, text};

/// What a part of a policy is put under: each line counts unless the part has that key itself.
const HEAD: [(&str, &str); 5] = [
    ("apiVersion", "apiVersion: ringwall/v1"),
    ("metadata", "metadata: {name: example, revision: 1}"),
    (
        "unmatched",
        "unmatched: {inbound: deny, outbound: allow, routed: pass}",
    ),
    ("sets", "sets: {office: [198.51.100.0/24]}"),
    (
        "zones",
        "zones: {lan: {interfaces: [\"lan*\"], cidrs: [10.0.0.0/8]}, internet: {default: true}}",
    ),
];

/// A host that has what examples ask for.
fn host() -> HostContext {
    HostContext {
        labels: [("role".into(), "web".into())].into(),
        hostname: "web-03".into(),
        roles: [("storage".into(), vec!["bond0.20".into()])].into(),
        failsafe: vec![FailsafeRule {
            sources: vec!["10.1.0.0/24".parse().unwrap()],
            services: Vec::new(),
        }],
        ..HostContext::default()
    }
}

fn whole(part: &str) -> String {
    let has = |key: &str| part.lines().any(|l| l.starts_with(&format!("{key}:")));
    let missing = HEAD.iter().filter(|(key, _)| !has(key));
    let head: String = missing.map(|(_, line)| format!("{line}\n")).collect();
    part.to_owned() + &head
}

fn policy(part: &str) -> Result<Checked, Refusal> {
    read_bytes("policy.yaml", whole(part).into_bytes(), &host())
}

/// The clock of a machine that booted long ago.
fn now() -> Clock {
    let (boot, wall) = (1 << 60, jiff::Timestamp::now());
    Clock { boot, wall }
}

/// A policy's own tests pass and its assertions are proved.
fn holds(place: &str, policy: &Policy) {
    let report = prove::run(policy, &[], &now()).unwrap_or_else(|e| panic!("{place}: {e:?}"));
    let failed: String = report
        .diagnostics(policy)
        .iter()
        .map(|d| d.render(false))
        .collect();
    assert!(report.holds(), "{place}:\n{failed}");
}

fn agent(body: &str) -> Result<AgentConfig, Refusal> {
    AgentConfig::read_bytes(Path::new("agent.yaml"), body.as_bytes().to_vec())
}

fn yaml_blocks() -> Vec<(String, Block)> {
    let of = |page: String| {
        let found = blocks(&text(&page));
        found.into_iter().map(move |block| (page.clone(), block))
    };
    let all = pages().into_iter().flat_map(of);
    all.filter(|(_, b)| b.info.split(' ').next() == Some("yaml"))
        .collect()
}

#[test]
fn every_yaml_block_is_read_and_holds() {
    let mut seen = 0;
    for (page, block) in yaml_blocks() {
        let place = format!("{page}:{}", block.line);
        let refusal = match block.info.as_str() {
            "yaml" => policy(&block.body)
                .map(|checked| holds(&place, &checked.policy))
                .err(),
            "yaml agent" => agent(&block.body).err(),
            "yaml refused" => continue,
            other => panic!("{place}: `{other}` is none of: yaml, yaml agent, yaml refused"),
        };
        if let Some(refusal) = refusal {
            panic!("{place} is refused:\n{refusal}");
        }
        seen += 1;
    }
    assert!(seen > 12, "only {seen} examples were found");
}

/// A refused example is followed by the message that it gets.
#[test]
fn refused_examples_show_the_message_they_get() {
    for page in pages() {
        let all = blocks(&text(&page));
        for pair in all.windows(2).filter(|p| p[0].info == "yaml refused") {
            let place = format!("{page}:{}", pair[0].line);
            assert_eq!(pair[1].info, "text", "{place}: the message must follow");
            let Err(refusal) = policy(&pair[0].body) else {
                panic!("{place} is accepted");
            };
            let shown = refusal.render(false);
            let trimmed: String = shown
                .lines()
                .map(|l| format!("{}\n", l.trim_end()))
                .collect();
            let wanted = format!("{}\n", trimmed.trim_matches('\n'));
            markdown::rewrite_or_compare(&page, &pair[1].body, &wanted, || {
                markdown::with_body(&text(&page), &pair[1], &wanted)
            });
        }
    }
}

#[test]
fn every_example_policy_holds_without_a_warning() {
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "agent.yaml" {
            AgentConfig::read(&path).unwrap_or_else(|refusal| panic!("{refusal}"));
        }
        if !name.ends_with(".yaml") || name == "agent.yaml" {
            continue;
        }
        let checked = read(&path, &host()).unwrap_or_else(|refusal| panic!("{refusal}"));
        let policy = &checked.policy;
        let odd = [checked.warnings.clone(), lint::lint(policy, &now())].concat();
        let odd: String = odd
            .iter()
            .filter(|w| !w.is_about_dates())
            .map(|w: &Diagnostic| w.render(false))
            .collect();
        // One example allows everything, which is the point of it.
        let meant = name == "open.yaml";
        assert!(meant || odd.is_empty(), "{name}:\n{odd}");
        holds(&name, policy);
        let tested = !policy.tests.is_empty() && !policy.assertions.is_empty();
        assert!(meant || tested, "{name} has no tests or no assertions");
    }
}

/// The table of words without an effect yet: each is refused by its name, wherever it may stand.
#[test]
fn words_that_do_nothing_yet_are_refused_by_name() {
    let all = rows(&text("docs/policy.md"), "not yet");
    assert!(all.len() > 3, "only {} rows", all.len());
    for row in all {
        let (at, word) = (row[0].as_str(), code(&row[1]));
        let refused = match at {
            "rule" => policy(&format!(
                "policies: [{{name: p, from: lan, to: host, rules: [{{name: r, action: allow, {word}}}]}}]\n"
            ))
            .err(),
            "zone" => policy(&format!(
                "zones: {{lan: {{cidrs: [10.0.0.0/8], {word}}}, internet: {{default: true}}}}\n"
            ))
            .err(),
            "zone, by a dynamic set" => policy(&format!(
                "sets: {{banned: {{dynamic: true}}}}\nzones: {{lan: {{{word}}}, internet: {{default: true}}}}\n"
            ))
            .err(),
            "set" => policy(&format!("sets: {{banned: {{{word}}}}}\n")).err(),
            other => panic!("`{other}` is no place for a word"),
        };
        let refusal = refused.unwrap_or_else(|| panic!("`{word}` is accepted"));
        let told = refusal.render(false);
        assert!(told.contains("not supported by this version"), "{told}");
    }
}

/// Objects that commands print are at least JSON.
#[test]
fn json_is_json() {
    let mut seen = 0;
    for page in pages() {
        let all = blocks(&text(&page));
        for block in all.iter().filter(|b| b.info == "json") {
            let read = serde_json::from_str::<serde_json::Value>(&block.body);
            assert!(read.is_ok(), "{page}:{}: {read:?}", block.line);
            seen += 1;
        }
    }
    assert!(seen > 8, "only {seen} objects were found");
}

/// Packets that commands are asked about are packets.
#[test]
fn packets_are_packets() {
    let mut seen = 0;
    for page in pages() {
        let here = text(&page);
        for rest in here.split("policy explain \"").skip(1) {
            let packet = rest.split('"').next().unwrap();
            let read = firewall_user::policy::packet::parse(packet, &[]);
            assert!(read.is_ok(), "{page}: {packet}: {read:?}");
            seen += 1;
        }
    }
    assert!(seen > 3, "only {seen} packets were found");
}
