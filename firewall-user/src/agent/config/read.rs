//! The text of `agent.yaml`, with the same care for errors as a policy's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    AgentConfig, FailsafeRule, HookChoice, InterfaceConfig, MetricsConfig, PolicyConfig,
    SessionConfig, Stray, Timeouts,
};
use crate::policy::diagnostic::{Refusal, Report};
use crate::policy::source;
use crate::policy::text::walk::{self, Fields};
use crate::policy::text::yaml::{self, Kind, Node};
use crate::policy::text::{address, cx, services, zones};

const KEYS: [&str; 11] = [
    "interfaces",
    "roles",
    "hook",
    "labels",
    "sessions",
    "own_address_from",
    "metrics",
    "flows",
    "history",
    "failsafe",
    "policy",
];
/// Sixteen million sessions are several gigabytes of kernel memory.
const MOST_SESSIONS: u64 = 1 << 24;
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads the text of an agent file.
pub fn read(name: &Path, bytes: Vec<u8>) -> Result<AgentConfig, Refusal> {
    let sources = source::from_bytes(vec![(name.to_owned(), bytes)], false)?;
    let mut report = Report::new(&sources.texts);
    let text = sources
        .texts
        .first()
        .map(|text| text.text.as_str())
        .unwrap_or_default();
    let tree = yaml::parse(0, text, &mut report);
    let config = match tree.filter(|tree| !tree.is_null()) {
        Some(tree) => config(&tree, &mut report),
        None => AgentConfig::default(),
    };
    report.finish().map(|_| config)
}

fn config(tree: &Node, report: &mut Report<'_>) -> AgentConfig {
    let Some(fields) = Fields::read(tree, "the agent file", &KEYS, report) else {
        return AgentConfig::default();
    };
    fields.refuse_not_yet(&["own_address_from", "flows", "history"], report);
    let labels = fields
        .get("labels")
        .map(|node| cx::label_pairs(node, report));
    AgentConfig {
        interfaces: fields
            .get("interfaces")
            .map(|n| interfaces(n, report))
            .unwrap_or_default(),
        roles: fields
            .get("roles")
            .map(|n| roles(n, report))
            .unwrap_or_default(),
        hook: fields
            .get("hook")
            .map(|n| hook(n, report))
            .unwrap_or_default(),
        labels: labels.unwrap_or_default().into_iter().collect(),
        sessions: fields
            .get("sessions")
            .map(|n| sessions(n, report))
            .unwrap_or_default(),
        metrics: fields
            .get("metrics")
            .map(|n| metrics(n, report))
            .unwrap_or_default(),
        failsafe: fields
            .get("failsafe")
            .map(|n| failsafe(n, report))
            .unwrap_or_default(),
        policy: fields
            .get("policy")
            .map(|n| policy(n, report))
            .unwrap_or_default(),
    }
}

fn interfaces(node: &Node, report: &mut Report<'_>) -> InterfaceConfig {
    let Some(fields) = Fields::read(node, "`interfaces`", &["guard", "ignore", "late"], report)
    else {
        return InterfaceConfig::default();
    };
    if let Some(late) = fields
        .get("late")
        .filter(|late| late.text() != Some("guard"))
    {
        let word = late.text().unwrap_or_default();
        walk::not_yet(late.span, &format!("late: {word}"), report);
    }
    InterfaceConfig {
        guard: fields
            .get("guard")
            .map(|n| names(n, "guard", report))
            .unwrap_or_default(),
        ignore: fields
            .get("ignore")
            .map(|n| names(n, "ignore", report))
            .unwrap_or_default(),
    }
}

/// Interface names and globs; here an empty list is what it says.
fn names(node: &Node, key: &str, report: &mut Report<'_>) -> Vec<String> {
    let items = walk::list(node, key, report).unwrap_or_default();
    let mut names = Vec::new();
    for item in items {
        let word = walk::text(item, "an interface name or glob", report);
        names.extend(word.and_then(|word| zones::checked_name(item, word, report)));
    }
    names
}

