//! Which rule decides about a packet, asked of the live program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use firewall_common::flow::Hook;
use firewall_common::verdict::{Decision, Verdict};
use ipnet::IpNet;

use super::net::LocalKind;
use super::state::Agent;
use crate::api::types::{Explained, Problem, exit};
use crate::policy::frame::Concrete;
use crate::policy::model::{Endpoint, PacketSpec, Zone};
use crate::policy::packet;
use crate::policy::services::protocol_word;
use crate::sessions::Names;

impl Agent {
    /// Judges a packet, as operators write it, by the program and tables that are in force.
    ///
    /// # Errors
    /// It is no packet, or nothing is guarded that it could cross.
    pub fn explain(&mut self, text: &str) -> Result<Explained, Problem> {
        let zones = self.in_force().map(|c| c.policy.zones.clone());
        let zones = zones.unwrap_or_default();
        let spec = packet::parse(text, &zones)
            .map_err(|error| Problem::new(exit::INPUT, format!("{text}: {error}")))?;
        let concrete = self.concrete(&spec, &zones)?;
        let hook = if spec.source == Endpoint::Host {
            Hook::Egress
        } else {
            Hook::Ingress
        };
        let (interface, name) = self.crossed(&spec, &zones)?;
        let names = self.names();
        let judged = self
            .plane()
            .and_then(|plane| plane.explain(&concrete.frame(), hook, interface))
            .map_err(|error| {
                Problem::new(exit::NO, format!("the packet cannot be judged: {error:#}"))
            })?;
        Ok(explained(&concrete, hook, &name, &judged, &names))
    }

    /// The guarded interface it crosses: the one named, else one of its zone's, else the first.
    fn crossed(&self, spec: &PacketSpec, zones: &[Zone]) -> Result<(u32, String), Problem> {
        let guarded = || self.interfaces.iter().filter(|l| l.state == "guarded");
        if let Some(name) = &spec.interface {
            let named = self.interfaces.iter().find(|line| line.name == *name);
            let line = named.ok_or_else(|| {
                Problem::new(exit::INPUT, format!("there is no interface `{name}` here"))
            })?;
            return Ok((line.index, line.name.clone()));
        }
        let far = if spec.source == Endpoint::Host {
            &spec.destination
        } else {
            &spec.source
        };
        let patterns = match far {
            Endpoint::Zone(index) => zones.get(*index).map(|zone| &zone.interfaces),
            _ => None,
        };
        let matches = |name: &str| {
            patterns.is_none_or(|patterns| patterns.is_empty() || any_glob(patterns, name))
        };
        guarded()
            .find(|line| matches(&line.name))
            .or_else(|| guarded().next())
            .map(|line| (line.index, line.name.clone()))
            .ok_or_else(|| {
                let text = "no interface is guarded that it could cross: see `ringwall status`";
                Problem::new(exit::NO, text)
            })
    }

    fn concrete(&self, spec: &PacketSpec, zones: &[Zone]) -> Result<Concrete, Problem> {
        let v6 = is_v6(spec, zones);
        let source = self.address(&spec.source, v6, zones);
        let destination = self.address(&spec.destination, v6, zones);
        match (source, destination) {
            (Some(source), Some(destination)) if source.is_ipv4() == destination.is_ipv4() => {
                Ok(Concrete::new(spec, source, destination))
            }
            (Some(_), Some(_)) => Err(Problem::new(
                exit::INPUT,
                "one end is IPv4 and the other IPv6",
            )),
            _ => Err(Problem::new(
                exit::NO,
                "one end has no address of that family here: name an address",
            )),
        }
    }

