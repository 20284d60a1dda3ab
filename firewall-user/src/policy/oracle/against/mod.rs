//! The compiled form against the interpreter: the same packets, the same answers.

mod dice;
mod packets;
mod pieces;
mod policies;

use std::collections::{BTreeMap, BTreeSet};

use firewall_common::essential::Essential;
use firewall_common::flow::Hook;
use firewall_common::reason::Reason;
use firewall_common::tables::Route;
use firewall_common::verdict::Decision;
use firewall_common::zone::ZoneId;
use jiff::Timestamp;

use super::{Oracle, Ruling, Way, World};
use crate::dataplane::memory::MemoryTables;
use crate::policy::compile::{Mutation, compile, with_mutation};
use crate::policy::compiled::{Clock, Compiled, Numbers};
use crate::policy::frame::{Concrete, SEQUENCE};
use crate::policy::model::{Mode, Policy};
use dice::Dice;

const BOOT: u64 = 1_000_000_000_000_000;

fn clock() -> Clock {
    Clock {
        boot: BOOT,
        wall: "2027-01-01T00:00:00Z".parse().unwrap(),
    }
}

fn world() -> World {
    let interfaces = (1..).zip(policies::INTERFACES.map(str::to_owned));
    let own = ["10.0.0.1", "192.0.2.1", "2001:db8::1", "fd00::1", "fe80::1"];
    let routes = [
        ("0.0.0.0/0", 1),
        ("10.0.0.0/8", 2),
        ("10.1.0.0/16", 3),
        ("::/0", 1),
        ("fd00::/8", 4),
        ("fe80::/10", 2),
    ];
    World {
        interfaces: interfaces.collect(),
        own: own.map(|a| a.parse().unwrap()).into(),
        broadcasts: ["10.0.0.255".parse().unwrap()].into(),
        routes: routes.map(|(net, by)| (net.parse().unwrap(), by)).into(),
    }
}

/// Both sides of the comparison, for one policy.
struct Pair<'p> {
    oracle: Oracle<'p>,
    tables: MemoryTables,
    ids: BTreeMap<u32, String>,
    zones: BTreeMap<ZoneId, String>,
    seen: Seen,
}

/// What was seen on the way.
#[derive(Debug, Default)]
struct Seen {
    packets: usize,
    openings: usize,
    allowed: usize,
    rules: BTreeSet<String>,
    reasons: BTreeMap<Reason, usize>,
}

fn tables(compiled: &Compiled, world: &World) -> MemoryTables {
    let mut tables = MemoryTables::with(compiled);
    for (index, name) in &world.interfaces {
        tables.name_interface(*index, name);
    }
    world.own.iter().for_each(|own| tables.add_local(*own));
    world
        .broadcasts
        .iter()
        .for_each(|all| tables.add_broadcast(*all));
    for (net, interface) in &world.routes {
        let route = Route {
            here: false,
            interface: *interface,
        };
        tables.add_route(*net, route);
    }
    tables
}

fn ids(compiled: &Compiled) -> BTreeMap<u32, String> {
    let rules = compiled.listing.iter().map(|l| (l.counter, l.id.clone()));
    let fixed = Essential::ALL.iter();
    let fixed = fixed.map(|e| (e.counter(), format!("essentials/{}", e.word())));
    rules.chain(fixed).collect()
}

impl<'p> Pair<'p> {
    fn new(policy: &'p Policy, world: &'p World) -> Self {
        let compiled = compile(policy, &mut Numbers::default(), &clock()).unwrap();
        Self {
            oracle: Oracle::new(policy, world),
            tables: tables(&compiled, world),
            ids: ids(&compiled),
            zones: compiled.zones.iter().cloned().collect(),
            seen: Seen::default(),
        }
    }

    fn forget(&mut self) {
        self.tables.forget();
        self.oracle.forget();
    }

    /// What both say; an error where they differ.
    fn both(&mut self, packet: &Concrete, way: &Way) -> Result<Ruling, String> {
        let frame = packet.frame();
        let (hook, interface, came_by) = match *way {
            Way::In { by, .. } => (Hook::Ingress, by, 0),
            Way::Out { by, from } => (Hook::Egress, by, from.unwrap_or(0)),
        };
        let decision = self.tables.decide(&frame, hook, interface, came_by, BOOT);
        let ruling = self.oracle.judge(&frame, way, clock().wall);
        self.note(&ruling);
        let compiled = self.ruling(&decision);
        let zones = self.oracle.zones(&frame, way);
        let by_list = decision.source_zone != ZoneId::NONE;
        let in_session = matches!(ruling.reason, Reason::Session | Reason::Related);
        if by_list && !in_session && Some(self.zones_of(&decision)) != zones {
            return Err(format!(
                "{packet:?}\n{way:?}\n{:?}\n{zones:?}",
                self.zones_of(&decision)
            ));
        }
        if compiled == ruling {
            return Ok(ruling);
        }
        Err(format!(
            "{packet:?}\n{way:?}\ncompiled: {compiled:?}\noracle:   {ruling:?}"
        ))
    }

