//! `agent.yaml`: this host's own settings. Every key has a default; the file may be absent.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::policy::model::Service;

/// The host's settings.
#[derive(Debug, Clone, Default)]
pub struct AgentConfig {
    /// `labels`.
    pub labels: BTreeMap<String, String>,
    /// `roles`.
    pub roles: BTreeMap<String, Vec<String>>,
    /// `failsafe`.
    pub failsafe: Vec<FailsafeRule>,
}

/// A rule before the policy, which outranks every deny.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailsafeRule {
    /// Who may come.
    pub sources: Vec<IpNet>,
    /// To what.
    pub services: Vec<Service>,
}
