//! Members of dynamic sets, as they were put there.
//!
//! The kernel's table finds the longest prefix only, so where prefixes of a set cover each other the longer one must
//! be there at least as long as those around it. What is kept here is each member's own time; what the table holds is
//! its **lasting** time, the latest of its own and of those around it. Every change says what becomes of the table.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use firewall_common::policy::dynamic::{FOR_EVER, MemberKey, SET_LENGTH};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A prefix of 128 bits, IPv4 mapped into IPv6: its first address, and its length.
pub type Prefix = (u128, u32);

/// A change of the kernel's table: until when a prefix is there from now on, or that it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The prefix.
    pub prefix: Prefix,
    /// Nanoseconds since boot, odd; `None`: it goes.
    pub until: Option<u64>,
}

const MAPPED: u128 = 0xffff_0000_0000;
const MAPPED_BITS: u32 = 96;

/// A prefix as tables know it.
#[must_use]
pub fn prefix_of(net: &IpNet) -> Prefix {
    let length = u32::from(net.prefix_len());
    match net.trunc() {
        IpNet::V4(v4) => (
            MAPPED | u128::from(u32::from(v4.network())),
            length + MAPPED_BITS,
        ),
        IpNet::V6(v6) => (u128::from(v6.network()), length),
    }
}

/// A prefix as everyone writes it.
#[must_use]
pub fn net_of((first, length): Prefix) -> IpNet {
    let net = if is_v4((first, length)) {
        let bits = u8::try_from(length - MAPPED_BITS).unwrap_or(32);
        Ipv4Net::new(Ipv4Addr::from(first as u32), bits).map(IpNet::V4)
    } else {
        let bits = u8::try_from(length).unwrap_or(128);
        Ipv6Net::new(Ipv6Addr::from(first), bits).map(IpNet::V6)
    };
    net.unwrap_or_else(|_| IpNet::from(IpAddr::V6(Ipv6Addr::from(first))))
}

const fn is_v4((first, length): Prefix) -> bool {
    length >= MAPPED_BITS && first >> 32 == MAPPED >> 32
}

/// The lengths that prefixes around this one may have: one of IPv6 is around none of IPv4.
const fn shortest(prefix: Prefix) -> u32 {
    if is_v4(prefix) { MAPPED_BITS } else { 0 }
}

/// The key of a prefix of a set in the kernel's table.
#[must_use]
pub const fn key_of(set: u32, prefix: Prefix) -> MemberKey {
    let (first, length) = prefix;
    MemberKey::new(set, !is_v4(prefix), length, first.to_be_bytes())
}

/// The set and the prefix of a key.
#[must_use]
pub fn of_key(key: &MemberKey) -> (u32, Prefix) {
    let length = key.length.saturating_sub(SET_LENGTH);
    let set = u32::try_from(u64::from_be_bytes(key.set) >> 1).unwrap_or(u32::MAX);
    (set, (u128::from_be_bytes(key.address), length))
}

const fn mask(length: u32) -> u128 {
    match length {
        0 => 0,
        1..128 => u128::MAX << (128 - length),
        _ => u128::MAX,
    }
}

/// The members of one set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    members: BTreeMap<Prefix, u64>,
    /// How many there are of each length.
    lengths: BTreeMap<u32, usize>,
}

impl Set {
    /// How many members there are, those whose time is over included until they are swept out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Has it none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Is exactly this prefix a member?
    #[must_use]
    pub fn has(&self, prefix: Prefix) -> bool {
        self.members.contains_key(&prefix)
    }

    /// Members with their own times, in the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, u64)> + '_ {
        self.members.iter().map(|(prefix, until)| (*prefix, *until))
    }

    /// Makes a prefix a member until a time, whatever it was before; what becomes of the table.
    pub fn add(&mut self, prefix: Prefix, until: u64, changes: &mut Vec<Change>) {
        let until = until | 1;
        match self.members.insert(prefix, until) {
            None => *self.lengths.entry(prefix.1).or_default() += 1,
            // What does not change is not written.
            Some(before) if before == until => return,
            Some(_) => {}
        }
        self.settle(prefix, changes);
    }

    /// Takes a prefix out; says whether it was a member.
    pub fn remove(&mut self, prefix: Prefix, changes: &mut Vec<Change>) -> bool {
        if self.members.remove(&prefix).is_none() {
            return false;
        }
        if let Some(count) = self.lengths.get_mut(&prefix.1) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.1);
            }
        }
        self.inside(prefix, changes);
        changes.push(Change {
            prefix,
            until: None,
        });
        true
    }

    /// Takes out those whose own time is over. While a prefix around one lasts, that one goes on answering for it.
    pub fn sweep(&mut self, now: u64, changes: &mut Vec<Change>) -> usize {
        let over: Vec<Prefix> = self
            .members
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(prefix, _)| *prefix)
            .collect();
        for prefix in &over {
            self.remove(*prefix, changes);
        }
        over.len()
    }

    /// Until when an address is a member, by any prefix; 0 where it is none.
    #[must_use]
    pub fn until(&self, address: u128) -> u64 {
        self.lasting((address, 128))
    }

    /// Until when the table must have a prefix: its own time, or that of one around it.
    #[must_use]
    pub fn lasting(&self, (first, length): Prefix) -> u64 {
        let shorter = self.lengths.range(shortest((first, length))..=length);
        let shorter = shorter.map(|(length, _)| *length);
        let around = shorter.filter_map(|length| self.members.get(&(first & mask(length), length)));
        around.copied().max().unwrap_or(0)
    }

    /// The whole table of this set.
    #[must_use]
    pub fn table(&self) -> Vec<Change> {
        let of = |prefix: &Prefix| Change {
            prefix: *prefix,
            until: Some(self.lasting(*prefix)),
        };
        self.members.keys().map(of).collect()
    }

    fn settle(&self, prefix: Prefix, changes: &mut Vec<Change>) {
        let until = Some(self.lasting(prefix));
        changes.push(Change { prefix, until });
        self.inside(prefix, changes);
    }

    /// Members inside a prefix, whose lasting times may have changed with it.
    fn inside(&self, prefix: Prefix, changes: &mut Vec<Change>) {
        let (first, length) = prefix;
        let last = first | !mask(length);
        // None is longer: nothing can be inside.
        if self.lengths.range(length + 1..).next().is_none() {
            return;
        }
        for inner in self.members.range((first, length + 1)..=(last, 128)) {
            let (prefix, until) = (*inner.0, Some(self.lasting(*inner.0)));
            if prefix.1 > length && is_v4(prefix) == is_v4((first, length)) {
                changes.push(Change { prefix, until });
            }
        }
    }
}

