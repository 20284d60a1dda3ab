//! Where things are, and what moves them elsewhere.

use std::path::{Path, PathBuf};

/// The places an agent works in. Several agents in several network namespaces of one machine differ in these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The agent file (`RINGWALL_CONFIG`).
    pub config: PathBuf,
    /// The control socket (`RINGWALL_SOCKET`).
    pub socket: PathBuf,
    /// Revisions and their outcome (`RINGWALL_STATE_DIR`).
    pub state: PathBuf,
    /// Pins (`RINGWALL_BPF_DIR`).
    pub bpf: PathBuf,
}

impl Paths {
    /// The usual places, moved by the environment.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from_lookup(|name| std::env::var_os(name).map(PathBuf::from))
    }

    pub(crate) fn from_lookup(lookup: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let or = |name: &str, usual: &str| {
            lookup(name)
                .filter(|path| !path.as_os_str().is_empty())
                .unwrap_or_else(|| PathBuf::from(usual))
        };
        Self {
            config: or("RINGWALL_CONFIG", "/etc/ringwall/agent.yaml"),
            socket: or("RINGWALL_SOCKET", "/run/ringwall/ringwall.sock"),
            state: or("RINGWALL_STATE_DIR", "/var/lib/ringwall"),
            bpf: or("RINGWALL_BPF_DIR", "/sys/fs/bpf/ringwall"),
        }
    }

    /// The policy's place where no setting names one: `policy.yaml` beside the agent file, or `policy.d`.
    #[must_use]
    pub fn default_policy(&self) -> PathBuf {
        let beside = self
            .config
            .parent()
            .unwrap_or_else(|| Path::new("/etc/ringwall"));
        let file = beside.join("policy.yaml");
        let directory = beside.join("policy.d");
        if !file.exists() && directory.is_dir() {
            directory
        } else {
            file
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_moves_each_place_and_emptiness_does_not() {
        let usual = Paths::from_lookup(|_| None);
        assert_eq!(usual.socket, Path::new("/run/ringwall/ringwall.sock"));
        let moved = Paths::from_lookup(|name| {
            Some(PathBuf::from(if name == "RINGWALL_SOCKET" {
                "/tmp/s"
            } else {
                ""
            }))
        });
        assert_eq!(moved.socket, Path::new("/tmp/s"));
        assert_eq!(moved.state, usual.state);
    }

    #[test]
    fn a_directory_of_policies_is_taken_where_there_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::from_lookup(|_| Some(dir.path().join("agent.yaml")));
        assert_eq!(paths.default_policy(), dir.path().join("policy.yaml"));
        std::fs::create_dir(dir.path().join("policy.d")).unwrap();
        assert_eq!(paths.default_policy(), dir.path().join("policy.d"));
        std::fs::write(dir.path().join("policy.yaml"), "").unwrap();
        assert_eq!(paths.default_policy(), dir.path().join("policy.yaml"));
    }
}
