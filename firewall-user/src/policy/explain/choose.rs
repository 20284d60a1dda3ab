//! Addresses and interfaces for what a packet's text leaves open.

use std::net::IpAddr;

use firewall_common::zone::{Course, INTERFACE_CLASSES};

use super::Chosen;
use crate::policy::frame::{Concrete, on_link};
use crate::policy::model::{Addresses, Block, Endpoint, Ends, PacketSpec, Policy, Rule, Zone};
use crate::policy::space::{Class, Space};

/// This host's addresses, of no other meaning; the second where the first is the peer's.
const HOST: [[&str; 2]; 2] = [["192.0.2.1", "192.0.2.2"], ["2001:db8::1", "2001:db8::2"]];
/// Addresses of a link: this host's, and those of who else is there.
const ON_LINK: [[&str; 2]; 2] = [["fe80::1", "fe80::2"], ["fe80::9", "fe80::a"]];
/// So many of this host's own addresses are tried, of those that rules name.
const TRIED: usize = 64;

/// Chooses addresses and interfaces for what a packet's text leaves open: a zone's packet really is in
/// that zone, `host` is an address of no other meaning.
///
/// # Errors
/// Why there is no such packet.
pub fn choose(policy: &Policy, space: &Space<'_>, spec: &PacketSpec) -> Result<Chosen, String> {
    let mut families = families(spec).into_iter();
    let found = families.find_map(|v6| of_family(policy, space, spec, v6).transpose());
    found.unwrap_or_else(|| Err("no address at this interface is in the zone".to_owned()))
}

/// The same in one family; `None` where there is no such packet in it.
///
/// # Errors
/// No interface would see it.
pub(in crate::policy) fn of_family(
    policy: &Policy,
    space: &Space<'_>,
    spec: &PacketSpec,
    v6: bool,
) -> Result<Option<Chosen>, String> {
    let course = match (&spec.source, &spec.destination) {
        (Endpoint::Host, Endpoint::Host) => {
            return Err("packets from host to host cross no interface".to_owned());
        }
        (Endpoint::Host, _) => Course::Outbound,
        (_, Endpoint::Host) => Course::Inbound,
        _ => Course::Routed,
    };
    let named = |leaving: bool| match &spec.interface {
        Some(name) if spec.leaving == leaving => vec![name.as_str()],
        _ => space
            .interfaces
            .iter()
            .map(|(name, _)| name.as_str())
            .collect(),
    };
    let finder = Finder {
        zones: &policy.zones,
        space,
    };
    let source = finder.first(&spec.source, &named(false), v6);
    let destination = finder.first(&spec.destination, &named(true), v6);
    let (Some((name_in, source)), Some((name_out, destination))) = (source, destination) else {
        return Ok(None);
    };
    let mut chosen = Chosen {
        packet: Concrete::new(spec, source, destination),
        course,
        name_in: name_in.to_owned(),
        name_out: name_out.to_owned(),
        leaving: spec.leaving || course == Course::Outbound,
    };
    if on_link(&chosen.packet) {
        finder.stay_on_link(spec, &mut chosen);
    }
    tell_apart(&mut chosen);
    Ok(Some(chosen))
}

/// Nobody sends to itself over a wire: where `host` would be its peer, it is another address.
fn tell_apart(chosen: &mut Chosen) {
    let Concrete {
        source,
        destination,
        ..
    } = &mut chosen.packet;
    if source != destination {
        return;
    }
    let host = match chosen.course {
        Course::Outbound => source,
        _ => destination,
    };
    let mut others = HOST.iter().chain(&ON_LINK).flatten();
    let others = others.by_ref().filter_map(|other| other.parse().ok());
    let mut others = others.filter(|other: &IpAddr| other.is_ipv6() == host.is_ipv6());
    if let Some(other) = others.find(|other| other != host) {
        *host = other;
    }
}

/// The packet with each of this host's addresses that rules name, of those that are about it.
pub(super) fn with_named_hosts(policy: &Policy, chosen: &Chosen) -> Vec<Chosen> {
    let peer = match chosen.course {
        Course::Inbound => chosen.packet.source,
        Course::Outbound => chosen.packet.destination,
        Course::Routed => return Vec::new(),
    };
    let mut named = Vec::new();
    let of_course = |block: &&Block| match chosen.course {
        Course::Inbound => block.to == Ends::Host,
        _ => block.from == Ends::Host,
    };
    for rule in { policy.blocks.iter() }
        .filter(of_course)
        .flat_map(|block| &block.rules)
    {
        let addresses = match chosen.course {
            Course::Inbound => &rule.destinations,
            _ => &rule.sources,
        };
        let own = |address: &IpAddr| address.is_ipv6() == peer.is_ipv6() && *address != peer;
        let all = addresses.iter().flat_map(|a| some_of(policy, a));
        for address in all.filter(own).filter(|_| Rule::active(rule)) {
            if named.len() < TRIED && !named.contains(&address) {
                named.push(address);
            }
        }
    }
    let with = |address: IpAddr| {
        let mut other = chosen.clone();
        match chosen.course {
            Course::Outbound => other.packet.source = address,
            _ => other.packet.destination = address,
        }
        other
    };
    named.into_iter().map(with).collect()
}