/// All sets, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Sets by number.
    pub sets: BTreeMap<u32, Set>,
}

impl Members {
    /// What the kernel's table would answer.
    #[must_use]
    pub fn until(&self, key: &MemberKey) -> u64 {
        let (set, (address, _)) = of_key(key);
        self.sets.get(&set).map_or(0, |set| set.until(address))
    }

    /// Members of all sets together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sets.values().map(Set::len).sum()
    }

    /// Has none any?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sets.values().all(Set::is_empty)
    }
}

/// Is a time one that never comes?
#[must_use]
pub const fn is_for_ever(until: u64) -> bool {
    until == FOR_EVER
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the kernel does: the longest prefix answers.
    #[derive(Default)]
    struct Table(BTreeMap<Prefix, u64>);

    impl Table {
        fn take(&mut self, changes: &mut Vec<Change>) {
            for change in changes.drain(..) {
                match change.until {
                    Some(until) => self.0.insert(change.prefix, until),
                    None => self.0.remove(&change.prefix),
                };
            }
        }

        fn until(&self, address: u128) -> u64 {
            let holds = |(first, length): Prefix| address & mask(length) == first;
            let all = self.0.iter().filter(|(prefix, _)| holds(**prefix));
            let longest = all.max_by_key(|((_, length), _)| *length);
            longest.map_or(0, |(_, until)| *until)
        }
    }

    fn prefix() -> impl Strategy<Value = Prefix> {
        (
            0_u128..64,
            prop::sample::select(&[0_u32, 122, 124, 126, 127, 128][..]),
        )
            .prop_map(|(address, length)| (address & mask(length), length))
    }

    proptest! {
        #[test]
        fn the_longest_prefix_answers_for_all_around_it(
            steps in prop::collection::vec((prefix(), 0_u64..100, 0_u8..6), 1..40)
        ) {
            let (mut set, mut table, mut changes) = (Set::default(), Table::default(), Vec::new());
            let mut plain: BTreeMap<Prefix, u64> = BTreeMap::new();
            for (prefix, until, what) in steps {
                match what {
                    0 => {
                        prop_assert_eq!(set.remove(prefix, &mut changes), plain.remove(&prefix).is_some());
                    }
                    1 => {
                        set.sweep(until, &mut changes);
                        plain.retain(|_, own| *own > until);
                    }
                    _ => {
                        set.add(prefix, until, &mut changes);
                        plain.insert(prefix, until | 1);
                    }
                }
                table.take(&mut changes);
                prop_assert_eq!(set.len(), plain.len());
                for address in 0..64 {
                    let holds = |(first, length): Prefix| address & mask(length) == first;
                    let wanted = plain.iter().filter(|(p, _)| holds(**p)).map(|(_, own)| *own).max();
                    prop_assert_eq!(set.until(address), wanted.unwrap_or(0));
                    prop_assert_eq!(table.until(address), wanted.unwrap_or(0));
                }
            }
            let whole: BTreeMap<Prefix, u64> =
                set.table().iter().map(|c| (c.prefix, c.until.unwrap_or(0))).collect();
            prop_assert_eq!(whole, table.0);
        }
    }

    #[test]
    fn prefixes_of_both_families_go_there_and_back() {
        for text in [
            "203.0.113.9/32",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "2001:db8::/32",
            "::/0",
            "::1/128",
        ] {
            let net: IpNet = text.parse().unwrap();
            assert_eq!(net_of(prefix_of(&net)), net);
            let key = key_of(7, prefix_of(&net));
            assert_eq!(of_key(&key), (7, prefix_of(&net)));
        }
    }
}
