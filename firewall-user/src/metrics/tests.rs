use std::io::Write;
use std::process::{Command, Stdio};

use firewall_common::config::Count;
use firewall_common::flow::Hook;
use firewall_common::reason::Reason;
use firewall_common::verdict::Verdict;

use super::process::Process;
use super::*;
use crate::agent::plane::PacketCount;
use crate::api::types::{InterfaceLine, PolicyLine, RuleRow};

fn row(id: &str, packets: u64) -> RuleRow {
    RuleRow {
        id: id.to_owned(),
        action: "allow".to_owned(),
        packets: Some(packets),
        bytes: Some(packets * 60),
        would_packets: Some(0),
        expires: Some("2027-06-30T23:59:59Z".to_owned()),
        ..RuleRow::default()
    }
}

fn snapshot(rules: usize, max_series: usize) -> Snapshot {
    let mut snapshot = Snapshot {
        packets: vec![
            counted(Verdict::Forwarded, 0, Reason::NoPolicyLoaded, 7),
            counted(Verdict::Forwarded, 3, Reason::Session, 5),
            counted(Verdict::Forwarded, 3, Reason::HandedUp, 99),
            counted(Verdict::Dropped, 3, Reason::NoSession, 2),
        ],
        zones: vec![1, 2, 3],
        rules: (0..rules)
            .map(|n| (row(&format!("p/r{n}"), 1), Some(1_700_000_000.5)))
            .collect(),
        enforcing: true,
        mode: "enforce".to_owned(),
        interfaces: vec![InterfaceLine {
            others: Vec::new(),
            name: "et\"h\\0".to_owned(),
            index: 2,
            hook: Some("tcx".to_owned()),
            mode: Some("tc".to_owned()),
            hook_why: None,
            state: "guarded".to_owned(),
            why: "hardware".to_owned(),
            unguarded_ms: None,
        }],
        policy: Some(PolicyLine {
            outcome: "in-force".to_owned(),
            confirm_by: None,
            cost: None,
            name: "web".to_owned(),
            revision: 7,
            digest: "ab".to_owned(),
            applied: "2026-01-01T00:00:00Z".to_owned(),
        }),
        sets: vec![snapshot::SetCount {
            name: "office".to_owned(),
            entries: 2,
            updated: Some(1_700_000_000.5),
            generation: Some(7),
        }],
        process: Process::read(),
        max_series,
        ..Snapshot::default()
    };
    snapshot.names.zones.insert(2, "multicast".to_owned());
    snapshot.names.zones.insert(3, "internet".to_owned());
    snapshot
}

fn counted(verdict: Verdict, zone: u8, reason: Reason, packets: u64) -> PacketCount {
    let bytes = packets * 60;
    PacketCount {
        verdict,
        hook: Hook::Ingress,
        zone,
        reason,
        count: Count { packets, bytes },
    }
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "{line}\nnot in\n{text}");
}

#[test]
fn verdicts_sum_exactly_and_begin_at_zero() {
    let text = classic(&snapshot(1, 1000));
    has(&text, "# TYPE ringwall_packets_total counter");
    has(
        &text,
        "ringwall_packets_total{direction=\"ingress\",verdict=\"forwarded\"} 12",
    );
    has(
        &text,
        "ringwall_packets_total{direction=\"egress\",verdict=\"audit\"} 0",
    );
    has(
        &text,
        "ringwall_dropped_packets_total{direction=\"ingress\",zone=\"internet\",reason=\"no-session\"} 2",
    );
    has(
        &text,
        "ringwall_dropped_packets_total{direction=\"egress\",zone=\"internet\",reason=\"rule-deny\"} 0",
    );
    has(
        &text,
        "ringwall_dropped_packets_total{direction=\"ingress\",zone=\"-\",reason=\"malformed\"} 0",
    );
    has(
        &text,
        "ringwall_rule_packets_total{policy=\"p\",rule=\"r0\",action=\"allow\"} 1",
    );
    has(
        &text,
        "ringwall_policy_info{name=\"web\",revision=\"7\",digest=\"ab\"} 1",
    );
    has(
        &text,
        "ringwall_enforcing{interface=\"et\\\"h\\\\0\",direction=\"ingress\"} 1",
    );
    has(&text, "ringwall_policy_apply_total{outcome=\"refused\"} 0");
    has(&text, "ringwall_set_entries{set=\"office\"} 2");
    has(&text, "ringwall_set_generation{set=\"office\"} 7");
    let updated = "ringwall_set_updated_timestamp_seconds{set=\"office\"} 1700000000.5";
    has(&text, updated);
}

fn lines<'t>(text: &'t str, start: &str) -> Vec<&'t str> {
    text.lines().filter(|l| l.starts_with(start)).collect()
}

#[test]
fn the_ceiling_holds_in_rule_order_and_the_rest_is_other() {
    const RULES: usize = 500;
    let least = classic(&snapshot(0, 100_000)).lines().count();
    for max_series in [least + 3, least + 300, least + 1000] {
        let text = classic(&snapshot(RULES, max_series));
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!(series <= max_series, "{series} of {max_series}");
        // What is named and what is not come to all, in packets and in bytes.
        for (name, each) in [
            ("ringwall_rule_packets_total", 1),
            ("ringwall_rule_bytes_total", 60),
        ] {
            let values = lines(&text, name);
            let values = values.iter().filter_map(|l| l.rsplit(' ').next());
            let sum: usize = values.map(|v| v.parse::<usize>().unwrap()).sum();
            assert_eq!(sum, RULES * each, "{name}");
            let other = format!("{name}{{policy=\"other\",rule=\"other\",action=\"other\"}} ");
            assert_eq!(lines(&text, &other).len(), 1);
        }
        // The first rules are shown, each with all it has.
        let shown = lines(&text, "ringwall_rule_packets_total{policy=\"p\"").len();
        assert!(shown < RULES);
        for rule in 0..shown {
            let label = format!("{{policy=\"p\",rule=\"r{rule}\"");
            let of = text.lines().filter(|l| l.contains(&label)).count();
            assert_eq!(of, 4, "r{rule} of {shown}");
        }
    }
}

#[test]
fn a_ceiling_below_everything_is_kept_too() {
    for max_series in [0, 1, 10, 60] {
        let text = classic(&snapshot(20, max_series));
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!(series <= max_series, "{series} of {max_series}");
    }
}

#[test]
fn every_drop_is_there_before_it_happens() {
    let quiet = Snapshot {
        packets: Vec::new(),
        ..snapshot(1, 100_000)
    };
    let text = classic(&quiet);
    for reason in Reason::ALL {
        let label = format!(",reason=\"{}\"}} 0", reason.word());
        let of = lines(&text, "ringwall_dropped_packets_total");
        let there = of.iter().any(|l| l.ends_with(&label));
        let drops = !matches!(reason.outcome(), firewall_common::reason::Outcome::Pass);
        assert_eq!(there, drops, "{}", reason.word());
    }
    for reason in ["half-open-limit", "rate-limited", "session-limit"] {
        let line =
            format!("ringwall_sessions_refused_total{{zone=\"internet\",reason=\"{reason}\"}} 0");
        has(&text, &line);
    }
}

#[test]
fn openmetrics_ends_as_it_must() {
    let text = open_metrics(&snapshot(1, 1000));
    assert!(text.ends_with("# EOF\n"));
    has(&text, "# TYPE ringwall_packets counter");
}

#[test]
fn promtool_has_nothing_to_say() {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    let spawned = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        return; // not installed: the end-to-end tests insist on it
    };
    let text = classic(&snapshot(3, 1000));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}