fn roles(node: &Node, report: &mut Report<'_>) -> BTreeMap<String, Vec<String>> {
    let mut roles = BTreeMap::new();
    for (key, value) in walk::mapping(node, "`roles`", report).unwrap_or_default() {
        let Some(name) = walk::name(key, "a role", report) else {
            continue;
        };
        let names = names(value, name, report);
        if roles.insert(name.to_owned(), names).is_some() {
            let message = format!("there is a role `{name}` already");
            report.error(key.span, "duplicate-name", message);
        }
    }
    roles
}

fn hook(node: &Node, report: &mut Report<'_>) -> HookChoice {
    if matches!(node.kind, Kind::Map(_)) {
        walk::not_yet(node.span, "hook by interface", report);
        return HookChoice::Auto;
    }
    match walk::text(node, "`auto` or `tc` for `hook`", report) {
        Some("tc") => return HookChoice::Tc,
        Some("auto") | None => {}
        Some(word @ ("xdp" | "xdp-generic")) => {
            walk::not_yet(node.span, &format!("hook: {word}"), report);
        }
        Some(word) => {
            let help = walk::suggestion(word, ["auto", "tc"]);
            report.error_help(node.span, "bad-word", format!("`{word}` is no hook"), help);
        }
    }
    HookChoice::Auto
}

fn sessions(node: &Node, report: &mut Report<'_>) -> SessionConfig {
    let mut config = SessionConfig::default();
    let keys = [
        "max",
        "half_open_max",
        "half_open_per_source",
        "reserve",
        "stray",
        "timeouts",
    ];
    let Some(fields) = Fields::read(node, "`sessions`", &keys, report) else {
        return config;
    };
    fields.refuse_not_yet(&["half_open_per_source", "reserve"], report);
    config.max = size(&fields, "max", config.max, report);
    let half = config.half_open_max.min(config.max);
    config.half_open_max = size(&fields, "half_open_max", half, report);
    if let Some(span) = fields
        .key_span("half_open_max")
        .filter(|_| config.half_open_max > config.max)
    {
        let message = format!("`half_open_max` is above `max` ({})", config.max);
        report.error(span, "wrong-number", message);
    }
    config.stray = fields
        .get("stray")
        .map(|n| stray(n, report))
        .unwrap_or_default();
    config.timeouts = fields
        .get("timeouts")
        .map(|n| timeouts(n, report))
        .unwrap_or_default();
    config
}

/// A table size: at least one entry.
fn size(fields: &Fields<'_>, key: &str, default: u32, report: &mut Report<'_>) -> u32 {
    let Some(node) = fields.get(key) else {
        return default;
    };
    match walk::number(node, key, MOST_SESSIONS, report) {
        Some(0) => {
            report.error(
                node.span,
                "wrong-number",
                format!("`{key}` must be at least 1"),
            );
            default
        }
        found => found
            .and_then(|number| number.try_into().ok())
            .unwrap_or(default),
    }
}

fn stray(node: &Node, report: &mut Report<'_>) -> Stray {
    match walk::text(node, "`drop` for `stray`", report) {
        Some("drop") | None => {}
        Some(word @ ("reset" | "pass")) => {
            walk::not_yet(node.span, &format!("stray: {word}"), report)
        }
        Some(word) => {
            let message = format!("`{word}` is nothing to do with a stray packet");
            let help = walk::suggestion(word, ["drop", "reset", "pass"]);
            report.error_help(node.span, "bad-word", message, help);
        }
    }
    Stray::Drop
}

fn timeouts(node: &Node, report: &mut Report<'_>) -> Timeouts {
    let mut all = Timeouts::default();
    let mut slots = [
        ("tcp_syn_sent", &mut all.tcp_syn_sent),
        ("tcp_syn_recv", &mut all.tcp_syn_recv),
        ("tcp_established", &mut all.tcp_established),
        ("tcp_fin_wait", &mut all.tcp_fin_wait),
        ("tcp_time_wait", &mut all.tcp_time_wait),
        ("tcp_close", &mut all.tcp_close),
        ("udp", &mut all.udp),
        ("udp_stream", &mut all.udp_stream),
        ("icmp", &mut all.icmp),
        ("other", &mut all.other),
    ];
    let keys: Vec<&str> = slots.iter().map(|(key, _)| *key).collect();
    if let Some(fields) = Fields::read(node, "`timeouts`", &keys, report) {
        for (key, slot) in &mut slots {
            let found = fields.get(key).and_then(|node| duration(node, key, report));
            **slot = found.unwrap_or(**slot);
        }
    }
    all
}

