//! What becomes of a rule's packets: whether it decides about any, and whether it matters that it does.

use std::collections::BTreeSet;

use firewall_common::config::Fallback;
use firewall_common::policy::rule::STATELESS;
use firewall_common::zone::{Course, ZoneId};

use crate::policy::compile::{Cell, View};
use crate::policy::compiled::Compiled;
use crate::policy::model::Policy;
use crate::policy::search::{Among, Exhausted, Index, Met, Says, Search, decides};
use crate::policy::space::{Query, Space, Target};

/// What was seen of a rule.
#[derive(Debug, Clone, Default)]
pub(super) struct Sight {
    /// It may decide at all: it is neither expired nor in monitor mode.
    pub(super) counts: bool,
    /// There is a packet that it decides about.
    pub(super) decides: bool,
    /// There is a packet that would fare otherwise without it.
    pub(super) matters: bool,
    /// Where it never decides: rules that decide before it where it matches.
    pub(super) before: BTreeSet<u32>,
    /// Where it does not matter: rules that would decide in its place.
    pub(super) behind: BTreeSet<u32>,
}

/// What becomes of a packet: by rule or by what nothing decided.
#[derive(PartialEq, Eq)]
enum Effect {
    Rule(u8, bool),
    Pass,
}

fn effect(compiled: &Compiled, rule: Option<u32>, course: Course) -> Effect {
    if let Some(rule) = rule.and_then(|index| compiled.rules.get(index as usize)) {
        return Effect::Rule(rule.action, rule.flags & STATELESS != 0);
    }
    let fallback = compiled.head.unmatched.get(course as usize);
    match Fallback::from_number(fallback.copied().unwrap_or(1)) {
        Fallback::Pass => Effect::Pass,
        other => Effect::Rule(other as u8, false),
    }
}

/// Looks at one rule after the other.
pub(super) struct Looker<'c> {
    compiled: &'c Compiled,
    space: Space<'c>,
    search: Search,
    index: [Index; 2],
    /// By rule: its cells, by family.
    cells: Vec<[std::ops::Range<usize>; 2]>,
    now: u64,
    /// Work left for all rules, and allowed for one.
    most: (u64, u64),
}

impl<'c> Looker<'c> {
    pub(super) fn new(policy: &Policy, compiled: &'c Compiled, now: u64, most: (u64, u64)) -> Self {
        let mut view = View::of(policy, compiled);
        view.keep(|rule| decides(compiled, rule, now));
        let [v4, v6] = &view.cells;
        let of = |cells: &[Cell], rule: u32| {
            let first = cells.partition_point(|cell| cell.rule < rule);
            first..cells.partition_point(|cell| cell.rule <= rule)
        };
        let rules = 0..compiled.rules.len() as u32;
        Self {
            compiled,
            space: Space::new(policy, compiled),
            index: [Index::new(v4), Index::new(v6)],
            cells: rules.map(|rule| [of(v4, rule), of(v6, rule)]).collect(),
            search: Search::new(view, 0),
            now,
            most,
        }
    }

    /// What there is to see of a rule; nothing of one that nobody asks about. `None`: it takes too much work.
    pub(super) fn look(&mut self, rule: u32, asked: bool) -> Option<Sight> {
        let counts = decides(self.compiled, rule, self.now);
        let mut sight = Sight {
            counts,
            decides: !asked,
            matters: !asked,
            ..Sight::default()
        };
        if !counts || !asked {
            return Some(sight);
        }
        let allowed = self.most.0.min(self.most.1);
        self.search.work = allowed;
        let seen = self.sight(rule, &mut sight);
        self.most.0 -= allowed - self.search.work;
        seen.ok().map(|()| sight)
    }

    /// Is there a packet that a rule decides about?
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn decides(&mut self, rule: u32) -> Option<bool> {
        if !decides(self.compiled, rule, self.now) {
            return Some(false);
        }
        self.search.work = self.most.1;
        self.anywhere(rule, &mut |_, _, met| alone(rule, met)).ok()
    }

