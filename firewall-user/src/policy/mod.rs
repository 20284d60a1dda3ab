//! The policy's journey: text -> model -> check -> compile; and the naive interpreter it is tested against.
//!
//! [`read`] takes a file or directory, [`read_bytes`] a text from elsewhere, [`read_sources`] what the history
//! kept. Each gives a [`Checked`] policy with its warnings, or a [`Refusal`] with every error there is.

pub mod check;
pub mod compile;
pub mod compiled;
pub mod diagnostic;
pub mod diff;
pub mod explain;
pub mod export;
pub mod frame;
pub mod hosts;
pub mod let_in;
pub mod lint;
pub mod model;
pub mod oracle;
pub mod packet;
pub mod prove;
mod search;
pub mod services;
pub mod show;
pub mod source;
pub mod space;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod zone_of;

use std::path::{Path, PathBuf};

pub use diagnostic::{Diagnostic, Refusal, Severity};
pub use hosts::HostContext;

/// A policy that was read without an error.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What it means.
    pub policy: model::Policy,
    /// What it was read for, as far as it can depend on it.
    pub host: HostContext,
    /// What is odd about it.
    pub warnings: Vec<Diagnostic>,
    /// Does `hosts` of the file select this host?
    pub for_this_host: bool,
    /// The policy files' names (absolute) and bytes, without list files: what the history keeps.
    pub sources: Vec<(PathBuf, Vec<u8>)>,
    /// Was a directory read? [`read_sources`] wants to know.
    pub directory: bool,
}

/// Reads the policy at a path: a file, or the `*.yaml` files of a directory in byte order of their names.
pub fn read(path: &Path, host: &HostContext) -> Result<Checked, Refusal> {
    finish(source::read(path)?, host)
}

/// Reads a policy from a text without a place, such as standard input; `name` is shown in errors, `file:`
/// paths are relative to the working directory.
pub fn read_bytes(name: &str, bytes: Vec<u8>, host: &HostContext) -> Result<Checked, Refusal> {
    let name = name.replace('/', "_");
    read_sources(vec![(PathBuf::from(name), bytes)], false, host)
}

/// Reads a policy from what [`Checked::sources`] kept; list files are read anew.
pub fn read_sources(
    files: Vec<(PathBuf, Vec<u8>)>,
    directory: bool,
    host: &HostContext,
) -> Result<Checked, Refusal> {
    finish(source::from_bytes(files, directory)?, host)
}

fn finish(sources: source::Sources, host: &HostContext) -> Result<Checked, Refusal> {
    let (policy, warnings, for_this_host) = text::convert(&sources, host)?;
    let directory = sources.directory;
    Ok(Checked {
        host: host.clone().narrowed(&policy.connected()),
        policy,
        warnings,
        for_this_host,
        sources: sources.into_bytes(),
        directory,
    })
}
