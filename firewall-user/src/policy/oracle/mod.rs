//! The naive interpreter: reads a packet by itself, walks the list word by word, first match decides.
//!
//! This is the contract as code, slow and plain, and the truth that the compiled form is tested against.
//! It shares nothing with the packet path but the numbers of reasons. What it leaves out: failsafe rules
//! (they are the host's, not the policy's), timeouts, TCP windows, fragments.

#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod against;
mod conditions;
mod packet;
mod world;

use std::collections::HashMap;

use firewall_common::reason::Reason;
use jiff::Timestamp;

use super::model::{Action, Mode, Policy, RoutedAction, Rule, SourceCheck};
pub use packet::{Parsed, Part, parse};
pub use world::{Way, World};

/// What the policy says about a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// Why.
    pub reason: Reason,
    /// The rule that decided: `policy/rule`, `essentials/arp`.
    pub rule: Option<String>,
    /// Does the packet go on?
    pub passes: bool,
}

/// What a place of the list says.
#[derive(Debug, Clone)]
struct Matched {
    id: String,
    action: Action,
    stateful: bool,
    default: bool,
}

/// A session: who opened it, which way, and by what rule.
#[derive(Debug, Clone)]
struct Session {
    opener: packet::End,
    way: Way,
    rule: Option<String>,
}

/// An interpreter of one policy on one host.
#[derive(Debug)]
pub struct Oracle<'p> {
    policy: &'p Policy,
    world: &'p World,
    sessions: HashMap<packet::Conversation, Session>,
}

impl<'p> Oracle<'p> {
    /// Without any session.
    #[must_use]
    pub fn new(policy: &'p Policy, world: &'p World) -> Self {
        let sessions = HashMap::new();
        Self {
            policy,
            world,
            sessions,
        }
    }

    /// Forgets all sessions.
    pub fn forget(&mut self) {
        self.sessions.clear();
    }

    /// Decides about a frame that crosses an interface.
    pub fn judge(&mut self, frame: &[u8], way: &Way, now: Timestamp) -> Ruling {
        let judged = match packet::parse(frame) {
            Err(reason) => (reason, None),
            Ok(parsed) => self.stages(&parsed, way, now),
        };
        let (reason, rule) = judged;
        let dropped = self.drops(reason);
        Ruling {
            reason,
            rule,
            passes: !dropped || self.policy.mode == Mode::Monitor,
        }
    }

    /// The host around the policy.
    #[must_use]
    pub const fn world(&self) -> &World {
        self.world
    }

    /// The zones of a packet's ends, by name; `None` for what is no packet.
    #[must_use]
    pub fn zones(&self, frame: &[u8], way: &Way) -> Option<(String, String)> {
        let parsed = packet::parse(frame).ok()?;
        let route = self.world.route(&parsed, way);
        let (from, to) = conditions::zones(self.policy, self.world, &parsed, &route);
        let name = |zone| match zone {
            conditions::In::Host => Some("host".to_owned()),
            conditions::In::Multicast => Some("multicast".to_owned()),
            conditions::In::Zone(index) => self.policy.zones.get(index).map(|z| z.name.clone()),
        };
        Some((name(from)?, name(to)?))
    }

    fn drops(&self, reason: Reason) -> bool {
        use firewall_common::reason::Outcome;
        !matches!(reason.outcome(), Outcome::Pass)
    }

    fn stages(&mut self, parsed: &Parsed, way: &Way, now: Timestamp) -> (Reason, Option<String>) {
        if let Some(reason) = self.framing(parsed, way) {
            return (reason, None);
        }
        match self.essential(parsed, way) {
            Err(reason) => return (reason, None),
            Ok(Some(word)) => return (Reason::Essential, Some(format!("essentials/{word}"))),
            Ok(None) => {}
        }
        if parsed.part == Part::Error {
            return self.related(parsed, way);
        }
        if let Some(rule) = self.session(parsed, way) {
            return (Reason::Session, rule);
        }
        self.list(parsed, way, now)
    }

