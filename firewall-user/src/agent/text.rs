//! The text of the policy in force: what it means is read when somebody asks, and let go again. Only its tables and
//! their list are always there, and the little that every scrape asks for.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::state::{Agent, Current};
use crate::policy::model::{AddressSet, Policy};

/// For how long it is kept after somebody has asked.
const KEPT: Duration = Duration::from_secs(30);

/// What is always known of a named address set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetLine {
    /// Its name.
    pub name: String,
    /// The file that its members are read from.
    pub file: Option<PathBuf>,
    /// Commands fill it.
    pub dynamic: bool,
    /// Its prefixes.
    pub entries: u64,
}

impl From<&AddressSet> for SetLine {
    fn from(set: &AddressSet) -> Self {
        Self {
            name: set.name.clone(),
            file: set.file.clone(),
            dynamic: set.dynamic.is_some(),
            entries: set.members.len() as u64,
        }
    }
}

/// The sets of a policy, in its order.
pub(super) fn sets(policy: &Policy) -> Vec<SetLine> {
    policy.sets.iter().map(SetLine::from).collect()
}

/// A policy that was read, and when somebody last asked for it.
#[derive(Debug, Clone)]
pub(super) struct Text {
    policy: Policy,
    asked: Instant,
}

impl Current {
    /// It was read from its text.
    pub(super) fn learn(&mut self, policy: Policy) {
        self.sets = sets(&policy);
        let asked = Instant::now();
        self.text = Some(Text { policy, asked });
    }

    /// What it means, where its text was read lately.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        self.text.as_ref().map(|text| &text.policy)
    }
}

impl Agent {
    /// Reads what the policy in force means, if it is not known.
    pub fn read_text(&mut self) {
        let Some(current) = self.current.as_mut() else {
            return;
        };
        if let Some(text) = &mut current.text {
            text.asked = Instant::now();
            return;
        }
        let Some(record) = self.history.record(current.record).cloned() else {
            return;
        };
        crate::heap::used();
        match self.stored(&record) {
            Ok(checked) => {
                if let Some(current) = self.current.as_mut() {
                    current.learn(checked.policy);
                }
                self.note("text", None);
            }
            Err(problem) => {
                let text = format!(
                    "{problem}; it is enforced from its saved compiled form, and cannot be explained: apply it again"
                );
                self.note("text", Some(text));
            }
        }
    }

    /// Lets it go where nobody has asked for a while.
    pub(super) fn let_text_go(&mut self, now: Instant) {
        let old = |text: &Text| now.duration_since(text.asked) > KEPT;
        if let Some(current) = self.current.as_mut()
            && current.text.as_ref().is_some_and(old)
        {
            current.text = None;
            crate::heap::used();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::{Host, apply, text};

    #[test]
    fn the_text_is_let_go_after_a_while_and_read_again() {
        let host = Host::new();
        let mut agent = host.agent();
        let set = "sets: {office: [198.51.100.0/24, 203.0.113.0/24]}\nzones:";
        apply(&host, &mut agent, &text(7, 443).replace("zones:", set)).unwrap();
        let known = |agent: &Agent| agent.in_force().unwrap().policy().map(|p| p.revision);
        assert_eq!(known(&agent), None);
        assert!(agent.zone_of(&asked("198.51.100.1")).is_ok());
        assert_eq!(known(&agent), Some(7));
        agent.let_text_go(Instant::now());
        assert_eq!(known(&agent), Some(7), "somebody asked just now");
        agent.let_text_go(Instant::now() + KEPT * 2);
        assert_eq!(known(&agent), None);
        // What scrapes ask for is always there.
        assert_eq!(agent.in_force().unwrap().sets[0].entries, 2);
        assert!(agent.zone_of(&asked("198.51.100.1")).is_ok());
    }

    fn asked(address: &str) -> crate::api::types::ZoneRequest {
        crate::api::types::ZoneRequest {
            address: address.to_owned(),
            interface: None,
        }
    }
}