    fn zones_of(&self, decision: &Decision) -> (String, String) {
        let name = |zone| self.zones.get(&zone).cloned().unwrap_or_default();
        (name(decision.source_zone), name(decision.destination_zone))
    }

    fn ruling(&self, decision: &Decision) -> Ruling {
        let rule = match decision.rule {
            0 => None,
            number => Some(self.ids.get(&number).cloned().unwrap_or_default()),
        };
        Ruling {
            reason: decision.reason,
            rule,
            passes: decision.passes(),
        }
    }

    fn note(&mut self, ruling: &Ruling) {
        self.seen.packets += 1;
        self.seen.allowed += usize::from(ruling.passes);
        self.seen.rules.extend(ruling.rule.clone());
        *self.seen.reasons.entry(ruling.reason).or_default() += 1;
    }

    /// A packet and, where it opened a session, what may follow it.
    fn scene(&mut self, dice: &mut Dice, packet: &Concrete, way: &Way) -> Result<(), String> {
        self.forget();
        let ruling = self.both(packet, way)?;
        self.seen.openings += 1;
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
        let back = self.back(way);
        self.both(&error_about(packet), &back)?;
        self.both(&error_about(packet), way)?;
        self.both(&reply(packet), way)?;
        self.both(&reply(packet), &back)?;
        self.both(packet, way)?;
        Ok(())
    }

    /// The way that answers take.
    fn back(&self, way: &Way) -> Way {
        match *way {
            Way::In { by, .. } => Way::Out { by, from: None },
            Way::Out { by, .. } => Way::arriving(by),
        }
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

/// So many packets, over so many policies; what was seen, or the first difference.
fn run(seed: u64, policies: usize, scenes: usize) -> Result<(Seen, usize, usize), String> {
    let world = world();
    let (mut total, mut rules, mut hit) = (Seen::default(), 0, 0);
    for number in 0..policies {
        let mut dice = Dice(seed.wrapping_add(number as u64 * 7919));
        let policy = policies::policy(&mut dice, clock().wall);
        let pool = packets::Pool::new(&policy, &world);
        let mut pair = Pair::new(&policy, &world);
        for _ in 0..scenes {
            let (packet, way) = pool.draw(&mut dice);
            let scene = pair.scene(&mut dice, &packet, &way);
            scene.map_err(|difference| format!("policy {number}: {policy:#?}\n{difference}"))?;
        }
        let active = deciding(&policy, clock().wall);
        rules += active.len();
        hit += active
            .iter()
            .filter(|id| pair.seen.rules.contains(*id))
            .count();
        total.packets += pair.seen.packets;
        total.openings += pair.seen.openings;
        total.allowed += pair.seen.allowed;
        for (reason, count) in pair.seen.reasons {
            *total.reasons.entry(reason).or_default() += count;
        }
    }
    Ok((total, rules, hit))
}

/// Rules that could decide now.
fn deciding(policy: &Policy, now: Timestamp) -> Vec<String> {
    let enforced = policy
        .blocks
        .iter()
        .filter(|b| b.for_this_host && b.mode == Mode::Enforce);
    let rules = enforced.flat_map(|block| {
        let rules = block.rules.iter().filter(move |rule| {
            let expired = rule.expires.is_some_and(|end| now >= end);
            rule.active() && rule.mode == Mode::Enforce && !expired
        });
        rules.map(|rule| format!("{}/{}", block.name, rule.name))
    });
    rules.collect()
}

/// `RINGWALL_PACKETS` asks for more.
fn wanted() -> usize {
    let asked = std::env::var("RINGWALL_PACKETS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(100_000)
}

#[test]
fn compiled_policies_decide_as_the_interpreter_does() {
    let policies = wanted() / 250;
    let (seen, rules, hit) =
        run(1, policies, 200).unwrap_or_else(|difference| panic!("{difference}"));
    println!(
        "{} packets, {} passed, {hit} of {rules} rules hit",
        seen.packets, seen.allowed
    );
    println!("{:?}", seen.reasons);
    assert!(
        seen.allowed * 3 >= seen.packets,
        "too few allowed: {seen:?}"
    );
}

#[test]
fn every_broken_compiler_is_caught() {
    for mutation in Mutation::ALL {
        let result = with_mutation(Some(*mutation), || run(1, 100, 100));
        assert!(result.is_err(), "{mutation:?} was not noticed");
    }
}

#[test]
fn ipv4_addresses_in_ipv6_packets_are_never_believed() {
    let (world, mut dice) = (world(), Dice(5));
    let policy = policies::policy(&mut dice, clock().wall);
    let mut pair = Pair::new(&policy, &world);
    let pool = packets::Pool::new(&policy, &world);
    let (packet, _) = pool.draw(&mut dice);
    for (source, destination) in [
        ("::ffff:10.0.0.7", "fd00::1"),
        ("fd00::9", "::ffff:10.0.0.1"),
    ] {
        let packet = Concrete {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            ..packet.clone()
        };
        let ruling = pair.both(&packet, &Way::arriving(1)).unwrap();
        assert_eq!(ruling.reason, Reason::Martian);
    }
}
