//! `zones`, and interface names.

use crate::policy::diagnostic::Report;
use crate::policy::model::{Ends, SourceCheck, Zone};
use crate::policy::text::cx::{Cx, Word};
use crate::policy::text::walk::{self, Fields};
use crate::policy::text::yaml::{Kind, Node};
use crate::policy::text::{address, connected, dynamic};

const KEYS: [&str; 6] = [
    "cidrs",
    "interfaces",
    "connected",
    "default",
    "management",
    "source_check",
];
/// Longest interface name of Linux.
const NAME_LENGTH: usize = 15;

/// Reads the `zones` of one file.
pub fn read(node: &Node, cx: &mut Cx<'_>) {
    for (key, value) in walk::mapping(node, "`zones`", &mut cx.report).unwrap_or_default() {
        let Some(name) = zone_name(key, cx) else {
            continue;
        };
        let zone = one(name.to_owned(), key, value, cx);
        cx.zones.push(zone);
    }
}

fn zone_name<'n>(key: &'n Node, cx: &mut Cx<'_>) -> Option<&'n str> {
    let name = walk::name(key, "a zone", &mut cx.report)?;
    let problem = if address::looks_like_address(name) {
        ("bad-name", format!("`{name}` would be read as an address"))
    } else if cx.zones.iter().any(|zone| zone.name == name) {
        (
            "duplicate-name",
            format!("there is a zone `{name}` already"),
        )
    } else {
        return Some(name);
    };
    cx.report.error(key.span, problem.0, problem.1);
    None
}

fn one(name: String, key: &Node, value: &Node, cx: &mut Cx<'_>) -> Zone {
    let mut zone = Zone {
        name,
        span: key.span,
        default: false,
        cidrs: Vec::new(),
        has_cidrs: false,
        interfaces: Vec::new(),
        has_interfaces: false,
        connected: Vec::new(),
        management: false,
        source_check: None,
    };
    let Some(fields) = Fields::read(value, "a zone", &KEYS, &mut cx.report) else {
        return zone;
    };
    zone.default = fields.flag("default", false, &mut cx.report);
    zone.management = fields.flag("management", false, &mut cx.report);
    let check = fields.get("source_check");
    zone.source_check = check.and_then(|node| source_check(node, &mut cx.report));
    if let Some(node) = fields.get("cidrs") {
        zone.has_cidrs = true;
        zone.cidrs = cidrs(node, cx);
    }
    if let Some(node) = fields.get("interfaces") {
        zone.has_interfaces = true;
        zone.interfaces = interfaces(node, cx, cx.applies);
    }
    if let Some(node) = fields.get("connected") {
        zone.has_cidrs = true;
        zone.connected = connected::read(node, cx);
    }
    if !(zone.default || zone.has_cidrs || zone.has_interfaces) {
        let message = format!(
            "the zone `{}` says of nobody that they are in it",
            zone.name
        );
        let help = "give it `cidrs`, `interfaces`, both, `connected`, or `default: true`";
        cx.report
            .error_help(value.span, "empty-zone", message, help);
    }
    zone
}

fn source_check(node: &Node, report: &mut Report<'_>) -> Option<SourceCheck> {
    let word = walk::text(
        node,
        "`strict`, `loose` or `off` for `source_check`",
        report,
    )?;
    let mut known = SourceCheck::ALL.into_iter();
    let found = known.find(|(name, _)| *name == word);
    if found.is_none() {
        let help = walk::suggestion(word, SourceCheck::ALL.map(|(name, _)| name));
        let message = format!("`{word}` is no check of sources");
        report.error_help(node.span, "bad-word", message, help);
    }
    found.map(|(_, check)| check)
}

fn cidrs(node: &Node, cx: &mut Cx<'_>) -> Vec<ipnet::IpNet> {
    let items = walk::filled_list(node, "cidrs", &mut cx.report).unwrap_or_default();
    let mut all = Vec::new();
    for item in items {
        match cx.address_word(item) {
            Some(Word::Prefixes(prefixes)) => all.extend(prefixes),
            Some(Word::Set(index)) if dynamic::is(index, cx) => {
                dynamic::refuse_in_zone(item, &mut cx.report);
            }
            Some(Word::Set(index)) => {
                all.extend(
                    cx.sets
                        .get(index)
                        .into_iter()
                        .flat_map(|set| set.members.iter().copied()),
                );
            }
            _ => {}
        }
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|prefix| seen.insert(*prefix));
    all
}

/// `interfaces`: names and globs, `role/NAME` resolved (an error only where it matters on this host).
pub fn interfaces(node: &Node, cx: &mut Cx<'_>, matters: bool) -> Vec<String> {
    let items = walk::filled_list(node, "interfaces", &mut cx.report).unwrap_or_default();
    names(items, cx, matters)
}

