//! From the model to tables: the ordered list, and for each field of a packet what it leaves of the list.

use super::compiled::{Clock, Compiled, Numbers};
use super::model::{Policy, Span};

/// Why a policy that is right in itself cannot be put into tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// What does not fit, with how many there are and how many there may be.
    pub message: String,
    /// Where, if it is one place.
    pub span: Option<Span>,
    /// What to do about it.
    pub help: Option<String>,
}

/// Compiles a policy. Numbers are given out to names that have none yet.
///
/// # Errors
/// Every limit of the tables that the policy goes beyond.
pub fn compile(
    _policy: &Policy,
    _numbers: &mut Numbers,
    _clock: &Clock,
) -> Result<Compiled, Vec<CompileError>> {
    Err(Vec::new())
}
