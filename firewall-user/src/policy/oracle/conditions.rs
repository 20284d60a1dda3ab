//! The conditions of blocks and rules, each as the language page puts it.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use super::packet::Parsed;
use super::world::{Way, World};
use crate::policy::model::{Addresses, Ends, Policy, Service, Zone};

/// The zone of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum In {
    Host,
    Multicast,
    Zone(usize),
}

/// The zones of a packet's two ends.
pub(super) fn zones(policy: &Policy, world: &World, parsed: &Parsed, way: &Way) -> (In, In) {
    let zone = |address, interface: u32| zone_at(policy, address, world.name(interface));
    let beyond = |interface| match parsed.destination {
        address if world.is_group(address) => In::Multicast,
        address => zone(address, interface),
    };
    match *way {
        Way::In { by, on: None } => (zone(parsed.source, by), In::Host),
        Way::In { by, on: Some(on) } => (zone(parsed.source, by), beyond(on)),
        Way::Out { by, from: None } => (In::Host, beyond(by)),
        Way::Out {
            by,
            from: Some(from),
        } => (zone(parsed.source, from), beyond(by)),
    }
}

/// "The zone with the longest matching prefix among zones whose `interfaces`, if any, include the
/// interface. Else a zone that names only the interface. Else the default zone."
fn zone_at(policy: &Policy, address: IpAddr, interface: &str) -> In {
    let mut best: Option<(u8, usize)> = None;
    for (index, zone) in policy.zones.iter().enumerate() {
        let includes = zone.has_interfaces && includes(zone, interface);
        if zone.has_interfaces && !includes {
            continue;
        }
        for net in zone.cidrs.iter().filter(|net| net.contains(&address)) {
            if best.is_none_or(|(length, _)| net.prefix_len() > length) {
                best = Some((net.prefix_len(), index));
            }
        }
    }
    // "A zone that names interfaces owns fe80::/10 there": by `interfaces`, or else by `connected`.
    let link_local = matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80);
    let owned = link_local && best.is_none_or(|(length, _)| length < 10);
    if let Some(owner) = owner(policy, interface).filter(|_| owned) {
        return In::Zone(owner);
    }
    let by_interface = || only_by_interface(policy, interface);
    let default = || policy.zones.iter().position(|zone| zone.default);
    let found = best
        .map(|(_, index)| index)
        .or_else(by_interface)
        .or_else(default);
    found.map_or(In::Host, In::Zone)
}

fn includes(zone: &Zone, interface: &str) -> bool {
    let mut patterns = zone.interfaces.iter();
    patterns.any(|pattern| is_called(interface, pattern))
}

fn only_by_interface(policy: &Policy, interface: &str) -> Option<usize> {
    let mut zones = policy.zones.iter();
    zones.position(|zone| zone.has_interfaces && !zone.has_cidrs && includes(zone, interface))
}

fn owner(policy: &Policy, interface: &str) -> Option<usize> {
    let mut zones = policy.zones.iter();
    let any = zones.position(|zone| zone.has_interfaces && includes(zone, interface));
    let linked = |zone: &Zone| zone.connected.iter().any(|p| is_called(interface, p));
    only_by_interface(policy, interface)
        .or(any)
        .or_else(|| policy.zones.iter().position(linked))
}

/// Is a zone among the ends of a block? "`any` is every zone but host."
pub(super) fn joins(ends: &Ends, zone: In) -> bool {
    match (ends, zone) {
        (Ends::Host, zone) => zone == In::Host,
        (Ends::Any, zone) => zone != In::Host,
        (Ends::Zones { multicast, .. }, In::Multicast) => *multicast,
        (Ends::Zones { zones, .. }, In::Zone(index)) => zones.contains(&index),
        (Ends::Zones { .. }, In::Host) => false,
    }
}

/// Is an address among those that a condition names?
pub(super) fn among(
    (policy, world, now): (&Policy, &World, Timestamp),
    addresses: &Addresses,
    address: IpAddr,
) -> bool {
    let sets = || {
        addresses
            .sets
            .iter()
            .filter_map(|set| policy.sets.get(*set))
    };
    let members = sets().flat_map(|set| &set.members);
    let mut all = addresses.prefixes.iter().chain(members);
    let lasts = |end: &Option<Timestamp>| end.is_none_or(|end| now < end);
    let mut dynamic = sets()
        .filter_map(|set| world.members.get(&set.name))
        .flatten();
    all.any(|net: &IpNet| net.contains(&address))
        || dynamic.any(|(net, end)| net.contains(&address) && lasts(end))
}

/// Is a packet of a service?
pub(super) fn is_service(service: &Service, parsed: &Parsed) -> bool {
    match *service {
        Service::Ports {
            protocol,
            low,
            high,
        } => {
            let port = parsed.ports.map(|(_, destination)| destination);
            parsed.protocol == protocol && port.is_some_and(|port| (low..=high).contains(&port))
        }
        Service::Icmp { v6, kind, code } => {
            let Some((own_kind, own_code)) = parsed.icmp else {
                return false;
            };
            parsed.destination.is_ipv6() == v6
                && kind.is_none_or(|kind| kind == own_kind)
                && code.is_none_or(|code| code == own_code)
        }
        Service::Protocol(protocol) => parsed.protocol == protocol,
    }
}

/// Is a packet from one of these ports?
pub(super) fn from_port(ranges: &[(u16, u16)], parsed: &Parsed) -> bool {
    let within = |port: u16| {
        ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&port))
    };
    parsed.ports.is_some_and(|(source, _)| within(source))
}

/// Does a name match a name or glob of `*`, `?` and `[…]`?
pub(super) fn is_called(name: &str, pattern: &str) -> bool {
    glob(name.as_bytes(), pattern.as_bytes())
}

fn glob(name: &[u8], pattern: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => glob(name, rest),
        (Some((b'*', rest)), Some((_, later))) => glob(name, rest) || glob(later, pattern),
        (Some((b'?', rest)), Some((_, later))) => glob(later, rest),
        (Some((b'[', rest)), Some((byte, later))) => one_of(*byte, later, rest),
        (Some((own, rest)), Some((byte, later))) => own == byte && glob(later, rest),
        _ => false,
    }
}

/// `[a-c0]`, `[!a-c]`, behind its opening bracket.
fn one_of(byte: u8, later: &[u8], pattern: &[u8]) -> bool {
    let Some(end) = pattern.iter().skip(1).position(|b| *b == b']') else {
        return false;
    };
    let (class, rest) = pattern.split_at(end + 1);
    let (negated, class) = match class.split_first() {
        Some((b'!' | b'^', class)) => (true, class),
        _ => (false, class),
    };
    let mut found = class.contains(&byte);
    for range in class
        .windows(3)
        .filter(|window| matches!(window, [_, b'-', _]))
    {
        if let [low, _, high] = range {
            found |= (*low..=*high).contains(&byte);
        }
    }
    found != negated
        && rest
            .split_first()
            .is_some_and(|(_, rest)| glob(later, rest))
}
