//! What goes over the control socket, as JSON; `-o json` prints the same objects. Fields may be added and
//! never change their meaning.

mod sessions;
mod sets;

use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::sessions::{CookieLine, KillRequest, Killed, SessionLine, SourceLine};
pub use self::sets::{MemberRow, SetOp, SetReply, SetRequest, SetRow, SetVersion};
pub use super::problem::{Problem, exit};
use crate::agent::revision::Allow;
use crate::events::record::Process;
use crate::policy::compiled::Cost;
use crate::sessions::{Traffic, Zones};

/// `GET /v1/status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// A policy decides at one interface at least.
    pub enforcing: bool,
    /// `enforce`, `monitor`, or `no-policy`.
    pub mode: String,
    /// The policy in force.
    pub policy: Option<PolicyLine>,
    /// The policy that was offered last, where it is meant for other hosts: its outcome is `not-for-this-host`.
    #[serde(default)]
    pub offered: Option<PolicyLine>,
    /// Every interface, guarded or not.
    pub interfaces: Vec<InterfaceLine>,
    /// The session tables.
    pub sessions: SessionLine,
    /// Dynamic and file-backed sets of the policy in force.
    #[serde(default)]
    pub sets: Vec<SetVersion>,
    /// Records of events that were lost.
    #[serde(default)]
    pub lost: LossLine,
    /// What somebody should look at.
    pub warnings: Vec<String>,
    /// The agent; `null` where the tables were read without one.
    pub agent: Option<AgentLine>,
}

/// Records of events that were lost, by where: the stages of `ringwall_events_lost_total`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossLine {
    /// Left out in the kernel, since there were too many of a kind.
    pub limit: u64,
    /// The agent was away or behind.
    pub ring: u64,
    /// Of a version that is not known.
    pub decode: u64,
    /// A follower was behind.
    pub follower: u64,
    /// The file's queue was full, or the disk.
    pub file: u64,
}

/// The policy in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLine {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.revision`.
    pub revision: u64,
    /// SHA-256 of its files.
    pub digest: String,
    /// When it was put in force, RFC 3339.
    pub applied: String,
    /// `in-force`, or `pending-confirm` where it waits to be confirmed.
    #[serde(default)]
    pub outcome: String,
    /// Until when it waits, RFC 3339.
    #[serde(default)]
    pub confirm_by: Option<String>,
    /// What it costs in the kernel; `null` where the tables were read without an agent.
    #[serde(default)]
    pub cost: Option<Cost>,
}

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InterfaceLine {
    /// Name.
    pub name: String,
    /// Index.
    pub index: u32,
    /// Where what arrives is judged, where it is guarded: `tcx`, `clsact` or `xdp`. What leaves is judged at TC.
    pub hook: Option<String>,
    /// How that is run: `tc`, or of XDP `native` (in the driver) or `generic` (in the stack).
    #[serde(default)]
    pub mode: Option<String>,
    /// Why there.
    #[serde(default)]
    pub hook_why: Option<String>,
    /// `guarded`, `not-guarded` or `failed`.
    pub state: String,
    /// Why.
    pub why: String,
    /// Milliseconds from when the kernel told of it until it was guarded; `null` where it was there before the
    /// agent, or is not guarded.
    #[serde(default)]
    pub unguarded_ms: Option<f64>,
    /// Other owners' programs on its hooks, in the order in which packets come to them, where it is guarded.
    #[serde(default)]
    pub others: Vec<OtherProgram>,
}

/// A program of another owner on a guarded interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherProgram {
    /// `tcx` or `xdp`.
    pub hook: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// The kernel's number for it.
    pub program: u32,
    /// Its name, where the kernel tells.
    pub name: Option<String>,
    /// `before` ours or `after` it.
    pub order: String,
}

impl OtherProgram {
    /// What and where it is.
    #[must_use]
    pub fn words(&self) -> String {
        let name = self.name.iter().map(|name| format!(" (`{name}`)"));
        let name: String = name.collect();
        format!(
            "program {}{name} at {} {}",
            self.program, self.hook, self.direction
        )
    }
}

