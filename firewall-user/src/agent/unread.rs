//! A watched policy that is none: what the history says of it.

use std::path::{Path, PathBuf};

use super::clock;
use super::history::{How, Outcome, Record, Who};
use super::revision::Identity;
use super::state::Agent;
use crate::policy::source::Sources;

/// What is known of files that could not be read as a policy.
pub(super) struct Unread {
    identity: Identity,
    source: String,
    files: Vec<PathBuf>,
}

impl Unread {
    /// Of the files at a path.
    pub(super) fn of(path: &Path, read: &Sources) -> Self {
        let texts = || read.texts.iter().map(|file| file.text.as_str());
        let word = |key| texts().find_map(|text| of_metadata(text, key));
        Self {
            identity: Identity {
                name: word("name").unwrap_or_else(|| "?".to_owned()),
                revision: word("revision").and_then(|n| n.parse().ok()).unwrap_or(0),
                digest: read.digest.clone(),
            },
            source: path.display().to_string(),
            files: read.texts.iter().map(|file| file.name.clone()).collect(),
        }
    }
}

/// What a text seems to say under `metadata`: it is no policy, so this is no more than a name for a listing.
fn of_metadata(text: &str, key: &str) -> Option<String> {
    let (_, after) = text.split_once("metadata")?;
    let mut words = after.split(|c: char| c.is_whitespace() || "{},:\"'".contains(c));
    let mut words = words.by_ref().filter(|word| !word.is_empty()).take(32);
    words.find(|word| *word == key)?;
    let found = words.next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (found.len() <= 63 && found.chars().all(plain)).then(|| found.to_owned())
}

impl Agent {
    /// Counts and records that the watched policy is none.
    pub(super) fn refuse_unread(&mut self, unread: Unread, why: &str) {
        self.tally.refused += 1;
        let record = Record {
            id: 0,
            identity: unread.identity,
            outcome: Outcome::Refused,
            downgrade: false,
            how: How::Watch,
            by: Who::agent(),
            at: clock::wall(),
            before: None,
            source: unread.source,
            directory: false,
            files: unread.files,
            lists: std::collections::BTreeMap::new(),
            detail: None,
            confirm_by: None,
            confirmed: None,
            context: String::new(),
            connected: Vec::new(),
        };
        let noted = self.history.refused(record, why);
        self.note_history(noted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_what_is_no_policy() {
        for text in [
            "metadata: {name: web, revision: 7}\nunmatched: [",
            "metadata:\n  name: \"web\"\n  revision: 7\n  - oops",
            "{\"metadata\": {\"revision\": 7, \"name\": \"web\"}, oops",
        ] {
            assert_eq!(of_metadata(text, "name").as_deref(), Some("web"), "{text}");
            assert_eq!(of_metadata(text, "revision").as_deref(), Some("7"));
        }
        for text in ["", "metadata:", "name: x", "metadata: {name: \u{1b}[2J}"] {
            assert_eq!(of_metadata(text, "name"), None, "{text}");
        }
    }
}
