//! Which rule decides about a packet, and why, by a policy's file alone.

use std::net::IpAddr;

use firewall_common::essential::Essential;
use firewall_common::flow::Hook;
use firewall_common::reason::Outcome;
use firewall_common::tables::Route;
use firewall_common::verdict::{Decision, Verdict};
use firewall_common::zone::{Course, INTERFACE_CLASSES, ZoneId};
use serde::Serialize;

use super::compile::{CompileError, compile};
use super::compiled::{Clock, Compiled, Numbers};
use super::frame::Concrete;
use super::model::{Endpoint, PacketSpec, Policy, Zone};
use super::packet;
use super::space::{Class, Space};
use crate::dataplane::memory::MemoryTables;

/// Numbers of the two interfaces that packets cross in these tables.
const IN: u32 = 1;
const OUT: u32 = 2;

/// What is decided about a packet and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The packet that was judged: an example where the one asked about left something open.
    pub packet: String,
    /// `forwarded`, `dropped`, `rejected` or `audit`.
    pub verdict: String,
    /// `allow`, `deny` or `reject`.
    pub action: String,
    /// The reason's word.
    pub reason: String,
    /// The rule that decided, if one did.
    pub rule: Option<String>,
    /// Zone of the sender.
    pub source_zone: String,
    /// Zone of the addressee.
    pub destination_zone: String,
    /// The interface that it was judged at, where one was named.
    pub interface: Option<String>,
}

/// Judges a packet by a policy, without any session, with full buckets.
///
/// # Errors
/// The policy does not compile, or there is no such packet.
pub fn from_file(
    policy: &Policy,
    spec: &PacketSpec,
    clock: &Clock,
) -> Result<Explanation, Vec<CompileError>> {
    let compiled = compile(policy, &mut Numbers::default(), clock)?;
    let mut judge = Judge::new(policy, &compiled);
    judge.judge(spec, clock.boot).map_err(|message| {
        let (span, help) = (None, None);
        vec![CompileError {
            message,
            span,
            help,
        }]
    })
}

/// A packet with everything chosen that its text leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The packet.
    pub packet: Concrete,
    /// To this host, from it, or neither.
    pub course: Course,
    /// The interface it comes in by.
    pub name_in: String,
    /// The interface it leaves by.
    pub name_out: String,
    /// Judged on the way out.
    pub leaving: bool,
}

/// Judges packets by a compiled policy alone, each on a host that has just what the packet needs.
#[derive(Debug)]
pub struct Judge<'p> {
    /// The compiled policy's view of all packets.
    pub space: Space<'p>,
    policy: &'p Policy,
    tables: MemoryTables,
}

impl<'p> Judge<'p> {
    /// Fills tables of its own.
    #[must_use]
    pub fn new(policy: &'p Policy, compiled: &'p Compiled) -> Self {
        let mut tables = MemoryTables::with(compiled);
        let route = Route {
            here: false,
            interface: OUT,
        };
        let all = ["0.0.0.0/0", "::/0"];
        for net in all.iter().filter_map(|net| net.parse().ok()) {
            tables.add_route(net, route);
        }
        Self {
            space: Space::new(policy, compiled),
            policy,
            tables,
        }
    }

    /// Judges a packet at a time, nanoseconds since boot by the clock of the compilation.
    ///
    /// # Errors
    /// Why there is no such packet.
    pub fn judge(&mut self, spec: &PacketSpec, now: u64) -> Result<Explanation, String> {
        let chosen = choose(self.policy, &self.space, spec)?;
        self.prepare(&chosen);
        let (hook, interface, came_by) = match (chosen.course, chosen.leaving) {
            (Course::Outbound, _) => (Hook::Egress, OUT, 0),
            (Course::Routed, true) => (Hook::Egress, OUT, IN),
            _ => (Hook::Ingress, IN, 0),
        };
        let frame = chosen.packet.frame();
        let decision = self.tables.decide(&frame, hook, interface, came_by, now);
        let compiled = self.space.compiled;
        Ok(told(self.policy, compiled, spec, &chosen, &decision))
    }

