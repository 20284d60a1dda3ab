//! `policies`: the ordered list.

use crate::policy::model::{Action, Block, Ends, OnChange, Rule, Span};
use crate::policy::services::port_range;
use crate::policy::text::cx::Cx;
use crate::policy::text::walk::{self, Fields};
use crate::policy::text::yaml::Node;
use crate::policy::text::{dates, limits, log, services, zones};

const BLOCK_KEYS: [&str; 7] = ["name", "from", "to", "rules", "default", "mode", "hosts"];
const RULE_KEYS: [&str; 27] = [
    "name",
    "action",
    "services",
    "source_ports",
    "sources",
    "destinations",
    "except_sources",
    "except_destinations",
    "interfaces",
    "stateful",
    "mode",
    "enabled",
    "hosts",
    "owner",
    "reason",
    "ticket",
    "review_by",
    "expires",
    "not_before",
    "users",
    "units",
    "cgroups",
    "limit",
    "max_sessions",
    "replies",
    "on_change",
    "log",
];
const RULE_NOT_YET: [&str; 4] = ["not_before", "users", "units", "cgroups"];

/// Reads the `policies` of one file.
pub fn read(node: &Node, blocks: &mut Vec<Block>, cx: &mut Cx<'_>) {
    for item in walk::list(node, "policies", &mut cx.report).unwrap_or_default() {
        let Some(fields) = Fields::read(item, "a policy", &BLOCK_KEYS, &mut cx.report) else {
            continue;
        };
        let taken = |name: &str| blocks.iter().any(|block: &Block| block.name == name);
        let name = unique_name(&fields, "a policy", taken, cx);
        if let Some((name, span)) = &name
            && name == "unmatched"
        {
            let message = "`unmatched` is a word of the language and cannot name a policy";
            cx.report.error(*span, "reserved-name", message);
        }
        let block = block(name, item.span, &fields, cx);
        blocks.extend(block);
    }
}

/// The name of a policy or rule: required, unique among its like.
fn unique_name(
    fields: &Fields<'_>,
    what: &str,
    taken: impl Fn(&str) -> bool,
    cx: &mut Cx<'_>,
) -> Option<(String, Span)> {
    let node = fields.require("name", what, &mut cx.report)?;
    let name = walk::name(node, what, &mut cx.report)?;
    if taken(name) {
        let message = format!("there is {what} `{name}` already");
        cx.report.error(node.span, "duplicate-name", message);
    }
    Some((name.to_owned(), node.span))
}

fn block(
    name: Option<(String, Span)>,
    span: Span,
    fields: &Fields<'_>,
    cx: &mut Cx<'_>,
) -> Option<Block> {
    let from = end(fields, "from", cx);
    let to = end(fields, "to", cx);
    if let (Some(Ends::Host), Some(Ends::Host)) = (&from, &to) {
        let message = "from this machine to itself: that traffic crosses no guarded interface";
        let at = fields.key_span("to").unwrap_or(span);
        cx.report.error(at, "host-to-host", message);
    }
    let mode = cx.mode(fields);
    let for_this_host = cx.selected(fields);
    let rules = fields
        .get("rules")
        .map(|node| rules(node, for_this_host, cx))
        .unwrap_or_default();
    let default = fields
        .get("default")
        .and_then(|node| action(node, "default", cx));
    if fields.get("rules").is_none() && fields.get("default").is_none() {
        let message = "a policy needs `rules`, a `default`, or both";
        cx.report.error(span, "missing-key", message);
    }
    let (name, span) = name?;
    Some(Block {
        name,
        span,
        from: from?,
        to: to?,
        mode,
        for_this_host,
        rules,
        default,
    })
}

fn end(fields: &Fields<'_>, key: &str, cx: &mut Cx<'_>) -> Option<Ends> {
    let node = fields.require(key, "a policy", &mut cx.report)?;
    zones::ends(node, key, cx)
}

fn rules(node: &Node, selected: bool, cx: &mut Cx<'_>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut names = std::collections::HashSet::new();
    for item in walk::list(node, "rules", &mut cx.report).unwrap_or_default() {
        let Some(fields) = Fields::read(item, "a rule", &RULE_KEYS, &mut cx.report) else {
            continue;
        };
        let name = unique_name(&fields, "a rule", |name| names.contains(name), cx);
        names.extend(name.as_ref().map(|(name, _)| name.clone()));
        rules.extend(rule(name, &fields, selected, cx));
    }
    rules
}

