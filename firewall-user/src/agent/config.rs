//! `agent.yaml`: this host's own settings. Every key has a default; the file may be absent.

mod flows;
mod read;
mod sessions;
pub use sessions::parse_duration;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

pub use flows::{FlowConfig, HistoryConfig};

use crate::policy::diagnostic::Refusal;
use crate::policy::model::Service;

/// The host's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentConfig {
    /// `interfaces`.
    pub interfaces: InterfaceConfig,
    /// `roles`: role to interface names or globs.
    pub roles: BTreeMap<String, Vec<String>>,
    /// `hook`.
    pub hook: HookConfig,
    /// `labels`: what `hosts` of a policy may ask for.
    pub labels: BTreeMap<String, String>,
    /// `sessions`.
    pub sessions: SessionConfig,
    /// `own_address_from`: own addresses that others have, too.
    pub own_address_from: Vec<IpNet>,
    /// `metrics`.
    pub metrics: MetricsConfig,
    /// `failsafe`: rules before the policy, which outrank every deny.
    pub failsafe: Vec<FailsafeRule>,
    /// `policy`.
    pub policy: PolicyConfig,
    /// `flows`.
    pub flows: FlowConfig,
    /// `history`.
    pub history: HistoryConfig,
}

/// `interfaces`: names and globs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// `guard`; empty: the agent chooses.
    pub guard: Vec<String>,
    /// `ignore`: never guarded, whatever else says so.
    pub ignore: Vec<String>,
    /// `late`: what becomes of interfaces that come while the agent runs.
    pub late: Late,
}

/// `interfaces.late`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Late {
    /// Judged by the same rules as those that were there.
    #[default]
    Guard,
    /// Left alone, unless named by its plain name.
    Ignore,
}

/// `hook`: where what arrives is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookConfig {
    /// For interfaces that none of the others names.
    pub default: HookChoice,
    /// By name or glob, as written.
    pub by_interface: Vec<(String, HookChoice)>,
}

impl HookConfig {
    /// The choice for an interface: of its name, else of the first glob that matches, else the default.
    #[must_use]
    pub fn of(&self, interface: &str) -> HookChoice {
        let by_name = self.by_interface.iter().find(|(name, _)| name == interface);
        let matches = |glob: &str| {
            let glob = globset::Glob::new(glob);
            glob.is_ok_and(|glob| glob.compile_matcher().is_match(interface))
        };
        let mut by_glob = self.by_interface.iter();
        let found = by_name.or_else(|| by_glob.find(|(glob, _)| matches(glob)));
        found.map_or(self.default, |(_, choice)| *choice)
    }
}

/// A place where what arrives can be judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HookChoice {
    /// The agent chooses.
    #[default]
    Auto,
    /// TC.
    Tc,
    /// XDP in the driver.
    Xdp,
    /// XDP in the stack.
    XdpGeneric,
}

impl HookChoice {
    /// Every choice, with the word it is written by.
    pub const ALL: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("tc", Self::Tc),
        ("xdp", Self::Xdp),
        ("xdp-generic", Self::XdpGeneric),
    ];
}

/// `sessions`: table sizes and timeouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// `max`: entries of the session table.
    pub max: u32,
    /// `half_open_max`: sessions that have seen no answer.
    pub half_open_max: u32,
    /// `half_open_per_source`: of those, how many one source may have.
    pub half_open_per_source: u32,
    /// `reserve`: entries of the session table that are kept for management zones.
    pub reserve: u32,
    /// `stray`.
    pub stray: Stray,
    /// `timeouts`.
    pub timeouts: Timeouts,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            max: 262_144,
            half_open_max: 65_536,
            half_open_per_source: 128,
            reserve: 1024,
            stray: Stray::Drop,
            timeouts: Timeouts::default(),
        }
    }
}

/// `sessions.stray`: what becomes of a packet that opens nothing and belongs to nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stray {
    /// Dropped silently.
    #[default]
    Drop,
    /// Dropped, and answered with a reset.
    Reset,
    /// Taken up as a session where the list would let it open one.
    Pass,
}

/// `sessions.timeouts`: how long a silent session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the file's")]
pub struct Timeouts {
    pub tcp_syn_sent: Duration,
    pub tcp_syn_recv: Duration,
    pub tcp_established: Duration,
    pub tcp_fin_wait: Duration,
    pub tcp_time_wait: Duration,
    pub tcp_close: Duration,
    pub udp: Duration,
    pub udp_stream: Duration,
    pub icmp: Duration,
    pub other: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            tcp_syn_sent: seconds(120),
            tcp_syn_recv: seconds(60),
            tcp_established: seconds(5 * 24 * 3600),
            tcp_fin_wait: seconds(120),
            tcp_time_wait: seconds(120),
            tcp_close: seconds(10),
            udp: seconds(30),
            udp_stream: seconds(120),
            icmp: seconds(30),
            other: seconds(600),
        }
    }
}

/// `metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// `listen`.
    pub listen: SocketAddr,
    /// `max_series`: the rest goes under `other`.
    pub max_series: u32,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 10933)),
            max_series: 65_536,
        }
    }
}

/// `policy`: where the policy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyConfig {
    /// `path`; absent: `policy.yaml` or `policy.d` beside the agent file.
    pub path: Option<PathBuf>,
    /// `watch`: apply it when its revision rises.
    pub watch: bool,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            path: None,
            watch: true,
        }
    }
}

/// A rule before the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailsafeRule {
    /// Who may come.
    pub sources: Vec<IpNet>,
    /// To what.
    pub services: Vec<Service>,
}

impl FailsafeRule {
    /// Its services as keys with their lengths in bits. A rule that names none means all.
    #[must_use]
    pub fn keys(&self) -> Vec<(u32, [u8; 4])> {
        if self.services.is_empty() {
            return vec![(0, [0; 4])];
        }
        let prefixes = self
            .services
            .iter()
            .flat_map(crate::policy::compile::service_prefixes);
        prefixes
            .map(|(key, length)| (length, key.to_be_bytes()))
            .collect()
    }
}

impl AgentConfig {
    /// Reads an agent file that must exist.
    pub fn read(path: &Path) -> Result<Self, Refusal> {
        let bytes = crate::policy::source::read_regular(path, crate::policy::source::MAX_BYTES)?;
        Self::read_bytes(path, bytes)
    }

    /// Reads an agent file, or takes the defaults where there is none.
    pub fn read_if_present(path: &Path) -> Result<Self, Refusal> {
        Self::read_bytes(path, Self::bytes_if_present(path)?)
    }

    /// The bytes of an agent file; none where there is none.
    pub fn bytes_if_present(path: &Path) -> Result<Vec<u8>, Refusal> {
        use crate::policy::source::{MAX_BYTES, read_regular};
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            _ => Ok(read_regular(path, MAX_BYTES)?),
        }
    }

    /// Reads the text of an agent file; `name` is shown in errors.
    pub fn read_bytes(name: &Path, bytes: Vec<u8>) -> Result<Self, Refusal> {
        read::read(name, bytes)
    }
}
