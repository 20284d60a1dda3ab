//! What every page ends with: exit statuses, files, environment.

use clap_mangen::roff::{Roff, bold, roman};

/// Exit statuses and their meaning.
pub(super) const STATUSES: &[(&str, &str)] = &[
    ("0", "Done, also when nothing had to change."),
    (
        "1",
        "The answer is no: a test, an assertion, a guard, a check of the revision or of the name, or --strict \
         refuses; a packet would be refused; doctor found a fault.",
    ),
    ("2", "Wrong usage, or bad input."),
    ("3", "The agent is not running, or cannot be reached."),
    ("4", "Not permitted."),
    ("5", "Applied, but gone back from."),
];

/// Files and what they are.
pub(super) const FILES: &[(&str, &str)] = &[
    (
        "/etc/ringwall/agent.yaml",
        "This host's own settings: interfaces, labels, table sizes, timeouts, the failsafe. It may be absent.",
    ),
    (
        "/etc/ringwall/policy.yaml, /etc/ringwall/policy.d/*.yaml",
        "The policy. It is watched: a changed one is checked, and applied if its revision has risen.",
    ),
    (
        "/var/lib/ringwall",
        "The revisions kept on this host, and what became of them.",
    ),
    (
        "/run/ringwall/ringwall.sock",
        "The control socket. Members of the group ringwall may read; only root may change anything.",
    ),
    (
        "/sys/fs/bpf/ringwall",
        "Pinned programs and tables. They go on enforcing without an agent, until ringwall detach.",
    ),
];

/// Variables and what they do.
pub(super) const ENVIRONMENT: &[(&str, &str)] = &[
    ("RINGWALL_CONFIG", "The agent file, in another place."),
    ("RINGWALL_SOCKET", "The control socket, in another place."),
    (
        "RINGWALL_STATE_DIR",
        "The state directory, in another place.",
    ),
    (
        "RINGWALL_BPF_DIR",
        "The directory of pins, in another place.",
    ),
    ("NO_COLOR", "If it is not empty, no colours are used."),
];

/// The sections.
pub(super) fn common() -> Roff {
    let mut roff = Roff::new();
    for (title, rows) in [
        ("EXIT STATUS", STATUSES),
        ("FILES", FILES),
        ("ENVIRONMENT", ENVIRONMENT),
    ] {
        roff.control("SH", [title]);
        for (word, meaning) in rows {
            roff.control("TP", []);
            roff.text([bold(*word)]);
            roff.text([roman(*meaning)]);
        }
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::paths::Paths;

    #[test]
    fn the_files_are_those_that_the_program_works_with() {
        let listed = |path: &std::path::Path| {
            let wanted = path.to_string_lossy().into_owned();
            FILES
                .iter()
                .any(|(place, _)| place.split(", ").any(|p| p == wanted))
        };
        let usual = Paths::from_lookup(|_| None);
        for path in [&usual.config, &usual.socket, &usual.state, &usual.bpf] {
            assert!(listed(path), "{}", path.display());
        }
    }
}
