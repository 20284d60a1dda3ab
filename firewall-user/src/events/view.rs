//! What records are enriched with: names for numbers, as they were when the record was made.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::host;
use super::record::Host;
use crate::agent::revision::Identity;
use crate::sessions::Names;

/// Names for the numbers in records.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Rules, zones and interfaces.
    pub names: Names,
    /// Policies by the epoch of their generation.
    pub policies: BTreeMap<u32, Identity>,
    /// This host.
    pub host: Arc<Host>,
}

/// Policies that are remembered: sessions may be older than the generations that the tables hold.
const REMEMBERED: usize = 64;

impl View {
    /// Of this host, with no names yet.
    #[must_use]
    pub fn of_this_host() -> Self {
        Self {
            host: Arc::new(host::this()),
            ..Self::default()
        }
    }

    /// The next view: these names, and these policies beside those known before.
    #[must_use]
    pub fn next(&self, names: Names, policies: impl IntoIterator<Item = (u32, Identity)>) -> Self {
        let mut all = self.policies.clone();
        all.extend(policies);
        while all.len() > REMEMBERED {
            all.pop_first();
        }
        Self {
            names,
            policies: all,
            host: Arc::clone(&self.host),
        }
    }

    /// The newest epoch known.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.policies
            .last_key_value()
            .map_or(0, |(epoch, _)| *epoch)
    }
}
