//! One entry of the history.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agent::revision::Identity;

/// What became of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Being put into the tables.
    Applying,
    /// In force, and gone back from by itself unless it is confirmed in time.
    PendingConfirm,
    /// In force.
    InForce,
    /// Another came after it.
    Replaced,
    /// It was gone back from.
    RolledBack,
    /// It was not confirmed in time, or was gone back from before that.
    Reverted,
    /// It never came into force.
    Refused,
    /// The agent ended before it came into force.
    Interrupted,
    /// It is meant for others: its `hosts` does not select this one.
    NotForThisHost,
}

impl Outcome {
    /// The word users see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Applying => "applying",
            Self::PendingConfirm => "pending-confirm",
            Self::InForce => "in-force",
            Self::Replaced => "replaced",
            Self::RolledBack => "rolled-back",
            Self::Reverted => "reverted",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::NotForThisHost => "not-for-this-host",
        }
    }
}

/// What brought a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// `ringwall apply`.
    Apply,
    /// The watched path.
    Watch,
    /// `ringwall rollback`.
    Rollback,
}

/// Who applied a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// User id of the process that asked.
    pub uid: u32,
    /// Its name, where the system knows one.
    pub name: Option<String>,
    /// The user who logged in, before any `sudo`, where the system knows one.
    pub login: Option<String>,
}

impl Who {
    /// The agent itself.
    #[must_use]
    pub fn agent() -> Self {
        Self {
            uid: 0,
            name: Some("ringwall".to_owned()),
            login: None,
        }
    }

    /// A word for listings.
    #[must_use]
    pub fn word(&self) -> String {
        let name = self
            .name
            .clone()
            .unwrap_or_else(|| format!("uid {}", self.uid));
        match &self.login {
            Some(login) if *login != name => format!("{name} ({login})"),
            _ => name,
        }
    }
}

/// One entry of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number; they rise.
    pub id: u64,
    /// Name, revision and digest of the policy.
    #[serde(flatten)]
    pub identity: Identity,
    /// What became of it.
    pub outcome: Outcome,
    /// It was below the highest revision then.
    #[serde(default)]
    pub downgrade: bool,
    /// What brought it.
    pub how: How,
    /// Who applied it.
    pub by: Who,
    /// When.
    pub at: Timestamp,
    /// The number of the record in force before it, which a rollback goes to.
    #[serde(default)]
    pub before: Option<u64>,
    /// The place it was read from.
    pub source: String,
    /// A directory was read.
    #[serde(default)]
    pub directory: bool,
    /// Policy files as named then.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// List files: where they are to where the copy is, below the record's directory.
    #[serde(default)]
    pub lists: BTreeMap<PathBuf, PathBuf>,
    /// Why it was refused.
    #[serde(default)]
    pub detail: Option<String>,
    /// Until when it was to be confirmed.
    #[serde(default)]
    pub confirm_by: Option<Timestamp>,
    /// When it was confirmed.
    #[serde(default)]
    pub confirmed: Option<Timestamp>,
    /// What the agent was told when it was put into the tables.
    #[serde(default)]
    pub context: String,
    /// Interfaces whose links its zones stand for, names and globs.
    #[serde(default)]
    pub connected: Vec<String>,
}