    /// "What cannot be parsed, lies about itself or is spoofed is dropped with its reason."
    fn framing(&self, parsed: &Parsed, way: &Way) -> Option<Reason> {
        // What is only routed arrived somewhere too, though with an address of ours where it is masqueraded.
        if !way.arrives() && !way.is_routed() {
            return None;
        }
        let (source, destination) = (parsed.source, parsed.destination);
        if source.is_loopback() || (way.arrives() && self.world.is_own(source)) {
            return Some(Reason::SpoofedSource);
        }
        let unspecified = match source {
            std::net::IpAddr::V4(v4) => v4.octets()[0] == 0,
            std::net::IpAddr::V6(v6) => v6.is_unspecified(),
        };
        let class_e = matches!(source, std::net::IpAddr::V4(v4) if v4.octets()[0] >= 240);
        let excused = unspecified && parsed.may_be_unspecified();
        let mapped =
            |address| matches!(address, std::net::IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        let group = source.is_multicast() || class_e;
        let never = group || mapped(source) || mapped(destination) || destination.is_loopback();
        if (unspecified && !excused) || never {
            return Some(Reason::Martian);
        }
        let broadcast = way.arrives() && self.world.is_broadcast(source);
        broadcast.then_some(Reason::Martian)
    }

    /// The word of the essential that a packet is, where it is switched on.
    fn essential(&self, parsed: &Parsed, way: &Way) -> Result<Option<&'static str>, Reason> {
        let Some(word) = parsed.essential(way)? else {
            return Ok(None);
        };
        let on = &self.policy.essentials;
        let on = match word {
            "ra" => on.ra,
            "dhcp" => on.dhcp,
            "dhcpv6" => on.dhcpv6,
            "igmp" => on.igmp,
            "mld" => on.mld,
            _ => true,
        };
        Ok(on.then_some(word))
    }

    /// "A packet of a live session passes." The opener's packets cross in one direction, the others'
    /// in the other; routed ones are judged where they come first, in both.
    fn session(&self, parsed: &Parsed, way: &Way) -> Option<Option<String>> {
        let session = self.sessions.get(&parsed.conversation()?)?;
        let from_opener = session.opener == parsed.ends().0;
        // Nobody answers in the name of a group.
        if !from_opener && self.world.is_group(parsed.source) {
            return None;
        }
        let routed = self.is_routed(&session.way);
        let same_way = session.way.arrives() == way.arrives();
        (routed || from_opener == same_way).then(|| session.rule.clone())
    }

    fn is_routed(&self, way: &Way) -> bool {
        way.is_routed()
    }

    /// "… and so does an ICMP error that quotes a packet of a live session in the right direction."
    fn related(&self, parsed: &Parsed, way: &Way) -> (Reason, Option<String>) {
        let stray = (Reason::NoSession, None);
        let Some(quoted) = &parsed.quoted else {
            return stray;
        };
        let key = quoted.conversation();
        let Some(session) = key.and_then(|key| self.sessions.get(&key)) else {
            return stray;
        };
        let from_opener = session.opener == quoted.ends().0;
        let quoted_arrived = from_opener == session.way.arrives();
        let right_way = self.is_routed(&session.way) || quoted_arrived != way.arrives();
        if parsed.destination != quoted.source || !right_way {
            return stray;
        }
        (Reason::Related, session.rule.clone())
    }

    fn list(&mut self, parsed: &Parsed, way: &Way, now: Timestamp) -> (Reason, Option<String>) {
        let route = self.world.route(parsed, way);
        if self.comes_by_another_way(parsed, &route) {
            if parsed.part == Part::Opens && self.opens(Reason::Martian) {
                self.open(parsed, &route, None);
            }
            return (Reason::Martian, None);
        }
        let found = self.first_match(parsed, &route, now);
        let said = found.as_ref().and_then(|rule| said(rule, parsed.part));
        let (reason, rule) = match said {
            Some(reason) => (reason, found.map(|rule| rule.id)),
            None => {
                let matched = found.is_some();
                (self.unmatched(parsed.part, &route, matched), None)
            }
        };
        if parsed.part == Part::Opens && self.opens(reason) {
            self.open(parsed, &route, rule.clone());
        }
        (reason, rule)
    }

    /// "The route back to a source must leave by the same interface (strict), by any (loose)."
    fn comes_by_another_way(&self, parsed: &Parsed, route: &Way) -> bool {
        let Way::In { by, .. } = *route else {
            return false;
        };
        let of_no_route = match parsed.source {
            std::net::IpAddr::V4(v4) => v4.is_link_local() || v4.octets()[0] == 0,
            std::net::IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified(),
        };
        let (from, _) = conditions::zones(self.policy, self.world, parsed, route);
        let zone = match from {
            conditions::In::Zone(index) => self.policy.zones.get(index),
            _ => None,
        };
        let check = zone.map(|zone| zone.checks(self.world.several));
        let back = self.world.back(parsed.source);
        match check {
            _ if of_no_route || self.world.back.is_empty() => false,
            Some(SourceCheck::Strict) => !back.contains(&by),
            Some(SourceCheck::Loose) => back.is_empty(),
            Some(SourceCheck::Off) | None => false,
        }
    }

    /// In monitor mode "the session opens marked" also where it would be refused.
    fn opens(&self, reason: Reason) -> bool {
        match reason {
            Reason::RuleAllow | Reason::DefaultAllow | Reason::Routed => true,
            Reason::Stateless => false,
            _ => self.policy.mode == Mode::Monitor,
        }
    }

