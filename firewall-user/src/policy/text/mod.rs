//! The text of a policy, checked word by word, into the model. All faults are found in one go: a part
//! that cannot be read is left out and the reading goes on.

pub mod address;
pub mod claims;
mod connected;
pub mod cx;
pub mod dates;
pub mod dynamic;
pub mod limits;
pub mod log;
pub mod rules;
pub mod services;
pub mod sets;
pub mod walk;
pub mod words;
pub mod yaml;
pub mod zones;

use super::diagnostic::{Diagnostic, Refusal, Report};
use super::hosts::HostContext;
use super::model::{Essentials, HostSelector, Mode, Policy, RoutedAction, Span, Unmatched};
use super::source::Sources;
use cx::Cx;
use walk::Fields;
use yaml::Node;

/// The one version of the language.
pub const API_VERSION: &str = "ringwall/v1";

const KEYS: [&str; 12] = [
    "apiVersion",
    "metadata",
    "mode",
    "hosts",
    "unmatched",
    "essentials",
    "sets",
    "services",
    "zones",
    "policies",
    "tests",
    "assertions",
];
/// Keys that only one file of a directory holds.
const ONCE: [&str; 5] = ["metadata", "mode", "unmatched", "essentials", "hosts"];

/// The largest number that JSON keeps exactly: room for dates and times as revisions.
const MOST_REVISION: u64 = (1 << 53) - 1;

/// A policy, the warnings about it, and whether it is for the host.
pub type Converted = (Policy, Vec<Diagnostic>, bool);

/// Reads all files of a policy.
pub fn convert(sources: &Sources, host: &HostContext) -> Result<Converted, Refusal> {
    let mut report = Report::new(&sources.texts);
    let trees = trees(sources, &mut report);
    let mut documents = Vec::new();
    for tree in &trees {
        documents.extend(Fields::read(tree, "a policy file", &KEYS, &mut report));
    }
    if documents.is_empty() {
        return Err(report.finish().err().unwrap_or_else(nothing));
    }
    let mut cx = Cx::new(report, host, &sources.bases);
    let mut policy = head(&documents, sources, &mut cx);
    body(&documents, &mut policy, &mut cx);
    for name in &sources.left_out {
        let message = format!("`{name}` in this directory is not read");
        let help = "policy files end in `.yaml` and begin with no dot: rename it, or take it away";
        cx.report.warn(whole_file(0), "not-read", message, help);
    }
    super::check::check(&policy, &mut cx.report);
    if !cx.report.failed() {
        super::check::lint(&policy, host, jiff::Timestamp::now(), &mut cx.report);
    }
    let applies = cx.applies;
    cx.report
        .finish()
        .map(|warnings| (policy, warnings, applies))
}

fn nothing() -> Refusal {
    Diagnostic::error("empty", "there is nothing to read").into()
}

fn trees(sources: &Sources, report: &mut Report<'_>) -> Vec<Node> {
    let mut trees = Vec::new();
    for (index, source) in sources.texts.iter().enumerate() {
        let before = report.failed();
        let tree = yaml::parse(index, &source.text, report);
        if tree.is_none() && report.failed() == before {
            report.error(whole_file(index), "empty", "the file is empty");
        }
        trees.extend(tree);
    }
    trees
}

/// What one file says for all.
fn head(documents: &[Fields<'_>], sources: &Sources, cx: &mut Cx<'_>) -> Policy {
    let main = main_document(documents, cx);
    for document in documents {
        api_version(document, document.span == main.span, cx);
    }
    let mut policy = empty(sources);
    metadata(main, &mut policy, cx);
    cx.policy.clone_from(&policy.name);
    policy.mode = cx.mode(main);
    policy.hosts = cx.selector(main);
    cx.applies = selected(policy.hosts.as_ref(), cx);
    policy.unmatched = unmatched(main, cx);
    policy.essentials = essentials(main, cx);
    policy
}

fn selected(selector: Option<&HostSelector>, cx: &Cx<'_>) -> bool {
    selector.is_none_or(|selector| cx.host.selected_by(selector, &cx.policy))
}

/// The file with `metadata`; the words for all may stand in no other.
fn main_document<'d, 'n>(documents: &'d [Fields<'n>], cx: &mut Cx<'_>) -> &'d Fields<'n> {
    let main = documents
        .iter()
        .position(|d| d.get("metadata").is_some())
        .unwrap_or(0);
    for (index, document) in documents.iter().enumerate() {
        for key in ONCE.iter().filter(|_| index != main) {
            if let Some(span) = document.key_span(key) {
                let message =
                    format!("`{key}` stands in the one file of a directory that holds `metadata`");
                cx.report.error(span, "second-head", message);
            }
        }
    }
    &documents[main]
}

fn api_version(document: &Fields<'_>, required: bool, cx: &mut Cx<'_>) {
    let node = match document.get("apiVersion") {
        None if required => document.require("apiVersion", "a policy file", &mut cx.report),
        found => found,
    };
    let Some(node) = node else { return };
    let word = walk::text(node, "`ringwall/v1` for `apiVersion`", &mut cx.report);
    if let Some(word) = word.filter(|word| *word != API_VERSION) {
        let message = format!("`{word}` is no version of the language that this agent reads");
        cx.report.error_help(
            node.span,
            "api-version",
            message,
            format!("write `{API_VERSION}`"),
        );
    }
}

