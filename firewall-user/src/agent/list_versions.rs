//! Which generation of its members a set that is read from a file is in: outside the policy's revision, and rising with
//! every change of the file, under one revision or with another. Dynamic sets have theirs in their own files.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::clock;
use super::state::Agent;
use super::store;
use crate::api::types::SetVersion;

/// In the state directory.
const FILE: &str = "lists.json";

/// The lists, by the names of their sets.
#[derive(Debug, Default)]
pub(super) struct ListVersions {
    /// Read from disk already?
    known: Option<BTreeMap<String, Version>>,
    /// The record whose lists were looked at.
    of: Option<u64>,
}

/// A list's version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Version {
    generation: u64,
    /// Milliseconds since 1970.
    changed: i64,
    /// SHA-256 of the file, in hexadecimal digits.
    digest: String,
}

impl ListVersions {
    /// The lists of the record have changed.
    pub(super) fn forget(&mut self) {
        self.of = None;
    }
}

impl Agent {
    /// Looks whether the lists of the policy in force are others than those known: such a set is in its next generation.
    pub(super) fn number_lists(&mut self) {
        let Some(record) = self.in_force().map(|current| current.record) else {
            return;
        };
        if self.versions.of.replace(record) == Some(record) {
            return;
        }
        let before = self.known_versions();
        let now = self.versions_now(&before);
        let kept = match now == before {
            true => Ok(()),
            false => store::write_with_copy(&self.settings.paths.state.join(FILE), &now),
        };
        self.versions.known = Some(now);
        let failed = |error| format!("generations of list files cannot be kept: {error}");
        self.note("list-generations", kept.err().map(failed));
        self.tell_names();
    }

    fn known_versions(&self) -> BTreeMap<String, Version> {
        let read = || {
            let path = self.settings.paths.state.join(FILE);
            store::read_or_copy(&path, true, &mut Vec::new())
        };
        let known = self.versions.known.clone();
        known.unwrap_or_else(|| read().ok().flatten().unwrap_or_default())
    }

    fn versions_now(&self, before: &BTreeMap<String, Version>) -> BTreeMap<String, Version> {
        let mut all = before.clone();
        for (name, digest) in self.list_digests() {
            let known = all.entry(name).or_default();
            if known.digest != digest {
                *known = Version {
                    generation: known.generation + 1,
                    changed: clock::wall().as_millisecond(),
                    digest,
                };
            }
        }
        all
    }

    /// The lists as they are kept beside the policy in force.
    fn list_digests(&self) -> Vec<(String, String)> {
        let Some(current) = self.in_force() else {
            return Vec::new();
        };
        let directory = self.history.directory_of(current.record);
        let places = self.lists();
        let digest = |set: &super::text::SetLine| {
            let stored = places.get(set.file.as_ref()?)?;
            let bytes = std::fs::read(directory.join(stored)).ok()?;
            let digest = Sha256::digest(bytes);
            let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            Some((set.name.clone(), digest))
        };
        current.sets.iter().filter_map(digest).collect()
    }

    /// The generations of all sets of the policy in force that have one: dynamic ones, and those of files.
    #[must_use]
    pub fn set_versions(&self) -> Vec<SetVersion> {
        let known = self.versions.known.as_ref();
        let Some(current) = self.in_force() else {
            return Vec::new();
        };
        let of_file = |set: &super::text::SetLine| {
            let version = known?.get(&set.name).filter(|_| set.file.is_some())?;
            let changed = Timestamp::from_millisecond(version.changed).ok();
            Some(SetVersion {
                set: set.name.clone(),
                kind: "file".to_owned(),
                entries: set.entries,
                generation: version.generation,
                changed: changed.map(|at| at.to_string()),
            })
        };
        let of_files = current.sets.iter().filter_map(of_file);
        let dynamic = self.set_rows().into_iter().map(|row| SetVersion {
            set: row.set,
            kind: "dynamic".to_owned(),
            entries: row.entries,
            generation: row.generation.unwrap_or_default(),
            changed: row.changed,
        });
        dynamic.chain(of_files).collect()
    }

    /// The same by rule: of the rules that name such sets.
    pub(super) fn sets_of_rules(&self) -> BTreeMap<u32, BTreeMap<String, u64>> {
        let named = self.in_force().map(|now| &now.compiled.listing);
        let named = named.into_iter().flatten();
        let mut named = named.filter(|listed| !listed.sets.is_empty()).peekable();
        if named.peek().is_none() {
            return BTreeMap::new();
        }
        let versions = self.set_versions().into_iter();
        let versions: BTreeMap<_, _> = versions.map(|one| (one.set, one.generation)).collect();
        let of_rule = |sets: &[String]| {
            let known = |set: &String| Some((set.clone(), *versions.get(set)?));
            sets.iter().filter_map(known).collect()
        };
        named
            .map(|listed| (listed.counter, of_rule(&listed.sets)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::agent::tests::{Host, apply, text};

    fn versions(agent: &super::Agent) -> Vec<(String, u64)> {
        let all = agent.set_versions().into_iter();
        all.map(|one| (one.set, one.generation)).collect()
    }

    #[test]
    fn a_list_is_in_another_generation_when_its_file_changes_and_only_then() {
        let host = Host::new();
        let list = host.path("l.txt");
        std::fs::write(&list, "198.51.100.0/24\n").unwrap();
        let of = |revision| {
            let sets = "sets: {bad: {file: l.txt}, own: {dynamic: true}}\nzones:";
            text(revision, 443).replace("zones:", sets)
        };
        let mut agent = host.agent();
        apply(&host, &mut agent, &of(1)).unwrap();
        assert_eq!(versions(&agent), [("own".into(), 0), ("bad".into(), 1)]);
        apply(&host, &mut agent, &of(2)).unwrap();
        assert_eq!(versions(&agent)[1].1, 1, "the same file");
        std::fs::write(&list, "198.51.100.0/25\n").unwrap();
        agent.reload_lists();
        assert_eq!(versions(&agent)[1].1, 2);
        drop(agent);
        let mut agent = host.agent();
        agent.read_text();
        agent.number_lists();
        assert_eq!(versions(&agent)[1].1, 2, "after a start");
        assert!(agent.set_versions()[1].changed.is_some());
    }
}
