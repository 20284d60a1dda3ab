//! What the checks look at, read once.

use firewall_common::flow::Hook;
use firewall_common::verdict::Verdict;

use crate::agent::config::AgentConfig;
use crate::agent::net::{self, Link, Local};
use crate::agent::paths::Paths;
use crate::agent::state::{Agent, Settings};
use crate::agent::{candidate, kernel};
use crate::api::client::Client;
use crate::api::types::{Problem, Status};
use crate::policy::HostContext;
use crate::policy::hosts::Connected;
use crate::policy::model::Policy;

/// This host, as far as whoever asks may see it.
pub struct Look {
    /// Where things are.
    pub paths: Paths,
    /// The agent file; why it cannot be read.
    pub config: Result<AgentConfig, String>,
    /// What the agent says, or why it does not.
    pub agent: Result<Status, Problem>,
    /// The policy in force, or else the one that would be watched; where it was found.
    pub policy: Option<(Policy, &'static str)>,
    /// Interfaces.
    pub links: Vec<Link>,
    /// Addresses that are delivered here.
    pub locals: Vec<Local>,
    /// Networks on the links.
    pub connected: Connected,
    /// Whoever asks is root.
    pub root: bool,
}

impl Look {
    /// Looks.
    #[must_use]
    pub fn at(paths: Paths) -> Self {
        let config = AgentConfig::read_if_present(&paths.config);
        let config = config.map_err(|refusal| refusal.to_string());
        let root = rustix::process::geteuid().is_root();
        let settings = settings(&paths, config.clone().unwrap_or_default());
        let held = root.then(|| in_force(&settings)).flatten();
        let policy = held.map(|policy| (policy, "the policy in force"));
        Self {
            agent: Client::new(&paths.socket).get("/v1/status"),
            policy: policy.or_else(|| on_file(&settings)),
            links: net::links_now().unwrap_or_default(),
            locals: net::locals_now().unwrap_or_default(),
            connected: settings.connected,
            config,
            root,
            paths,
        }
    }

    /// Packets refused on arrival so far, as the pinned tables say; only root may see them.
    pub(super) fn refused(&self) -> Option<u64> {
        let settings = settings(&self.paths, self.config.clone().unwrap_or_default());
        let plane = kernel::from_pins(&settings).ok().flatten()?;
        let counts = plane.packet_counts().ok()?.into_iter();
        let refused = counts.filter(|count| {
            let verdict = matches!(count.verdict, Verdict::Dropped | Verdict::Rejected);
            verdict && count.hook == Hook::Ingress
        });
        Some(refused.map(|count| count.count.packets).sum())
    }

    /// Interfaces that are judged, by name: as the agent says, or those that are up where there is none.
    pub fn guarded(&self) -> Vec<&Link> {
        let said = |link: &&Link| match &self.agent {
            Ok(status) => status
                .interfaces
                .iter()
                .any(|line| line.index == link.index && line.state == "guarded"),
            Err(_) => !link.loopback && link.up,
        };
        self.links.iter().filter(said).collect()
    }
}

fn settings(paths: &Paths, config: AgentConfig) -> Settings {
    Settings {
        policy: config
            .policy
            .path
            .clone()
            .unwrap_or_else(|| paths.default_policy()),
        policy_named: false,
        connected: net::connected_now().unwrap_or_default(),
        only: Vec::new(),
        monitor: false,
        paths: paths.clone(),
        config,
    }
}

/// The text behind the pinned tables.
fn in_force(settings: &Settings) -> Option<Policy> {
    let plane = kernel::from_pins(settings).ok().flatten()?;
    let mut agent = Agent::reading(settings.clone(), plane).ok()?;
    agent.read_text();
    agent.current?.policy().cloned()
}

fn on_file(settings: &Settings) -> Option<(Policy, &'static str)> {
    let host = HostContext {
        connected: settings.connected.clone(),
        ..HostContext::this_host(&settings.config)
    };
    let checked = candidate::read(&settings.policy, &host).ok()?;
    Some((checked.policy, "the policy on file, which is not in force"))
}
