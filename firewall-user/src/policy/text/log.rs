//! `log`: true, or one in so many.

use crate::policy::diagnostic::Report;
use crate::policy::model::Log;
use crate::policy::text::walk::{self, Fields};
use crate::policy::text::yaml::{Kind, Node};

/// Reads the value of `log`.
pub fn read(node: &Node, report: &mut Report<'_>) -> Option<Log> {
    if let Kind::Map(_) = node.kind {
        let fields = Fields::read(node, "`log`", &["sample"], report)?;
        let sample = fields.require("sample", "`log`", report)?;
        return one_in(sample, "sample", report).map(|one_in| Log { one_in });
    }
    match node.text() {
        Some("true" | "True" | "TRUE" | "false" | "False" | "FALSE") => {
            let logged = walk::boolean(node, "log", report)?;
            logged.then_some(Log { one_in: 1 })
        }
        _ => {
            let message = "`log` is `true`, `false` or `{sample: 1/100}`";
            let help = "`log: true` makes a record of each session and drop, `log: {sample: 1/100}` of one in a hundred; packets are counted all the same";
            report.error_help(node.span, "wrong-type", message, help);
            None
        }
    }
}

/// `1/100`: one in so many.
pub fn one_in(node: &Node, key: &str, report: &mut Report<'_>) -> Option<u32> {
    let part = node.text().and_then(|text| text.strip_prefix("1/"));
    let found = part
        .and_then(walk::decimal)
        .and_then(|n| u32::try_from(n).ok());
    let found = found.filter(|one_in| *one_in > 0);
    if found.is_none() {
        let message = format!("`{key}` is one in so many, such as 1/100");
        report.error(node.span, "wrong-number", message);
    }
    found
}