/// Names and globs of interfaces, each once.
pub fn names(items: &[Node], cx: &mut Cx<'_>, matters: bool) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for item in items {
        let Some(word) = walk::text(item, "an interface name or glob", &mut cx.report) else {
            continue;
        };
        let found = match word.strip_prefix("role/") {
            Some(role) => of_role(item, role, cx, matters),
            None => checked_name(item, word, &mut cx.report)
                .into_iter()
                .collect(),
        };
        for name in found {
            if !all.contains(&name) {
                all.push(name);
            }
        }
    }
    all
}

fn of_role(item: &Node, role: &str, cx: &mut Cx<'_>, matters: bool) -> Vec<String> {
    match cx.host.roles.get(role) {
        Some(names) => names.clone(),
        None if !matters => Vec::new(),
        None => {
            let message =
                format!("this host's agent file names no interfaces for the role `{role}`");
            let known = walk::suggestion(role, cx.host.roles.keys().map(String::as_str));
            let message = format!("{message}: it stands for none here");
            let help = format!(
                "add `roles: {{{role}: [eth0]}}` to the agent file of a host that has some; roles: {known}"
            );
            cx.report.warn(item.span, "unknown-role", message, help);
            Vec::new()
        }
    }
}

/// An interface name or glob that can match something.
pub fn checked_name(item: &Node, word: &str, report: &mut Report<'_>) -> Option<String> {
    match interface_fault(word) {
        None => Some(word.to_owned()),
        Some(fault) => {
            let help = "an interface is a name such as eth0, a glob such as \"en*\", or role/NAME";
            report.error_help(item.span, "bad-interface", fault, help);
            None
        }
    }
}

/// Why a word can match no interface; `*`, `?` and `[…]` are the globs.
#[must_use]
pub fn interface_fault(word: &str) -> Option<String> {
    let glob = word.contains(['*', '?', '[']);
    let strange = |c: char| c.is_whitespace() || c.is_control() || "/{}\\\"'".contains(c);
    if word.is_empty() || word.contains(strange) {
        return Some(format!("`{word}` is no interface name"));
    }
    if !glob && word.len() > NAME_LENGTH {
        return Some(format!(
            "`{word}` is longer than the {NAME_LENGTH} bytes an interface name can have"
        ));
    }
    let error = globset::Glob::new(word).err()?;
    Some(format!("`{word}` is no glob: {}", error.kind()))
}

/// `from` or `to` of a policy.
pub fn ends(node: &Node, key: &str, cx: &mut Cx<'_>) -> Option<Ends> {
    let Kind::Seq(_) = &node.kind else {
        let word = walk::text(
            node,
            &format!("a zone, a list of zones, `any` or `host` for `{key}`"),
            &mut cx.report,
        )?;
        return match word {
            "host" => Some(Ends::Host),
            "any" => Some(Ends::Any),
            _ => several(std::slice::from_ref(node), key, cx),
        };
    };
    let items = walk::filled_list(node, key, &mut cx.report)?;
    match items {
        [one] if one.text().is_some() => ends(one, key, cx),
        items => several(items, key, cx),
    }
}

fn several(items: &[Node], key: &str, cx: &mut Cx<'_>) -> Option<Ends> {
    let (mut zones, mut multicast) = (std::collections::BTreeSet::new(), false);
    let mut good = true;
    for item in items {
        let word = walk::text(item, &format!("a zone for `{key}`"), &mut cx.report);
        match word {
            Some("multicast") if key == "to" => multicast = true,
            Some(word) => match cx.zones.iter().position(|zone| zone.name == word) {
                Some(index) => {
                    zones.insert(index);
                }
                None => {
                    no_zone(item, word, key, cx);
                    good = false;
                }
            },
            None => good = false,
        }
    }
    good.then_some(Ends::Zones { zones, multicast })
}

fn no_zone(item: &Node, word: &str, key: &str, cx: &mut Cx<'_>) {
    let (message, help) = match word {
        "host" | "any" => (
            format!("`{word}` stands alone, not in a list of zones"),
            "write a policy of its own for it".to_owned(),
        ),
        "multicast" => (
            "`multicast` is a zone of destinations".to_owned(),
            format!("it is usable in `to`, not in `{key}`"),
        ),
        "default" => (
            "`default` is no zone".to_owned(),
            "name the zone that says `default: true`".to_owned(),
        ),
        _ => (format!("unknown zone `{word}`"), near_zone(word, key, cx)),
    };
    cx.report
        .error_help(item.span, "unknown-zone", message, help);
}

fn near_zone(word: &str, key: &str, cx: &Cx<'_>) -> String {
    if address::looks_like_address(word) || cx.sets.iter().any(|set| set.name == word) {
        let field = if key == "from" {
            "sources"
        } else {
            "destinations"
        };
        return format!("addresses and sets go into a rule's `{field}`; `{key}` names zones");
    }
    let own = cx.zones.iter().map(|zone| zone.name.as_str());
    walk::suggestion(word, own.chain(["host", "any"]))
}
