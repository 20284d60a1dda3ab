//! Which rule decides about a packet, asked of the live program.

use std::net::IpAddr;
use std::sync::Arc;

use firewall_common::flow::{Hook, Tuple};
use firewall_common::reason::Reason;
use firewall_common::verdict::{Decision, Verdict};
use firewall_common::zone::Course;

use super::net::{Local, LocalKind};
use super::plane::Question;
use super::state::Agent;
use crate::api::types::{Explained, InterfaceLine, Problem, exit};
use crate::dataplane::memory::mapped;
use crate::policy::compiled::InterfacePlan;
use crate::policy::explain::{self, Chosen};
use crate::policy::frame::{Concrete, on_link};
use crate::policy::packet;
use crate::policy::space::Space;

impl Agent {
    /// Judges a packet, as operators write it, by the program and tables that are in force.
    ///
    /// # Errors
    /// It is no packet, or nothing is guarded that it could cross.
    pub fn explain(&mut self, text: &str) -> Result<Explained, Problem> {
        let input = |why: String| Problem::new(exit::INPUT, format!("{text}: {why}"));
        self.read_text();
        let Some(current) = self.in_force() else {
            packet::parse(text, &[]).map_err(|error| input(error.to_string()))?;
            return Ok(unjudged(text));
        };
        let Some(policy) = current.policy() else {
            let text = "the text of the policy in force is damaged, so packets cannot be told apart by it: apply it again";
            return Err(Problem::new(exit::NO, text));
        };
        let spec = packet::parse(text, &policy.zones).map_err(|error| input(error.to_string()))?;
        let space = Space::new(policy, &current.compiled);
        let mut chosen = explain::choose(policy, &space, &spec).map_err(input)?;
        self.as_here(&mut chosen)?;
        let plan = &current.compiled.interfaces;
        let came = self.crossed(spec.interface.as_deref(), &chosen.name_in, plan)?;
        let came = self.come_by(came, policy, &spec, &mut chosen);
        let leaves = self.crossed(spec.interface.as_deref(), &chosen.name_out, plan)?;
        let (hook, interface, came_by) = match (chosen.course, chosen.leaving) {
            (Course::Outbound, _) => (Hook::Egress, leaves, 0),
            (Course::Routed, true) => (Hook::Egress, leaves, came),
            _ => (Hook::Ingress, came, 0),
        };
        let way = match hook {
            Hook::Ingress => "in",
            Hook::Egress => "out",
        };
        let name = self.names().interfaces.remove(&interface);
        let shown = explain::text(policy, &chosen, None);
        let shown = format!("{shown} {way} {}", name.unwrap_or_default());
        let frame = chosen.packet.frame();
        let question = Question {
            frame: &frame,
            hook,
            interface,
            came_by,
        };
        let hub = Arc::clone(&self.eyes.hub);
        let judged = hub
            .asking(tuple_of(&chosen.packet), || self.plane()?.explain(question))
            .map_err(|error| {
                let text = format!("the packet cannot be judged: {error:#}");
                Problem::new(exit::NO, text)
            })?;
        Ok(self.explained(shown, &judged))
    }

    /// `host` stands for one of this machine's own addresses.
    fn as_here(&self, chosen: &mut Chosen) -> Result<(), Problem> {
        let packet = &mut chosen.packet;
        let near = chosen.course == Course::Outbound && on_link(packet);
        let host = match chosen.course {
            Course::Inbound => &mut packet.destination,
            Course::Outbound => &mut packet.source,
            Course::Routed => return Ok(()),
        };
        let own = own(self.locals(), host.is_ipv6(), near);
        *host = own.ok_or_else(|| {
            let family = if host.is_ipv6() { "IPv6" } else { "IPv4" };
            let text =
                format!("this host has no {family} address: name a peer of the other family");
            Problem::new(exit::NO, text)
        })?;
        Ok(())
    }

    /// The interface it crosses: the one named; else a guarded one that is to zones and rules what the
    /// chosen one is; else any guarded one.
    fn crossed(
        &self,
        named: Option<&str>,
        like: &str,
        plan: &InterfacePlan,
    ) -> Result<u32, Problem> {
        if let Some(name) = named {
            let found = self.interfaces.iter().find(|line| line.name == name);
            let Some(line) = found else {
                let text = format!("there is no interface `{name}` here");
                return Err(Problem::new(exit::INPUT, text));
            };
            if line.state != "guarded" {
                let text = format!(
                    "`{name}` is not guarded ({}): whatever crosses it passes unjudged",
                    line.why
                );
                return Err(Problem::new(exit::NO, text));
            }
            return Ok(line.index);
        }
        let guarded = || self.interfaces.iter().filter(|l| l.state == "guarded");
        let wanted = plan.entry(like);
        let alike = |line: &&InterfaceLine| plan.entry(&line.name) == wanted;
        let found = guarded().find(alike).or_else(|| guarded().next());
        found.map(|line| line.index).ok_or_else(|| {
            let text = "no interface is guarded that it could cross: see `ringwall status`";
            Problem::new(exit::NO, text)
        })
    }

    fn explained(&self, packet: String, judged: &Decision) -> Explained {
        let names = self.names();
        let rule = names.rules.get(&judged.rule).cloned();
        Explained {
            action: explain::action(judged).to_owned(),
            verdict: judged.verdict.word().to_owned(),
            reason: judged.reason.word().to_owned(),
            rule: rule.or_else(|| explain::unmatched_id(judged)),
            source_zone: names.zone(judged.source_zone.0),
            destination_zone: names.zone(judged.destination_zone.0),
            packet,
            host_address: None,
        }
    }
}

fn tuple_of(packet: &Concrete) -> Tuple {
    Tuple {
        source: mapped(packet.source),
        destination: mapped(packet.destination),
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        protocol: packet.protocol,
        pad: [0; 3],
    }
}

/// One of this machine's own addresses, a global one before a link's, or `near` the other way round.
fn own(locals: &[Local], v6: bool, near: bool) -> Option<IpAddr> {
    let own = |local: &&Local| {
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
    let all = locals.iter().filter(own).map(|local| local.net.addr());
    all.min_by_key(|address| link_local(address) != near)
}

/// Without a policy everything passes.
fn unjudged(packet: &str) -> Explained {
    let reason = Reason::NoPolicyLoaded;
    Explained {
        action: "allow".to_owned(),
        verdict: Verdict::of(reason).word().to_owned(),
        reason: reason.word().to_owned(),
        rule: None,
        source_zone: "-".to_owned(),
        destination_zone: "-".to_owned(),
        packet: packet.to_owned(),
        host_address: None,
    }
}
