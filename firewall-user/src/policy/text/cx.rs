//! What the parts of a policy need from each other while it is read.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::policy::diagnostic::Report;
use crate::policy::hosts::HostContext;
use crate::policy::model::{AddressSet, Addresses, HostSelector, Mode, NamedService, Span, Zone};
use crate::policy::text::address;
use crate::policy::text::walk::{self, Fields};
use crate::policy::text::yaml::{Kind, Node};

/// The state of a reading.
#[derive(Debug)]
pub struct Cx<'a> {
    /// Where faults go.
    pub report: Report<'a>,
    /// The host it is read on.
    pub host: &'a HostContext,
    /// Directory of each file.
    pub bases: &'a [PathBuf],
    /// `metadata.name`.
    pub policy: String,
    /// Is the whole policy for this host?
    pub applies: bool,
    /// Sets so far.
    pub sets: Vec<AddressSet>,
    /// Names of sets that could not be read: errors about them are told already.
    pub broken_sets: Vec<String>,
    /// Own services so far.
    pub services: Vec<NamedService>,
    /// Zones so far.
    pub zones: Vec<Zone>,
}

/// The words that a list of addresses resolves to.
#[derive(Debug)]
pub enum Word {
    /// Prefixes.
    Prefixes(Vec<ipnet::IpNet>),
    /// A set, by index.
    Set(usize),
    /// A set whose definition is broken.
    Broken,
}

impl<'a> Cx<'a> {
    /// Nothing read yet.
    #[must_use]
    pub fn new(report: Report<'a>, host: &'a HostContext, bases: &'a [PathBuf]) -> Self {
        Self {
            report,
            host,
            bases,
            policy: String::new(),
            applies: true,
            sets: Vec::new(),
            broken_sets: Vec::new(),
            services: Vec::new(),
            zones: Vec::new(),
        }
    }

    /// Prefixes, addresses, ranges and set names of a key of a rule.
    pub fn addresses(&mut self, fields: &Fields<'_>, key: &str) -> Option<Addresses> {
        let items = walk::filled_list(fields.get(key)?, key, &mut self.report)?;
        let mut found = Addresses::default();
        for item in items {
            match self.address_word(item) {
                Some(Word::Prefixes(prefixes)) => found.prefixes.extend(prefixes),
                Some(Word::Set(index)) if !found.sets.contains(&index) => found.sets.push(index),
                _ => {}
            }
        }
        Some(found)
    }

    /// One entry of a list of addresses.
    pub fn address_word(&mut self, node: &Node) -> Option<Word> {
        let word = walk::text(
            node,
            "a prefix, an address, a range or the name of a set",
            &mut self.report,
        )?;
        if let Some(index) = self.sets.iter().position(|set| set.name == word) {
            return Some(Word::Set(index));
        }
        if self.broken_sets.iter().any(|name| name == word) {
            return Some(Word::Broken);
        }
        if address::looks_like_address(word) {
            return self.inline(node.span, word).map(Word::Prefixes);
        }
        self.no_set(node.span, word);
        None
    }

    /// Prefixes of one entry that is no name.
    pub fn inline(&mut self, span: Span, word: &str) -> Option<Vec<ipnet::IpNet>> {
        match address::parse(word) {
            Ok(prefixes) => Some(prefixes),
            Err(error) => {
                let help = error.help.unwrap_or_else(|| {
                    "written like 10.0.0.0/8, \"2001:db8::/32\", 203.0.113.40 or 10.0.0.1-10.0.0.9".into()
                });
                self.report
                    .error_help(span, error.code, error.message, help);
                None
            }
        }
    }

    fn no_set(&mut self, span: Span, word: &str) {
        let (message, help) = match word.strip_prefix(['@', '!', '$']) {
            Some(name) if word.starts_with('!') => (
                format!("`{word}`: addresses are taken away by a key of their own"),
                format!("write `except_sources: [{name}]` or `except_destinations: [{name}]`"),
            ),
            Some(name) => (
                format!("`{word}`: a set is named by its bare name"),
                format!("write `{name}`"),
            ),
            None if word == "any" || word == "all" => (
                format!("`{word}` is no set: an absent key means everything"),
                "leave the key out".to_owned(),
            ),
            None => (format!("unknown set `{word}`"), self.near_set(word)),
        };
        self.report.error_help(span, "unknown-set", message, help);
    }

