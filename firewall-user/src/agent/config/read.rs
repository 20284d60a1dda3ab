//! The text of `agent.yaml`, with the same care for errors as a policy's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::flows::{flows, history};
use super::sessions::{sessions, size};
use super::{
    AgentConfig, FailsafeRule, HookChoice, HookConfig, InterfaceConfig, Late, MetricsConfig,
    PolicyConfig,
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
        own_address_from: fields
            .get("own_address_from")
            .map(|n| prefixes(n, "own_address_from", report))
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
        flows: fields
            .get("flows")
            .map(|n| flows(n, report))
            .unwrap_or_default(),
        history: fields
            .get("history")
            .map(|n| history(n, report))
            .unwrap_or_default(),
    }
}

fn interfaces(node: &Node, report: &mut Report<'_>) -> InterfaceConfig {
    let Some(fields) = Fields::read(node, "`interfaces`", &["guard", "ignore", "late"], report)
    else {
        return InterfaceConfig::default();
    };
    InterfaceConfig {
        late: fields
            .get("late")
            .map(|n| late(n, report))
            .unwrap_or_default(),
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

fn late(node: &Node, report: &mut Report<'_>) -> Late {
    match walk::text(node, "`guard` or `ignore` for `late`", report) {
        Some("ignore") => return Late::Ignore,
        Some("guard") | None => {}
        Some(other) => {
            let message = format!("`{other}` is nothing to do with interfaces that come later");
            report.error_help(
                node.span,
                "bad-late",
                message,
                "`late` is `guard` or `ignore`",
            );
        }
    }
    Late::Guard
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

fn hook(node: &Node, report: &mut Report<'_>) -> HookConfig {
    let mut config = HookConfig::default();
    if !matches!(node.kind, Kind::Map(_)) {
        config.default = hook_choice(node, report);
        return config;
    }
    let mut seen = BTreeSet::new();
    for (key, value) in walk::mapping(node, "`hook`", report).unwrap_or_default() {
        let choice = hook_choice(value, report);
        let Some(word) = walk::text(key, "an interface name or glob, or `default`", report) else {
            continue;
        };
        if !seen.insert(word.to_owned()) {
            let message = format!("`hook` names `{word}` already");
            report.error(key.span, "duplicate-name", message);
        } else if word == "default" {
            config.default = choice;
        } else if let Some(name) = zones::checked_name(key, word, report) {
            config.by_interface.push((name, choice));
        }
    }
    config
}

fn hook_choice(node: &Node, report: &mut Report<'_>) -> HookChoice {
    let Some(word) = walk::text(node, "`auto`, `tc`, `xdp` or `xdp-generic`", report) else {
        return HookChoice::Auto;
    };
    let mut known = HookChoice::ALL.into_iter();
    if let Some((_, choice)) = known.find(|(name, _)| *name == word) {
        return choice;
    }
    let help = walk::suggestion(word, HookChoice::ALL.map(|(name, _)| name));
    report.error_help(node.span, "bad-word", format!("`{word}` is no hook"), help);
    HookChoice::Auto
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
                .map(|n| prefixes(n, "sources", report))
                .unwrap_or_default(),
            services: services
                .map(|n| failsafe_services(n, report))
                .unwrap_or_default(),
        });
    }
    rules
}

fn prefixes(node: &Node, key: &str, report: &mut Report<'_>) -> Vec<ipnet::IpNet> {
    let mut all = Vec::new();
    let help = format!("write `{key}: [10.1.0.0/24]`; an empty list never means everything");
    for item in walk::some_of(node, key, &help, report).unwrap_or_default() {
        let Some(word) = walk::text(item, "a prefix or an address", report) else {
            continue;
        };
        match address::parse(word) {
            Ok(prefixes) => all.extend(prefixes),
            Err(error) => {
                let help = error.help.unwrap_or_else(|| {
                    "the agent file takes prefixes and addresses only: it holds without any policy"
                        .into()
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
