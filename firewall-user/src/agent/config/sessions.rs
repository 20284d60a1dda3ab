//! `sessions` of the agent file, and durations.

use std::time::Duration;

use super::{SessionConfig, Stray, Timeouts};
use crate::policy::diagnostic::Report;
use crate::policy::text::walk::{self, Fields};
use crate::policy::text::yaml::Node;

/// Sixteen million sessions are several gigabytes of kernel memory.
const MOST_SESSIONS: u64 = 1 << 24;
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) fn sessions(node: &Node, report: &mut Report<'_>) -> SessionConfig {
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
    let (per_source, reserve) = (config.half_open_per_source, config.reserve);
    config.half_open_per_source = size(&fields, "half_open_per_source", per_source, report);
    config.reserve = fields
        .get("reserve")
        .and_then(|node| walk::number(node, "reserve", MOST_SESSIONS, report))
        .and_then(|number| number.try_into().ok())
        .unwrap_or(reserve);
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
pub(super) fn size(fields: &Fields<'_>, key: &str, default: u32, report: &mut Report<'_>) -> u32 {
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
    match walk::text(node, "`drop`, `reset` or `pass` for `stray`", report) {
        Some("drop") | None => {}
        Some("reset") => return Stray::Reset,
        Some("pass") => return Stray::Pass,
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
pub(super) fn duration(node: &Node, key: &str, report: &mut Report<'_>) -> Option<Duration> {
    let text = walk::text(node, &format!("a duration for `{key}`"), report)?;
    let found = parse_duration(text).filter(|found| !found.is_zero() && *found <= LONGEST);
    if found.is_none() {
        let message = format!("`{text}` is no duration");
        let help = "write a whole number and its unit: 30s, 5m, 2h or 5d (at most 365d)";
        report.error_help(node.span, "bad-duration", message, help);
    }
    found
}

/// A whole number and its unit; `None` for anything else.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
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