    fn prepare(&mut self, chosen: &Chosen) {
        let tables = &mut self.tables;
        tables.forget();
        tables.clear_locals();
        tables.name_interface(IN, &chosen.name_in);
        tables.name_interface(OUT, &chosen.name_out);
        match chosen.course {
            Course::Inbound => tables.add_local(chosen.packet.destination),
            Course::Outbound => tables.add_local(chosen.packet.source),
            Course::Routed => {}
        }
    }
}

fn told(
    policy: &Policy,
    compiled: &Compiled,
    spec: &PacketSpec,
    chosen: &Chosen,
    decision: &Decision,
) -> Explanation {
    let zone = |id: ZoneId| {
        let mut zones = compiled.zones.iter();
        let found = zones.find(|(number, _)| *number == id);
        found.map_or_else(|| "none".to_owned(), |(_, name)| name.clone())
    };
    Explanation {
        packet: text(policy, chosen, spec.interface.clone()),
        verdict: decision.verdict.word().to_owned(),
        action: action(decision).to_owned(),
        reason: decision.reason.word().to_owned(),
        rule: rule_id(compiled, decision.rule),
        source_zone: zone(decision.source_zone),
        destination_zone: zone(decision.destination_zone),
        interface: spec.interface.clone(),
    }
}

/// The name of the rule with a counter.
#[must_use]
pub fn rule_id(compiled: &Compiled, counter: u32) -> Option<String> {
    let mut essentials = Essential::ALL.iter();
    if let Some(found) = essentials.find(|essential| essential.counter() == counter) {
        return Some(format!("essentials/{}", found.word()));
    }
    let mut listing = compiled.listing.iter();
    let found = listing.find(|listed| listed.counter == counter && counter != 0);
    found.map(|listed| listed.id.clone())
}

/// The action that a decision amounts to, also where nothing is enforced.
fn action(decision: &Decision) -> &'static str {
    match (decision.verdict, decision.reason.outcome()) {
        (Verdict::Rejected, _) | (_, Outcome::Reject) => "reject",
        (Verdict::Forwarded, _) | (_, Outcome::Pass) => "allow",
        _ => "deny",
    }
}

/// The packet in the language's own words.
#[must_use]
pub fn text(policy: &Policy, chosen: &Chosen, interface: Option<String>) -> String {
    let packet = &chosen.packet;
    let end = |address: IpAddr, host: bool| match host {
        true => Endpoint::Host,
        false => Endpoint::Net(address.into()),
    };
    let ported = firewall_common::packet::protocol::has_ports(packet.protocol);
    let icmp = matches!(packet.protocol, 1 | 58).then_some(packet.icmp);
    let spec = PacketSpec {
        protocol: packet.protocol,
        source: end(packet.source, chosen.course == Course::Outbound),
        source_port: ported.then_some(packet.source_port),
        destination: end(packet.destination, chosen.course == Course::Inbound),
        destination_port: ported.then_some(packet.destination_port),
        icmp,
        interface,
        leaving: chosen.leaving,
    };
    packet::display(&spec, &policy.zones).to_string()
}

/// Chooses addresses and interfaces for what a packet's text leaves open: a zone's packet really is in
/// that zone, `host` is an address of no other meaning.
///
/// # Errors
/// Why there is no such packet.
pub fn choose(policy: &Policy, space: &Space<'_>, spec: &PacketSpec) -> Result<Chosen, String> {
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
    for v6 in families(spec) {
        let source = finder.first(&spec.source, &named(false), v6);
        let destination = finder.first(&spec.destination, &named(true), v6);
        if let (Some((name_in, source)), Some((name_out, destination))) = (source, destination) {
            return Ok(Chosen {
                packet: Concrete::new(spec, source, destination),
                course,
                name_in: name_in.to_owned(),
                name_out: name_out.to_owned(),
                leaving: spec.leaving || course == Course::Outbound,
            });
        }
    }
    Err("no address at this interface is in the zone".to_owned())
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
            Endpoint::Host if v6 => "2001:db8::1".parse().ok(),
            Endpoint::Host => "192.0.2.1".parse().ok(),
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
        let compiled = self.space.compiled;
        let mut zones = compiled.zones.iter();
        let (number, _) = zones.find(|(_, known)| known == name)?;
        let class = compiled.interfaces.entry(interface).class as usize;
        let is_in = |found: &&Class| {
            let zone = found.entry.zones.get(class & (INTERFACE_CLASSES - 1));
            found.v6 == v6 && zone == Some(&number.0)
        };
        self.space
            .unicast()
            .iter()
            .find(is_in)
            .map(|class| class.example)
    }
}

