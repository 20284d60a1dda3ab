//! Which zone an address is in at an interface, and why, in the words of the policy.

use std::net::IpAddr;

use ipnet::IpNet;

use super::compiled::pattern_matches;
use super::model::{Policy, Zone};

/// A zone and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub zone: String,
    /// Why.
    pub why: String,
}

impl Found {
    fn new(zone: &str, why: String) -> Self {
        let zone = zone.to_owned();
        Self { zone, why }
    }
}

/// The zone of an address that is neither this host's nor a group's, at the interface of that name.
#[must_use]
pub fn zone_of(policy: &Policy, address: IpAddr, interface: &str) -> Found {
    let zones = || {
        let all = policy.zones.iter();
        all.filter(|zone| !zone.has_interfaces || names(&zone.interfaces, interface))
    };
    let holding = |zone| longest(zone, address).map(|net| (net, zone));
    let by_prefix = zones()
        .filter_map(holding)
        // The first of equals, which `check` lets be only where they cannot meet.
        .min_by_key(|(net, _)| u8::MAX - net.prefix_len());
    if let Some(owner) = link_local_owner(policy, interface).filter(|_| {
        is_link_local(address) && by_prefix.is_none_or(|(net, _)| net.prefix_len() < 10)
    }) {
        let why = format!("a zone that names {interface} owns fe80::/10 there");
        return Found::new(&owner.name, why);
    }
    if let Some((net, zone)) = by_prefix {
        return Found::new(&zone.name, by_this_prefix(zone, net, interface));
    }
    if let Some(zone) = zones().find(|zone| zone.has_interfaces && !zone.has_cidrs) {
        return Found::new(
            &zone.name,
            format!("no prefix has it, and the zone names {interface}"),
        );
    }
    let default = policy.zones.iter().find(|zone| zone.default);
    let name = default.map_or("-", |zone| &zone.name);
    Found::new(name, "the default zone: no other has it".to_owned())
}

fn names(patterns: &[String], interface: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| pattern_matches(pattern, interface))
}

fn longest(zone: &Zone, address: IpAddr) -> Option<IpNet> {
    let holding = zone.cidrs.iter().filter(|net| net.contains(&address));
    holding.copied().max_by_key(IpNet::prefix_len)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Before others the zone that names nothing else, and last one that stands for the networks on the link.
fn link_local_owner<'p>(policy: &'p Policy, interface: &str) -> Option<&'p Zone> {
    let rank = |zone: &Zone| match zone {
        zone if zone.has_interfaces && names(&zone.interfaces, interface) => {
            Some(u8::from(zone.has_cidrs))
        }
        zone if names(&zone.connected, interface) => Some(2),
        _ => None,
    };
    let ranked = policy
        .zones
        .iter()
        .filter_map(|zone| Some((rank(zone)?, zone)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, zone)| zone)
}

fn by_this_prefix(zone: &Zone, net: IpNet, interface: &str) -> String {
    let at = if zone.has_interfaces {
        format!(", at {interface}")
    } else {
        String::new()
    };
    format!("{net} is the longest prefix of a zone that has it{at}")
}
