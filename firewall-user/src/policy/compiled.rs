//! A policy in its compiled form: what [`super::compile`] makes and what the data plane is filled with.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use firewall_common::config::{Generation, InterfaceEntry};
use firewall_common::policy::line::Line;
use firewall_common::policy::rule::Rule;
use firewall_common::zone::ZoneId;
use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Serialize};

/// One generation, ready to be written into a slot. Only `head.epoch` is still open: the swap sets it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compiled {
    /// The head.
    pub head: Generation,
    /// The ordered list.
    pub rules: Vec<Rule>,
    /// Trees that lead to the rules that may match, see `docs/classifier.md`.
    pub trees: Vec<Line>,
    /// What is known of addresses, likewise.
    pub addresses: Vec<Line>,
    /// Interfaces by pattern.
    pub interfaces: InterfacePlan,
    /// For listings: one entry per place of the ordered list, in order.
    pub listing: Vec<Listed>,
    /// Dynamic sets, named by rules or not.
    pub sets: Vec<DynamicSet>,
    /// Zone names by number, the built-in ones included.
    pub zones: Vec<(ZoneId, String)>,
    /// What it costs in the kernel.
    pub cost: Cost,
}

/// What a compiled policy costs: the most that a look-up may take, and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Trees that are asked for a packet, at most.
    pub trees: u32,
    /// Lines of 64 bytes that are visited on the way to a leaf, at most.
    pub steps: u32,
    /// Entries of a leaf, at most.
    pub entries: u32,
    /// Bytes of trees and rules.
    pub bytes: u64,
    /// Bytes of what is known of addresses.
    pub address_bytes: u64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trees,
            steps,
            entries,
            ..
        } = self;
        let kib = |bytes: u64| bytes.div_ceil(1024);
        let (rules, addresses) = (kib(self.bytes), kib(self.address_bytes));
        write!(
            f,
            "a look-up asks {trees} trees, {steps} lines deep, with {entries} entries at most; {rules} KiB for rules, {addresses} KiB for addresses"
        )
    }
}

impl Compiled {
    /// Turns the dates of rules into times since boot again: after a reboot, or when the wall clock was set.
    pub fn retime(&mut self, clock: &Clock) {
        for listed in &self.listing {
            let rule = listed.index.and_then(|i| self.rules.get_mut(i as usize));
            let moment = listed.expires.as_ref().and_then(|text| text.parse().ok());
            if let (Some(rule), Some(moment)) = (rule, moment) {
                rule.expires = clock.boot_time(moment);
            }
        }
    }
}

/// How an interface's name decides its class and kind. Every combination of patterns that one name can
/// match is worked out when the policy is compiled, so that interfaces may come later than the policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct InterfacePlan {
    /// All patterns that zones or rules name, in a fixed order.
    pub patterns: Vec<String>,
    /// By the indexes of the matching patterns, in order.
    pub entries: BTreeMap<Vec<u32>, InterfaceEntry>,
    /// What holds on an interface that no pattern matches.
    pub other: InterfaceEntry,
}

impl InterfacePlan {
    /// What the policy knows of an interface with this name.
    #[must_use]
    pub fn entry(&self, name: &str) -> InterfaceEntry {
        self.matcher().entry(name)
    }

    /// For many names.
    #[must_use]
    pub fn matcher(&self) -> InterfaceMatcher<'_> {
        let globs = self.patterns.iter().map(|pattern| {
            let glob = Glob::new(pattern).ok().filter(|_| is_glob(pattern));
            glob.map(|glob| glob.compile_matcher())
        });
        InterfaceMatcher {
            plan: self,
            globs: globs.collect(),
        }
    }
}

/// An [`InterfacePlan`] with its globs made ready.
#[derive(Debug)]
pub struct InterfaceMatcher<'p> {
    plan: &'p InterfacePlan,
    globs: Vec<Option<GlobMatcher>>,
}

impl InterfaceMatcher<'_> {
    /// What the policy knows of an interface with this name.
    #[must_use]
    pub fn entry(&self, name: &str) -> InterfaceEntry {
        let matches = |(pattern, glob): (&String, &Option<GlobMatcher>)| {
            let by_glob = glob.as_ref().is_some_and(|glob| glob.is_match(name));
            pattern == name || by_glob
        };
        let patterns = self.plan.patterns.iter().zip(&self.globs);
        let numbered = (0..).zip(patterns);
        let matching = numbered.filter(|(_, pattern)| matches(*pattern));
        let matching: Vec<u32> = matching.map(|(index, _)| index).collect();
        let found = self.plan.entries.get(&matching);
        found.copied().unwrap_or(self.plan.other)
    }
}

/// Does a pattern stand for more than one name?
#[must_use]
pub fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// Is a name what a pattern (a name or a glob) stands for?
#[must_use]
pub fn pattern_matches(pattern: &str, name: &str) -> bool {
    let glob = Glob::new(pattern);
    pattern == name || glob.is_ok_and(|glob| glob.compile_matcher().is_match(name))
}

/// A place of the ordered list, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// `policy/rule`.
    pub id: String,
    /// Counter number.
    pub counter: u32,
    /// `allow`, `deny` or `reject`.
    pub action: Cow<'static, str>,
    /// Conditions in words, as the language writes them.
    pub conditions: String,
    /// `from` of its policy, which all its rules share.
    #[serde(with = "shared")]
    pub from: Arc<str>,
    /// `to` of its policy.
    #[serde(with = "shared")]
    pub to: Arc<str>,
    /// Dynamic and file-backed sets that it names.
    pub sets: Vec<String>,
    /// It only monitors.
    pub monitor: bool,
    /// Index into [`Compiled::rules`]; `None` where it takes no part (disabled, not for this host).
    pub index: Option<u32>,
    /// `owner`.
    pub owner: Option<String>,
    /// `reason`.
    pub reason: Option<String>,
    /// `ticket`.
    pub ticket: Option<String>,
    /// `review_by`, RFC 3339.
    pub review_by: Option<String>,
    /// `expires`, RFC 3339.
    pub expires: Option<String>,
}

/// Words that many share, saved as words.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(word: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(word)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(from).map(Arc::from)
    }
}

/// Numbers given out to names. They stay with their names across revisions, so that counters, sessions
/// and metrics keep their meaning; a number is reused only when its name is gone from every kept generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Numbers {
    /// Rule counters by `policy/rule`.
    pub rules: BTreeMap<String, u32>,
    /// Zone numbers by name.
    pub zones: BTreeMap<String, u8>,
    /// Numbers of dynamic sets by name.
    #[serde(default)]
    pub sets: BTreeMap<String, u32>,
}

/// A dynamic set of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynamicSet {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// Members that it may have.
    pub max: u32,
    /// For how many seconds, where nothing is said; `None`: until they are taken out.
    pub default_for: Option<u64>,
    /// Some rule names it.
    pub named: bool,
}

/// The two clocks at one moment, to turn dates into times since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Nanoseconds since boot (CLOCK_BOOTTIME).
    pub boot: u64,
    /// Wall clock.
    pub wall: jiff::Timestamp,
}
