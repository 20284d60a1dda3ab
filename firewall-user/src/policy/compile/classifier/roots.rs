//! Which blocks of rules stand between which zones.

use std::collections::HashMap;

use firewall_common::policy::line::{Line, ROOT_LINES};
use firewall_common::zone::{ZONES, ZoneId};

use super::super::{Place, zones};
use crate::policy::compile::mutation::{self, Mutation};
use crate::policy::compiled::Numbers;
use crate::policy::model::{Block, Policy};

/// The pairs of zones, and the different lists of rules that stand between them.
pub(super) struct Roots {
    /// By pair: the number of its set.
    pairs: Vec<u16>,
    /// The blocks of a set, by number: those of one number have the same ends. Set 0 has none.
    pub(super) sets: Vec<Vec<u32>>,
    /// By number of a group of blocks with the same ends: the rules, by place.
    pub(super) groups: Vec<Vec<u32>>,
}

/// Finds out.
pub(super) fn roots(policy: &Policy, active: &[&Place<'_>], numbers: &Numbers) -> Roots {
    let mut blocks: Vec<&Block> = Vec::new();
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for (index, place) in (0..).zip(active) {
        let same =
            |block: &&Block| (&block.from, &block.to) == (&place.block.from, &place.block.to);
        let group = blocks.iter().position(same).unwrap_or_else(|| {
            blocks.push(place.block);
            groups.push(Vec::new());
            blocks.len() - 1
        });
        if let Some(group) = groups.get_mut(group) {
            group.push(index);
        }
    }
    let mut roots = Roots {
        pairs: vec![0; ZONES * ZONES],
        sets: vec![Vec::new()],
        groups,
    };
    roots.pair_up(policy, &blocks, numbers);
    roots
}

impl Roots {
    fn pair_up(&mut self, policy: &Policy, blocks: &[&Block], numbers: &Numbers) {
        let own = policy
            .zones
            .iter()
            .map(|zone| ZoneId(zones::number(numbers, &zone.name)));
        let zones: Vec<ZoneId> = [ZoneId::HOST, ZoneId::MULTICAST]
            .into_iter()
            .chain(own)
            .collect();
        let mut known: HashMap<Vec<u32>, u16> = HashMap::from([(Vec::new(), 0)]);
        for from in zones.iter().filter(|zone| **zone != ZoneId::MULTICAST) {
            for to in &zones {
                let between = |block: &&Block| {
                    zones::holds(policy, &block.from, *from, numbers)
                        && zones::holds(policy, &block.to, *to, numbers)
                };
                let groups = (0..).zip(blocks).filter(|(_, block)| between(block));
                let set: Vec<u32> = groups.map(|(group, _)| group).collect();
                let next = self.sets.len() as u16;
                let number = *known.entry(set).or_insert_with_key(|set| {
                    self.sets.push(set.clone());
                    next
                });
                let (mut from, mut to) = (*from, *to);
                if mutation::is(Mutation::ZonesExchanged) {
                    (from, to) = (to, from);
                }
                if let Some(pair) = self
                    .pairs
                    .get_mut(usize::from(from.0) * ZONES + usize::from(to.0))
                {
                    *pair = number;
                }
            }
        }
    }

    /// Where the roots of a set are.
    pub(super) const fn line_of(set: usize) -> usize {
        ROOT_LINES as usize + set
    }

    /// Writes the table of pairs.
    pub(super) fn write(&self, lines: &mut [Line]) {
        for (line, numbers) in lines.iter_mut().zip(self.pairs.chunks(32)) {
            let words = line.halves.iter_mut().flatten();
            for (word, both) in words.zip(numbers.chunks(2)) {
                if let [even, odd] = both {
                    *word = u32::from(*even) | u32::from(*odd) << 16;
                }
            }
        }
    }
}
