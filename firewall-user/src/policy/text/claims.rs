//! `tests` and `assertions`.

use crate::policy::model::{Assertion, Block, Span, Test};
use crate::policy::packet::{self, PacketError};
use crate::policy::text::cx::Cx;
use crate::policy::text::walk::{self, Fields};
use crate::policy::text::yaml::{Kind, Node};
use crate::policy::text::{dates, rules};

const ESSENTIALS: [&str; 8] = ["arp", "nd", "ra", "dhcp", "dhcpv6", "igmp", "mld", "link"];

/// Reads the `tests` of one file.
pub fn tests(node: &Node, blocks: &[Block], cx: &mut Cx<'_>) -> Vec<Test> {
    let items = walk::list(node, "tests", &mut cx.report).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| test(item, blocks, cx))
        .collect()
}

fn test(item: &Node, blocks: &[Block], cx: &mut Cx<'_>) -> Option<Test> {
    let fields = Fields::read(
        item,
        "a test",
        &["packet", "expect", "rule", "at"],
        &mut cx.report,
    )?;
    let node = fields.require("packet", "a test", &mut cx.report);
    let text = node.and_then(|node| walk::text(node, "a packet", &mut cx.report));
    let packet = text.and_then(|text| match packet::parse(text, &cx.zones) {
        Ok(packet) => Some(packet),
        Err(error) => {
            tell(node?, error, cx);
            None
        }
    });
    let expect = fields.require("expect", "a test", &mut cx.report);
    let expect = expect.and_then(|node| rules::action(node, "expect", cx));
    let rule = fields
        .get("rule")
        .and_then(|node| rule_id(node, blocks, cx));
    let at = fields
        .get("at")
        .and_then(|node| dates::start(node, "at", &mut cx.report));
    Some(Test {
        span: item.span,
        text: text?.to_owned(),
        packet: packet?,
        expect: expect?,
        rule,
        at,
    })
}

/// `policy/rule`, `policy/default`, `essentials/arp`, `failsafe/1`, `unmatched/inbound`.
fn rule_id(node: &Node, blocks: &[Block], cx: &mut Cx<'_>) -> Option<String> {
    let id = walk::text(node, "a rule, written `policy/rule`", &mut cx.report)?;
    if !known_rule(id, blocks) {
        let message = format!("there is no rule `{id}`");
        let ids: Vec<String> = blocks.iter().flat_map(rule_ids).collect();
        let help = walk::suggestion(id, ids.iter().map(String::as_str));
        cx.report
            .error_help(node.span, "unknown-rule", message, help);
    }
    Some(id.to_owned())
}

fn known_rule(id: &str, blocks: &[Block]) -> bool {
    match id.split_once('/') {
        Some(("essentials", name)) => ESSENTIALS.contains(&name),
        Some(("failsafe", number)) => walk::decimal(number).is_some_and(|n| n > 0),
        Some(("unmatched", course)) => ["inbound", "outbound", "routed"].contains(&course),
        Some((policy, _)) => {
            let mut named = blocks.iter().filter(|block| block.name == policy);
            named.any(|block| rule_ids(block).any(|known| known == id))
        }
        None => false,
    }
}

fn rule_ids(block: &Block) -> impl Iterator<Item = String> + '_ {
    let rules = block.rules.iter().map(|rule| rule.name.as_str());
    let default = block.default.map(|_| "default");
    rules
        .chain(default)
        .map(|name| format!("{}/{name}", block.name))
}

/// Reads the `assertions` of one file.
pub fn assertions(node: &Node, cx: &mut Cx<'_>) -> Vec<Assertion> {
    let items = walk::list(node, "assertions", &mut cx.report).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| assertion(item, cx))
        .collect()
}

fn assertion(item: &Node, cx: &mut Cx<'_>) -> Option<Assertion> {
    let text = walk::text(
        item,
        "a statement such as `deny internet -> host tcp/5432`",
        &mut cx.report,
    )?;
    match packet::parse_assertion(text, item.span, &cx.zones, &cx.services) {
        Ok(assertion) => Some(assertion),
        Err(error) => {
            tell(item, error, cx);
            None
        }
    }
}

/// Points into the text, as far as it stands in the file as it was read.
fn tell(node: &Node, error: PacketError, cx: &mut Cx<'_>) {
    let quote = usize::from(!matches!(node.kind, Kind::Scalar { plain: true, .. }));
    let span = Span {
        column: node.span.column + quote + error.offset,
        ..node.span
    };
    cx.report
        .error_help(span, "bad-packet", error.message, error.help);
}