    fn open(&mut self, parsed: &Parsed, way: &Way, rule: Option<String>) {
        let Some(key) = parsed.conversation() else {
            return;
        };
        let opener = parsed.ends().0;
        let way = way.clone();
        self.sessions.insert(key, Session { opener, way, rule });
    }

    /// What nothing decided. A stray gets `no-session`, but routed ones "go by `unmatched.routed`". Where
    /// that refuses, "no policy" would be untrue of one that an allow matched and could not take.
    fn unmatched(&self, part: Part, way: &Way, matched: bool) -> Reason {
        let unmatched = &self.policy.unmatched;
        let routed = way.is_routed();
        let action = match (way.arrives(), routed) {
            (_, true) => match unmatched.routed {
                RoutedAction::Pass => return Reason::Routed,
                RoutedAction::Action(action) => action,
            },
            (true, _) => unmatched.inbound,
            (false, _) => unmatched.outbound,
        };
        match (action, part) {
            (Action::Allow, Part::Opens | Part::Stateless) => Reason::DefaultAllow,
            (Action::Allow, _) if routed => Reason::DefaultAllow,
            (_, Part::Opens) => Reason::NoPolicy,
            _ if routed && !matched => Reason::NoPolicy,
            _ => Reason::NoSession,
        }
    }

    fn first_match(&self, parsed: &Parsed, way: &Way, now: Timestamp) -> Option<Matched> {
        let ends = conditions::zones(self.policy, self.world, parsed, way);
        for block in &self.policy.blocks {
            let joins =
                conditions::joins(&block.from, ends.0) && conditions::joins(&block.to, ends.1);
            if !block.for_this_host || !joins || block.mode == Mode::Monitor {
                continue;
            }
            for rule in &block.rules {
                let counts = rule.enabled && rule.for_this_host && rule.mode == Mode::Enforce;
                let expired = rule.expires.is_some_and(|end| now >= end);
                if counts && !expired && self.matches(rule, parsed, way, now) {
                    let id = format!("{}/{}", block.name, rule.name);
                    return Some(Matched {
                        id,
                        action: rule.action,
                        stateful: rule.stateful,
                        default: false,
                    });
                }
            }
            if let Some(action) = block.default {
                return Some(Matched {
                    id: format!("{}/default", block.name),
                    action,
                    stateful: true,
                    default: true,
                });
            }
        }
        None
    }

    fn matches(&self, rule: &Rule, parsed: &Parsed, way: &Way, now: Timestamp) -> bool {
        let (source, destination) = (parsed.source, parsed.destination);
        let among =
            |field, address| conditions::among((self.policy, self.world, now), field, address);
        let interface = self.world.judged_at(way);
        rule.services
            .as_ref()
            .is_none_or(|services| services.iter().any(|s| conditions::is_service(s, parsed)))
            && rule
                .source_ports
                .as_ref()
                .is_none_or(|ports| conditions::from_port(ports, parsed))
            && rule.sources.as_ref().is_none_or(|all| among(all, source))
            && !rule
                .except_sources
                .as_ref()
                .is_some_and(|all| among(all, source))
            && rule
                .destinations
                .as_ref()
                .is_none_or(|all| among(all, destination))
            && !rule
                .except_destinations
                .as_ref()
                .is_some_and(|all| among(all, destination))
            && rule.interfaces.as_ref().is_none_or(|patterns| {
                patterns
                    .iter()
                    .any(|pattern| conditions::is_called(interface, pattern))
            })
    }
}

/// "The first match decides", in the words of the table of reasons.
fn of_rule(rule: &Matched) -> Reason {
    match (rule.action, rule.default) {
        (Action::Allow, _) if !rule.stateful => Reason::Stateless,
        (Action::Allow, false) => Reason::RuleAllow,
        (Action::Allow, true) => Reason::DefaultAllow,
        (Action::Deny, false) => Reason::RuleDeny,
        (Action::Deny, true) => Reason::DefaultDeny,
        (Action::Reject, false) => Reason::RuleReject,
        (Action::Reject, true) => Reason::DefaultReject,
    }
}

/// What the rule that matches says; nothing where a stray comes to a stateful allow.
fn said(rule: &Matched, part: Part) -> Option<Reason> {
    match (part, of_rule(rule)) {
        (Part::Opens, reason) => Some(reason),
        (Part::Stateless, Reason::RuleAllow) => Some(Reason::Stateless),
        (Part::Continues | Part::Error, Reason::RuleAllow | Reason::DefaultAllow) => None,
        (_, reason) => Some(reason),
    }
}