fn empty(sources: &Sources) -> Policy {
    use super::model::Action::Deny;
    Policy {
        files: sources.texts.iter().map(|text| text.name.clone()).collect(),
        name: String::new(),
        revision: 0,
        owner: None,
        description: None,
        digest: sources.digest.clone(),
        mode: Mode::Enforce,
        hosts: None,
        unmatched: Unmatched {
            inbound: Deny,
            outbound: Deny,
            routed: RoutedAction::Action(Deny),
        },
        essentials: Essentials::default(),
        sets: Vec::new(),
        services: Vec::new(),
        zones: Vec::new(),
        blocks: Vec::new(),
        tests: Vec::new(),
        assertions: Vec::new(),
    }
}

fn metadata(main: &Fields<'_>, policy: &mut Policy, cx: &mut Cx<'_>) {
    let report = &mut cx.report;
    let Some(node) = main.require("metadata", "a policy", report) else {
        return;
    };
    let keys = ["name", "revision", "owner", "description"];
    let Some(fields) = Fields::read(node, "`metadata`", &keys, report) else {
        return;
    };
    if let Some(node) = fields.require("name", "`metadata`", report) {
        policy.name = policy_name(node, report).unwrap_or_default();
    }
    if let Some(node) = fields.require("revision", "`metadata`", report) {
        policy.revision = walk::number(node, "revision", MOST_REVISION, report).unwrap_or(0);
    }
    policy.owner = fields.text("owner", report);
    policy.description = fields.text("description", report);
}

/// `metadata.name` is free text of one line: it is shown and compared, never a path.
fn policy_name(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let name = walk::text(node, "the name of the policy", report)?;
    if name.len() > 253 || name.chars().any(char::is_control) || name.trim() != name {
        let message = "the name of a policy is one line of at most 253 bytes";
        report.error(node.span, "bad-name", message);
        return None;
    }
    Some(name.to_owned())
}

fn unmatched(main: &Fields<'_>, cx: &mut Cx<'_>) -> Unmatched {
    let default = empty_unmatched();
    let Some(node) = main.require("unmatched", "a policy", &mut cx.report) else {
        return default;
    };
    let keys = ["inbound", "outbound", "routed"];
    let Some(fields) = Fields::read(node, "`unmatched`", &keys, &mut cx.report) else {
        return default;
    };
    let mut one = |key: &str| {
        let node = fields.require(key, "`unmatched`", &mut cx.report)?;
        rules::action(node, key, cx)
    };
    let (inbound, outbound) = (one("inbound"), one("outbound"));
    Unmatched {
        inbound: inbound.unwrap_or(default.inbound),
        outbound: outbound.unwrap_or(default.outbound),
        routed: routed(&fields, cx).unwrap_or(default.routed),
    }
}

fn empty_unmatched() -> Unmatched {
    use super::model::Action::Deny;
    Unmatched {
        inbound: Deny,
        outbound: Deny,
        routed: RoutedAction::Action(Deny),
    }
}

fn routed(fields: &Fields<'_>, cx: &mut Cx<'_>) -> Option<RoutedAction> {
    let node = fields.require("routed", "`unmatched`", &mut cx.report)?;
    if node.text() == Some("pass") {
        return Some(RoutedAction::Pass);
    }
    rules::action(node, "routed", cx).map(RoutedAction::Action)
}

fn essentials(main: &Fields<'_>, cx: &mut Cx<'_>) -> Essentials {
    let mut all = Essentials::default();
    let keys = ["arp", "nd", "ra", "dhcp", "dhcpv6", "igmp", "mld", "link"];
    let fields = main
        .get("essentials")
        .and_then(|node| Fields::read(node, "`essentials`", &keys, &mut cx.report));
    let Some(fields) = fields else { return all };
    for key in ["arp", "nd"] {
        if !fields.flag(key, true, &mut cx.report) {
            let span = fields.get(key).map_or(fields.span, |node| node.span);
            let message =
                format!("`{key}` cannot be switched off: the machine would leave its link");
            cx.report.error(span, "essential", message);
        }
    }
    let mut flag = |key| fields.flag(key, true, &mut cx.report);
    (all.ra, all.dhcp, all.dhcpv6) = (flag("ra"), flag("dhcp"), flag("dhcpv6"));
    (all.igmp, all.mld, all.link) = (flag("igmp"), flag("mld"), flag("link"));
    all
}

/// What the files say together: names first, then what uses them.
fn body(documents: &[Fields<'_>], policy: &mut Policy, cx: &mut Cx<'_>) {
    let each = |key: &str| -> Vec<&Node> { documents.iter().filter_map(|d| d.get(key)).collect() };
    each("sets")
        .into_iter()
        .for_each(|node| sets::read(node, cx));
    services::read(&each("services"), cx);
    each("zones")
        .into_iter()
        .for_each(|node| zones::read(node, cx));
    connected::resolve(&mut cx.zones, cx.host);
    for node in each("policies") {
        rules::read(node, &mut policy.blocks, cx);
    }
    for node in each("tests") {
        policy.tests.extend(claims::tests(node, &policy.blocks, cx));
    }
    for node in each("assertions") {
        policy.assertions.extend(claims::assertions(node, cx));
    }
    policy.sets = std::mem::take(&mut cx.sets);
    policy.services = std::mem::take(&mut cx.services);
    policy.zones = std::mem::take(&mut cx.zones);
}

/// The place of a whole file.
#[must_use]
pub fn whole_file(file: usize) -> Span {
    Span {
        file,
        line: 0,
        column: 0,
    }
}

#[cfg(test)]
mod tests;