/// An address of each prefix, and some of each set.
fn some_of<'p>(policy: &'p Policy, addresses: &'p Addresses) -> impl Iterator<Item = IpAddr> + 'p {
    let sets = addresses
        .sets
        .iter()
        .filter_map(|set| policy.sets.get(*set));
    let members = sets.flat_map(|set| set.members.iter().take(TRIED / 8));
    addresses.prefixes.iter().chain(members).map(of_net)
}

/// The families that a packet can be of, the likelier first.
fn families(spec: &PacketSpec) -> Vec<bool> {
    let of = |end: &Endpoint| match end {
        Endpoint::Net(net) => Some(net.addr().is_ipv6()),
        _ => None,
    };
    match (of(&spec.source).or(of(&spec.destination)), spec.protocol) {
        (Some(v6), _) => vec![v6],
        (_, 58) => vec![true],
        (_, 1) => vec![false],
        _ => vec![false, true],
    }
}

struct Finder<'s, 'c> {
    zones: &'s [Zone],
    space: &'s Space<'c>,
}

impl Finder<'_, '_> {
    /// The first interface at which an end can be, and an address of it.
    fn first<'n>(&self, end: &Endpoint, names: &[&'n str], v6: bool) -> Option<(&'n str, IpAddr)> {
        let at = |name: &&'n str| Some((*name, self.address(end, name, v6)?));
        names.iter().find_map(at)
    }

    fn address(&self, end: &Endpoint, interface: &str, v6: bool) -> Option<IpAddr> {
        match end {
            Endpoint::Net(net) => Some(of_net(net)),
            Endpoint::Host => HOST.get(usize::from(v6))?.first()?.parse().ok(),
            Endpoint::Multicast if v6 => "ff02::fb".parse().ok(),
            Endpoint::Multicast => "224.0.0.251".parse().ok(),
            Endpoint::Zone(index) => {
                let name = &self.zones.get(*index)?.name;
                self.in_zone(name, interface, v6)
            }
            Endpoint::Any => {
                let default = self.zones.iter().find(|zone| zone.default)?;
                let in_default = self.in_zone(&default.name, interface, v6);
                in_default.or_else(|| self.space.unicast_example(v6))
            }
        }
    }

    fn in_zone(&self, name: &str, interface: &str, v6: bool) -> Option<IpAddr> {
        let mut classes = self.space.unicast().iter();
        let found = classes.find(|class| class.v6 == v6 && self.is_in(class, name, interface));
        found.map(|class| class.example)
    }

    fn is_in(&self, class: &Class, name: &str, interface: &str) -> bool {
        let compiled = self.space.compiled;
        let mut zones = compiled.zones.iter();
        let Some((number, _)) = zones.find(|(_, known)| known == name) else {
            return false;
        };
        let at = compiled.interfaces.entry(interface).class as usize & (INTERFACE_CLASSES - 1);
        class.entry.zones.get(at) == Some(&number.0)
    }

    /// What the link's neighbours say to each other comes from an address of the link, where that is left open and
    /// the zone has such addresses.
    fn stay_on_link(&self, spec: &PacketSpec, chosen: &mut Chosen) {
        let [host, neighbour] = ON_LINK.map(|all| all.first().and_then(|one| one.parse().ok()));
        let (Some(host), Some(neighbour)): (Option<IpAddr>, Option<IpAddr>) = (host, neighbour)
        else {
            return;
        };
        let in_zone = |zone: Option<&Zone>| {
            let classes = self.space.within(&neighbour.into());
            let mut classes = classes.iter();
            zone.is_some_and(|zone| {
                classes.any(|class| self.is_in(class, &zone.name, &chosen.name_in))
            })
        };
        chosen.packet.source = match &spec.source {
            Endpoint::Host => host,
            Endpoint::Zone(index) if in_zone(self.zones.get(*index)) => neighbour,
            Endpoint::Any => neighbour,
            _ => return,
        };
    }
}

/// The address, or the first of a network that a host can have.
fn of_net(net: &ipnet::IpNet) -> IpAddr {
    net.hosts().next().unwrap_or(net.addr())
}
