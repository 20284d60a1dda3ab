//! What can go wrong between the agent and the kernel, in words for who runs it.

use std::io;
use std::path::PathBuf;

/// An error of the data plane.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This kernel cannot run Ringwall.
    #[error("this kernel cannot run Ringwall: {0}")]
    Unsupported(String),
    /// The directory for pins cannot be used.
    #[error("the BPF directory {}: {}", .0.display(), .1)]
    Directory(PathBuf, #[source] io::Error),
    /// Another agent has these pins.
    #[error("another Ringwall agent runs in this network namespace (it holds {})", .0.display())]
    Held(PathBuf),
    /// A pinned table is not what this version needs.
    #[error(
        "the pinned table {name} has {found}, this agent needs {wanted}. The programs in the kernel go on \
         enforcing with it. Give the table sizes back their former values, or end enforcement with `ringwall detach` first"
    )]
    Shape {
        /// The table.
        name: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// A table could not be read or written.
    #[error("table {0}: {1}")]
    Table(&'static str, #[source] io::Error),
    /// An entry that must be there is not.
    #[error("table {0}: an entry that must be there is missing")]
    Missing(&'static str),
    /// What was read back is not what was written.
    #[error(
        "table {0} does not hold what was written to it; the policy in force was left as it is"
    )]
    Differs(&'static str),
    /// The policy does not fit into the tables.
    #[error("the policy does not fit: {0}")]
    TooLarge(String),
    /// A policy waits to be confirmed, and only one can.
    #[error("a policy waits to be confirmed: only one can at a time")]
    Pending,
    /// The object could not be loaded.
    #[error("loading the programs: {0}")]
    Load(#[from] aya::EbpfError),
    /// The kernel refused a program, or to run or attach it.
    #[error("{0}: {1}")]
    Program(&'static str, #[source] Box<aya::programs::ProgramError>),
    /// A program is not in the object.
    #[error("program {0} is not loaded")]
    NoProgram(&'static str),
    /// Attaching to an interface failed.
    #[error("interface {interface}: {what}: {source}")]
    Attach {
        /// Its name.
        interface: String,
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There are no pins: no agent has run here since the last boot or `detach`.
    #[error("nothing is enforced here: no tables under {}", .0.display())]
    NotRunning(PathBuf),
    /// A test run left no decision.
    #[error("the explaining program left no decision")]
    NoDecision,
}

/// A result of the data plane.
pub type Result<T> = std::result::Result<T, Error>;