    fn sight(&mut self, rule: u32, sight: &mut Sight) -> Result<(), Exhausted> {
        sight.matters = self.anywhere(rule, &mut |compiled, course, met| {
            matters(compiled, course, rule, met)
        })?;
        if sight.matters {
            sight.decides = true;
            return Ok(());
        }
        sight.decides = self.anywhere(rule, &mut |_, _, met| alone(rule, met))?;
        let (before, behind) = (&mut sight.before, &mut sight.behind);
        let noted = self.anywhere(rule, &mut |_, _, met| noted(rule, met, before, behind));
        // That it never decides is so, also where it takes too long to name all that do.
        noted.map(|_| ()).or(if sight.decides {
            Err(Exhausted)
        } else {
            Ok(())
        })
    }

    /// Is there a packet that the rule matches and of whose part `says` says that all are meant?
    fn anywhere(
        &mut self,
        rule: u32,
        says: &mut dyn FnMut(&Compiled, Course, &[Met]) -> Says,
    ) -> Result<bool, Exhausted> {
        let spans = self.cells.get(rule as usize).cloned();
        for (v6, span) in [false, true].into_iter().zip(spans.into_iter().flatten()) {
            for number in span {
                let Some(cell) = self.search.cell(v6, number) else {
                    continue;
                };
                let index = &self.index[usize::from(v6)];
                let (mut near, looked) = index.meeting(self.search.cells(v6), &cell);
                near.retain(|other| *other as usize != number);
                self.search.spend(looked)?;
                if self.around(v6, &cell, &near, says)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn around(
        &mut self,
        v6: bool,
        cell: &Cell,
        near: &[u32],
        says: &mut dyn FnMut(&Compiled, Course, &[Met]) -> Says,
    ) -> Result<bool, Exhausted> {
        let around = self.search.view.rules.get(cell.rule as usize).copied();
        let Some(around) = around else {
            return Ok(false);
        };
        let host = |mask: u64| mask >> ZoneId::HOST.0 & 1 == 1;
        let others = |mask: u64| mask & !(1 << ZoneId::HOST.0) != 0;
        let courses = [
            (Course::Inbound, host(around.to)),
            (Course::Outbound, host(around.from)),
            (Course::Routed, others(around.to) && others(around.from)),
        ];
        let compiled = self.compiled;
        for (course, _) in courses.into_iter().filter(|(_, possible)| *possible) {
            for destination in [Target::All, Target::Groups] {
                let query = Query {
                    course,
                    source: Target::All,
                    destination,
                    services: None,
                };
                let among = Among::Around(v6, cell, near);
                let mut says = |met: &[Met]| says(compiled, course, met);
                let found = self.search.look(&self.space, &query, &among, &mut says)?;
                if found.is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Does the rule decide? It is not among the cells, and matches all of the part.
fn alone(rule: u32, met: &[Met]) -> Says {
    let mut before = met.iter().take_while(|met| met.rule < rule);
    match (before.next(), before.any(|met| met.covers)) {
        (None, _) => Says::All,
        (Some(first), covered) if covered || first.covers => Says::None,
        _ => Says::Cut,
    }
}

/// Does it decide otherwise than what comes behind?
fn matters(compiled: &Compiled, course: Course, rule: u32, met: &[Met]) -> Says {
    let (before, behind) = met.split_at(met.partition_point(|met| met.rule < rule));
    let own = effect(compiled, Some(rule), course);
    let other = |behind: Option<u32>| effect(compiled, behind, course) != own;
    let closed = met.last().is_some_and(|last| last.covers);
    let differs = behind.iter().any(|met| other(Some(met.rule))) || (!closed && other(None));
    if !differs || before.iter().any(|met| met.covers) {
        return Says::None;
    }
    match (before, behind) {
        ([], []) => Says::All,
        ([], [first, ..]) if first.covers => Says::All,
        _ => Says::Cut,
    }
}

/// Notes who decides before it, or in its place, of every part.
fn noted(rule: u32, met: &[Met], before: &mut BTreeSet<u32>, behind: &mut BTreeSet<u32>) -> Says {
    match met.first() {
        None => return Says::None,
        Some(first) if !first.covers => return Says::Cut,
        Some(first) if first.rule < rule => before.insert(first.rule),
        Some(first) => behind.insert(first.rule),
    };
    Says::None
}
