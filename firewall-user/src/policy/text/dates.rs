//! Dates and times: `2027-01-31`, or RFC 3339 such as `2027-01-31T12:00:00Z`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::policy::diagnostic::Report;
use crate::policy::text::walk;
use crate::policy::text::yaml::Node;

/// The moment a date or time is over: a date at the end of its day, UTC.
pub fn end(node: &Node, key: &str, report: &mut Report<'_>) -> Option<Timestamp> {
    read(node, key, report).map(|(moment, whole_day)| {
        // The last representable days have no next: they mean never.
        match moment {
            Some(moment) if whole_day => next_day(moment),
            Some(moment) => moment,
            None => Timestamp::MAX,
        }
    })
}

/// The moment a date or time begins.
pub fn start(node: &Node, key: &str, report: &mut Report<'_>) -> Option<Timestamp> {
    read(node, key, report).map(|(moment, _)| moment.unwrap_or(Timestamp::MAX))
}

fn next_day(moment: Timestamp) -> Timestamp {
    moment
        .checked_add(jiff::SignedDuration::from_hours(24))
        .unwrap_or(Timestamp::MAX)
}

/// The moment (`None`: past what can be represented), and whether a whole day was named.
fn read(node: &Node, key: &str, report: &mut Report<'_>) -> Option<(Option<Timestamp>, bool)> {
    let text = walk::text(node, &format!("a date or time for `{key}`"), report)?;
    let found = match text.len() {
        10 => day(text).map(|moment| (moment, true)),
        _ => rfc3339(text).map(|moment| (Some(moment), false)),
    };
    if found.is_none() {
        let message = format!("`{text}` is no date or time");
        let help = "write a date such as 2027-01-31 (that day included, UTC), or a time such as 2027-01-31T12:00:00Z";
        report.error_help(node.span, "bad-date", message, help);
    }
    found
}

fn day(text: &str) -> Option<Option<Timestamp>> {
    let shape = text.bytes().enumerate().all(|(index, byte)| match index {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let date: Date = shape.then(|| text.parse().ok())??;
    Some(date.to_zoned(TimeZone::UTC).ok().map(|day| day.timestamp()))
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let separated = bytes
        .get(10)
        .is_some_and(|b| matches!(b, b'T' | b't' | b' '));
    let zone =
        bytes.ends_with(b"Z") || bytes.ends_with(b"z") || text.get(19..)?.contains(['+', '-']);
    (separated && zone && text.len() <= 40).then(|| text.parse().ok())?
}
