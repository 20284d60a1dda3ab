//! `ringwall doctor`: can this host run it, and what else on it gets in its way. A file for each group of checks.
//!
//! Nothing is changed, and every check stands alone: what one may not see is skipped with the right that it
//! takes, and hides no other.

mod addresses;
mod agent;
mod clock;
mod drivers;
mod files;
mod floods;
mod hooks;
mod kernel;
mod look;
pub(super) mod nft;
mod rights;
mod sysctls;

use serde::Serialize;

pub use look::Look;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All is well.
    Ok,
    /// Worth knowing; nothing has to be done now.
    Warn,
    /// Something needs doing.
    Fail,
    /// It could not be seen.
    Skipped,
}

impl State {
    /// The word that users see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check: one of [`CHECKS`].
    pub id: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do, or what it would take to see it.
    pub advice: Option<String>,
}

impl Finding {
    fn ok(id: &'static str, found: impl Into<String>) -> Self {
        Self::new(id, State::Ok, found.into(), None)
    }

    fn warn(id: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(id, State::Warn, found.into(), Some(advice.into()))
    }

    fn fail(id: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(id, State::Fail, found.into(), Some(advice.into()))
    }

    fn skipped(id: &'static str, why: impl Into<String>, takes: impl Into<String>) -> Self {
        Self::new(id, State::Skipped, why.into(), Some(takes.into()))
    }

    const fn new(id: &'static str, state: State, found: String, advice: Option<String>) -> Self {
        Self {
            id,
            state,
            found,
            advice,
        }
    }
}

/// What it takes where only root may look.
const AS_ROOT: &str = "run it with sudo to see this";

/// A look at the host, as one group of checks.
type Check = fn(&Look) -> Vec<Finding>;

/// A check: its name, what it looks at, and how. Those of one group share a function, which stands at the first.
pub const CHECKS: &[(&str, &str)] = &[
    (
        "kernel",
        "the version: 6.1 at least, and what each later one adds",
    ),
    ("btf", "the kernel's type information, which loading needs"),
    (
        "jit",
        "compiled programs; interpreted ones are many times slower",
    ),
    (
        "drop-reasons",
        "whether the kernel says which handshakes it drops, and why",
    ),
    (
        "owners",
        "whether the kernel says which process connects or listens",
    ),
    ("calls", "whether calls that find no route can be seen"),
    ("lockdown", "whether the kernel keeps root from using BPF"),
    (
        "memory-lock",
        "whether tables count against a limit of locked memory",
    ),
    ("bpffs", "the file system that pins live on"),
    ("capabilities", "whether who asks could run the agent"),
    (
        "agent-capabilities",
        "whether the agent that runs has what it needs, and what it cannot see",
    ),
    ("agent", "whether it runs and answers, and what it warns of"),
    (
        "policy",
        "whether one is in force, and drops what it refuses",
    ),
    ("interfaces", "whether each that is to be guarded is"),
    (
        "drivers",
        "what the driver of each can do with XDP, and where `hook: auto` judges",
    ),
    (
        "floods",
        "whether a flood is judged at TC that a driver could have at XDP",
    ),
    ("hooks", "programs of others before and after ours, at TCX"),
    ("clsact", "filters of others in the clsact qdisc"),
    (
        "xdp",
        "programs of others at XDP, which see packets before the rest",
    ),
    (
        "nftables",
        "rules and chains that drop what the policy allows, by table and handle",
    ),
    (
        "iptables",
        "tables of the older iptables, which nftables does not show",
    ),
    (
        "addresses",
        "guarded interfaces without an address, and zones that hold an address of this host",
    ),
    ("routes", "zones that no route leads to"),
    (
        "clock",
        "whether the clock is set, and has not gone back behind the policy",
    ),
    (
        "sysctls",
        "settings of the kernel that work against the policy",
    ),
    ("settings", "the agent's file"),
    ("files", "owners and modes of what the agent reads"),
    ("disk", "room for the history"),
    ("group", "the group that may read"),
];

const GROUPS: &[Check] = &[
    kernel::check,
    rights::check,
    agent::check,
    drivers::check,
    floods::check,
    hooks::check,
    nft::check,
    addresses::check,
    clock::check,
    sysctls::check,
    files::check,
];

/// Looks at everything; one finding for each check at least, in the order of [`CHECKS`].
#[must_use]
pub fn examine(look: &Look) -> Vec<Finding> {
    let mut all: Vec<Finding> = GROUPS.iter().flat_map(|check| check(look)).collect();
    let place = |finding: &Finding| CHECKS.iter().position(|(id, _)| *id == finding.id);
    all.sort_by_key(place);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::agent::paths::Paths;

    #[test]
    fn every_check_finds_something_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::from_lookup(|name| Some(dir.path().join(name)));
        let all = examine(&Look::at(paths));
        let found: BTreeSet<&str> = all.iter().map(|finding| finding.id).collect();
        let known: BTreeSet<&str> = CHECKS.iter().map(|(id, _)| *id).collect();
        assert_eq!(found, known);
        for finding in all.iter().filter(|f| f.state != State::Ok) {
            assert!(finding.advice.is_some(), "{finding:?}");
        }
    }
}