/// The address, or the first of a network that a host can have.
fn of_net(net: &ipnet::IpNet) -> IpAddr {
    net.hosts().next().unwrap_or(net.addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{HEAD, clock, policy};

    const RULES: &str = "
policies:
  - name: storage
    from: backend
    to: host
    rules:
      - {name: iscsi, action: allow, services: [tcp/3260]}
  - name: mdns
    from: host
    to: [multicast, vpn]
    rules:
      - {name: dns, action: reject, services: [udp/5353]}
";

    fn explained(text: &str, mode: &str) -> Result<Explanation, Vec<CompileError>> {
        let zones = "backend: {interfaces: ['bond0.*'], cidrs: [10.20.0.0/16]}, vpn: {interfaces: [wg0]}, internet:";
        let head = HEAD.replace("internet:", zones);
        let policy = policy(&format!("{head}{RULES}{mode}"));
        let spec = packet::parse(text, &policy.zones).unwrap();
        from_file(&policy, &spec, &clock())
    }

    fn told(text: &str) -> (String, Option<String>, String, String) {
        let found = explained(text, "").unwrap();
        (
            found.reason,
            found.rule,
            found.source_zone,
            found.destination_zone,
        )
    }

    fn words(
        reason: &str,
        rule: &str,
        from: &str,
        to: &str,
    ) -> (String, Option<String>, String, String) {
        let rule = (!rule.is_empty()).then(|| rule.to_owned());
        (reason.to_owned(), rule, from.to_owned(), to.to_owned())
    }

    #[test]
    fn a_zone_stands_for_one_of_its_addresses_at_one_of_its_interfaces() {
        let iscsi = words("rule-allow", "storage/iscsi", "backend", "host");
        assert_eq!(told("tcp backend -> host:3260"), iscsi);
        assert_eq!(told("tcp 10.20.0.7 -> host:3260 in bond0.20"), iscsi);
        let elsewhere = words("no-policy", "", "lan", "host");
        assert_eq!(told("tcp 10.20.0.7 -> host:3260 in eth0"), elsewhere);
        assert_eq!(
            told("udp host -> vpn:5353"),
            words("rule-reject", "mdns/dns", "host", "vpn")
        );
        assert_eq!(told("udp host -> [fe80::7]:5353 out wg0").3, "vpn");
    }

    #[test]
    fn groups_routed_traffic_and_framing_are_judged_too() {
        assert_eq!(
            told("udp host -> multicast:5353"),
            words("rule-reject", "mdns/dns", "host", "multicast")
        );
        assert_eq!(
            told("udp host -> [ff02::fb]:5353").1.as_deref(),
            Some("mdns/dns")
        );
        assert_eq!(
            told("tcp lan -> internet:443"),
            words("routed", "", "lan", "internet")
        );
        assert_eq!(told("tcp 127.0.0.1 -> host:22").0, "spoofed-source");
        assert!(packet::parse("tcp host -> host:22", &[]).is_err());
    }

    #[test]
    fn what_is_monitored_says_what_would_be_done() {
        let found = explained("tcp internet -> host:22", "mode: monitor\n").unwrap();
        assert_eq!(
            (found.verdict.as_str(), found.action.as_str()),
            ("audit", "deny")
        );
        assert_eq!(found.packet, "tcp 203.0.113.9:50000 -> host:22");
    }
}