    fn address(&self, end: &Endpoint, v6: bool, zones: &[Zone]) -> Option<IpAddr> {
        match end {
            Endpoint::Net(net) => Some(first(net)),
            Endpoint::Host => self.own(v6),
            Endpoint::Zone(index) => {
                let zone = zones.get(*index)?;
                let fits = |net: &&IpNet| net.addr().is_ipv6() == v6;
                let known = zone.cidrs.iter().find(fits).map(first);
                known.or_else(|| (!zone.has_cidrs).then(|| stranger(v6)))
            }
            Endpoint::Any => Some(stranger(v6)),
            Endpoint::Multicast => Some(if v6 {
                IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb))
            } else {
                IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251))
            }),
        }
    }

    /// One of this machine's own addresses, a global one before a link's.
    fn own(&self, v6: bool) -> Option<IpAddr> {
        let own = |local: &&super::net::Local| {
            let address = local.net.addr();
            local.kind == LocalKind::Unicast
                && local.net.prefix_len() == local.net.max_prefix_len()
                && address.is_ipv6() == v6
                && !address.is_loopback()
        };
        let link_local = |address: &IpAddr| match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let mut all: Vec<IpAddr> = self
            .locals()
            .iter()
            .filter(own)
            .map(|l| l.net.addr())
            .collect();
        all.sort_by_key(link_local);
        all.first().copied()
    }
}

/// A packet is IPv6 where an end is, or where a zone that is an end has no other addresses.
fn is_v6(spec: &PacketSpec, zones: &[Zone]) -> bool {
    if spec.protocol == 58 {
        return true;
    }
    [&spec.source, &spec.destination]
        .into_iter()
        .any(|end| match end {
            Endpoint::Net(net) => net.addr().is_ipv6(),
            Endpoint::Zone(index) => zones.get(*index).is_some_and(|zone| {
                !zone.cidrs.is_empty() && zone.cidrs.iter().all(|net| net.addr().is_ipv6())
            }),
            _ => false,
        })
}

/// An address that stands for a prefix: its first host.
fn first(net: &IpNet) -> IpAddr {
    net.hosts().next().unwrap_or_else(|| net.addr())
}

/// An address of documentation, which is nobody's.
const fn stranger(v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 9))
    } else {
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9))
    }
}

fn any_glob(patterns: &[String], name: &str) -> bool {
    let matches = |pattern: &String| {
        globset::Glob::new(pattern).is_ok_and(|g| g.compile_matcher().is_match(name))
    };
    patterns.iter().any(matches)
}

fn explained(
    packet: &Concrete,
    hook: Hook,
    interface: &str,
    judged: &Decision,
    names: &Names,
) -> Explained {
    let action = match judged.verdict {
        Verdict::Forwarded => "allow",
        Verdict::Rejected => "reject",
        Verdict::Dropped => "deny",
        Verdict::Audit => "allow",
    };
    Explained {
        action: action.to_owned(),
        verdict: judged.verdict.word().to_owned(),
        reason: judged.reason.word().to_owned(),
        rule: (judged.rule != 0)
            .then(|| names.rules.get(&judged.rule).cloned())
            .flatten(),
        source_zone: names.zone(judged.source_zone.0),
        destination_zone: names.zone(judged.destination_zone.0),
        packet: words(packet, hook, interface),
    }
}

fn words(packet: &Concrete, hook: Hook, interface: &str) -> String {
    let ported = matches!(packet.protocol, 6 | 17 | 33 | 132 | 136);
    let end = |address: IpAddr, port: u16| match address {
        _ if !ported => address.to_string(),
        IpAddr::V4(v4) => format!("{v4}:{port}"),
        IpAddr::V6(v6) => format!("[{v6}]:{port}"),
    };
    let icmp = packet.icmp.map(|(kind, code)| {
        let v6 = packet.protocol == 58;
        format!(" {}", packet::icmp_word(v6, kind, code))
    });
    format!(
        "{} {} -> {}{} {} {interface}",
        protocol_word(packet.protocol),
        end(packet.source, packet.source_port),
        end(packet.destination, packet.destination_port),
        icmp.unwrap_or_default(),
        match hook {
            Hook::Ingress => "in",
            Hook::Egress => "out",
        }
    )
}
