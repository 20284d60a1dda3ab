//! Which rule decides about a packet, and why, by a policy's file alone.

use serde::Serialize;

use super::compile::CompileError;
use super::compiled::Clock;
use super::model::{PacketSpec, Policy};

/// What is decided about a packet and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The packet that was judged: an example where the one asked about left something open.
    pub packet: String,
    /// `forwarded`, `dropped`, `rejected` or `audit`.
    pub verdict: String,
    /// `allow`, `deny` or `reject`.
    pub action: String,
    /// The reason's word.
    pub reason: String,
    /// The rule that decided, if one did.
    pub rule: Option<String>,
    /// Zone of the sender.
    pub source_zone: String,
    /// Zone of the addressee.
    pub destination_zone: String,
}

/// Judges a packet by a policy, without any session, with full buckets.
///
/// # Errors
/// The policy does not compile.
pub fn from_file(
    _policy: &Policy,
    _packet: &PacketSpec,
    _clock: &Clock,
) -> Result<Explanation, Vec<CompileError>> {
    Err(Vec::new())
}
