//! Reading a mapping key by key and a scalar by what it should be; everything else is an error with its place.

use std::collections::HashMap;

use crate::policy::diagnostic::Report;
use crate::policy::model::Span;
use crate::policy::text::yaml::{Kind, Node};

pub use crate::policy::text::words::{close, decimal, is_name, suggestion};

/// Words that no zone, set, service, policy or rule may take.
pub const RESERVED: [&str; 6] = [
    "host",
    "any",
    "multicast",
    "default",
    "essentials",
    "failsafe",
];
/// Words of the language whose effect does not exist yet.
pub const NOT_YET: &str = "not-supported-yet";

/// A mapping whose keys are known, each at most once.
#[derive(Debug)]
pub struct Fields<'n> {
    /// Where the mapping begins.
    pub span: Span,
    values: HashMap<&'n str, (Span, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// Reads a mapping that may have these keys. `what` says in errors what it describes, such as `a rule`.
    pub fn read(
        node: &'n Node,
        what: &str,
        known: &[&str],
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let entries = mapping(node, what, report)?;
        let mut values = HashMap::new();
        for (key, value) in entries {
            let Some(name) = key_text(key, report) else {
                continue;
            };
            if !known.contains(&name) {
                unknown_key(key.span, name, what, known, report);
            } else if values.insert(name, (key.span, value)).is_some() {
                let message = format!("the key `{name}` stands here twice");
                report.error(key.span, "duplicate-key", message);
            }
        }
        let span = node.span;
        Some(Self { span, values })
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.values.get(key).map(|(_, node)| *node)
    }

    /// Where a key stands.
    #[must_use]
    pub fn key_span(&self, key: &str) -> Option<Span> {
        self.values.get(key).map(|(span, _)| *span)
    }

    /// The value of a key that must be there.
    pub fn require(&self, key: &str, what: &str, report: &mut Report<'_>) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() {
            let message = format!("{what} needs the key `{key}`");
            report.error(self.span, "missing-key", message);
        }
        found
    }

    /// Refuses, by name, words that will mean something in a later version.
    pub fn refuse_not_yet(&self, words: &[&str], report: &mut Report<'_>) {
        for word in words {
            if let Some(span) = self.key_span(word) {
                not_yet(span, word, report);
            }
        }
    }

    /// Text of a key, if it is there.
    pub fn text(&self, key: &str, report: &mut Report<'_>) -> Option<String> {
        let node = self.get(key)?;
        text(node, &format!("text for `{key}`"), report).map(str::to_owned)
    }

    /// `true` or `false` of a key, or its default.
    pub fn flag(&self, key: &str, default: bool, report: &mut Report<'_>) -> bool {
        let Some(node) = self.get(key) else {
            return default;
        };
        boolean(node, key, report).unwrap_or(default)
    }
}

/// Says that a word of the language has no effect yet.
pub fn not_yet(span: Span, word: &str, report: &mut Report<'_>) {
    let message = format!("`{word}` is not supported by this version of Ringwall yet");
    report.error(span, NOT_YET, message);
}

/// The entries of a mapping.
pub fn mapping<'n>(
    node: &'n Node,
    what: &str,
    report: &mut Report<'_>,
) -> Option<&'n [(Node, Node)]> {
    if let Kind::Map(entries) = &node.kind {
        return Some(entries);
    }
    let message = format!("expected a mapping for {what}, found {}", node.describe());
    report.error(node.span, "wrong-type", message);
    None
}

/// The items of a list.
pub fn list<'n>(node: &'n Node, what: &str, report: &mut Report<'_>) -> Option<&'n [Node]> {
    if let Kind::Seq(items) = &node.kind {
        return Some(items);
    }
    let message = format!("expected a list for `{what}`, found {}", node.describe());
    let help = format!("write `{what}: [first, second]`");
    report.error_help(node.span, "wrong-type", message, help);
    None
}

/// The items of a list that must have some.
pub fn filled_list<'n>(node: &'n Node, what: &str, report: &mut Report<'_>) -> Option<&'n [Node]> {
    let help = "leave the key out to mean everything; an empty list never does";
    some_of(node, what, help, report)
}