impl InterfaceLine {
    /// Where what arrives is judged, in words: `tcx`, `clsact`, `xdp native`, `xdp generic`.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let (hook, mode) = (self.hook.as_deref()?, self.mode.as_deref());
        Some(match mode {
            Some(mode) if hook == "xdp" => format!("{hook} {mode}"),
            _ => hook.to_owned(),
        })
    }

    /// Why it is guarded or not, and why there.
    #[must_use]
    pub fn reasons(&self) -> String {
        let there = self.hook_why.iter().map(|why| format!("; {why}"));
        self.why.clone() + &there.collect::<String>()
    }
}

/// The agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentLine {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: u64,
}

/// A place of the ordered list: a row of `policy show`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRow {
    /// `policy/rule`.
    pub id: String,
    /// `allow`, `deny`, `reject` or `pass`.
    pub action: String,
    /// Who opens.
    pub from: String,
    /// Who is addressed.
    pub to: String,
    /// The other conditions.
    pub conditions: String,
    /// It is counted and does not decide.
    pub monitor: bool,
    /// It takes part: not disabled, not expired, for this host.
    pub active: bool,
    /// `active`, `monitor`, `off` or `expired`.
    pub state: String,
    /// Packets it decided; `null` where nothing counts.
    pub packets: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// Packets it would have decided.
    pub would_packets: Option<u64>,
    /// Their bytes.
    pub would_bytes: Option<u64>,
    /// The last of either, RFC 3339.
    pub last_hit: Option<String>,
    /// `owner`.
    pub owner: Option<String>,
    /// `reason`.
    pub reason: Option<String>,
    /// `ticket`.
    pub ticket: Option<String>,
    /// `expires`, RFC 3339.
    pub expires: Option<String>,
    /// `review_by`, RFC 3339.
    pub review_by: Option<String>,
}

