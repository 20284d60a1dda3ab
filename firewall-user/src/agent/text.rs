//! The text of the policy in force: what it means is read when somebody asks, and let go again. Only its tables and
//! their list are always there, and the little that every scrape asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
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

/// List files: where they are to where the copy is, below the record's directory.
type Places = BTreeMap<PathBuf, PathBuf>;

/// The sets of a policy, in its order. It may have been read from its copy in the history: its lists are named where they
/// really are.
pub(super) fn sets(policy: &Policy, lists: &Places) -> Vec<SetLine> {
    let line = |set: &AddressSet| SetLine {
        file: set.file.as_deref().map(|file| original(file, lists)),
        ..SetLine::from(set)
    };
    policy.sets.iter().map(line).collect()
}

/// Where a list file is of which this may be the copy.
pub(super) fn original(file: &Path, lists: &Places) -> PathBuf {
    if lists.contains_key(file) {
        return file.to_owned();
    }
    let copies = lists.iter().filter(|(_, copy)| file.ends_with(copy));
    let nearest = copies.max_by_key(|(_, copy)| copy.components().count());
    nearest.map_or(file, |(path, _)| path).to_owned()
}

/// A policy that was read, and when somebody last asked for it.
#[derive(Debug, Clone)]
pub(super) struct Text {
    policy: Policy,
    asked: Instant,
}

impl Current {
    /// It was read from its text.
    pub(super) fn learn(&mut self, policy: Policy, lists: &Places) {
        self.sets = sets(&policy, lists);
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
                self.note_lists(&checked.warnings, &record.lists);
                if let Some(current) = self.current.as_mut() {
                    current.learn(checked.policy, &record.lists);
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

    #[test]
    fn a_list_is_where_it_is_whatever_was_read_since() {
        let host = Host::new();
        let mut agent = host.agent();
        let list = host.path("l.txt");
        std::fs::write(&list, "198.51.100.0/24\n").unwrap();
        let of = |revision| {
            let sets = "sets: {bad: {file: l.txt}}\nzones:";
            text(revision, 443).replace("zones:", sets)
        };
        let holds = |agent: &Agent| {
            let set = &agent.in_force().unwrap().sets[0];
            assert_eq!(set.file.as_ref(), Some(&list));
            agent.set_changed(set).unwrap()
        };
        apply(&host, &mut agent, &of(1)).unwrap();
        let first = holds(&agent);
        agent.explain("tcp 203.0.113.9 -> host:443").unwrap();
        assert_eq!(holds(&agent), first);
        let request = crate::api::types::SetRequest {
            name: "bad".to_owned(),
            op: crate::api::types::SetOp::Add,
            addresses: vec!["203.0.113.1".to_owned()],
            for_s: None,
        };
        let said = agent.change_set(&request).unwrap_err().message;
        assert!(said.contains(&list.display().to_string()), "{said}");
        drop(agent);
        assert_eq!(holds(&host.agent()), first, "after a start");

        // Another revision with the same members, and back: they are as old as they were.
        let mut agent = host.agent();
        apply(&host, &mut agent, &of(2)).unwrap();
        assert_eq!(holds(&agent), first);
        agent
            .rollback(None, crate::agent::history::Who::agent())
            .unwrap();
        assert_eq!(holds(&agent), first);
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(&list, "198.51.100.0/25\n").unwrap();
        agent.reload_lists();
        let second = holds(&agent);
        assert!(second > first);
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(&list, "198.51.100.0/26\n").unwrap();
        apply(&host, &mut agent, &of(3)).unwrap();
        assert!(holds(&agent) > second);
    }

    #[test]
    fn a_dynamic_set_is_as_old_as_the_policy_that_brought_it() {
        let host = Host::new();
        let mut agent = host.agent();
        let of = |revision| {
            let sets = "sets: {banned: {dynamic: true}}\nzones:";
            text(revision, 443).replace("zones:", sets)
        };
        let row = |agent: &Agent| agent.set_rows().remove(0);
        apply(&host, &mut agent, &of(1)).unwrap();
        let first = row(&agent);
        assert!(
            first.changed.is_some() && first.generation == Some(0),
            "{first:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
        apply(&host, &mut agent, &of(2)).unwrap();
        assert_eq!(row(&agent), first);
        drop(agent);
        assert_eq!(row(&host.agent()), first, "after a start");
    }

    #[test]
    fn every_set_is_listed_with_its_kind_its_members_and_their_time() {
        let host = Host::new();
        let mut agent = host.agent();
        let list = host.path("l.txt");
        std::fs::write(&list, "198.51.100.0/24\n203.0.113.0/24\n").unwrap();
        let sets = "sets: {office: [192.0.2.0/25], bad: {file: l.txt}, own: {dynamic: true, max: 7}}\nzones:";
        let policy = text(1, 443).replace("zones:", sets);
        apply(&host, &mut agent, &policy).unwrap();
        let mut rows = agent.all_set_rows();
        assert_eq!(rows[0].set, "own", "what can be changed comes first");
        rows.sort_by(|a, b| a.set.cmp(&b.set));
        let told: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.set.as_str(),
                    row.kind.as_str(),
                    row.entries,
                    row.max,
                    row.generation,
                )
            })
            .collect();
        let wanted = [
            ("bad", "file", 2, None, Some(1)),
            ("office", "inline", 1, None, None),
            ("own", "dynamic", 0, Some(7), Some(0)),
        ];
        assert_eq!(told, wanted);
        assert!(rows.iter().all(|row| row.changed.is_some()), "{rows:?}");
        assert_eq!(rows[0].file, Some(list.display().to_string()));
    }

    fn asked(address: &str) -> crate::api::types::ZoneRequest {
        crate::api::types::ZoneRequest {
            address: address.to_owned(),
            interface: None,
        }
    }
}
