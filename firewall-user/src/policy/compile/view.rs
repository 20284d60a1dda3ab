//! A policy as those see it who look at all packets at once, to prove or to warn: rules as cells of the space of
//! packets, and addresses as runs of which the same is known. It is as large as the policy, not as its overlaps.

use std::collections::{BTreeMap, BTreeSet};

use firewall_common::policy::line::Entry;
use firewall_common::zone::{INTERFACE_CLASSES, ZONES, ZoneId};

use super::addresses::{self, Start};
use super::classifier::{self, cells};
use super::interfaces::{self, Plan};
use super::prefixes::{MAPPED, mask};
use super::{Place, mutation, places, zones};
use crate::policy::compiled::{Compiled, Numbers};
use crate::policy::model::{Ends, Policy};

/// The fields of a packet here: source, destination (IPv4 mapped), service, source port.
pub const FIELDS: usize = 4;

/// Packets that a rule matches: first and last value of each field, and bits that the classes of both ends must have.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    /// First value of each field.
    pub low: [u128; FIELDS],
    /// Last value of each field.
    pub high: [u128; FIELDS],
    /// Place of the rule in the list.
    pub rule: u32,
    /// Bits of source and destination; 0: none.
    pub demands: [u32; 2],
}

/// Of a rule, what its cells do not say.
#[derive(Debug, Clone, Copy)]
pub struct Around {
    /// Zones of the sender, a bit each.
    pub from: u64,
    /// Zones of the addressee.
    pub to: u64,
    /// Number of the list of interfaces; 0: all.
    pub interfaces: u16,
}

/// What is known of the addresses of a class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Known {
    /// Zone, by class of interface.
    pub zones: [u8; INTERFACE_CLASSES],
    /// Bits that are set, in order.
    pub bits: Vec<u32>,
}

/// A run of addresses, both ends included, and its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First address.
    pub first: u128,
    /// Last address.
    pub last: u128,
    /// Index into [`View::classes`].
    pub class: u32,
}

/// A policy so.
#[derive(Debug)]
pub struct View {
    /// Cells in the order of their rules, by family: IPv4, IPv6.
    pub cells: [Vec<Cell>; 2],
    /// By place of the rule in the list.
    pub rules: Vec<Around>,
    /// By kind of interface: numbers of the lists that name it.
    pub kinds: Vec<BTreeSet<u16>>,
    /// Classes of addresses.
    pub classes: Vec<Known>,
    /// All addresses of each family, in order.
    pub runs: [Vec<Run>; 2],
}

impl View {
    /// Of a policy that has been compiled.
    #[must_use]
    pub fn of(policy: &Policy, compiled: &Compiled) -> Self {
        let all = places(policy);
        let active: Vec<&Place<'_>> = all.iter().filter(|place| place.index.is_some()).collect();
        let numbers = numbers(compiled);
        let plan = interfaces::plan(policy, &active);
        let plan = plan.unwrap_or_else(|_| Plan::none(&compiled.interfaces));
        let mut conditions = classifier::fitting(policy, &active, &mutation::tuning());
        let mut cells = cells::Cells::default();
        for place in &active {
            cells::cells(place, plan.list_of(place), &mut conditions, &mut cells);
        }
        let classes = addresses::classes(policy, &conditions.bits, &plan, &numbers);
        let known = |record: &addresses::Record| Known {
            zones: record.zones,
            bits: record.bits.clone(),
        };
        Self {
            cells: [
                cells.v4.iter().map(|cell| of_v4(&cell.entry)).collect(),
                cells.v6.iter().map(|cell| of_v6(&cell.entry)).collect(),
            ],
            rules: around(policy, &active, &plan, &numbers),
            kinds: plan.kinds,
            runs: [
                runs(&classes.flat(false), MAPPED | u128::from(u32::MAX)),
                runs(&classes.flat(true), u128::MAX),
            ],
            classes: classes.records.iter().map(known).collect(),
        }
    }
}

impl View {
    /// Only cells of rules that satisfy a condition.
    pub fn keep(&mut self, holds: impl Fn(u32) -> bool) {
        for cells in &mut self.cells {
            cells.retain(|cell| holds(cell.rule));
        }
    }
}

/// The numbers that a compiled policy's zones have.
pub(super) fn numbers(compiled: &Compiled) -> Numbers {
    let zones = compiled.zones.iter();
    Numbers {
        zones: zones.map(|(id, name)| (name.clone(), id.0)).collect(),
        rules: BTreeMap::new(),
        sets: BTreeMap::new(),
    }
}

fn around(policy: &Policy, active: &[&Place<'_>], plan: &Plan, numbers: &Numbers) -> Vec<Around> {
    let mask = |ends: &Ends, never: Option<ZoneId>| {
        let zones = (0..ZONES as u8).map(ZoneId);
        let held =
            zones.filter(|zone| Some(*zone) != never && zones::holds(policy, ends, *zone, numbers));
        held.fold(0, |mask, zone| mask | 1_u64 << zone.0)
    };
    let mut last: Option<(*const crate::policy::model::Block, u64, u64)> = None;
    let of = |place: &&Place<'_>| {
        let block = std::ptr::from_ref(place.block);
        let (from, to) = match last {
            Some((known, from, to)) if known == block => (from, to),
            _ => (
                mask(&place.block.from, Some(ZoneId::MULTICAST)),
                mask(&place.block.to, None),
            ),
        };
        last = Some((block, from, to));
        Around {
            from,
            to,
            interfaces: plan.list_of(place),
        }
    };
    active.iter().map(of).collect()
}

fn of_v4(entry: &Entry) -> Cell {
    let ends = |(first, length): (u128, u32)| {
        let first = MAPPED | first;
        (first, first | !mask(length + 96))
    };
    cell(entry, ends(entry.source), ends(entry.destination))
}

fn of_v6(entry: &Entry) -> Cell {
    let ends = |(first, length): (u128, u32)| (first, first | !mask(length));
    cell(entry, ends(entry.source), ends(entry.destination))
}

fn cell(entry: &Entry, source: (u128, u128), destination: (u128, u128)) -> Cell {
    let (service, port) = (entry.service, entry.source_port);
    Cell {
        low: [source.0, destination.0, service.0.into(), port.0.into()],
        high: [source.1, destination.1, service.1.into(), port.1.into()],
        rule: entry.rule,
        demands: [
            entry.demands.source.into(),
            entry.demands.destination.into(),
        ],
    }
}

fn runs(starts: &[Start], end: u128) -> Vec<Run> {
    let ends = starts.iter().skip(1).map(|(next, _)| next - 1).chain([end]);
    let runs = starts.iter().zip(ends);
    runs.map(|((first, class), last)| Run {
        first: *first,
        last,
        class: *class,
    })
    .collect()
}
