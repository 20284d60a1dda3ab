//! The ordered list as it decides, for `ringwall policy show`.

use std::collections::BTreeMap;

use firewall_common::config::RuleCount;
use serde::Serialize;

use super::compiled::Compiled;

/// Counts by counter number.
pub type Counts = BTreeMap<u32, RuleCount>;

/// A place of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `essentials/arp`, `failsafe/1`, `policy/rule`, `unmatched/inbound`.
    pub id: String,
    /// `allow`, `deny`, `reject` or `pass`.
    pub action: String,
    /// Who opens.
    pub from: String,
    /// Who is addressed.
    pub to: String,
    /// The other conditions.
    pub conditions: String,
    /// `active`, `monitor`, `disabled`, `expired`.
    pub state: String,
}

/// The whole list. `failsafe` are the conditions of the host's own rules.
#[must_use]
pub fn rows(_compiled: &Compiled, _failsafe: &[String], _counts: Option<&Counts>) -> Vec<Row> {
    Vec::new()
}
