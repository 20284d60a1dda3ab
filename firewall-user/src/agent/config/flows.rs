//! `flows` and `history`: where flow records are written, and how much of them is kept.

use std::path::PathBuf;
use std::time::Duration;

use super::AgentConfig;
use super::sessions::duration;
use crate::events::file::FileOptions;
use crate::policy::diagnostic::Report;
use crate::policy::text::log::one_in;
use crate::policy::text::walk::{self, Fields};
use crate::policy::text::yaml::Node;

/// `flows`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowConfig {
    /// `file`; absent: none.
    pub file: Option<PathBuf>,
    /// `sample`: one in so many is written.
    pub one_in: u32,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            file: None,
            one_in: 1,
        }
    }
}

/// `history`: what is kept of flow records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryConfig {
    /// `max_size`, bytes.
    pub max_size: u64,
    /// `max_age`.
    pub max_age: Duration,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self {
            max_size: 256 << 20,
            max_age: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

impl AgentConfig {
    /// The file that flow records are written to, with its bounds.
    #[must_use]
    pub fn flow_file(&self) -> Option<FileOptions> {
        let path = self.flows.file.clone()?;
        Some(FileOptions {
            path,
            one_in: self.flows.one_in,
            max_size: self.history.max_size,
            max_age: self.history.max_age,
        })
    }
}

pub(super) fn flows(node: &Node, report: &mut Report<'_>) -> FlowConfig {
    let mut config = FlowConfig::default();
    let Some(fields) = Fields::read(node, "`flows`", &["file", "sample"], report) else {
        return config;
    };
    let sample = fields.get("sample");
    let sample = sample.and_then(|node| one_in(node, "sample", report));
    config.one_in = sample.unwrap_or(config.one_in);
    let Some(node) = fields.get("file") else {
        return config;
    };
    config.file = walk::text(node, "a path for `file`", report).map(PathBuf::from);
    if config.file.as_ref().is_some_and(|path| path.is_relative()) {
        let message = "`file` is relative, and an agent has no place of its own";
        report.error_help(node.span, "relative-path", message, "write it from `/`");
    }
    config
}

pub(super) fn history(node: &Node, report: &mut Report<'_>) -> HistoryConfig {
    let mut config = HistoryConfig::default();
    let Some(fields) = Fields::read(node, "`history`", &["max_size", "max_age"], report) else {
        return config;
    };
    let size = fields.get("max_size");
    let size = size.and_then(|node| bytes(node, "max_size", report));
    config.max_size = size.unwrap_or(config.max_size);
    let age = fields.get("max_age");
    let age = age.and_then(|node| duration(node, "max_age", report));
    config.max_age = age.unwrap_or(config.max_age);
    config
}

/// `256MiB`.
fn bytes(node: &Node, key: &str, report: &mut Report<'_>) -> Option<u64> {
    let text = walk::text(node, &format!("a size for `{key}`"), report)?;
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let split = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let found = split.and_then(|(number, shift)| walk::decimal(number)?.checked_mul(1 << shift));
    let found = found.filter(|size| *size >= SMALLEST);
    if found.is_none() {
        let message = format!("`{text}` is no size");
        let help = "write a whole number and its unit: 512KiB, 256MiB or 2GiB (at least 64KiB)";
        report.error_help(node.span, "bad-size", message, help);
    }
    found
}

const SMALLEST: u64 = 64 << 10;
