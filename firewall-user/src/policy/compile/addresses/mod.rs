//! What is known of addresses: the zone, by class of interface, and which conditions of rules hold.
//!
//! Prefixes come by the million and answers by the dozen, so what a prefix means is worked out once for each
//! different set of lists that cover it, never once a prefix. Addresses of which the same is known are one class.
//! A tree of comparisons leads from an address to its class.

mod lists;
mod runs;
mod states;
mod zones;

use firewall_common::policy::line::{LEAF, Line, SOURCE};
use firewall_common::zone::INTERFACE_CLASSES;

use super::CompileError;
use super::classifier::pack::{Packer, set_bit};
use super::conditions::Condition;
use super::interfaces::Plan;
use super::prefixes::{MAPPED, MAPPED_BITS};
use crate::policy::compiled::Numbers;
use crate::policy::model::Policy;
use lists::Lists;
use runs::Cutter;
pub(super) use runs::Start;
use states::{Base, States};
use zones::ZoneRules;

/// fe80::/10.
const LINK_LOCAL: (u128, u32) = (0xfe80 << 112, 10);
/// More classes than this are refused.
const MAX_CLASSES: usize = 65_536;
/// Lines of what is known of addresses: 256 MiB.
const MOST_LINES: usize = 1 << 22;

/// A prefix, of 128 bits, and the class of the addresses whose longest one it is.
pub(super) type Classed = (u128, u32, u32);

/// What is known of the addresses of a class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Record {
    pub(super) zones: [u8; INTERFACE_CLASSES],
    /// Bits that are set, see [`firewall_common::policy::line::SET_BITS`].
    pub(super) bits: Vec<u32>,
}

/// All that the lists of a policy say of addresses.
#[derive(Debug)]
pub(super) struct Classes {
    pub(super) v4: Vec<Classed>,
    pub(super) v6: Vec<Classed>,
    pub(super) records: Vec<Record>,
}

/// Works out the classes.
pub(super) fn classes(
    policy: &Policy,
    conditions: &[Condition<'_>],
    plan: &Plan,
    numbers: &Numbers,
) -> Classes {
    let zones = ZoneRules::new(policy, plan, numbers);
    let mut lists = Lists::default();
    lists.link_local(&zones);
    lists.zones(policy, &zones);
    lists.conditions(policy, conditions);
    let Lists { groups, v4, v6 } = lists;
    let everywhere = (0..)
        .zip(conditions)
        .filter(|(_, (named, _))| named.is_none());
    let base = Base {
        conditions: everywhere.map(|(number, _)| number).collect(),
        zones: zones.without_prefix(),
    };
    let mut states = States::new(groups, base);
    Classes {
        v6: states.walk((0, 0), v6),
        v4: states.walk((MAPPED, MAPPED_BITS), v4),
        records: states.records,
    }
}

impl Classes {
    /// Do addresses differ at all?
    pub(super) fn differ(&self) -> bool {
        self.records.len() > 1
    }

    /// The runs of one family's addresses, in order.
    pub(super) fn flat(&self, v6: bool) -> Vec<Start> {
        runs::flat(if v6 { &self.v6 } else { &self.v4 })
    }

    /// The lines: the roots of both families and where the records begin, the trees, the records.
    ///
    /// # Errors
    /// There are more classes than there may be, or the trees are too deep or too large.
    pub(super) fn lines(&self) -> Result<Vec<Line>, CompileError> {
        if self.records.len() > MAX_CLASSES {
            return Err(too_many(self.records.len()));
        }
        let mut packer = Packer::new(vec![Line::default()], MOST_LINES);
        let mut roots = [0; 2];
        // Of IPv4 addresses only the last word counts.
        for (root, (classed, first_word)) in roots.iter_mut().zip([(&self.v4, 3), (&self.v6, 0)]) {
            let mut cutter = Cutter::default();
            let top = cutter.cut(&runs::flat(classed), SOURCE as u8 + first_word);
            *root = packer.pack(&cutter.cuts, top, &mut |_, class| Ok(LEAF | class))?;
        }
        let (records, mut lines) = (packer.lines.len() as u32, packer.lines);
        let highest = self.records.iter().flat_map(|record| record.bits.last());
        let stride = highest.max().map_or(1, |bit| bit / 512 + 1);
        let [v4, v6] = roots;
        if let Some(first) = lines.first_mut() {
            first.halves[0] = [v4, v6, records, stride, 0, 0, 0, 0];
        }
        for record in &self.records {
            lines.extend(record.lines(stride));
        }
        Ok(lines)
    }
}

impl Record {
    fn lines(&self, stride: u32) -> Vec<Line> {
        let mut lines = vec![Line::default(); stride as usize];
        for (word, zones) in (0..).zip(self.zones.chunks(4)) {
            for (byte, zone) in (0..).zip(zones) {
                let value = u32::from(*zone) << (byte * 8);
                if let Some(line) = lines.first_mut() {
                    line.halves[0][word & 7] |= value;
                }
            }
        }
        for bit in &self.bits {
            set_bit(&mut lines, *bit);
        }
        lines
    }
}

fn too_many(count: usize) -> CompileError {
    let message = format!(
        "the lists of addresses overlap in {count} different ways; there may be {MAX_CLASSES}"
    );
    CompileError::new(message, "join lists, or take out what they have in common")
}
