//! Whether a policy may follow the one in force, by its name, revision and content. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a policy is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.revision`.
    pub revision: u64,
    /// SHA-256 of its files, lower-case hex.
    pub digest: String,
}

/// What the history says that matters to a candidate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// The policy in force.
    pub in_force: Option<&'a Identity>,
    /// The highest revision ever in force under the candidate's name, and its content.
    pub highest: Option<&'a Identity>,
    /// The candidate's content was rolled back.
    pub rejected: bool,
}

/// What the operator says may be done all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Allow {
    /// `--allow-older`.
    pub older: bool,
    /// `--allow-rename`.
    pub rename: bool,
    /// `--again`.
    pub again: bool,
}

/// The candidate may come into force, or is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is in force.
    Unchanged,
    /// It may follow.
    Apply {
        /// It is below the highest revision, by `--allow-older`.
        downgrade: bool,
    },
}

/// The candidate may not come into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum No {
    /// Another name than the one in force.
    Name {
        /// The candidate's.
        candidate: String,
        /// The one in force.
        in_force: String,
    },
    /// A lower revision than was in force before.
    Lower {
        /// The candidate's.
        candidate: u64,
        /// The highest so far.
        highest: u64,
    },
    /// The same revision, and not the same content.
    OtherContent {
        /// The revision.
        revision: u64,
    },
    /// This very content was rolled back.
    Rejected {
        /// Its revision.
        revision: u64,
    },
}

impl fmt::Display for No {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name {
                candidate,
                in_force,
            } => write!(
                f,
                "the policy is named `{candidate}`, and `{in_force}` is in force here: if it is meant to take its place, say --allow-rename"
            ),
            Self::Lower { candidate, highest } => write!(
                f,
                "revision {candidate} is lower than {highest}, which was in force here: raise the revision, go back with `ringwall rollback`, or say --allow-older"
            ),
            Self::OtherContent { revision } => write!(
                f,
                "revision {revision} was in force here with other content: a change needs a higher revision"
            ),
            Self::Rejected { revision } => write!(
                f,
                "this content of revision {revision} was rolled back here: apply a new revision, or say --again"
            ),
        }
    }
}

/// May `candidate` come into force?
///
/// # Errors
/// The first reason why not.
pub fn judge(candidate: &Identity, known: Known<'_>, allow: Allow) -> Result<Step, No> {
    if known.in_force == Some(candidate) {
        return Ok(Step::Unchanged);
    }
    if let Some(now) = known.in_force
        && now.name != candidate.name
        && !allow.rename
    {
        let (candidate, in_force) = (candidate.name.clone(), now.name.clone());
        return Err(No::Name {
            candidate,
            in_force,
        });
    }
    let revision = candidate.revision;
    let downgrade = match known.highest {
        Some(top) if revision < top.revision && !allow.older => {
            let highest = top.revision;
            return Err(No::Lower {
                candidate: revision,
                highest,
            });
        }
        Some(top) if revision == top.revision && candidate.digest != top.digest => {
            return Err(No::OtherContent { revision });
        }
        Some(top) => revision < top.revision,
        None => false,
    };
    if known.rejected && !allow.again {
        return Err(No::Rejected { revision });
    }
    Ok(Step::Apply { downgrade })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, revision: u64, digest: &str) -> Identity {
        let (name, digest) = (name.to_owned(), digest.to_owned());
        Identity {
            name,
            revision,
            digest,
        }
    }

    const NONE: Allow = Allow {
        older: false,
        rename: false,
        again: false,
    };
    const OLDER: Allow = Allow {
        older: true,
        ..NONE
    };
    const RENAME: Allow = Allow {
        rename: true,
        ..NONE
    };
    const AGAIN: Allow = Allow {
        again: true,
        ..NONE
    };
    const UP: Result<Step, &str> = Ok(Step::Apply { downgrade: false });
    const DOWN: Result<Step, &str> = Ok(Step::Apply { downgrade: true });
    const SAME: Result<Step, &str> = Ok(Step::Unchanged);

    #[test]
    fn the_table_of_the_contract() {
        let (seven, eight) = (id("web", 7, "g"), id("web", 8, "h"));
        let other = id("db", 1, "x");
        // candidate, in force, highest under the candidate's name, rejected, flags, outcome
        let table = [
            (id("web", 1, "a"), None, None, false, NONE, UP),
            (seven.clone(), Some(&seven), Some(&seven), false, NONE, SAME),
            (seven.clone(), Some(&seven), Some(&seven), true, NONE, SAME),
            (eight.clone(), Some(&seven), Some(&seven), false, NONE, UP),
            (
                id("web", 7, "G"),
                Some(&seven),
                Some(&seven),
                false,
                NONE,
                Err("other content"),
            ),
            (
                id("web", 7, "G"),
                Some(&seven),
                Some(&seven),
                false,
                OLDER,
                Err("other content"),
            ),
            (
                id("web", 6, "f"),
                Some(&seven),
                Some(&seven),
                false,
                NONE,
                Err("lower"),
            ),
            (
                id("web", 6, "f"),
                Some(&seven),
                Some(&seven),
                false,
                OLDER,
                DOWN,
            ),
            // Rolled back from 8 to 7: the highest is still 8.
            (
                eight.clone(),
                Some(&seven),
                Some(&eight),
                true,
                NONE,
                Err("rolled back"),
            ),
            (eight.clone(), Some(&seven), Some(&eight), true, AGAIN, UP),
            (
                id("web", 8, "H"),
                Some(&seven),
                Some(&eight),
                false,
                AGAIN,
                Err("other content"),
            ),
            (
                id("web", 9, "i"),
                Some(&seven),
                Some(&eight),
                false,
                NONE,
                UP,
            ),
            // Another name.
            (other.clone(), Some(&seven), None, false, NONE, Err("named")),
            (other.clone(), Some(&seven), None, false, RENAME, UP),
            (
                seven.clone(),
                Some(&other),
                Some(&eight),
                false,
                RENAME,
                Err("lower"),
            ),
            // After a detach nothing is in force, and the highest still counts.
            (eight.clone(), None, Some(&eight), false, NONE, UP),
            (seven.clone(), None, Some(&eight), false, NONE, Err("lower")),
        ];
        for (candidate, in_force, highest, rejected, allow, expected) in table {
            let known = Known {
                in_force,
                highest,
                rejected,
            };
            let got = judge(&candidate, known, allow);
            match (&got, expected) {
                (Ok(step), Ok(wanted)) => assert_eq!(*step, wanted, "{candidate:?} {known:?}"),
                (Err(no), Err(words)) => assert!(no.to_string().contains(words), "{no}"),
                _ => panic!("{candidate:?} {known:?} {allow:?}: {got:?}"),
            }
        }
    }
}
