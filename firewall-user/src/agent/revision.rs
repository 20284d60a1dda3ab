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
    /// `--allow-lockout`.
    pub lockout: bool,
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
        lockout: false,
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

    /// Candidate, in force, highest under the candidate's name, flags.
    type Case<'a> = (
        &'a Identity,
        Option<&'a Identity>,
        Option<&'a Identity>,
        Allow,
    );

    fn judged(case: Case<'_>, rejected: bool) -> Result<Step, String> {
        let (candidate, in_force, highest, allow) = case;
        let known = Known {
            in_force,
            highest,
            rejected,
        };
        judge(candidate, known, allow).map_err(|no| no.to_string())
    }

    fn expect(case: Case<'_>, rejected: bool, expected: Result<Step, &str>) {
        match (judged(case, rejected), expected) {
            (Ok(step), Ok(wanted)) => assert_eq!(step, wanted, "{case:?}"),
            (Err(no), Err(words)) => assert!(no.contains(words), "{no}"),
            (got, _) => panic!("{case:?}: {got:?}"),
        }
    }

    #[test]
    fn under_one_name_revisions_rise() {
        let (six, seven, eight) = (id("web", 6, "f"), id("web", 7, "g"), id("web", 8, "h"));
        let other_seven = id("web", 7, "G");
        let now = Some(&seven);
        expect((&six, None, None, NONE), false, UP);
        expect((&seven, now, now, NONE), false, SAME);
        expect((&seven, now, now, NONE), true, SAME);
        expect((&eight, now, now, NONE), false, UP);
        expect((&other_seven, now, now, NONE), false, Err("other content"));
        expect((&other_seven, now, now, OLDER), false, Err("other content"));
        expect((&six, now, now, NONE), false, Err("lower"));
        expect((&six, now, now, OLDER), false, DOWN);
    }

    #[test]
    fn after_a_rollback_the_highest_is_what_was_left() {
        let (seven, eight, nine) = (id("web", 7, "g"), id("web", 8, "h"), id("web", 9, "i"));
        let other_eight = id("web", 8, "H");
        let (now, top) = (Some(&seven), Some(&eight));
        expect((&eight, now, top, NONE), true, Err("rolled back"));
        expect((&eight, now, top, AGAIN), true, UP);
        expect((&other_eight, now, top, AGAIN), false, Err("other content"));
        expect((&nine, now, top, NONE), false, UP);
        // After a detach nothing is in force, and the highest still counts.
        expect((&eight, None, top, NONE), false, UP);
        expect((&seven, None, top, NONE), false, Err("lower"));
    }

    #[test]
    fn another_name_needs_a_word_and_has_its_own_revisions() {
        let (seven, eight, other) = (id("web", 7, "g"), id("web", 8, "h"), id("db", 1, "x"));
        expect((&other, Some(&seven), None, NONE), false, Err("named"));
        expect((&other, Some(&seven), None, RENAME), false, UP);
        expect(
            (&seven, Some(&other), Some(&eight), RENAME),
            false,
            Err("lower"),
        );
    }
}
