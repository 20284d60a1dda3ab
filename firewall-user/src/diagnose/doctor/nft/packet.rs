//! Packets that the policy allows to this host: some for each rule.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::Look;
use crate::agent::net::{Link, LocalKind};
use crate::policy::model::{Action, Block, Ends, Mode, Policy, Rule, Service, Zone};
use crate::policy::services::protocol_word;

/// A new connection's first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::diagnose) struct Packet {
    /// The interface that it crosses.
    pub(in crate::diagnose) interface: String,
    pub(in crate::diagnose) source: IpAddr,
    pub(in crate::diagnose) destination: IpAddr,
    pub(in crate::diagnose) protocol: u8,
    /// Destination port, where the protocol has ports.
    pub(in crate::diagnose) port: Option<u16>,
    /// This host sends it; else it arrives for this host.
    pub(in crate::diagnose) leaving: bool,
}

/// A packet to be tried, and how it is named to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) packet: Packet,
    pub(super) word: String,
}

/// Protocols with ports.
const PORTS: [u8; 5] = [6, 17, 33, 132, 136];

/// For each active rule that allows something to this host: each of its services, over each guarded interface and
/// both families, from an address that it means.
pub(super) fn probes(policy: &Policy, look: &Look) -> Vec<Probe> {
    let mut all = Vec::new();
    let blocks = policy
        .blocks
        .iter()
        .filter(|b| b.for_this_host && b.to == Ends::Host);
    for block in blocks.filter(|b| b.mode == Mode::Enforce) {
        let rules = block
            .rules
            .iter()
            .filter(|rule| rule.active() && rule.action == Action::Allow);
        for rule in rules {
            for link in look.guarded() {
                all.extend(of_rule(policy, block, rule, link, look));
            }
        }
    }
    all
}

fn of_rule(policy: &Policy, block: &Block, rule: &Rule, link: &Link, look: &Look) -> Vec<Probe> {
    let named = rule.interfaces.as_ref();
    if named.is_some_and(|names| !fits(names, &link.name)) {
        return Vec::new();
    }
    let services = match &rule.services {
        Some(services) => services.clone(),
        None => vec![Service::Protocol(6)],
    };
    let mut all = Vec::new();
    for destination in own(look, link) {
        let sources = sources(policy, block, rule, &link.name);
        let Some(source) = sources
            .into_iter()
            .find(|s| s.is_ipv4() == destination.is_ipv4())
        else {
            continue;
        };
        let parts = services.iter().filter_map(|s| part(*s, source.is_ipv6()));
        all.extend(parts.map(|(protocol, port)| Probe {
            word: word(block, rule, protocol, port, source.is_ipv6()),
            packet: Packet {
                interface: link.name.clone(),
                source,
                destination,
                protocol,
                port,
                leaving: false,
            },
        }));
    }
    all
}

/// An address of each family that packets by this interface may be for.
fn own(look: &Look, link: &Link) -> Vec<IpAddr> {
    let nets = look.connected.get(&link.name).cloned().unwrap_or_default();
    let unicast = look
        .locals
        .iter()
        .filter(|local| local.kind == LocalKind::Unicast);
    let addresses: Vec<IpAddr> = unicast.map(|local| local.net.addr()).collect();
    let near = |address: &&IpAddr| nets.iter().any(|net: &IpNet| net.contains(*address));
    [false, true]
        .into_iter()
        .filter_map(|v6| {
            addresses
                .iter()
                .filter(near)
                .find(|a| a.is_ipv6() == v6)
                .copied()
        })
        .collect()
}

/// Addresses that the rule speaks of: its own sources, else those of its zones, else anybody's.
fn sources(policy: &Policy, block: &Block, rule: &Rule, interface: &str) -> Vec<IpAddr> {
    if let Some(named) = &rule.sources {
        let sets = named.sets.iter().filter_map(|set| policy.sets.get(*set));
        let all = named
            .prefixes
            .iter()
            .chain(sets.flat_map(|set| &set.members));
        return all.map(inside).collect();
    }
    let Ends::Zones { zones, .. } = &block.from else {
        return anybody();
    };
    let zones = zones.iter().filter_map(|zone| policy.zones.get(*zone));
    let here = |zone: &&Zone| !zone.has_interfaces || fits(&zone.interfaces, interface);
    let of_zone = |zone: &Zone| {
        if zone.has_cidrs {
            zone.cidrs.iter().map(inside).collect()
        } else {
            anybody()
        }
    };
    zones.filter(here).flat_map(of_zone).collect()
}

/// Addresses for documentation (RFC 5737, RFC 3849): nobody's in particular.
fn anybody() -> Vec<IpAddr> {
    vec![
        IpAddr::from([198, 51, 100, 7]),
        IpAddr::from([0x2001, 0xdb8, 0, 0x5157, 0, 0, 0, 7]),
    ]
}

fn inside(net: &IpNet) -> IpAddr {
    net.hosts().next().unwrap_or_else(|| net.addr())
}

fn fits(patterns: &[String], name: &str) -> bool {
    let glob =
        |pattern: &String| globset::Glob::new(pattern).map(|g| g.compile_matcher().is_match(name));
    patterns
        .iter()
        .any(|pattern| glob(pattern).unwrap_or(false))
}

fn part(service: Service, over_v6: bool) -> Option<(u8, Option<u16>)> {
    match service {
        Service::Ports { protocol, low, .. } => Some((protocol, Some(low))),
        Service::Icmp { v6, .. } if v6 == over_v6 => Some((if v6 { 58 } else { 1 }, None)),
        Service::Icmp { .. } => None,
        Service::Protocol(number) => Some((number, PORTS.contains(&number).then_some(40_000))),
    }
}

fn word(block: &Block, rule: &Rule, protocol: u8, port: Option<u16>, v6: bool) -> String {
    let port = port.map_or_else(String::new, |port| format!("/{port}"));
    let family = if v6 { "IPv6" } else { "IPv4" };
    format!(
        "{}/{} ({}{port}, {family})",
        block.name,
        rule.name,
        protocol_word(protocol)
    )
}
