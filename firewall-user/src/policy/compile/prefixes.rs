//! Lists of addresses as prefixes that do not overlap, by family.

use ipnet::IpNet;

use super::mutation::{self, Mutation};
use crate::policy::model::{Addresses, Policy};

/// IPv4 addresses are mapped: `::ffff:a.b.c.d`.
pub(super) const MAPPED: u128 = 0xffff_0000_0000;
/// Bits before the IPv4 address in a mapped one.
pub(super) const MAPPED_BITS: u32 = 96;

/// The first `length` bits.
pub(super) const fn mask(length: u32) -> u128 {
    match length {
        0 => 0,
        1..128 => u128::MAX << (128 - length),
        _ => u128::MAX,
    }
}

/// A prefix of its family: first address (IPv4 not mapped), and length.
pub(super) type Prefix = (u128, u32);

/// Addresses, as prefixes that do not overlap, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Families {
    pub(super) v4: Vec<Prefix>,
    pub(super) v6: Vec<Prefix>,
}

type Run = (u128, u128);

const ALL_V4: Run = (0, u32::MAX as u128);
const ALL_V6: Run = (0, u128::MAX);

impl Families {
    /// Every address.
    pub(super) fn all() -> Self {
        let all = vec![(0, 0)];
        let (v4, v6) = (all.clone(), all);
        Self { v4, v6 }
    }

    /// One prefix.
    pub(super) fn one(net: IpNet) -> Self {
        let mut families = Self::default();
        match (known(net), net) {
            (Some((key, length)), IpNet::V4(_)) => {
                families.v4.push((key - MAPPED, length - MAPPED_BITS));
            }
            (Some(prefix), IpNet::V6(_)) => families.v6.push(prefix),
            (None, _) => {}
        }
        families
    }

    /// What a list holds (`None` for every address) without what another one takes away.
    pub(super) fn of(
        policy: &Policy,
        named: Option<&Addresses>,
        except: Option<&Addresses>,
    ) -> Self {
        let except = except.filter(|_| !mutation::is(Mutation::ExceptIgnored));
        let (mut v4, mut v6) = match named {
            None => (vec![ALL_V4], vec![ALL_V6]),
            Some(list) => runs(policy, list),
        };
        if let Some(list) = except {
            let (less4, less6) = runs(policy, list);
            (v4, v6) = (without(&v4, &less4), without(&v6, &less6));
        }
        if mutation::is(Mutation::V6CoversV4) {
            v4.extend(
                v6.iter()
                    .filter(|(a, b)| *a <= MAPPED && MAPPED <= *b)
                    .map(|_| ALL_V4),
            );
            v4 = joined(v4);
        }
        Self {
            v4: prefixes(&v4, 32),
            v6: prefixes(&v6, 128),
        }
    }

    /// How many prefixes there are.
    pub(super) fn len(&self) -> usize {
        self.v4.len().max(self.v6.len())
    }
}

/// A prefix of the file as tables know it: mapped bits and length of 128. `None` where no packet has such an
/// address: IPv6 packets have no mapped ones, and IPv4 packets are none of an IPv6 prefix's.
pub(super) fn known(net: IpNet) -> Option<(u128, u32)> {
    let length = u32::from(net.prefix_len());
    match net.trunc() {
        IpNet::V4(net) => {
            let key = MAPPED | u128::from(u32::from(net.network()));
            Some((key, MAPPED_BITS + length))
        }
        IpNet::V6(net) => {
            let key = u128::from(net.network());
            let mapped = length >= MAPPED_BITS && key & mask(MAPPED_BITS) == MAPPED;
            (!mapped).then_some((key, length))
        }
    }
}

/// The runs of a list, by family, joined.
fn runs(policy: &Policy, list: &Addresses) -> (Vec<Run>, Vec<Run>) {
    let sets = list.sets.iter().filter_map(|set| policy.sets.get(*set));
    let members = sets.flat_map(|set| &set.members);
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for net in list.prefixes.iter().chain(members) {
        let Some((key, length)) = known(*net) else {
            continue;
        };
        let run = (key, key | !mask(length));
        match net {
            IpNet::V4(_) => v4.push((run.0 - MAPPED, run.1 - MAPPED)),
            IpNet::V6(_) => v6.push(run),
        }
    }
    (joined(v4), joined(v6))
}

fn joined(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_unstable();
    let mut joined: Vec<Run> = Vec::new();
    for (first, last) in runs {
        match joined.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

fn without(runs: &[Run], less: &[Run]) -> Vec<Run> {
    let mut left = Vec::new();
    for (first, last) in runs {
        let mut next = Some(*first);
        for (a, b) in less.iter().filter(|(a, b)| b >= first && a <= last) {
            if let Some(start) = next.filter(|start| start < a) {
                left.push((start, a - 1));
            }
            next = b.checked_add(1);
        }
        left.extend(
            next.filter(|start| start <= last)
                .map(|start| (start, *last)),
        );
    }
    left
}

/// The fewest prefixes of a family that make up runs.
fn prefixes(runs: &[Run], bits: u32) -> Vec<Prefix> {
    let mut prefixes = Vec::new();
    for (first, last) in runs {
        let mut next = Some(*first);
        while let Some(start) = next.filter(|start| start <= last) {
            let aligned = start.trailing_zeros().min(bits);
            let room = last - start;
            let fitting = if room == u128::MAX {
                128
            } else {
                (room + 1).ilog2()
            };
            let size = aligned.min(fitting);
            prefixes.push((start, bits - size));
            next = 1_u128
                .checked_shl(size)
                .and_then(|step| start.checked_add(step));
        }
    }
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{HEAD, policy};

    fn of(named: &[&str], except: &[&str]) -> Families {
        let list = |nets: &[&str]| Addresses {
            prefixes: nets.iter().map(|net| net.parse().unwrap()).collect(),
            sets: Vec::new(),
        };
        let policy = policy(&format!("{HEAD}policies: []\n"));
        let named = (!named.is_empty()).then(|| list(named));
        Families::of(&policy, named.as_ref(), Some(&list(except)))
    }

    #[test]
    fn lists_become_prefixes_that_do_not_overlap() {
        let found = of(&["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "::/1"], &[]);
        assert_eq!(found.v4, [(10 << 24, 8)]);
        assert_eq!(found.v6, [(0, 1)]);
    }

    #[test]
    fn what_is_excepted_is_taken_from_everything() {
        let found = of(&[], &["128.0.0.0/1", "64.0.0.0/2", "8000::/1"]);
        assert_eq!((found.v4, found.v6), (vec![(0, 2)], vec![(0, 1)]));
        let found = of(&[], &["10.0.0.1/32"]);
        assert_eq!((found.v4.len(), found.v6), (32, vec![(0, 0)]));
        assert_eq!(of(&["10.0.0.1/32"], &["10.0.0.0/8"]).len(), 0);
        assert_eq!(of(&[], &["0.0.0.0/0", "::/0"]), Families::default());
    }
}
