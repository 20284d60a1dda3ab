//! Which hosts a policy, a block or a rule is for.

use std::collections::BTreeMap;

use globset::Glob;
use ipnet::IpNet;
use sha2::{Digest, Sha256};

use super::compiled::pattern_matches;
use super::model::HostSelector;
use crate::agent::config::{AgentConfig, FailsafeRule};

const MACHINE_ID: &str = "/etc/machine-id";
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// The networks on the links of interfaces, by name.
pub type Connected = BTreeMap<String, Vec<IpNet>>;

/// What a policy may ask of the host it is read on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostContext {
    /// `labels` of the agent file.
    pub labels: BTreeMap<String, String>,
    /// The kernel's host name.
    pub hostname: String,
    /// The trimmed text of `/etc/machine-id`, empty where there is none.
    pub machine_id: String,
    /// `roles` of the agent file: role to interface names or globs.
    pub roles: BTreeMap<String, Vec<String>>,
    /// The networks on the links of each interface, without link-local ones; what `connected` stands for.
    pub connected: Connected,
    /// The agent file's failsafe rules, which come before the list. (A policy without a way in for SSH is then no
    /// worry.)
    pub failsafe: Vec<FailsafeRule>,
}

impl HostContext {
    /// This machine, under its agent file.
    #[must_use]
    pub fn this_host(config: &AgentConfig) -> Self {
        Self {
            labels: config.labels.clone(),
            hostname: trimmed(HOSTNAME),
            machine_id: trimmed(MACHINE_ID),
            roles: config.roles.clone(),
            connected: BTreeMap::new(),
            failsafe: config.failsafe.clone(),
        }
    }

    /// Without the links that a policy does not name ([`Policy::connected`](super::model::Policy::connected)): what it
    /// can depend on.
    #[must_use]
    pub fn narrowed(mut self, named: &[String]) -> Self {
        let links = &mut self.connected;
        links.retain(|name, _| named.iter().any(|pattern| pattern_matches(pattern, name)));
        self
    }

    /// Do all given conditions hold here? `policy` is `metadata.name`.
    #[must_use]
    pub fn selected_by(&self, selector: &HostSelector, policy: &str) -> bool {
        self.has_labels(selector) && self.has_name(selector) && self.in_share(selector, policy)
    }

    fn has_labels(&self, selector: &HostSelector) -> bool {
        let mut wanted = selector.labels.iter();
        wanted.all(|(key, value)| self.labels.get(key) == Some(value))
    }

    fn has_name(&self, selector: &HostSelector) -> bool {
        let matches = |glob: &String| {
            Glob::new(glob).is_ok_and(|g| g.compile_matcher().is_match(&self.hostname))
        };
        selector.names.is_empty() || selector.names.iter().any(matches)
    }

    fn in_share(&self, selector: &HostSelector, policy: &str) -> bool {
        let Some(percent) = selector.percent else {
            return true;
        };
        share(&self.machine_id, policy) < 100 * u64::from(percent)
    }
}

/// This host's place in a rollout, 0 to 9999: it only depends on the host and the policy's name.
fn share(machine_id: &str, policy: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(machine_id.as_bytes());
    hash.update(policy.as_bytes());
    let first = hash.finalize().into_iter().take(8);
    first.fold(0, |number, byte| number << 8 | u64::from(byte)) % 10_000
}

fn trimmed(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> HostContext {
        HostContext {
            labels: [("role".into(), "web".into())].into(),
            hostname: "web-03".into(),
            machine_id: "0123456789abcdef0123456789abcdef".into(),
            ..HostContext::default()
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let selector = |label: &str, name: &str, percent| HostSelector {
            labels: vec![("role".into(), label.into())],
            names: vec!["db-*".into(), name.into()],
            percent,
        };
        let all = |s: HostSelector| host().selected_by(&s, "web-tier");
        assert!(all(HostSelector::default()));
        assert!(all(selector("web", "web-*", Some(100))));
        assert!(!all(selector("db", "web-*", Some(100))));
        assert!(!all(selector("web", "www-*", None)));
        assert!(!all(selector("web", "web-*", Some(0))));
    }

    #[test]
    fn the_share_is_the_promised_hash() {
        // printf 0123456789abcdef0123456789abcdefweb-tier | sha256sum
        let digest = Sha256::digest(b"0123456789abcdef0123456789abcdefweb-tier");
        let first = u64::from_be_bytes(digest[..8].try_into().unwrap());
        assert_eq!(share(&host().machine_id, "web-tier"), first % 10_000);
    }

    #[test]
    fn raising_the_percentage_only_adds_hosts() {
        let at = |percent| {
            let selector = HostSelector {
                percent: Some(percent),
                ..HostSelector::default()
            };
            host().selected_by(&selector, "web-tier")
        };
        let from = (0..=100).find(|p| at(*p)).unwrap();
        assert!((from..=100).all(at));
    }
}
