//! `dynamic: true`: sets that commands fill.

use firewall_common::policy::dynamic::MAX_MEMBERS;

use crate::agent::config::parse_duration;
use crate::policy::diagnostic::Report;
use crate::policy::model::Dynamic;
use crate::policy::text::cx::Cx;
use crate::policy::text::walk::{self, Fields};
use crate::policy::text::yaml::Node;

/// Members where `max` says nothing.
const DEFAULT_MAX: u32 = 65_536;
/// The most that one set may have.
const MOST: u32 = 1_000_000;

/// Ten years, in seconds.
pub const LONGEST: u64 = 3653 * 86_400;

const _: () = assert!(MOST <= MAX_MEMBERS);

/// Reads a set that says so of itself.
pub fn read(fields: &Fields<'_>, cx: &mut Cx<'_>) -> Option<Dynamic> {
    if let Some(span) = fields.key_span("file") {
        let message = "a set is filled from a `file` or is `dynamic`, not both";
        cx.report.error(span, "two-origins", message);
    }
    let max = match fields.get("max") {
        None => DEFAULT_MAX,
        Some(node) => {
            let found = walk::number(node, "max", u64::from(MOST), &mut cx.report)?;
            u32::try_from(found).unwrap_or(MOST)
        }
    };
    let default_for = match fields.get("default_for") {
        None => None,
        Some(node) => Some(duration(node, &mut cx.report)?),
    };
    Some(Dynamic { max, default_for })
}

fn duration(node: &Node, report: &mut Report<'_>) -> Option<u64> {
    let word = walk::text(node, "a time such as 1h for `default_for`", report)?;
    let found = parse_duration(word).map(|found| found.as_secs());
    let found = found.filter(|seconds| *seconds > 0 && *seconds <= LONGEST);
    if found.is_none() {
        let message = format!("`{word}` is no time for `default_for`");
        let help = "written like 90s, 15m, 1h or 7d, from a second to ten years";
        report.error_help(node.span, "bad-duration", message, help);
    }
    found
}

/// Is this set dynamic?
#[must_use]
pub fn is(index: usize, cx: &Cx<'_>) -> bool {
    cx.sets.get(index).is_some_and(|set| set.dynamic.is_some())
}

/// Zones are worked out when a policy is compiled.
pub fn refuse_in_zone(item: &Node, report: &mut Report<'_>) {
    let message =
        "a dynamic set as `cidrs` of a zone is not supported by this version of Ringwall yet";
    let help = "name it in a rule's `sources` or `destinations`, or fill the set from a file";
    report.error_help(item.span, walk::NOT_YET, message, help);
}
