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
         enforcing with it. Start the version that made it, or end enforcement with `ringwall detach` first"
    )]
    Shape {
        /// The table.
        name: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// A newer version's tables are in force.
    #[error(
        "tables of layout {}, of a newer version, are in force ({}) and go on enforcing: start that version, or end enforcement with its `ringwall detach`", .0, .1.display()
    )]
    Newer(u32, PathBuf),
    /// Tables that this version has no description of are in force.
    #[error(
        "tables of layout {} are in force ({}) and go on enforcing, and this version cannot take them over: start the version that made them, or end enforcement with `ringwall detach` first", .0, .1.display()
    )]
    UnknownLayout(u32, PathBuf),
    /// Tables of another layout are in force, and were only to be looked at.
    #[error(
        "tables of layout {}, of another version, are in force ({}) and go on enforcing: start this version's agent, which takes over an earlier layout's, or use the version that made them", .0, .1.display()
    )]
    OtherLayout(u32, PathBuf),
    /// The sessions there are do not fit.
    #[error(
        "{live} sessions live and `sessions: {{{key}: {places}}}` has no place for them; the programs in the kernel go on enforcing with the table they have. Choose more places"
    )]
    NoRoom {
        /// The setting.
        key: &'static str,
        /// Sessions.
        live: usize,
        /// Places.
        places: u32,
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
