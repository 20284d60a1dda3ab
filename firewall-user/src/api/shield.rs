//! What the shield does at an interface.

use serde::{Deserialize, Serialize};

/// The shield at an interface that is judged at TC every day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShieldLine {
    /// `down`, `up` (a flood is judged at XDP), `refused` (there is a flood, and XDP could not be attached) or `unable`
    /// (no flood can move it).
    pub state: String,
    /// Since when it is up, RFC 3339.
    pub since: Option<String>,
    /// Packets refused on arrival in the last second.
    pub refused_per_second: u64,
    /// Why it is up, refused or unable.
    pub why: Option<String>,
}

impl ShieldLine {
    /// What is worth a line of `status`.
    #[must_use]
    pub fn words(&self, interface: &str) -> Option<String> {
        let rate = self.refused_per_second;
        let why = self.why.as_deref().unwrap_or_default();
        match (self.state.as_str(), &self.since) {
            ("up", Some(since)) => Some(format!(
                "up on {interface} since {since} ({why}); {rate} packets refused a second now"
            )),
            ("refused", _) => Some(format!(
                "refused on {interface}: {why}; {rate} packets refused a second now"
            )),
            ("unable", _) => Some(format!("cannot go up on {interface}: {why}")),
            _ => None,
        }
    }
}
