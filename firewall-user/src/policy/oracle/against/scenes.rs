//! Both sides side by side, and packets that belong together.

use std::collections::BTreeMap;

use firewall_common::essential::Essential;
use firewall_common::reason::Reason;
use firewall_common::verdict::Decision;
use firewall_common::zone::ZoneId;
use jiff::Timestamp;

use super::dice::Dice;
use super::{Judge, Seen};
use crate::policy::compiled::Compiled;
use crate::policy::frame::{Concrete, SEQUENCE};
use crate::policy::model::Policy;
use crate::policy::oracle::{Oracle, Ruling, Way, World};

/// The names behind a decision's numbers.
pub(super) struct Names {
    rules: BTreeMap<u32, String>,
    zones: BTreeMap<ZoneId, String>,
}

impl Names {
    pub(super) fn new(compiled: &Compiled) -> Self {
        let rules = compiled.listing.iter().map(|l| (l.counter, l.id.clone()));
        let fixed = Essential::ALL.iter();
        let fixed = fixed.map(|e| (e.counter(), format!("essentials/{}", e.word())));
        Self {
            rules: rules.chain(fixed).collect(),
            zones: compiled.zones.iter().cloned().collect(),
        }
    }

    pub(super) fn rule(&self, counter: u32) -> Option<String> {
        (counter != 0).then(|| self.rules.get(&counter).cloned().unwrap_or_default())
    }

    fn zones(&self, decision: &Decision) -> (String, String) {
        let name = |zone| self.zones.get(&zone).cloned().unwrap_or_default();
        (name(decision.source_zone), name(decision.destination_zone))
    }

    fn ruling(&self, decision: &Decision) -> Ruling {
        Ruling {
            reason: decision.reason,
            rule: self.rule(decision.rule),
            passes: decision.passes(),
        }
    }
}

/// Both sides of the comparison, for one policy on one host.
pub(super) struct Pair<'p, J> {
    oracle: Oracle<'p>,
    judge: &'p mut J,
    names: Names,
    now: Timestamp,
    seen: Seen,
}

impl<'p, J: Judge> Pair<'p, J> {
    /// The policy must be in force at the judge already, on that host.
    pub(super) fn new(
        policy: &'p Policy,
        compiled: &Compiled,
        world: &'p World,
        now: Timestamp,
        judge: &'p mut J,
    ) -> Self {
        Self {
            oracle: Oracle::new(policy, world),
            judge,
            names: Names::new(compiled),
            now,
            seen: Seen::default(),
        }
    }

    pub(super) fn forget(&mut self) -> Result<(), String> {
        self.oracle.forget();
        self.judge.forget()
    }

    pub(super) fn finish(mut self) -> Result<Seen, String> {
        self.forget()?;
        Ok(self.seen)
    }

    /// What both say; an error where they differ.
    pub(super) fn both(&mut self, packet: &Concrete, way: &Way) -> Result<Ruling, String> {
        let frame = packet.frame();
        let ruling = self.oracle.judge(&frame, way, self.now);
        self.seen.note(&ruling);
        let about = |what: String| format!("{packet:?}\n{way:?}\n{what}");
        let decision = self.judge.decide(&frame, way).map_err(about)?;
        let zones = self.oracle.zones(&frame, way);
        let (compiled, between) = (
            self.names.ruling(&decision),
            Some(self.names.zones(&decision)),
        );
        let by_list = decision.source_zone != ZoneId::NONE;
        let in_session = matches!(ruling.reason, Reason::Session | Reason::Related);
        if compiled != ruling || (by_list && !in_session && between != zones) {
            return Err(about(format!(
                "compiled: {compiled:?} {between:?}\noracle:   {ruling:?} {zones:?}"
            )));
        }
        Ok(ruling)
    }

    /// A packet and, where it opened a session, what may follow it.
    pub(super) fn scene(
        &mut self,
        dice: &mut Dice,
        packet: &Concrete,
        way: &Way,
    ) -> Result<(), String> {
        self.forget()?;
        let ruling = self.both(packet, way)?;
        let opened = matches!(
            ruling.reason,
            Reason::RuleAllow | Reason::DefaultAllow | Reason::Routed
        );
        // Of a packet to its own sender nobody can tell which way it goes, and what this host sends to
        // an address of its own crosses no wire.
        let inside = !way.arrives() && self.oracle.world().is_own(packet.destination);
        if !opened || packet.source == packet.destination || inside || !dice.chance(40) {
            return Ok(());
        }
        let back = back(way);
        self.both(&error_about(packet), &back)?;
        self.both(&error_about(packet), way)?;
        self.both(&reply(packet), way)?;
        self.both(&reply(packet), &back)?;
        self.both(packet, way)?;
        Ok(())
    }
}

/// The way that answers take.
fn back(way: &Way) -> Way {
    match *way {
        Way::In { by, .. } => Way::Out { by, from: None },
        Way::Out { by, .. } => Way::arriving(by),
    }
}

fn reply(packet: &Concrete) -> Concrete {
    let (kind, code) = packet.icmp;
    let answer = match kind {
        8 if packet.protocol == 1 => 0,
        13 if packet.protocol == 1 => 14,
        128 if packet.protocol == 58 => 129,
        other => other,
    };
    let icmp = packet.protocol == 1 || packet.protocol == 58;
    let (source_port, destination_port) = match icmp {
        true => (packet.source_port, 0),
        false => (packet.destination_port, packet.source_port),
    };
    Concrete {
        source: packet.destination,
        destination: packet.source,
        source_port,
        destination_port,
        icmp: (answer, code),
        tcp_flags: 0x12,
        tcp_numbers: (5_000, SEQUENCE + 1),
        ..packet.clone()
    }
}

/// Destination unreachable, from the other end.
fn error_about(packet: &Concrete) -> Concrete {
    let (protocol, kind) = if packet.source.is_ipv6() {
        (58, 1)
    } else {
        (1, 3)
    };
    Concrete {
        protocol,
        icmp: (kind, 1),
        payload: packet.frame()[14..].to_vec(),
        ..reply(packet)
    }
}