/// An entry of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// Its number.
    pub id: u64,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.revision`.
    pub revision: u64,
    /// SHA-256 of its files.
    pub digest: String,
    /// `in-force`, `pending-confirm`, `reverted`, `replaced`, `rolled-back`, `refused`, `interrupted` or `applying`.
    pub outcome: String,
    /// It was below the highest revision then (`--allow-older`).
    pub downgrade: bool,
    /// `apply`, `watch` or `rollback`.
    pub how: String,
    /// Who applied it.
    pub by: String,
    /// Their user id.
    pub uid: u32,
    /// When, RFC 3339.
    pub at: String,
    /// The place it was read from.
    pub source: String,
    /// Why it was refused or gone back from.
    pub detail: Option<String>,
    /// Until when it waits, or waited, to be confirmed, RFC 3339.
    #[serde(default)]
    pub confirm_by: Option<String>,
    /// When it was confirmed, RFC 3339.
    #[serde(default)]
    pub confirmed: Option<String>,
}

/// A handshake that does not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneSidedRow {
    /// Why.
    pub cause: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Who opens.
    pub source: IpAddr,
    /// Its port.
    pub source_port: u16,
    /// Who is addressed.
    pub destination: IpAddr,
    /// Its port.
    pub destination_port: u16,
    /// The zones of both.
    pub zone: Zones,
    /// The rule that let it in, or that dropped it.
    pub rule: Option<String>,
    /// The guarded interface.
    pub interface: Option<String>,
    /// Packets from the opener and back.
    pub packets: Traffic,
    /// The first SYN, RFC 3339.
    pub first: Timestamp,
    /// The last packet, RFC 3339.
    pub last: Timestamp,
    /// What says so.
    pub evidence: Vec<String>,
    /// What to try next.
    pub advice: String,
    /// Who sent or listens, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// It is still so: its last packet was a short while ago.
    #[serde(default)]
    pub current: bool,
    /// Its like: the same direction, cause, network of the peer, and port.
    #[serde(default)]
    pub group: Group,
}

/// What handshakes that do not complete have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Group {
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Why.
    pub cause: String,
    /// The network of the peer; of a flood, which has many, absent.
    pub network: Option<String>,
    /// The port that is asked for; of a scan, which tries many, absent.
    pub port: Option<u16>,
}

/// `POST /v1/apply`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// The policy files: absolute names and texts, in the order they count.
    pub files: Vec<(PathBuf, String)>,
    /// A directory was named.
    #[serde(default)]
    pub directory: bool,
    /// The place, as named by the operator.
    #[serde(default)]
    pub source: String,
    /// What may be done all the same.
    #[serde(flatten)]
    pub allow: Allow,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// Milliseconds after which it goes back by itself, unless it is confirmed.
    #[serde(default)]
    pub confirm_within_ms: Option<u64>,
}

/// `POST /v1/rollback`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackRequest {
    /// The revision to go back to; absent: the one before.
    pub revision: Option<u64>,
}

/// What came of an apply or a rollback.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Something is otherwise than before.
    pub changed: bool,
    /// `applied`, `unchanged`, `pending-confirm`, `reverted`, `refused` or `not-for-this-host`.
    pub outcome: String,
    /// It was only asked what an apply would do: nothing is otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The policy's revision.
    pub revision: Option<u64>,
    /// Its digest.
    pub digest: Option<String>,
    /// The revision in force before.
    pub previous: Option<u64>,
    /// Live sessions that it does not allow.
    pub sessions_cut: u64,
    /// The first thousand of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_allowed: Vec<CutLine>,
    /// Connections that were open before enforcement began and go on as sessions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub adopted: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A live session that a policy does not allow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutLine {
    /// Its protocol.
    pub protocol: String,
    /// The opener.
    pub source: String,
    /// The opener's port.
    pub source_port: u16,
    /// The other end.
    pub destination: String,
    /// The other end's port.
    pub destination_port: u16,
    /// `inbound`, `outbound` or `routed`.
    pub direction: String,
    /// The rule that refuses it; `null` where none decides.
    pub rule: Option<String>,
}

impl std::fmt::Display for CutLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = |address: &str, port: u16| match address.contains(':') {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        };
        let source = end(&self.source, self.source_port);
        let destination = end(&self.destination, self.destination_port);
        let rule = self.rule.as_deref().unwrap_or("unmatched");
        write!(f, "{} {source} -> {destination} ({rule})", self.protocol)
    }
}

/// What came of an apply, and what to tell a person about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyReply {
    /// The outcome.
    #[serde(flatten)]
    pub applied: Applied,
    /// Lines for a person: the change by meaning, warnings, what to do next.
    #[serde(default)]
    pub lines: Vec<String>,
    /// Where it waits to be confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingLine>,
}

/// A policy that waits to be confirmed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingLine {
    /// Its number in the history, where its outcome will be.
    pub record: u64,
    /// Nanoseconds since boot when it goes back.
    pub deadline: u64,
    /// The same on the wall's clock, RFC 3339.
    pub confirm_by: String,
}

/// `POST /v1/explain`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// The packet, as operators write it.
    pub packet: String,
}

/// `POST /v1/zone`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRequest {
    /// The address.
    pub address: String,
    /// The interface it is seen at; absent: at each that makes a difference.
    pub interface: Option<String>,
}

/// Which zone an address is in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRow {
    /// The address.
    pub address: String,
    /// The interface it is seen at; `null`: at all others.
    pub interface: Option<String>,
    /// The zone.
    pub zone: String,
    /// Why.
    pub why: String,
}

/// A service name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRow {
    /// Its name.
    pub name: String,
    /// What it means, in words that rules may use.
    pub services: Vec<String>,
    /// It is no policy's own.
    pub built_in: bool,
}

/// Which rule decides about a packet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// `allow`, `deny` or `reject`.
    pub action: String,
    /// `forwarded`, `dropped`, `rejected` or `audit`.
    pub verdict: String,
    /// The reason's word.
    pub reason: String,
    /// The rule that decides, if one does.
    pub rule: Option<String>,
    /// Zone of the sender.
    pub source_zone: String,
    /// Zone of the addressee.
    pub destination_zone: String,
    /// The packet that was judged.
    pub packet: String,
    /// This host's address that a file's rule was judged with, where it asks for one; `null` where any would do.
    #[serde(default)]
    pub host_address: Option<String>,
}
