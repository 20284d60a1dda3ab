//! `shield` of the agent file: when a flood moves what arrives to XDP.

use std::time::Duration;

use super::sessions::{duration, size};
use crate::policy::diagnostic::Report;
use crate::policy::text::walk::Fields;
use crate::policy::text::yaml::Node;

/// `shield`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShieldConfig {
    /// `enabled`.
    pub enabled: bool,
    /// `above`: packets refused a second on one interface, from which on it is a flood.
    pub above: u32,
    /// `below`: packets refused a second, below which it is none.
    pub below: u32,
    /// `quiet`: how long it must have been none before the interface goes back.
    pub quiet: Duration,
}

impl Default for ShieldConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            above: 50_000,
            below: 10_000,
            quiet: Duration::from_secs(30),
        }
    }
}

pub(super) fn shield(node: &Node, report: &mut Report<'_>) -> ShieldConfig {
    let default = ShieldConfig::default();
    let keys = ["enabled", "above", "below", "quiet"];
    let Some(fields) = Fields::read(node, "`shield`", &keys, report) else {
        return default;
    };
    let above = size(&fields, "above", default.above, report);
    let below = size(&fields, "below", default.below.min(above / 2), report);
    let quiet = fields.get("quiet");
    let quiet = quiet.and_then(|node| duration(node, "quiet", report));
    if below >= above
        && let Some(span) = fields
            .key_span("below")
            .or_else(|| fields.key_span("above"))
    {
        let message = format!("`below` ({below}) must be less than `above` ({above})");
        let help =
            "between the two an interface stays where it is, so that it does not go to and fro";
        report.error_help(span, "wrong-number", message, help);
    }
    ShieldConfig {
        enabled: fields.flag("enabled", default.enabled, report),
        above,
        below,
        quiet: quiet.unwrap_or(default.quiet),
    }
}
