//! From the ordered list to trees: which rules stand between two zones, and a few trees over them.
//!
//! What the lines hold: the roots by pair of zones, sets of roots, records of kinds of interfaces, then trees and
//! leaves. `docs/classifier.md` tells how they are read, and what they cost.

pub(super) mod cells;
pub(super) mod grow;
pub(super) mod pack;
mod roots;
mod trees;

use firewall_common::policy::dynamic::CONDITION;
use firewall_common::policy::line::{Line, ROOT_LINES};

use super::conditions::Conditions;
use super::interfaces::Plan;
use super::{CompileError, Place};
use crate::policy::compiled::{Cost, Numbers};
use crate::policy::model::Policy;
use cells::Cells;
use pack::{Packer, set_bit};
use trees::Planter;

/// How trees are made; tests make thinner ones, so that few rules already need many cuts and several trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Cells of a leaf that are not told apart any further.
    pub leaf: usize,
    /// Prefixes of a list that become cells; longer lists become bits. The first that does is taken.
    pub lists: [usize; 3],
    /// Entries that a cell may become, on average, before its tree is split.
    pub copies: usize,
    /// Entries that every tree may have, however few its cells are.
    pub spare: usize,
}

impl Tuning {
    /// What is best by measurement.
    pub const BEST: Self = Self {
        leaf: 8,
        lists: [64, 4096, 4],
        copies: 3,
        spare: 2048,
    };
}

/// Cells that a policy may be.
const MOST_CELLS: usize = 600_000;
/// Lines of the trees: 64 MiB.
const MOST_LINES: usize = 1 << 20;

/// Different lists that are bits: numbers with the highest bit set are those of conditions with dynamic sets.
const MOST_LISTS: usize = CONDITION as usize - 512;

/// The trees of a policy.
pub(super) struct Classifier {
    pub(super) lines: Vec<Line>,
    pub(super) interface_records: u32,
    pub(super) interface_stride: u32,
    pub(super) dynamic: u32,
    pub(super) cost: Cost,
}

/// Plants the trees. Lists of addresses that are too long for them become bits among the conditions.
///
/// # Errors
/// Every way to make them would go beyond a limit: why, for the best of them.
pub(super) fn plant<'p>(
    policy: &'p Policy,
    active: &[&Place<'p>],
    plan: &Plan,
    numbers: &Numbers,
    tuning: &Tuning,
) -> Result<(Classifier, Conditions<'p>), CompileError> {
    let mut first = None;
    for lists in tuning.lists {
        let mut conditions = Conditions::new(policy, lists);
        let planted = attempt(policy, active, plan, numbers, tuning, &mut conditions);
        match planted {
            Ok(classifier) => return Ok((classifier, conditions)),
            Err(error) => first = first.or(Some(error)),
        }
    }
    let none = || CompileError::new("no way to make the trees is known".to_owned(), "");
    Err(first.unwrap_or_else(none))
}

fn attempt<'p>(
    policy: &'p Policy,
    active: &[&Place<'p>],
    plan: &Plan,
    numbers: &Numbers,
    tuning: &Tuning,
    conditions: &mut Conditions<'p>,
) -> Result<Classifier, CompileError> {
    count(active, conditions)?;
    let mut cells = Cells::default();
    let mut spans = Vec::with_capacity(active.len());
    for place in active {
        let before = (cells.v4.len() as u32, cells.v6.len() as u32);
        cells::cells(place, plan.list_of(place), conditions, &mut cells);
        spans.push((
            before.0..cells.v4.len() as u32,
            before.1..cells.v6.len() as u32,
        ));
    }
    if conditions.bits.len() > MOST_LISTS {
        return Err(too_many_lists(conditions.bits.len()));
    }
    conditions.dynamic.fits()?;
    let roots = roots::roots(policy, active, numbers);
    let mut lines = vec![Line::default(); ROOT_LINES as usize + roots.sets.len()];
    let interface_records = lines.len() as u32;
    let interface_stride = plan.lists.len() as u32 / 512 + 1;
    for kind in &plan.kinds {
        let mut record = vec![Line::default(); interface_stride as usize];
        kind.iter()
            .for_each(|list| set_bit(&mut record, u32::from(*list)));
        lines.extend(record);
    }
    let dynamic = lines.len() as u32;
    lines.extend(conditions.dynamic.lines(policy, numbers));
    let packer = Packer::new(lines, MOST_LINES);
    let mut planter = Planter::new(active, &cells, &spans, packer, tuning);
    planter.plant(&roots)?;
    let Planter { packer, cost, .. } = planter;
    let mut classifier = Classifier {
        cost: Cost {
            steps: packer.deepest,
            ..cost
        },
        lines: packer.lines,
        interface_records,
        interface_stride,
        dynamic,
    };
    roots.write(&mut classifier.lines);
    Ok(classifier)
}

/// The conditions of a policy with the longest lists as cells that are not too many. For proofs: dynamic sets are read
/// as empty.
pub(super) fn fitting<'p>(
    policy: &'p Policy,
    active: &[&Place<'p>],
    tuning: &Tuning,
) -> Conditions<'p> {
    let [short, .., least] = tuning.lists;
    let mut conditions = Conditions::for_proof(policy, short);
    if count(active, &mut conditions).is_err() {
        conditions = Conditions::for_proof(policy, least);
    }
    conditions
}

/// Refuses before any memory is taken for it.
fn count<'p>(active: &[&Place<'p>], conditions: &mut Conditions<'p>) -> Result<(), CompileError> {
    let bound: usize = active
        .iter()
        .map(|place| cells::at_most(place, conditions))
        .sum();
    if bound <= MOST_CELLS {
        return Ok(());
    }
    let mut all = 0;
    let mut largest: Option<(usize, &Place<'p>)> = None;
    for place in active {
        let many = cells::many(place, conditions);
        all += many;
        if largest.is_none_or(|(most, _)| many > most) {
            largest = Some((many, place));
        }
    }
    match largest {
        Some((most, place)) if all > MOST_CELLS => Err(too_many_cells(all, most, place)),
        _ => Ok(()),
    }
}

fn too_many_cells(all: usize, most: usize, place: &Place<'_>) -> CompileError {
    let message = format!(
        "the lists of the rules are {all} combinations of addresses, services and ports, {most} of them in `{}`; there may be {MOST_CELLS}",
        place.id
    );
    let help =
        "take lists apart into rules, or name long lists of addresses once, as sets from files";
    CompileError {
        span: place.rule.map(|rule| rule.span),
        ..CompileError::new(message, help)
    }
}

fn too_many_lists(count: usize) -> CompileError {
    let message = format!(
        "the rules name {count} different long lists of addresses; there may be {MOST_LISTS}"
    );
    CompileError::new(message, "join lists, or name the same set in several rules")
}