/// `30s`, `5m`, `2h`, `5d`.
fn duration(node: &Node, key: &str, report: &mut Report<'_>) -> Option<Duration> {
    let text = walk::text(node, &format!("a duration for `{key}`"), report)?;
    let found = parse_duration(text).filter(|found| !found.is_zero() && *found <= LONGEST);
    if found.is_none() {
        let message = format!("`{text}` is no duration");
        let help = "write a whole number and its unit: 30s, 5m, 2h or 5d (at most 365d)";
        report.error_help(node.span, "bad-duration", message, help);
    }
    found
}

fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return None,
    };
    let number = walk::decimal(text.strip_suffix(unit)?)?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

fn metrics(node: &Node, report: &mut Report<'_>) -> MetricsConfig {
    let mut config = MetricsConfig::default();
    let Some(fields) = Fields::read(node, "`metrics`", &["listen", "max_series"], report) else {
        return config;
    };
    config.max_series = size(&fields, "max_series", config.max_series, report);
    let listen = fields.get("listen").and_then(|node| listen(node, report));
    config.listen = listen.unwrap_or(config.listen);
    config
}

fn listen(node: &Node, report: &mut Report<'_>) -> Option<SocketAddr> {
    let text = walk::text(node, "an address and port for `listen`", report)?;
    let found = text.parse().ok();
    if found.is_none() {
        let message = format!("`{text}` is no address with a port");
        let help = "write 127.0.0.1:10933 or \"[::1]:10933\"";
        report.error_help(node.span, "bad-address", message, help);
    }
    found
}

fn failsafe(node: &Node, report: &mut Report<'_>) -> Vec<FailsafeRule> {
    let mut rules = Vec::new();
    for item in walk::list(node, "failsafe", report).unwrap_or_default() {
        let Some(fields) = Fields::read(item, "a failsafe rule", &["sources", "services"], report)
        else {
            continue;
        };
        let sources = fields.require("sources", "a failsafe rule", report);
        let services = fields.require("services", "a failsafe rule", report);
        rules.push(FailsafeRule {
            sources: sources
                .map(|n| failsafe_sources(n, report))
                .unwrap_or_default(),
            services: services
                .map(|n| failsafe_services(n, report))
                .unwrap_or_default(),
        });
    }
    rules
}

fn failsafe_sources(node: &Node, report: &mut Report<'_>) -> Vec<ipnet::IpNet> {
    let mut all = Vec::new();
    for item in walk::filled_list(node, "sources", report).unwrap_or_default() {
        let Some(word) = walk::text(item, "a prefix or an address", report) else {
            continue;
        };
        match address::parse(word) {
            Ok(prefixes) => all.extend(prefixes),
            Err(error) => {
                let help = error.help.unwrap_or_else(|| {
                    "a failsafe rule takes prefixes and addresses only: it holds without any policy".into()
                });
                report.error_help(item.span, error.code, error.message, help);
            }
        }
    }
    all
}

fn failsafe_services(node: &Node, report: &mut Report<'_>) -> Vec<crate::policy::model::Service> {
    let mut all = Vec::new();
    for item in walk::filled_list(node, "services", report).unwrap_or_default() {
        let Some(word) = walk::text(item, "a service such as tcp/22, or a built-in name", report)
        else {
            continue;
        };
        match services::parts(word, &[]) {
            Ok(parts) => all.extend(parts),
            Err(error) => services::tell(item.span, error, report),
        }
    }
    all
}

fn policy(node: &Node, report: &mut Report<'_>) -> PolicyConfig {
    let mut config = PolicyConfig::default();
    let Some(fields) = Fields::read(node, "`policy`", &["path", "watch"], report) else {
        return config;
    };
    config.watch = fields.flag("watch", true, report);
    let Some(node) = fields.get("path") else {
        return config;
    };
    config.path = walk::text(node, "a path", report).map(PathBuf::from);
    if config.path.as_ref().is_some_and(|path| path.is_relative()) {
        let message = "`path` is relative, and an agent has no place of its own";
        report.error_help(node.span, "relative-path", message, "write it from `/`");
    }
    config
}
