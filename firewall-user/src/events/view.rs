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
    /// Policies by the first epoch of their generation: later ones up to the next are of the same policy.
    pub policies: BTreeMap<u32, Identity>,
    /// The newest epoch known.
    newest: u32,
    /// Generations of the sets that a rule names, by the rule.
    sets: Arc<BTreeMap<u32, BTreeMap<String, u64>>>,
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
        let mut newest = self.newest;
        let told: BTreeMap<u32, Identity> = policies.into_iter().collect();
        for (epoch, identity) in told {
            newest = newest.max(epoch);
            let before = all.range(..=epoch).next_back();
            if before.is_none_or(|(_, before)| *before != identity) {
                all.insert(epoch, identity);
            }
        }
        while all.len() > REMEMBERED {
            all.pop_first();
        }
        Self {
            names,
            policies: all,
            newest,
            sets: Arc::clone(&self.sets),
            host: Arc::clone(&self.host),
        }
    }

    /// With other generations of sets.
    #[must_use]
    pub fn with_sets(self, sets: BTreeMap<u32, BTreeMap<String, u64>>) -> Self {
        Self {
            sets: Arc::new(sets),
            ..self
        }
    }

    /// The generations of the sets that a rule names.
    #[must_use]
    pub fn sets(&self, rule: u32) -> BTreeMap<String, u64> {
        self.sets.get(&rule).cloned().unwrap_or_default()
    }

    /// The policy that an epoch is of.
    #[must_use]
    pub fn policy(&self, epoch: u32) -> Option<&Identity> {
        let known = self.policies.range(..=epoch).next_back();
        known.map(|(_, found)| found).filter(|_| epoch != 0)
    }

    /// The newest epoch known.
    #[must_use]
    pub const fn newest(&self) -> u32 {
        self.newest
    }
}
