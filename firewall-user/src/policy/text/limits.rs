//! `limit` and `max_sessions`.

use firewall_common::policy::limits::SLOWEST;

use crate::policy::diagnostic::Report;
use crate::policy::model::{Limit, MaxSessions, Per, Span, Unit};
use crate::policy::text::walk::{self, Fields};
use crate::policy::text::yaml::{Kind, Node};

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;
/// Periods that a rate may be for, in seconds. The longer word first: `/min` is no `/m`.
const PERIODS: [(&str, u64); 3] = [("/min", 60), ("/s", 1), ("/h", 3600)];
/// What bits may be counted in.
const BITS: [(&str, u64); 4] = [
    ("Gbit", 1_000_000_000),
    ("Mbit", 1_000_000),
    ("kbit", 1_000),
    ("bit", 1),
];
/// Openings or packets a second at most, and in a burst.
const MOST: u64 = 100_000_000;
/// Bits a second at most, and in a burst.
const MOST_BITS: u64 = 1_000_000_000_000;
/// A bucket that takes longer to fill than this is no limit that anybody means.
const LONGEST: u64 = 366 * 24 * 3600 * SECOND;

/// Reads `limit`.
pub fn limit(node: &Node, stateful: bool, report: &mut Report<'_>) -> Option<Limit> {
    let fields = Fields::read(node, "`limit`", &["rate", "burst", "per"], report)?;
    let rate = fields.require("rate", "`limit`", report)?;
    let (unit, count, period) = self::rate(rate, report)?;
    if unit == Unit::Bits && stateful {
        let message = "a rate of bits counts packets, and a rule with sessions counts openings";
        let help = "write `stateful: false` with rules for both directions, or a rate such as 10/s";
        report.error_help(rate.span, "bits-with-sessions", message.to_owned(), help);
        return None;
    }
    if unit == Unit::Bits && count / period < SLOWEST {
        let message = format!("a rate of bits is at least {SLOWEST}bit/s");
        report.error(rate.span, "wrong-number", message);
        return None;
    }
    let given = fields.get("burst");
    let burst = match given {
        Some(node) => burst(node, unit, report)?,
        // One second's worth.
        None => (count / period).max(1),
    };
    let per = match fields.get("per") {
        Some(node) => per(node, report)?,
        None => Per::Rule,
    };
    let limit = Limit {
        unit,
        count,
        period,
        burst,
        per,
    };
    let fills = u128::from(burst) * u128::from(period) * u128::from(SECOND) / u128::from(count);
    if fills > u128::from(LONGEST) {
        let message = "such a burst would take more than a year to fill again".to_owned();
        let at = given.unwrap_or(rate).span;
        report.error(at, "wrong-number", message);
        return None;
    }
    Some(limit)
}

/// `10/s`, `5/min`, `100/h`, `2Mbit/s`.
fn rate(node: &Node, report: &mut Report<'_>) -> Option<(Unit, u64, u64)> {
    let word = walk::text(node, "a rate", report)?;
    let found = PERIODS
        .iter()
        .find_map(|(period, seconds)| Some((word.strip_suffix(period)?, *seconds)));
    let found = found.and_then(|(count, seconds)| {
        let (unit, count) = amount(count)?;
        Some((unit, count, seconds))
    });
    if found.is_none() {
        let message = format!("`{word}` is no rate");
        let help = "write how many in which time: 10/s, 5/min, 100/h, or 2Mbit/s (bit, kbit, Mbit, Gbit) for a stateless rule";
        report.error_help(node.span, "bad-rate", message, help);
    }
    found
}

/// A number of openings or packets, or of bits.
fn amount(word: &str) -> Option<(Unit, u64)> {
    let bits = BITS
        .iter()
        .find_map(|(unit, size)| Some((word.strip_suffix(unit)?, *size)));
    let (unit, digits, size, most) = match bits {
        Some((digits, size)) => (Unit::Bits, digits, size, MOST_BITS),
        None => (Unit::Each, word, 1, MOST),
    };
    let count = walk::decimal(digits)?.checked_mul(size)?;
    (1..=most).contains(&count).then_some((unit, count))
}

fn burst(node: &Node, unit: Unit, report: &mut Report<'_>) -> Option<u64> {
    let found = node.text().and_then(amount);
    match found {
        Some((found, count)) if found == unit => Some(count),
        _ => {
            let message = match unit {
                Unit::Each => format!("`burst` is a whole number from 1 to {MOST}"),
                Unit::Bits => "`burst` is a number of bits here, such as 500kbit".to_owned(),
            };
            report.error(node.span, "wrong-number", message);
            None
        }
    }
}

/// `rule`, `source` or `{v4: 24, v6: 56}`.
fn per(node: &Node, report: &mut Report<'_>) -> Option<Per> {
    if matches!(node.kind, Kind::Map(_)) {
        let fields = Fields::read(node, "`per`", &["v4", "v6"], report)?;
        let length = |key: &str, most: u64, report: &mut Report<'_>| {
            let node = fields.require(key, "`per`", report)?;
            let found = walk::number(node, key, most, report)?;
            if found == 0 {
                let message =
                    format!("`{key}: 0` makes one source of everybody: write `per: rule`");
                report.error(node.span, "wrong-number", message);
                return None;
            }
            u8::try_from(found).ok()
        };
        let (v4, v6) = (length("v4", 32, report), length("v6", 128, report));
        return Some(Per::Prefix { v4: v4?, v6: v6? });
    }
    match walk::text(node, "`rule`, `source` or prefix lengths for `per`", report)? {
        "rule" => Some(Per::Rule),
        "source" => Some(Per::SOURCE),
        word => {
            bad_per(
                node.span,
                word,
                "`per` is `rule`, `source` or `{v4: 24, v6: 56}`",
                report,
            );
            None
        }
    }
}

fn bad_per(span: Span, word: &str, help: &str, report: &mut Report<'_>) {
    let message = format!("`{word}` is nobody a limit could be for");
    report.error_help(span, "bad-word", message, help);
}

/// Reads `max_sessions`.
pub fn max_sessions(node: &Node, stateful: bool, report: &mut Report<'_>) -> Option<MaxSessions> {
    let fields = Fields::read(node, "`max_sessions`", &["count", "per"], report)?;
    let count = fields.require("count", "`max_sessions`", report)?;
    let found = walk::number(count, "count", 1 << 24, report)?;
    if found == 0 {
        let message = "`count` must be at least 1: to let nobody in, write `action: deny`";
        report.error(count.span, "wrong-number", message);
        return None;
    }
    let per_source = match fields.get("per") {
        None => false,
        Some(node) => match walk::text(node, "`rule` or `source` for `per`", report)? {
            "rule" => false,
            "source" => true,
            word => {
                bad_per(node.span, word, "`per` is `rule` or `source`", report);
                return None;
            }
        },
    };
    if !stateful {
        let message = "a stateless rule opens no sessions that could be counted".to_owned();
        report.error(fields.span, "max-sessions-without-sessions", message);
        return None;
    }
    let count = u32::try_from(found).ok()?;
    Some(MaxSessions { count, per_source })
}
