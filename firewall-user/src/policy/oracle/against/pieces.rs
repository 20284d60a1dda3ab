//! The prover's pieces against the interpreter: the example of each piece is decided by the rule that the
//! piece says, so every rule that can be hit is hit; and no packet hits one that no piece has.

use std::collections::BTreeSet;

use firewall_common::flow::Hook;
use firewall_common::reason::Reason;
use firewall_common::tables::Route;
use firewall_common::zone::Course;

use super::dice::Dice;
use super::{BOOT, Pair, clock, ids, packets, policies, world};
use crate::dataplane::memory::MemoryTables;
use crate::policy::compile::compile;
use crate::policy::compiled::{Compiled, Numbers};
use crate::policy::lint;
use crate::policy::model::Policy;
use crate::policy::oracle::{Oracle, Way, World};
use crate::policy::space::{Case, Query, Space, Target};

/// A host that has just what the example of a piece needs.
fn host(case: &Case, course: Course) -> (World, Way) {
    let mut world = World::default();
    world.interfaces.insert(1, case.names.0.clone());
    world.interfaces.insert(2, case.names.1.clone());
    world.routes.push(("0.0.0.0/0".parse().unwrap(), 2));
    world.routes.push(("::/0".parse().unwrap(), 2));
    let way = match course {
        Course::Inbound => {
            world.own.insert(case.packet.destination);
            Way::arriving(1)
        }
        Course::Outbound => {
            world.own.insert(case.packet.source);
            Way::Out { by: 2, from: None }
        }
        Course::Routed if case.leaving => Way::Out {
            by: 2,
            from: Some(1),
        },
        Course::Routed => Way::arriving(1),
    };
    (world, way)
}

struct Checker<'p> {
    policy: &'p Policy,
    compiled: &'p Compiled,
    tables: MemoryTables,
    hit: BTreeSet<u32>,
    pieces: usize,
}

impl Checker<'_> {
    fn piece(&mut self, case: &Case, course: Course) {
        let (world, way) = host(case, course);
        let frame = case.packet.frame();
        let ruling = Oracle::new(self.policy, &world).judge(&frame, &way, clock().wall);
        let (hook, interface, came_by) = match way {
            Way::In { by, .. } => (Hook::Ingress, by, 0),
            Way::Out { by, from } => (Hook::Egress, by, from.unwrap_or(0)),
        };
        self.tables.forget();
        self.tables.clear_locals();
        world.own.iter().for_each(|own| self.tables.add_local(*own));
        self.tables.name_interface(1, &case.names.0);
        self.tables.name_interface(2, &case.names.1);
        let decision = self.tables.decide(&frame, hook, interface, came_by, BOOT);
        let said = case.matching().next();
        let rule = said.map(|index| self.compiled.rules[index as usize].counter);
        let id = rule.and_then(|counter| ids(self.compiled).get(&counter).cloned());
        // Two ends of one address class that has only one address: no packet is so.
        if case.packet.source == case.packet.destination {
            return;
        }
        // A reply's type without its request is a stray, which a stateful allow does not take.
        if ruling.reason == Reason::NoSession {
            assert!(matches!(case.packet.icmp, (0 | 14 | 129, _)) || said.is_none());
            self.hit.extend(said);
            return;
        }
        assert_eq!(ruling.rule, id, "{case:?} {course:?} {:#?}", self.policy);
        assert_eq!(decision.rule, rule.unwrap_or(0), "{case:?} {course:?}");
        self.hit.extend(said);
        self.pieces += 1;
    }

    fn all(&mut self, space: &Space<'_>) {
        let mask = space.deciding(BOOT);
        for course in [Course::Inbound, Course::Outbound, Course::Routed] {
            // Who routes multicast is not this host: what arrives for a group is for the host.
            let groups = (course != Course::Routed).then_some(Target::Groups);
            for destination in [Some(Target::All), groups].into_iter().flatten() {
                let query = Query {
                    course,
                    source: Target::All,
                    destination,
                    services: None,
                };
                for case in space.cases(&query, &mask, 100_000).unwrap() {
                    self.piece(&case, course);
                }
            }
        }
    }
}

/// The pieces leave out what the kernel would never send or route.
fn is_ordinary(address: std::net::IpAddr) -> bool {
    let known = crate::policy::space::known(address);
    let odd = known.is_unspecified() || known.is_loopback() || known.is_class_e();
    !odd && !known.is_multicast()
}

#[test]
fn every_rule_that_can_be_hit_is_hit_and_no_other() {
    let world = world();
    let (mut rules, mut pieces) = (0, 0);
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let mut policy = policies::policy(&mut dice, clock().wall);
        policy.mode = crate::policy::model::Mode::Enforce;
        let compiled = compile(&policy, &mut Numbers::default(), &clock()).unwrap();
        let mut tables = MemoryTables::with(&compiled);
        for net in ["0.0.0.0/0", "::/0"] {
            tables.add_route(
                net.parse().unwrap(),
                Route {
                    here: false,
                    interface: 2,
                },
            );
        }
        let mut checker = Checker {
            policy: &policy,
            compiled: &compiled,
            tables,
            hit: BTreeSet::new(),
            pieces: 0,
        };
        checker.all(&Space::new(&compiled));
        let deciding = lint::deciding(&compiled, BOOT).unwrap();
        rules += deciding.len();
        pieces += checker.pieces;
        let missed: Vec<u32> = deciding.difference(&checker.hit).copied().collect();
        assert!(missed.is_empty(), "{missed:?} of {policy:#?}");
        let ids: BTreeSet<String> = compiled
            .listing
            .iter()
            .filter(|l| l.index.is_some_and(|index| deciding.contains(&index)))
            .map(|l| l.id.clone())
            .collect();
        let pool = packets::Pool::new(&policy, &world);
        let mut pair = Pair::new(&policy, &world);
        for _ in 0..200 {
            let (packet, way) = pool.draw(&mut dice);
            if !is_ordinary(packet.source) || !is_ordinary(packet.destination) {
                continue;
            }
            pair.forget();
            let rule = pair.both(&packet, &way).unwrap().rule;
            let rule = rule.filter(|rule| !rule.starts_with("essentials/"));
            assert!(
                rule.iter().all(|rule| ids.contains(rule)),
                "{rule:?} by {packet:?} {way:?} in {policy:#?}"
            );
        }
    }
    println!("{rules} rules, {pieces} pieces");
}
