//! Which rule decides about a packet, and why, by a policy's file alone.

mod choose;

use std::net::IpAddr;

use firewall_common::config::{FIRST_FAILSAFE_COUNTER, FIRST_RULE_COUNTER};
use firewall_common::essential::Essential;
use firewall_common::flow::Hook;
use firewall_common::reason::{Outcome, Reason};
use firewall_common::tables::Route;
use firewall_common::verdict::{Decision, Verdict};
use firewall_common::zone::{Course, ZoneId};
use serde::Serialize;

use super::compile::{CompileError, compile};
use super::compiled::{Clock, Compiled, Numbers};
use super::frame::Concrete;
use super::model::{Endpoint, PacketSpec, Policy};
use super::packet;
use super::space::Space;
use crate::agent::config::FailsafeRule;
use crate::dataplane::memory::MemoryTables;
pub use choose::choose;
pub(super) use choose::of_family;

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
    /// This host's address that it was judged with, where the rule that decided asks for one.
    pub host_address: Option<String>,
}

impl Explanation {
    /// Did a rule of the list decide, rather than a default or what comes before the list?
    fn by_a_rule(&self) -> bool {
        let before = ["essentials/", "failsafe/", "unmatched/"];
        let named = |rule: &String| {
            !rule.ends_with("/default") && !before.iter().any(|word| rule.starts_with(word))
        };
        self.rule.as_ref().is_some_and(named)
    }
}

/// Judges a packet by a policy and a host's failsafe rules, without any session, with full buckets.
///
/// # Errors
/// The policy does not compile, or there is no such packet.
pub fn from_file(
    policy: &Policy,
    spec: &PacketSpec,
    failsafe: &[FailsafeRule],
    clock: &Clock,
) -> Result<Explanation, Vec<CompileError>> {
    let compiled = compile(policy, &mut Numbers::default(), clock)?;
    let mut judge = Judge::new(policy, &compiled).with_failsafe(failsafe);
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

    /// With the rules of a host's agent file, which come before the list.
    #[must_use]
    pub fn with_failsafe(mut self, rules: &[FailsafeRule]) -> Self {
        for rule in rules {
            self.tables.add_failsafe(&rule.sources, &rule.keys());
        }
        self
    }

    /// Judges a packet at a time, nanoseconds since boot by the clock of the compilation. Where no rule decides
    /// about an address of this host that has no other meaning, those that rules name are tried.
    ///
    /// # Errors
    /// Why there is no such packet.
    pub fn judge(&mut self, spec: &PacketSpec, now: u64) -> Result<Explanation, String> {
        let mut found = self.judge_all(spec, now)?.into_iter();
        let first = found.next().ok_or("there is no such packet")?;
        if first.by_a_rule() || first.reason == Reason::Essential.word() {
            return Ok(first);
        }
        Ok(found.find(Explanation::by_a_rule).unwrap_or(first))
    }

    /// What is decided with an address of this host that has no other meaning, then with each that rules name.
    ///
    /// # Errors
    /// Why there is no such packet.
    pub fn judge_all(&mut self, spec: &PacketSpec, now: u64) -> Result<Vec<Explanation>, String> {
        let chosen = choose(self.policy, &self.space, spec)?;
        let others = choose::with_named_hosts(self.policy, &chosen);
        let mut all = vec![self.decide(spec, &chosen, now)];
        for other in others {
            let own = match other.course {
                Course::Outbound => other.packet.source,
                _ => other.packet.destination,
            };
            all.push(Explanation {
                host_address: Some(own.to_string()),
                ..self.decide(spec, &other, now)
            });
        }
        Ok(all)
    }

    /// Judges a packet with everything chosen.
    pub(super) fn decide(&mut self, spec: &PacketSpec, chosen: &Chosen, now: u64) -> Explanation {
        self.prepare(chosen);
        let (hook, interface, came_by) = match (chosen.course, chosen.leaving) {
            (Course::Outbound, _) => (Hook::Egress, OUT, 0),
            (Course::Routed, true) => (Hook::Egress, OUT, IN),
            _ => (Hook::Ingress, IN, 0),
        };
        let frame = chosen.packet.frame();
        let decision = self.tables.decide(&frame, hook, interface, came_by, now);
        told(self.policy, self.space.compiled, spec, chosen, &decision)
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
        rule: rule_id(compiled, decision.rule).or_else(|| unmatched_id(decision)),
        source_zone: zone(decision.source_zone),
        destination_zone: zone(decision.destination_zone),
        interface: spec.interface.clone(),
        host_address: None,
    }
}

/// The name of the rule with a counter.
#[must_use]
pub fn rule_id(compiled: &Compiled, counter: u32) -> Option<String> {
    let mut essentials = Essential::ALL.iter();
    if let Some(found) = essentials.find(|essential| essential.counter() == counter) {
        return Some(format!("essentials/{}", found.word()));
    }
    if (FIRST_FAILSAFE_COUNTER..FIRST_RULE_COUNTER).contains(&counter) {
        return Some(format!("failsafe/{}", counter - FIRST_FAILSAFE_COUNTER + 1));
    }
    let mut listing = compiled.listing.iter();
    let found = listing.find(|listed| listed.counter == counter && counter != 0);
    found.map(|listed| listed.id.clone())
}

/// What decides where no rule does, as listings name it. The zones tell whose packet it is: that to a group, which
/// arrives, is this host's.
#[must_use]
pub fn unmatched_id(decision: &Decision) -> Option<String> {
    let unmatched = matches!(
        decision.reason,
        Reason::NoPolicy | Reason::DefaultAllow | Reason::Routed
    );
    let course = match (decision.source_zone, decision.destination_zone) {
        (ZoneId::HOST, _) => Course::Outbound,
        (_, ZoneId::HOST) => Course::Inbound,
        _ => Course::Routed,
    };
    (unmatched && decision.rule == 0).then(|| format!("unmatched/{}", course_word(course)))
}

/// The key of `unmatched`.
#[must_use]
pub const fn course_word(course: Course) -> &'static str {
    match course {
        Course::Inbound => "inbound",
        Course::Outbound => "outbound",
        Course::Routed => "routed",
    }
}

/// The action that a decision amounts to, also where nothing is enforced.
#[must_use]
pub fn action(decision: &Decision) -> &'static str {
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

#[cfg(test)]
mod tests;
