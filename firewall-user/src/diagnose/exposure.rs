//! `ringwall exposure`: what listens here and what is published, held against the policy: who may come to what, by
//! which rule; rules that open what nobody answers; and what no rule speaks of. Pure: sockets and policy come in.

use std::net::IpAddr;

use serde::Serialize;

use crate::agent::config::FailsafeRule;
use crate::policy::model::{Action, Block, Ends, Mode, Policy, Rule, Service};
use crate::policy::services::protocol_word;

/// Something that answers at a port of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Open {
    /// TCP or UDP, by number.
    #[serde(skip)]
    pub protocol: u8,
    /// Where it listens.
    pub address: IpAddr,
    /// Its port, as packets arrive for it.
    pub port: u16,
    /// The last of several ports that are published by one rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_port: Option<u16>,
    /// Where it is sent to, where the port is published for a container: `172.17.0.2:80`.
    pub published_to: Option<String>,
    /// Who holds the socket, where that can be seen.
    pub process: Option<String>,
}

/// Who may come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The zone, or `failsafe`.
    pub zone: String,
    /// `all` of it, or `some`: the rule asks for more than the zone and the port.
    pub who: &'static str,
    /// The rule that lets them in.
    pub rule: String,
}

/// Something that answers, and who may come to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exposed {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// What answers.
    #[serde(flatten)]
    pub open: Open,
    /// From where it is reachable; empty: from nowhere.
    pub reachable: Vec<Reach>,
    /// No rule names its port: a default decides.
    pub unmentioned: bool,
}

/// A rule that opens what nobody answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Idle {
    /// The rule.
    pub rule: String,
    /// What it opens: `tcp/443`.
    pub service: String,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exposure {
    /// What answers.
    pub open: Vec<Exposed>,
    /// Rules that open what nobody answers.
    pub idle: Vec<Idle>,
}

/// Holds what answers against the policy; without one everything is reachable.
#[must_use]
pub fn expose(policy: Option<&Policy>, failsafe: &[FailsafeRule], open: &[Open]) -> Exposure {
    let exposed = open.iter().map(|one| of(policy, failsafe, one));
    Exposure {
        open: exposed.collect(),
        idle: policy.map(|policy| idle(policy, open)).unwrap_or_default(),
    }
}

fn of(policy: Option<&Policy>, failsafe: &[FailsafeRule], open: &Open) -> Exposed {
    let mut reachable: Vec<Reach> = Vec::new();
    let covered = |rule: &&FailsafeRule| {
        rule.services.is_empty()
            || rule
                .services
                .iter()
                .any(|service| covers(*service, open).is_some())
    };
    reachable.extend(failsafe.iter().filter(covered).map(|rule| Reach {
        zone: "failsafe".to_owned(),
        who: "some",
        rule: sources(rule),
    }));
    match policy {
        None => reachable.push(Reach {
            zone: "any".to_owned(),
            who: "all",
            rule: "no policy is in force".to_owned(),
        }),
        Some(policy) => {
            let zones = 0..policy.zones.len();
            reachable.extend(zones.flat_map(|zone| from_zone(policy, zone, open)));
        }
    }
    Exposed {
        protocol: protocol_word(open.protocol),
        open: open.clone(),
        unmentioned: policy.is_some_and(|policy| !is_mentioned(policy, open)),
        reachable,
    }
}

fn sources(rule: &FailsafeRule) -> String {
    let all: Vec<String> = rule.sources.iter().map(ToString::to_string).collect();
    format!("failsafe from {}", all.join(", "))
}

