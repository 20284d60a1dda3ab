//! Tables that are written from the code.

use std::path::Path;
use std::time::Duration;

use firewall_common::config::{FIRST_RULE_COUNTER, MAX_FAILSAFE, MAX_RULES, RULE_COUNTERS, SLOTS};
use firewall_common::policy::line::{MAX_ENTRIES, MAX_LINES, MAX_TREES};
use firewall_common::reason::{Outcome, Reason};
use firewall_common::session::{Entry, STATES, State};
use firewall_common::zone::{INTERFACE_CLASSES, ZONES, ZoneId};
use firewall_user::agent::config::Timeouts;
use firewall_user::policy::services::{
    BARE_PROTOCOLS, BUILT_IN, ICMP_TYPES, ICMPV6_TYPES, PORT_PROTOCOLS,
};

use crate::markdown::{generated, root};

/// The source text of the packet path: all of it but the table of reasons and the tests.
fn packet_path() -> String {
    let mut text = String::new();
    for side in ["firewall-common/src", "firewall-ebpf/src"] {
        collect(&root().join(side), &mut text);
    }
    text
}

fn collect(directory: &Path, text: &mut String) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let counts = name.ends_with(".rs") && name != "reason.rs" && !name.ends_with("tests.rs");
        if path.is_dir() {
            collect(&path, text);
        } else if counts {
            text.push_str(&std::fs::read_to_string(&path).expect("a source file"));
        }
    }
}

/// Is a reason given by any code yet?
fn is_given(reason: Reason, source: &str) -> bool {
    let name = format!("Reason::{reason:?}");
    source.match_indices(&name).any(|(at, _)| {
        let next = source[at + name.len()..].chars().next();
        !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn reasons(source: &str, wanted: impl Fn(Outcome) -> bool) -> String {
    let mut table =
        "| number | reason | what it means | given now |\n| --- | --- | --- | --- |\n".to_owned();
    for reason in Reason::ALL.iter().filter(|r| wanted(r.outcome())) {
        let now = if is_given(*reason, source) {
            "yes"
        } else {
            "not yet"
        };
        let (number, word) = (*reason as u8, reason.word());
        let meaning = reason.meaning();
        table += &format!("| {number} | `{word}` | {meaning} | {now} |\n");
    }
    table
}

#[test]
fn reasons_are_those_of_the_table() {
    let (page, source) = ("docs/reasons.md", packet_path());
    let refused = |outcome| matches!(outcome, Outcome::Drop | Outcome::Reject);
    generated(page, "drops", &reasons(&source, refused));
    generated(
        page,
        "passes",
        &reasons(&source, |outcome| !refused(outcome)),
    );
}

#[test]
fn services_are_those_of_the_table() {
    let page = "docs/services.md";
    let services = BUILT_IN.iter().map(|(name, parts)| {
        let parts: Vec<String> = parts.split(' ').map(|p| format!("`{p}`")).collect();
        format!("| `{name}` | {} |\n", parts.join(" "))
    });
    let head = "| name | stands for |\n| --- | --- |\n".to_owned();
    generated(page, "services", &(head + &services.collect::<String>()));
    let protocols = PORT_PROTOCOLS
        .iter()
        .map(|(name, number)| (name, number, "ports"));
    let bare = BARE_PROTOCOLS
        .iter()
        .map(|(name, number)| (name, number, "no ports"));
    let rows = protocols
        .chain(bare)
        .map(|(name, number, ports)| format!("| `{name}` | {number} | {ports} |\n"));
    let head = "| name | number | |\n| --- | --- | --- |\n".to_owned();
    generated(page, "protocols", &(head + &rows.collect::<String>()));
    generated(page, "icmp", &types(ICMP_TYPES));
    generated(page, "icmpv6", &types(ICMPV6_TYPES));
}

fn types(all: &[(&str, u8)]) -> String {
    let rows = all
        .iter()
        .map(|(name, number)| format!("| `{name}` | {number} |\n"));
    "| name | type |\n| --- | --- |\n".to_owned() + &rows.collect::<String>()
}

/// As the agent file writes it.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s => format!("{s}s"),
    }
}

#[test]
fn timeouts_are_the_defaults() {
    let all = Timeouts::default();
    let of = |state: State| match state {
        State::SynSent => ("tcp_syn_sent", all.tcp_syn_sent),
        State::SynReceived => ("tcp_syn_recv", all.tcp_syn_recv),
        State::Established => ("tcp_established", all.tcp_established),
        State::FinWait => ("tcp_fin_wait", all.tcp_fin_wait),
        State::TimeWait => ("tcp_time_wait", all.tcp_time_wait),
        State::Close => ("tcp_close", all.tcp_close),
        State::Udp => ("udp", all.udp),
        State::UdpStream => ("udp_stream", all.udp_stream),
        State::Icmp => ("icmp", all.icmp),
        State::Other => ("other", all.other),
    };
    let rows = STATES.iter().map(|(state, word)| {
        let (key, time) = of(*state);
        format!("| `{word}` | `{key}` | {} |\n", duration(time))
    });
    let head = "| state | key in `sessions.timeouts` | default |\n| --- | --- | --- |\n".to_owned();
    generated(
        "docs/agent.md",
        "timeouts",
        &(head + &rows.collect::<String>()),
    );
}

#[test]
fn limits_are_those_of_the_tables() {
    let rows = [
        (
            "rules in use, each policy's `default` counted as one",
            MAX_RULES as usize,
        ),
        (
            "rule names, parked ones included",
            (RULE_COUNTERS - FIRST_RULE_COUNTER) as usize,
        ),
        ("zones", ZONES - usize::from(ZoneId::FIRST)),
        (
            "classes of interfaces that zones tell apart",
            INTERFACE_CLASSES,
        ),
        ("trees asked for a packet", MAX_TREES as usize),
        ("comparisons on the way down a tree", 3 * MAX_LINES as usize),
        ("entries of a leaf", MAX_ENTRIES as usize),
        ("failsafe rules of a host", MAX_FAILSAFE as usize),
        ("generations in the tables at a time", SLOTS as usize),
        ("bytes of a session's entry", size_of::<Entry>()),
    ];
    let rows = rows.map(|(what, most)| format!("| {what} | {most} |\n"));
    let head = "| what | how many |\n| --- | --- |\n".to_owned();
    generated("docs/packet-path.md", "limits", &(head + &rows.concat()));
}

#[test]
fn checks_are_those_of_the_doctor() {
    let rows = firewall_user::diagnose::doctor::CHECKS.iter();
    let rows = rows.map(|(id, what)| format!("| `{id}` | {what} |\n"));
    let head = "| check | what it looks at |\n| --- | --- |\n".to_owned();
    generated(
        "docs/doctor.md",
        "checks",
        &(head + &rows.collect::<String>()),
    );
}
