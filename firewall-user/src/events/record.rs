//! A flow record: one line of NDJSON. Fields that Hubble has bear its names and mean what they mean there.
//!
//! Names here are promises. Fields may be added; none is renamed or changes its meaning under one
//! [`SCHEMA`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::sessions::Traffic;

/// What [`Flow::schema`] says.
pub const SCHEMA: &str = "ringwall.flow/1";

/// A flow record. What is not known or does not apply is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// `ringwall.flow/1`.
    pub schema: String,
    /// When it happened, UTC, to the nanosecond.
    #[serde(with = "nanoseconds")]
    #[schemars(with = "Timestamp")]
    pub time: Timestamp,
    /// Unique for ever, and sorted by time.
    pub uuid: String,
    /// Numbers rise by one for each record since the agent started; a gap is as large as what was lost or left
    /// out there. An `update` is asked for and takes no number: it bears that of the last record before it.
    pub seq: u64,
    /// What happened.
    pub event: EventWord,
    /// What became of the packet, in Hubble's words.
    pub verdict: VerdictWord,
    /// What the policy says of it: `allow`, `deny` or `reject`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub action: Option<String>,
    /// Why, a word of the table of reasons; of a session's end what ended it, else `session`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The nearest of Hubble's drop reasons.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub drop_reason_desc: Option<String>,
    /// The hook: did it arrive or leave?
    pub traffic_direction: Direction,
    /// Whose conversation: `inbound` (to this host), `outbound` or `routed`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub direction: Option<String>,
    /// Addresses; absent for what is not IP.
    #[serde(rename = "IP", skip_serializing_if = "Option::is_none", default)]
    pub ip: Option<Ip>,
    /// The transport header.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub l4: Option<Layer4>,
    /// Ethertype of what is not IP, such as `0x88cc`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ethertype: Option<String>,
    /// Is it an answer within a conversation?
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub is_reply: Option<bool>,
    /// Which end of `IP` opened the conversation: `source` or `destination`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub initiator: Option<String>,
    /// The guarded interface.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interface: Option<Interface>,
    /// This host's name, as Hubble has it.
    pub node_name: String,
    /// This host.
    pub host: Host,
    /// The zones of both ends.
    pub zone: Zone,
    /// The policy and rule that decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<PolicyRef>,
    /// The same in all records of a session.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session_id: Option<String>,
    /// Community ID, version 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub community_id: Option<String>,
    /// Packets on the wire: from who opened, and back.
    pub packets: Traffic,
    /// Bytes on the wire, from the link header on.
    pub bytes: Traffic,
    /// The session's first packet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[serde(with = "maybe_nanoseconds")]
    #[schemars(with = "Option<Timestamp>")]
    pub start: Option<Timestamp>,
    /// The session's last packet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[serde(with = "maybe_nanoseconds")]
    #[schemars(with = "Option<Timestamp>")]
    pub end: Option<Timestamp>,
    /// From the first packet to the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<u64>,
    /// Where a session of TCP stands or stood: `established`, `time-wait` …
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tcp_state: Option<String>,
    /// The same of a session of any protocol: `established`, `udp-stream` …
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state: Option<String>,
    /// All TCP flags that either side has sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tcp_flags_seen: Option<FlagsSeen>,
    /// Why the session has ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub close_cause: Option<String>,
    /// Why the handshake does not complete.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<String>,
    /// What says so.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub evidence: Vec<String>,
    /// Who sent or listens, where known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process: Option<Process>,
    /// Records of this kind left out since the last one.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub suppressed: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What happened.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EventWord {
    /// A session was opened.
    Open,
    /// A session has ended.
    Close,
    /// A packet was dropped, rejected, or would have been.
    Drop,
    /// A handshake does not complete.
    OneSided,
    /// A live session, as it stands.
    Update,
}

impl EventWord {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::Drop => "drop",
            Self::OneSided => "one_sided",
            Self::Update => "update",
        }
    }
}

/// What became of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum VerdictWord {
    /// It passed.
    Forwarded,
    /// It was dropped or rejected.
    Dropped,
    /// It passed, since the policy monitors.
    Audit,
}

impl VerdictWord {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Forwarded => "FORWARDED",
            Self::Dropped => "DROPPED",
            Self::Audit => "AUDIT",
        }
    }
}

/// The hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Direction {
    /// Arriving.
    Ingress,
    /// Leaving.
    Egress,
}

/// Addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ip {
    /// The sender; of a session, who opened it.
    pub source: IpAddr,
    /// The addressee.
    pub destination: IpAddr,
    /// `IPv4` or `IPv6`.
    #[serde(rename = "ipVersion")]
    pub version: String,
}

/// The transport header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Layer4 {
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp(Tcp),
    /// UDP.
    #[serde(rename = "UDP")]
    Udp(Ports),
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp(Ports),
    /// DCCP.
    #[serde(rename = "DCCP")]
    Dccp(Ports),
    /// UDP-Lite.
    #[serde(rename = "UDPLite")]
    UdpLite(Ports),
    /// ICMP in IPv4.
    #[serde(rename = "ICMPv4")]
    Icmp4(Icmp),
    /// ICMPv6.
    #[serde(rename = "ICMPv6")]
    Icmp6(Icmp),
    /// Any other protocol.
    #[serde(rename = "protocol")]
    Other(Other),
}

/// Ports and flags of TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// The sender's port.
    pub source_port: u16,
    /// The addressee's port.
    pub destination_port: u16,
    /// The packet's flags.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flags: Option<Flags>,
}

/// Ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// The sender's port.
    pub source_port: u16,
    /// The addressee's port.
    pub destination_port: u16,
}

/// An ICMP message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Icmp {
    /// Type.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Code.
    pub code: u8,
}

/// A protocol by its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Other {
    /// IANA's number.
    pub number: u8,
    /// The word of the policy language.
    pub name: String,
}

/// TCP flags; those that are not set are left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE", deny_unknown_fields, default)]
#[expect(
    missing_docs,
    clippy::struct_excessive_bools,
    reason = "the names are RFC 9293's"
)]
pub struct Flags {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fin: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub syn: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rst: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub psh: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ack: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub urg: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ece: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cwr: bool,
}

impl Flags {
    /// From the byte of the header.
    #[must_use]
    pub const fn new(byte: u8) -> Self {
        Self {
            fin: byte & 1 != 0,
            syn: byte & 2 != 0,
            rst: byte & 4 != 0,
            psh: byte & 8 != 0,
            ack: byte & 16 != 0,
            urg: byte & 32 != 0,
            ece: byte & 64 != 0,
            cwr: byte & 128 != 0,
        }
    }
}

/// TCP flags of a whole session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlagsSeen {
    /// From who opened it.
    pub sent: Flags,
    /// From the other side.
    pub received: Flags,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// The kernel's number.
    pub index: u32,
    /// Its name; empty where it is gone.
    pub name: String,
}

/// The host that a record is from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// `/etc/machine-id`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub machine_id: Option<String>,
    /// The kernel's id of this boot.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub boot_id: Option<String>,
}

/// Zones of both ends; absent where a packet was dropped before they were looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Of the sender; of a session, of who opened it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
    /// Of the addressee.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub destination: Option<String>,
}

/// Which policy, and what in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyRef {
    /// `metadata.name`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// `metadata.revision`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// SHA-256 of its files.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    /// The policy within it, or `unmatched`, `essentials`, `failsafe`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<String>,
    /// The rule within that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// Of the dynamic and the file-backed sets that the rule names: the generation that each was in when the record was
    /// made.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub sets: BTreeMap<String, u64>,
}

/// A process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the kernel's and systemd's")]
pub struct Process {
    pub pid: u32,
    pub comm: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<String>,
    pub uid: u32,
}

impl Process {
    /// A name as a process gives it to itself. What JSON leaves as it is and a terminal may obey (U+007F to U+009F) is
    /// replaced; the rest is escaped or replaced where it is written.
    #[must_use]
    pub fn name(bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        text.replace(|c| ('\u{7f}'..='\u{9f}').contains(&c), "\u{fffd}")
    }
}

impl std::fmt::Display for Process {
    /// `sshd[4711] ssh.service`; what steers a terminal is replaced where it is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.comm, self.pid)?;
        match &self.unit {
            Some(unit) => write!(f, " {unit}"),
            None => Ok(()),
        }
    }
}

/// The record's time with all nine digits, so that lines are as long as each other.
mod nanoseconds {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{at:.9}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(from)
    }
}

/// The same, where there may be none.
mod maybe_nanoseconds {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde asks for this shape")]
    pub(super) fn serialize<S: Serializer>(
        at: &Option<Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => super::nanoseconds::serialize(at, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        Option::<Timestamp>::deserialize(from)
    }
}
