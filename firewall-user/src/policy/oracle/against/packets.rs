//! Packets drawn at and beside the borders of what a policy names.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::dice::Dice;
use crate::policy::frame::Concrete;
use crate::policy::model::{Addresses, Block, Ends, Policy, Rule, Service};
use crate::policy::oracle::{Way, World};

/// What packets are drawn from.
#[derive(Debug)]
pub(super) struct Pool<'p> {
    policy: &'p Policy,
    world: &'p World,
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    ports: Vec<u16>,
    services: Vec<Service>,
}

fn address(bits: u128, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(bits.into())
    } else {
        IpAddr::V4((bits as u32).into())
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// First, last, and their neighbours on the outside.
fn borders(net: &IpNet) -> [IpAddr; 4] {
    let v6 = matches!(net, IpNet::V6(_));
    let (first, last) = (bits(net.network()), bits(net.broadcast()));
    [first, last, first.wrapping_sub(1), last.wrapping_add(1)].map(|bits| address(bits, v6))
}

/// No packet of IPv6 carries an IPv4 address.
fn is_mapped(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

impl<'p> Pool<'p> {
    pub(super) fn new(policy: &'p Policy, world: &'p World) -> Self {
        let rules = || policy.blocks.iter().flat_map(|block| &block.rules);
        let lists = rules().flat_map(|rule| {
            [
                &rule.sources,
                &rule.destinations,
                &rule.except_sources,
                &rule.except_destinations,
            ]
        });
        let inline = lists.flatten().flat_map(|list| &list.prefixes);
        let sets = policy.sets.iter().flat_map(|set| &set.members);
        let zones = policy.zones.iter().flat_map(|zone| &zone.cidrs);
        let members = world.members.values().flatten().map(|(net, _)| net);
        let all = inline.chain(sets).chain(zones).chain(members);
        let all = all.flat_map(borders);
        let all: BTreeSet<IpAddr> = all
            .chain(world.own.iter().copied())
            .filter(|a| !is_mapped(a))
            .collect();
        let (v4, v6) = all.into_iter().partition(IpAddr::is_ipv4);
        let services: Vec<Service> = rules()
            .flat_map(|rule| rule.services.iter().flatten())
            .copied()
            .collect();
        let mut ports = BTreeSet::from([0, 22, 443, 40_000, 65_535]);
        let ranges = rules()
            .flat_map(|rule| rule.source_ports.iter().flatten())
            .copied();
        let named = services.iter().filter_map(|service| match service {
            Service::Ports { low, high, .. } => Some((*low, *high)),
            _ => None,
        });
        for (low, high) in named.chain(ranges) {
            ports.extend([low, high, low.wrapping_sub(1), high.wrapping_add(1)]);
        }
        Self {
            policy,
            world,
            v4,
            v6,
            ports: ports.into_iter().collect(),
            services,
        }
    }

    /// A packet and its way; half of them aimed at some rule.
    pub(super) fn draw(&self, dice: &mut Dice) -> (Concrete, Way) {
        let blocks: Vec<&Block> = self
            .policy
            .blocks
            .iter()
            .filter(|b| !b.rules.is_empty())
            .collect();
        if dice.chance(75) && !blocks.is_empty() {
            let block = *dice.pick(&blocks);
            let rule = *dice.pick(&block.rules.iter().collect::<Vec<_>>());
            return self.aimed(dice, block, rule);
        }
        let v6 = dice.chance(40);
        let way = self.way(dice, None);
        let ends = (self.end(dice, v6), self.end(dice, v6));
        let service = self.service(dice, v6);
        (self.packet(dice, ends, &way, service), way)
    }

    fn end(&self, dice: &mut Dice, v6: bool) -> IpAddr {
        let pool = if v6 { &self.v6 } else { &self.v4 };
        match dice.below(10) {
            0 if v6 => {
                *dice.pick(&["ff02::fb", "ff05::2", "fe80::77", "::"].map(|a| a.parse().unwrap()))
            }
            0 => *dice.pick(
                &["224.0.0.251", "255.255.255.255", "10.0.0.255", "0.0.0.0"]
                    .map(|a| a.parse().unwrap()),
            ),
            _ => *dice.pick(pool),
        }
    }

    fn interface(&self, dice: &mut Dice) -> u32 {
        let all: Vec<u32> = self.world.interfaces.keys().copied().collect();
        *dice.pick(&all)
    }

    fn way(&self, dice: &mut Dice, block: Option<&Block>) -> Way {
        let by = self.interface(dice);
        let from = Some(self.interface(dice));
        match block.map(|block| (&block.from, &block.to)) {
            Some((_, Ends::Host)) => Way::arriving(by),
            Some((Ends::Host, _)) => Way::Out { by, from: None },
            Some(_) if dice.chance(50) => Way::Out { by, from },
            Some(_) => Way::arriving(by),
            None if dice.chance(50) => Way::arriving(by),
            None if dice.chance(60) => Way::Out { by, from: None },
            None => Way::Out { by, from },
        }
    }

    fn service(&self, dice: &mut Dice, v6: bool) -> Service {
        if dice.chance(70) && !self.services.is_empty() {
            return *dice.pick(&self.services);
        }
        let protocol = *dice.pick(&[6, 17, 33, 132, 136]);
        match dice.below(4) {
            0 => Service::Icmp {
                v6,
                kind: Some(dice.next() as u8),
                code: None,
            },
            1 => Service::Protocol(*dice.pick(&[47, 50, 253])),
            _ => Service::Ports {
                protocol,
                low: 0,
                high: 65_535,
            },
        }
    }

    /// A packet that most likely satisfies a rule's conditions.
    fn aimed(&self, dice: &mut Dice, block: &Block, rule: &Rule) -> (Concrete, Way) {
        let way = self.way(dice, Some(block));
        let service = match &rule.services {
            Some(services) => *dice.pick(services),
            None => {
                let v6 = dice.chance(40);
                self.service(dice, v6)
            }
        };
        let v6 = match service {
            Service::Icmp { v6, .. } => v6,
            _ => dice.chance(40),
        };
        let mut source = self.like(dice, rule.sources.as_ref(), &block.from, v6);
        let mut destination = self.like(dice, rule.destinations.as_ref(), &block.to, v6);
        if source.is_ipv6() != destination.is_ipv6() {
            let v6 = dice.chance(50);
            source = if source.is_ipv6() == v6 {
                source
            } else {
                self.end(dice, v6)
            };
            destination = if destination.is_ipv6() == v6 {
                destination
            } else {
                self.end(dice, v6)
            };
        }
        let mut packet = self.packet(dice, (source, destination), &way, service);
        if let Some(ranges) = &rule.source_ports {
            let (low, high) = *dice.pick(ranges);
            packet.source_port = *dice.pick(&[low, high, high.wrapping_add(1)]);
        }
        (packet, way)
    }

    /// An address of a condition, else of a zone, else any.
    fn like(&self, dice: &mut Dice, named: Option<&Addresses>, ends: &Ends, v6: bool) -> IpAddr {
        let mut nets: Vec<&IpNet> = match (named, ends) {
            (Some(named), _) => {
                let sets = named.sets.iter().map(|set| &self.policy.sets[*set]);
                let dynamic = sets.clone();
                let dynamic = dynamic.filter_map(|set| self.world.members.get(&set.name));
                let dynamic = dynamic.flatten().map(|(net, _)| net);
                let sets = sets.flat_map(|set| &set.members);
                named.prefixes.iter().chain(sets).chain(dynamic).collect()
            }
            (None, Ends::Zones { zones, .. }) => zones
                .iter()
                .flat_map(|zone| &self.policy.zones[*zone].cidrs)
                .collect(),
            _ => Vec::new(),
        };
        if nets.iter().any(|net| matches!(net, IpNet::V6(_)) == v6) {
            nets.retain(|net| matches!(net, IpNet::V6(_)) == v6);
        }
        if nets.is_empty() || dice.chance(15) {
            return self.end(dice, v6);
        }
        let net = *dice.pick(&nets);
        let kinds = if dice.chance(80) { 2 } else { 4 };
        let found = borders(net)[dice.below(kinds)];
        if is_mapped(&found) {
            self.end(dice, true)
        } else {
            found
        }
    }

    fn packet(
        &self,
        dice: &mut Dice,
        (source, destination): (IpAddr, IpAddr),
        way: &Way,
        service: Service,
    ) -> Concrete {
        let v6 = source.is_ipv6();
        let own: Vec<IpAddr> = self
            .world
            .own
            .iter()
            .filter(|a| a.is_ipv6() == v6)
            .copied()
            .collect();
        let here = *dice.pick(&own);
        let (source, destination) = match way {
            Way::In { .. } if dice.chance(60) => (source, here),
            Way::Out { from: None, .. } if dice.chance(80) => (here, destination),
            _ => (source, destination),
        };
        let mut packet = Concrete {
            source,
            destination,
            source_port: *dice.pick(&self.ports),
            destination_port: *dice.pick(&self.ports),
            protocol: 6,
            icmp: (0, 0),
            tcp_flags: if dice.chance(85) {
                0x02
            } else {
                *dice.pick(&[0x10, 0x12, 0x04, 0x11])
            },
            tcp_numbers: (crate::policy::frame::SEQUENCE, 0),
            hop_limit: *dice.pick(&[64, 64, 255, 1]),
            payload: Vec::new(),
        };
        shape(dice, &mut packet, service);
        packet
    }
}

/// Makes a packet one of a service, or one just beside it.
fn shape(dice: &mut Dice, packet: &mut Concrete, service: Service) {
    let v6 = packet.source.is_ipv6();
    match service {
        Service::Ports {
            protocol,
            low,
            high,
        } => {
            packet.protocol = protocol;
            let near = [
                low,
                high,
                low / 2 + high / 2,
                low.wrapping_sub(1),
                high.wrapping_add(1),
            ];
            let kinds = if dice.chance(75) { 3 } else { 5 };
            packet.destination_port = near[dice.below(kinds)];
        }
        Service::Icmp { kind, code, .. } => {
            packet.protocol = if v6 { 58 } else { 1 };
            let kind = kind.unwrap_or_else(|| *dice.pick(&[0, 3, 8, 13, 128, 129, 135, 144]));
            let code = code.unwrap_or_else(|| *dice.pick(&[0, 1, 4]));
            packet.icmp = (
                kind.wrapping_add(u8::from(dice.chance(10))),
                code.wrapping_add(u8::from(dice.chance(10))),
            );
        }
        Service::Protocol(protocol) => packet.protocol = protocol,
    }
}
