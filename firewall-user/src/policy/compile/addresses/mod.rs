//! The table of addresses: one longest-prefix table for sources, destinations and zones.
//!
//! Every prefix that anything names becomes an entry that holds the full answer for the addresses whose
//! longest match it is. Prefixes come by the million and answers by the dozen, so what a prefix means is
//! worked out once for each different set of lists that cover it, never once a prefix.

mod lists;
mod states;
mod zones;

use firewall_common::config::AddressEntry;

use super::Place;
use super::bits::{self, Vectors};
use super::interfaces::Plan;
use super::mutation::{self, Mutation};
use crate::policy::compiled::Numbers;
use crate::policy::model::{Addresses, Policy};
use lists::{Lists, Named};
use states::{Base, States};
use zones::ZoneRules;

/// IPv4 addresses are mapped: `::ffff:a.b.c.d`.
const MAPPED: u128 = 0xffff_0000_0000;
/// Bits before the IPv4 address in a mapped one.
const MAPPED_BITS: u32 = 96;
/// fe80::/10.
const LINK_LOCAL: (u128, u32) = (0xfe80 << 112, 10);

/// The table, and what holds where it has nothing.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) entries: Vec<(u32, [u8; 16], AddressEntry)>,
    pub(super) default: AddressEntry,
}

pub(super) fn table(
    policy: &Policy,
    active: &[&Place<'_>],
    plan: &Plan,
    numbers: &Numbers,
    vectors: &mut Vectors,
) -> Table {
    let zones = ZoneRules::new(policy, plan, numbers);
    let mut lists = Lists::default();
    lists.link_local(&zones);
    lists.zones(policy, &zones);
    lists.sets(policy, active);
    lists.inline(active);
    let Lists { groups, mut v4, v6 } = lists;
    if mutation::is(Mutation::V6CoversV4) {
        leak(&v6, &mut v4);
    }
    let base = Base {
        sources: bits::of(active, |p| {
            unrestricted(policy, p.rule.and_then(|r| r.sources.as_ref()))
        }),
        destinations: bits::of(active, |p| {
            unrestricted(policy, p.rule.and_then(|r| r.destinations.as_ref()))
        }),
        zones: zones.without_prefix(),
    };
    let mut states = States::new(groups, base, vectors);
    let mut entries = Vec::new();
    let default = states.walk((0, 0), v6, &mut entries);
    states.walk((MAPPED, MAPPED_BITS), v4, &mut entries);
    Table { entries, default }
}

/// Does a condition on addresses hold for every address?
fn unrestricted(policy: &Policy, addresses: Option<&Addresses>) -> bool {
    let Some(addresses) = addresses else {
        return true;
    };
    let sets = addresses
        .sets
        .iter()
        .filter_map(|set| policy.sets.get(*set));
    let empty = addresses.prefixes.is_empty() && sets.clone().all(|set| set.members.is_empty());
    mutation::is(Mutation::EmptySetIsAll) && empty
}

/// What a compiler would do that forgets that IPv4 lives inside IPv6.
fn leak(v6: &[Named], v4: &mut Vec<Named>) {
    let covering =
        |named: &&Named| named.length <= MAPPED_BITS && MAPPED & mask(named.length) == named.key;
    v4.extend(v6.iter().filter(covering).map(|named| Named {
        key: MAPPED,
        length: MAPPED_BITS,
        ..*named
    }));
}

const fn mask(length: u32) -> u128 {
    match length {
        0 => 0,
        _ => u128::MAX << (128 - length),
    }
}