    fn near_set(&self, word: &str) -> String {
        let hint = walk::suggestion(word, self.sets.iter().map(|set| set.name.as_str()));
        match self.zones.iter().any(|zone| zone.name == word) {
            true => "that is a zone: name it in the policy's `from` or `to`".to_owned(),
            false if word.contains('.') => {
                format!("sets {hint}; host names are not looked up: write the addresses")
            }
            false => format!("sets: {hint}"),
        }
    }

    /// `mode` of a key, or `enforce`.
    pub fn mode(&mut self, fields: &Fields<'_>) -> Mode {
        let Some(node) = fields.get("mode") else {
            return Mode::Enforce;
        };
        match walk::text(node, "`enforce` or `monitor` for `mode`", &mut self.report) {
            Some("enforce") | None => Mode::Enforce,
            Some("monitor") => Mode::Monitor,
            Some(other) => {
                let message = format!("`{other}` is no mode");
                let help = match other {
                    "audit" | "permissive" | "detect" | "dry-run" | "log" => "ours is `monitor`",
                    _ => "a mode is `enforce` or `monitor`",
                };
                self.report.error_help(node.span, "bad-mode", message, help);
                Mode::Enforce
            }
        }
    }

    /// Does `hosts` of these fields, if any, select this host?
    pub fn selected(&mut self, fields: &Fields<'_>) -> bool {
        let Some(selector) = self.selector(fields) else {
            return true;
        };
        self.host.selected_by(&selector, &self.policy)
    }

    /// `hosts` of these fields.
    pub fn selector(&mut self, fields: &Fields<'_>) -> Option<HostSelector> {
        let node = fields.get("hosts")?;
        let inner = Fields::read(
            node,
            "`hosts`",
            &["labels", "names", "percent"],
            &mut self.report,
        )?;
        if ["labels", "names", "percent"]
            .iter()
            .all(|key| inner.get(key).is_none())
        {
            let message = "`hosts` without a condition";
            self.report.error_help(
                node.span,
                "empty-list",
                message,
                "leave the key out to mean every host",
            );
        }
        Some(HostSelector {
            labels: inner
                .get("labels")
                .map(|n| self.labels(n))
                .unwrap_or_default(),
            names: inner
                .get("names")
                .map(|n| self.host_names(n))
                .unwrap_or_default(),
            percent: inner.get("percent").and_then(|n| {
                let percent = walk::number(n, "percent", 100, &mut self.report)?;
                u8::try_from(percent).ok()
            }),
        })
    }

    fn labels(&mut self, node: &Node) -> Vec<(String, String)> {
        let mut labels: HashMap<String, String> = HashMap::new();
        for (key, value) in label_pairs(node, &mut self.report) {
            labels.insert(key, value);
        }
        if matches!(&node.kind, Kind::Map(pairs) if pairs.is_empty()) {
            let help = "leave the key out to mean every host";
            self.report
                .error_help(node.span, "empty-list", "`labels` names no label", help);
        }
        let mut labels: Vec<_> = labels.into_iter().collect();
        labels.sort();
        labels
    }

    fn host_names(&mut self, node: &Node) -> Vec<String> {
        let items = walk::filled_list(node, "names", &mut self.report).unwrap_or_default();
        let mut names = Vec::new();
        for item in items {
            let Some(word) = walk::text(item, "a host name or glob", &mut self.report) else {
                continue;
            };
            match globset::Glob::new(word) {
                Ok(_) => names.push(word.to_owned()),
                Err(error) => {
                    let message = format!("`{word}` is no glob: {}", error.kind());
                    self.report.error(item.span, "bad-glob", message);
                }
            }
        }
        names
    }
}

/// A mapping of labels: text to text.
pub fn label_pairs(node: &Node, report: &mut Report<'_>) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (key, value) in walk::mapping(node, "`labels`", report).unwrap_or_default() {
        let name = walk::text(key, "the name of a label", report);
        let value = walk::text(value, "the value of a label", report);
        let (Some(name), Some(value)) = (name, value) else {
            continue;
        };
        if pairs.iter().any(|(known, _)| known == name) {
            let message = format!("the label `{name}` stands here twice");
            report.error(key.span, "duplicate-key", message);
        }
        pairs.push((name.to_owned(), value.to_owned()));
    }
    pairs
}