fn rule(
    name: Option<(String, Span)>,
    fields: &Fields<'_>,
    selected: bool,
    cx: &mut Cx<'_>,
) -> Option<Rule> {
    fields.refuse_not_yet(&RULE_NOT_YET, &mut cx.report);
    let action = fields
        .require("action", "a rule", &mut cx.report)
        .and_then(|node| action(node, "action", cx));
    limit_without_allow(fields, action, cx);
    let stateful = fields.flag("stateful", true, &mut cx.report);
    let enabled = fields.flag("enabled", true, &mut cx.report);
    let for_this_host = cx.selected(fields);
    let matters = cx.applies && selected && for_this_host;
    let services = fields
        .get("services")
        .map(|node| services::of_rule(node, cx));
    let (services, service_words) = services.unzip();
    let rule = Rule {
        name: String::new(),
        span: fields.span,
        action: action.unwrap_or(Action::Deny),
        services,
        service_words: service_words.unwrap_or_default(),
        source_ports: fields
            .get("source_ports")
            .map(|node| source_ports(node, cx)),
        sources: cx.addresses(fields, "sources"),
        destinations: cx.addresses(fields, "destinations"),
        except_sources: cx.addresses(fields, "except_sources"),
        except_destinations: cx.addresses(fields, "except_destinations"),
        interfaces: fields
            .get("interfaces")
            .map(|node| zones::interfaces(node, cx, matters)),
        stateful,
        limit: fields
            .get("limit")
            .and_then(|node| limits::limit(node, stateful, &mut cx.report)),
        max_sessions: fields
            .get("max_sessions")
            .and_then(|node| limits::max_sessions(node, stateful, &mut cx.report)),
        replies: replies(fields, action, cx),
        log: fields
            .get("log")
            .and_then(|node| log::read(node, &mut cx.report)),
        on_change: on_change(fields, cx),
        mode: cx.mode(fields),
        enabled,
        for_this_host,
        owner: fields.text("owner", &mut cx.report),
        reason: fields.text("reason", &mut cx.report),
        ticket: fields.text("ticket", &mut cx.report),
        review_by: fields
            .get("review_by")
            .and_then(|n| dates::end(n, "review_by", &mut cx.report)),
        expires: fields
            .get("expires")
            .and_then(|n| dates::end(n, "expires", &mut cx.report)),
    };
    let (name, span) = name?;
    action.map(|_| Rule { name, span, ..rule })
}

/// `replies: any`, which says something only where a session is opened.
fn replies(fields: &Fields<'_>, action: Option<Action>, cx: &mut Cx<'_>) -> bool {
    let Some(node) = fields.get("replies") else {
        return false;
    };
    let word = walk::text(node, "`any` for `replies`", &mut cx.report);
    if let Some(word) = word.filter(|word| *word != "any") {
        let message = format!("`{word}` is no way of `replies`: it is `any`, or not there");
        cx.report.error(node.span, "bad-value", message);
    }
    let opens = fields
        .get("stateful")
        .is_none_or(|node| node.text() != Some("false"));
    if !matches!(action, Some(Action::Allow) | None) || !opens {
        let message =
            "`replies` is for rules that open sessions: `action: allow`, and not `stateful: false`";
        cx.report
            .error(node.span, "replies-without-session", message);
    }
    word == Some("any")
}

fn on_change(fields: &Fields<'_>, cx: &mut Cx<'_>) -> OnChange {
    let Some(node) = fields.get("on_change") else {
        return OnChange::default();
    };
    let expected = "`recheck`, `keep` or `reset` for `on_change`";
    match walk::text(node, expected, &mut cx.report) {
        Some("keep") => OnChange::Keep,
        Some("reset") => OnChange::Reset,
        Some("recheck") | None => OnChange::Recheck,
        Some(other) => {
            let message = format!("`{other}` is no way to treat live sessions");
            let help = "`on_change` is `recheck`, `keep` or `reset`";
            cx.report.error_help(node.span, "bad-word", message, help);
            OnChange::Recheck
        }
    }
}

fn limit_without_allow(fields: &Fields<'_>, action: Option<Action>, cx: &mut Cx<'_>) {
    let Some(Action::Deny | Action::Reject) = action else {
        return;
    };
    for key in ["limit", "max_sessions"] {
        if let Some(node) = fields.get(key) {
            let message = format!("a `{key}` belongs to an `allow`: it bounds what is let in");
            cx.report.error(node.span, "limit-without-allow", message);
        }
    }
}

/// `allow`, `deny` or `reject`.
pub fn action(node: &Node, key: &str, cx: &mut Cx<'_>) -> Option<Action> {
    let word = walk::text(
        node,
        &format!("`allow`, `deny` or `reject` for `{key}`"),
        &mut cx.report,
    )?;
    match action_word(word) {
        Ok(action) => Some(action),
        Err(help) => {
            let message = format!("`{word}` is no action: expected `allow`, `deny` or `reject`");
            cx.report.error_help(node.span, "bad-action", message, help);
            None
        }
    }
}

/// The action a word names, or advice.
pub fn action_word(word: &str) -> Result<Action, String> {
    let ours = match word.to_lowercase().as_str() {
        "allow" if word == "allow" => return Ok(Action::Allow),
        "deny" if word == "deny" => return Ok(Action::Deny),
        "reject" if word == "reject" => return Ok(Action::Reject),
        "accept" | "pass" | "permit" | "return" => "allow",
        "drop" | "block" | "discard" | "blackhole" => "deny",
        "audit" | "log" | "count" | "monitor" => {
            return Err("to judge and count without dropping, write the action it shall have and `mode: monitor`".into());
        }
        other => walk::close(other, ["allow", "deny", "reject"]).unwrap_or_default(),
    };
    match ours {
        "" => Err("`deny` drops silently, `reject` tells the sender".into()),
        "deny" => Err("ours is `deny` (silent); `reject` tells the sender".into()),
        ours => Err(format!("ours is `{ours}`")),
    }
}

fn source_ports(node: &Node, cx: &mut Cx<'_>) -> Vec<(u16, u16)> {
    let items = walk::filled_list(node, "source_ports", &mut cx.report).unwrap_or_default();
    let mut ports = Vec::new();
    for item in items {
        let Some(word) = walk::text(item, "a port or a range of ports", &mut cx.report) else {
            continue;
        };
        match port_range(word) {
            Ok(range) => ports.push(range),
            Err(error) => services::tell(item.span, error, &mut cx.report),
        }
    }
    ports
}
