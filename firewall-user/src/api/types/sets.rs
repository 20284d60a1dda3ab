//! Dynamic sets.

use serde::{Deserialize, Serialize};

/// What is done to a dynamic set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetOp {
    /// Members are added, or their times renewed.
    Add,
    /// Members are taken out.
    Del,
    /// All are.
    Flush,
}

/// `POST /v1/set`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRequest {
    /// The set.
    pub name: String,
    /// What is done.
    pub op: SetOp,
    /// Prefixes, addresses and ranges.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// For how many seconds; absent: the set's `default_for`.
    #[serde(default)]
    pub for_s: Option<u64>,
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetReply {
    /// The set.
    pub set: String,
    /// Members added, renewed or taken out.
    pub changed: u64,
    /// Members that it has now.
    pub entries: u64,
    /// Its generation, which rises with every change.
    pub generation: u64,
    /// It is on disk, too, and so would be there after a reboot.
    pub saved: bool,
}

/// A set: a row of `set list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRow {
    /// Its name.
    pub set: String,
    /// `dynamic`, `file`, or `inline` where the policy's text has its members.
    #[serde(default)]
    pub kind: String,
    /// Members that it has; of those that are not dynamic, prefixes that they come to.
    pub entries: u64,
    /// Members that it may have; `null` where it is not dynamic.
    pub max: Option<u64>,
    /// For how many seconds an address is added where nothing is said; `null`: until it is taken out.
    pub default_for_s: Option<u64>,
    /// Rises with every change; `null` of an inline set, which is in the policy's revision.
    pub generation: Option<u64>,
    /// When its members last changed, RFC 3339; of an inline set when the policy came.
    pub changed: Option<String>,
    /// Some rule names it; `null`: not known of a set that is not dynamic.
    pub named: Option<bool>,
    /// The file that its members are read from.
    #[serde(default)]
    pub file: Option<String>,
}

/// A set with a generation of its own, as `status` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetVersion {
    /// Its name.
    pub set: String,
    /// `dynamic` or `file`.
    pub kind: String,
    /// Members that it has.
    pub entries: u64,
    /// Rises with every change.
    pub generation: u64,
    /// The last change, RFC 3339; `null`: none yet.
    pub changed: Option<String>,
}

/// A member: a row of `set list NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// The set.
    pub set: String,
    /// The address or prefix.
    pub address: String,
    /// Until when, RFC 3339; `null`: until it is taken out.
    pub until: Option<String>,
    /// How many seconds are left; `null`: for ever.
    pub left_s: Option<u64>,
    /// The set's generation.
    pub generation: u64,
}