/// The list as a packet from a zone meets it: each rule in order, until one decides about all of it.
fn from_zone(policy: &Policy, zone: usize, open: &Open) -> Vec<Reach> {
    let name = policy.zones.get(zone).map(|zone| zone.name.clone());
    let name = name.unwrap_or_default();
    let monitors = policy.mode == Mode::Monitor;
    let mut reach = Vec::new();
    let mut let_in = |who, action, rule: String| {
        if action == Action::Allow {
            reach.push(Reach {
                zone: name.clone(),
                who,
                rule,
            });
        }
    };
    if monitors {
        let_in("all", Action::Allow, "the policy only monitors".to_owned());
        return reach;
    }
    for block in blocks(policy).filter(|block| includes(&block.from, zone)) {
        for rule in block.rules.iter().filter(|rule| decides(rule)) {
            let Some(whole) = matches(rule, open) else {
                continue;
            };
            let who = if whole { "all" } else { "some" };
            let_in(who, rule.action, format!("{}/{}", block.name, rule.name));
            if whole {
                return reach;
            }
        }
        if let Some(action) = block.default {
            let_in("all", action, format!("{}/default", block.name));
            return reach;
        }
    }
    let_in(
        "all",
        policy.unmatched.inbound,
        "unmatched/inbound".to_owned(),
    );
    reach
}

fn blocks(policy: &Policy) -> impl Iterator<Item = &Block> {
    let here = |block: &&Block| block.for_this_host && block.mode == Mode::Enforce;
    policy
        .blocks
        .iter()
        .filter(here)
        .filter(|block| block.to == Ends::Host)
}

fn includes(from: &Ends, zone: usize) -> bool {
    match from {
        Ends::Any => true,
        Ends::Zones { zones, .. } => zones.contains(&zone),
        Ends::Host => false,
    }
}

fn decides(rule: &Rule) -> bool {
    let expired = rule.expires.is_some_and(|at| at <= jiff::Timestamp::now());
    rule.active() && rule.mode == Mode::Enforce && !expired
}

/// Does a rule speak of this port? And of all that may come to it, or does it ask for more?
fn matches(rule: &Rule, open: &Open) -> Option<bool> {
    let whole = match &rule.services {
        None => true,
        Some(all) => {
            let covered = all.iter().filter_map(|service| covers(*service, open));
            covered.reduce(|one, other| one || other)?
        }
    };
    let more = [
        &rule.sources,
        &rule.destinations,
        &rule.except_sources,
        &rule.except_destinations,
    ];
    let narrow = more.iter().any(|one| one.is_some());
    Some(whole && !narrow && rule.interfaces.is_none() && rule.source_ports.is_none())
}

/// Does a service speak of these ports: of all of them, or of some?
fn covers(service: Service, open: &Open) -> Option<bool> {
    let (first, last) = (open.port, open.last_port.unwrap_or(open.port));
    let (protocol, whole) = match service {
        Service::Ports {
            protocol,
            low,
            high,
        } if low <= last && first <= high => (protocol, low <= first && last <= high),
        Service::Protocol(protocol) => (protocol, true),
        Service::Ports { .. } | Service::Icmp { .. } => return None,
    };
    (protocol == open.protocol).then_some(whole)
}

fn is_mentioned(policy: &Policy, open: &Open) -> bool {
    let rules = blocks(policy).flat_map(|block| &block.rules);
    let mut rules = rules.filter(|rule| decides(rule));
    rules.any(|rule| {
        let services = rule.services.iter().flatten();
        let mut ports = services.filter(|service| matches!(service, Service::Ports { .. }));
        ports.any(|service| covers(*service, open).is_some())
    })
}

fn idle(policy: &Policy, open: &[Open]) -> Vec<Idle> {
    let mut all = Vec::new();
    for block in blocks(policy) {
        let opens = block
            .rules
            .iter()
            .filter(|rule| decides(rule) && rule.action == Action::Allow);
        for rule in opens {
            let services = rule.services.iter().flatten();
            let silent = services.filter_map(|service| silent(*service, open));
            all.extend(silent.map(|service| Idle {
                rule: format!("{}/{}", block.name, rule.name),
                service,
            }));
        }
    }
    all
}

/// A service of ports where nobody answers, by its word.
fn silent(service: Service, open: &[Open]) -> Option<String> {
    let Service::Ports {
        protocol,
        low,
        high,
    } = service
    else {
        return None;
    };
    // Who listens for other protocols cannot be listed.
    let known = matches!(protocol, 6 | 17);
    let range = if low == high {
        low.to_string()
    } else {
        format!("{low}-{high}")
    };
    let answered = open.iter().any(|one| covers(service, one).is_some());
    (known && !answered).then(|| format!("{}/{range}", protocol_word(protocol)))
}