/// The items of a list that must have some, with advice for an empty one.
pub fn some_of<'n>(
    node: &'n Node,
    what: &str,
    help: &str,
    report: &mut Report<'_>,
) -> Option<&'n [Node]> {
    let items = list(node, what, report)?;
    if items.is_empty() {
        let message = format!("`{what}` is an empty list");
        report.error_help(node.span, "empty-list", message, help);
        return None;
    }
    Some(items)
}

/// The text of a scalar that is not empty.
pub fn text<'n>(node: &'n Node, what: &str, report: &mut Report<'_>) -> Option<&'n str> {
    if let Some(address) = split_address(node) {
        let message = format!(
            "`{address}` without quotes is read as a key: YAML takes its last colon for its own"
        );
        report.error_help(node.span, "quotes", message, format!("write \"{address}\""));
        return None;
    }
    let good = |text: &&str| !text.trim().is_empty() && !text.contains(steers);
    let found = node.text().filter(|text| !node.is_null() && good(text));
    if found.is_none() {
        let message = format!("expected {what}, found {}", describe_bad(node));
        report.error(node.span, "wrong-type", message);
    }
    found
}

/// Characters that could steer a terminal a listing is shown on.
fn steers(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

fn describe_bad(node: &Node) -> &'static str {
    match node.text() {
        Some(text) if text.contains(steers) => "control characters",
        Some(text) if !node.is_null() && text.trim().is_empty() => "empty text",
        _ => node.describe(),
    }
}

/// `fe80::` without quotes: YAML made it the key `fe80:` with nothing behind it.
fn split_address(node: &Node) -> Option<String> {
    let Kind::Map(entries) = &node.kind else {
        return None;
    };
    let [(key, value)] = entries.as_slice() else {
        return None;
    };
    let key = key
        .text()
        .filter(|key| key.ends_with(':') || key.is_empty())?;
    let rest = if value.is_null() { "" } else { value.text()? };
    let address = format!("{key}:{rest}");
    let bare = address.split('/').next().unwrap_or_default();
    bare.parse::<std::net::Ipv6Addr>().ok().map(|_| address)
}

/// `true` or `false`.
pub fn boolean(node: &Node, key: &str, report: &mut Report<'_>) -> Option<bool> {
    match &node.kind {
        Kind::Scalar { text, plain: true } if matches!(text.as_str(), "true" | "True" | "TRUE") => {
            Some(true)
        }
        Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "false" | "False" | "FALSE") =>
        {
            Some(false)
        }
        _ => {
            let message = format!("`{key}` is `true` or `false`");
            let help = "without quotes; `yes`, `no`, `on` and `off` are words, not truth values, in YAML 1.2";
            report.error_help(node.span, "wrong-type", message, help);
            None
        }
    }
}

/// A whole number without quotes, not above a limit.
pub fn number(node: &Node, key: &str, most: u64, report: &mut Report<'_>) -> Option<u64> {
    let found = match &node.kind {
        Kind::Scalar { text, plain: true } => decimal(text),
        _ => None,
    };
    let found = found.filter(|number| *number <= most);
    if found.is_none() {
        let message = format!("`{key}` is a whole number from 0 to {most}, without quotes");
        report.error(node.span, "wrong-number", message);
    }
    found
}

/// A name of the language: `[a-z0-9][a-z0-9._-]{0,62}`, and no reserved word.
pub fn name<'n>(node: &'n Node, what: &str, report: &mut Report<'_>) -> Option<&'n str> {
    let word = text(node, &format!("the name of {what}"), report)?;
    if !is_name(word) {
        let message = format!("`{word}` is no name for {what}");
        let help =
            "a name is up to 63 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit";
        report.error_help(node.span, "bad-name", message, help);
        return None;
    }
    if RESERVED.contains(&word) {
        let message = format!("`{word}` is a word of the language and cannot name {what}");
        report.error(node.span, "reserved-name", message);
        return None;
    }
    Some(word)
}

fn key_text<'n>(key: &'n Node, report: &mut Report<'_>) -> Option<&'n str> {
    text(key, "a key", report)
}

fn unknown_key(span: Span, name: &str, what: &str, known: &[&str], report: &mut Report<'_>) {
    let message = format!("unknown key `{name}` in {what}");
    if name == "<<" {
        let help = "merge keys are of YAML 1.1; write the keys out";
        return report.error_help(span, "unknown-key", message, help);
    }
    let help = suggestion(name, known.iter().copied());
    report.error_help(span, "unknown-key", message, help);
}
