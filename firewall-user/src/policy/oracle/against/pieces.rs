//! The prover's pieces against the interpreter: the example of each piece is decided by the rule that the
//! piece says, so every rule that can be hit is hit.

use firewall_common::addr::Addr;
use firewall_common::zone::Course;

use super::scenes::{Names, Pair};
use super::{Judge, Seen};
use crate::policy::compiled::{Clock, Compiled};
use crate::policy::frame::Concrete;
use crate::policy::model::Policy;
use crate::policy::oracle::{Way, World};
use crate::policy::space::{Case, Query, Space, Target, known};

/// A host that has just what the example of a piece needs.
fn host(case: &Case, course: Course, (by, on): (u32, u32)) -> (World, Way) {
    let mut world = World::default();
    world.interfaces.insert(by, case.names.0.clone());
    world.interfaces.insert(on, case.names.1.clone());
    world.routes.push(("0.0.0.0/0".parse().unwrap(), on));
    world.routes.push(("::/0".parse().unwrap(), on));
    let way = match course {
        Course::Inbound => {
            world.own.insert(case.packet.destination);
            Way::arriving(by)
        }
        Course::Outbound => {
            world.own.insert(case.packet.source);
            Way::Out { by: on, from: None }
        }
        Course::Routed if case.leaving => Way::Out {
            by: on,
            from: Some(by),
        },
        Course::Routed => Way::arriving(by),
    };
    (world, way)
}

/// No packet is so: between two ends of one address class that has only one address, or routed and
/// link-local.
fn is_nowhere(packet: &Concrete, course: Course) -> bool {
    let (source, destination) = (packet.source, packet.destination);
    let mut ends = [known(source), known(destination)].into_iter();
    let stays = course == Course::Routed && ends.any(Addr::is_link_local_v6);
    source == destination || stays
}

/// What arrives for a group is for this host, so what is routed to one is seen only as it leaves; its
/// destination's zone is the same at any interface.
fn as_leaving(case: Case) -> Case {
    if case.leaving {
        return case;
    }
    let by = case.names.0;
    Case {
        names: (by.clone(), by),
        leaving: true,
        ..case
    }
}

struct Checker<'c, J> {
    judge: &'c mut J,
    policy: &'c Policy,
    compiled: &'c Compiled,
    clock: &'c Clock,
    names: Names,
    seen: &'c mut Seen,
}

impl<J: Judge> Checker<'_, J> {
    fn piece(&mut self, case: &Case, course: Course) -> Result<(), String> {
        let said = case.matching().next();
        let rule = said.and_then(|index| self.compiled.rules.get(index as usize));
        let id = rule.and_then(|rule| self.names.rule(rule.counter));
        if is_nowhere(&case.packet, course) {
            self.seen.nowhere.extend(id);
            return Ok(());
        }
        let (world, way) = host(case, course, self.judge.gateway());
        self.judge.enter(&world)?;
        let (policy, now) = (self.policy, self.clock.wall);
        let mut pair = Pair::new(policy, self.compiled, &world, now, &mut *self.judge);
        let ruling = pair.both(&case.packet, &way)?;
        self.seen.add(&pair.finish()?);
        // A reply's type without its request is a stray, which a stateful allow does not take: then no rule
        // decides.
        let stray = ruling.rule.is_none();
        let is_reply = matches!(case.packet.icmp, (0 | 14 | 129, _));
        if ruling.rule != id && !(stray && is_reply) {
            return Err(format!("{case:?} {course:?}: {ruling:?}, not {id:?}"));
        }
        self.seen.ids.extend(id);
        Ok(())
    }

    fn course(&mut self, space: &Space<'_>, course: Course) -> Result<(), String> {
        let mask = space.deciding(self.clock.boot);
        for destination in [Target::All, Target::Groups] {
            let query = Query {
                course,
                source: Target::All,
                destination,
                services: None,
            };
            let to_group = matches!(destination, Target::Groups);
            for case in space.cases(&query, &mask, 100_000).unwrap() {
                let case = if to_group && course == Course::Routed {
                    as_leaving(case)
                } else {
                    case
                };
                self.piece(&case, course)?;
            }
        }
        Ok(())
    }
}

/// A packet of each piece.
pub(super) fn all(
    judge: &mut impl Judge,
    policy: &Policy,
    compiled: &Compiled,
    clock: &Clock,
    seen: &mut Seen,
) -> Result<(), String> {
    let mut checker = Checker {
        judge,
        policy,
        compiled,
        clock,
        names: Names::new(compiled),
        seen,
    };
    let space = Space::whole(policy, compiled);
    let mut courses = [Course::Inbound, Course::Outbound, Course::Routed].into_iter();
    courses.try_for_each(|course| checker.course(&space, course))
}
