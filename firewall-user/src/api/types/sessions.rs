//! Sessions and their tables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The session tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLine {
    /// Verified sessions.
    pub open: u64,
    /// Openings without an answer yet.
    pub half_open: u64,
    /// Places for verified sessions.
    pub capacity: u64,
    /// Places for half-open ones.
    pub half_open_capacity: u64,
    /// Places for verified sessions that are kept for management zones.
    #[serde(default)]
    pub reserve: u64,
    /// Openings refused for want of room since the tables were made, by reason.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// Who has opened the most sessions here, the heaviest first.
    #[serde(default)]
    pub sources: Vec<SourceLine>,
    /// SYN cookies.
    #[serde(default)]
    pub syn_cookies: CookieLine,
}

/// What becomes of SYN cookies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CookieLine {
    /// Half-open sessions are being pushed out.
    #[serde(default)]
    pub pressure: bool,
    /// Openings to listeners are answered with cookies: the pressure is there, and the kernel makes some.
    pub on: bool,
    /// `net.ipv4.tcp_syncookies`: 0: the kernel makes none; 1: for listeners whose own queue is full; 2: for all.
    /// `null`: not known.
    #[serde(default)]
    pub kernel: Option<u8>,
    /// Given out since the tables were made.
    pub sent: u64,
    /// Come back, and right.
    pub accepted: u64,
}

/// A source and its sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// An address; of IPv6 a network of 64 bits.
    pub source: String,
    /// Verified sessions.
    pub open: u64,
    /// Half-open ones.
    pub half_open: u64,
}

/// `POST /v1/sessions/kill`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillRequest {
    /// FILTER.
    pub filter: String,
    /// Every session, which an empty filter alone does not mean.
    #[serde(default)]
    pub all: bool,
}

/// What became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killed {
    /// Sessions that were ended, translated ones counted as `sessions` lists them.
    pub killed: u64,
}
