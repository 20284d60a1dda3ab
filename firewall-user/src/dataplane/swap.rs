//! A policy comes into force: the spare slot is filled and read back, then one word is changed.
//!
//! Who may still read a slot while it is filled? A packet reads [`Active::slot`] once, and uses that
//! slot for as long as it is judged. The slot chosen here has not been in force since the swap before
//! the last at least; and putting its inner tables into their places waits until all packets have been
//! judged that were under way then. The plain arrays are written only after that. So nobody reads what
//! is written here until the flip, and a packet sees all of one generation or all of another.
//!
//! If the agent dies anywhere before the flip, the policy in force was not touched; the half-filled slot
//! is filled again by the next swap. The flip writes one element of an array of which only the lowest
//! byte of one word changes, so no reader can see half of it; see [`deadman`] for one that goes back.

use std::collections::BTreeMap;
use std::time::Duration;

use aya::Pod;
use firewall_common::config::{
    Active, FIRST_RULE_COUNTER, Generation, InterfaceEntry, InterfaceKey, MAX_RULES, MAX_VECTORS,
    Name, PolicyInfo, RULE_COUNTERS, SLOTS,
};
use firewall_common::policy::rule::Rule;

use super::deadman;
use super::error::{Error, Result};
use super::maps::{Maps, new_addresses, new_services, new_vectors};
use super::pin::{AddressKey, ServiceKeyPrefix};
use super::table::Table;
use crate::policy::compiled::Compiled;

/// Which policy a generation is, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.revision`.
    pub revision: u64,
    /// SHA-256 of its text.
    pub digest: [u8; 32],
    /// Seconds since 1970 when it was put in force.
    pub applied: u64,
}

impl Info {
    /// As the tables have it.
    pub(super) fn of(info: &PolicyInfo) -> Self {
        Self {
            name: info.name.text().to_owned(),
            revision: info.revision,
            digest: info.digest,
            applied: info.applied,
        }
    }
}

/// How the last step is taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flip {
    /// Wait before it; for tests.
    pub(super) pause: Option<Duration>,
    /// For so long unless it is confirmed, see [`deadman`].
    pub(super) within: Option<Duration>,
}

/// A policy that has come into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Its slot.
    pub slot: u32,
    /// Its epoch.
    pub epoch: u32,
}

/// Puts a policy in force. On any error the one in force stays.
pub(super) fn apply(
    maps: &mut Maps,
    compiled: &Compiled,
    info: &Info,
    interfaces: &[(InterfaceEntry, u32)],
    flip: Flip,
) -> Result<Applied> {
    fits(compiled)?;
    let active = deadman::tidy(maps)?;
    let slot = spare(&active);
    fill_inner(maps, slot, compiled)?;
    fill_rules(maps, slot, &compiled.rules)?;
    fill_interfaces(maps, slot, interfaces)?;
    fill_names(maps, slot, compiled, info)?;
    let epoch = next_epoch(maps)?;
    let head = Generation {
        epoch,
        ..compiled.head
    };
    write(&maps.generations, "GENERATIONS", &slot, &head)?;
    if let Some(pause) = flip.pause {
        std::thread::sleep(pause);
    }
    deadman::flip(maps, slot, flip.within)?;
    Ok(Applied { slot, epoch })
}

fn fits(compiled: &Compiled) -> Result<()> {
    let refuse = |what: String| Err(Error::TooLarge(what));
    let (rules, vectors) = (compiled.rules.len(), compiled.vectors.len());
    if rules > MAX_RULES as usize || compiled.head.rules as usize != rules {
        return refuse(format!("{rules} rules, at most {MAX_RULES} have a place"));
    }
    if vectors > MAX_VECTORS as usize || vectors == 0 {
        return refuse(format!(
            "{vectors} vectors, at most {MAX_VECTORS} have a place"
        ));
    }
    if let Some(listed) = compiled.listing.iter().find(|l| l.counter >= RULE_COUNTERS) {
        return refuse(format!("no counter is left for rule {}", listed.id));
    }
    Ok(())
}

/// The next slot, in turn, that nothing refers to.
fn spare(active: &Active) -> u32 {
    let used = [active.slot, active.candidate, active.fallback];
    (1..=SLOTS)
        .map(|step| (active.slot + step - 1) % SLOTS + 1)
        .find(|slot| !used.contains(slot))
        .unwrap_or(1)
}

const _: () = assert!(SLOTS > 3);

fn next_epoch(maps: &Maps) -> Result<u32> {
    let heads = maps.generations.list()?;
    let last = heads.iter().map(|(_, head)| head.epoch).max();
    // Never 0, which is no epoch; after four thousand million swaps it begins anew.
    Ok(last.unwrap_or(0).wrapping_add(1).max(1))
}

/// Fills new tables, reads them back, and puts them into their places.
fn fill_inner(maps: &mut Maps, slot: u32, compiled: &Compiled) -> Result<()> {
    let vectors = new_vectors(compiled.vectors.len() as u32)?;
    vectors.set_from(0, &compiled.vectors)?;
    same(
        &vectors,
        "VECTORS",
        (0..).zip(compiled.vectors.iter().copied()),
    )?;

    let prefixes: Vec<(AddressKey, _)> = compiled
        .addresses
        .iter()
        .map(|(length, address, entry)| (address_key(*length, address), *entry))
        .collect();
    let addresses = new_addresses(places(prefixes.len()))?;
    fill(&addresses, &prefixes)?;
    same(&addresses, "ADDRESSES", prefixes)?;

    let prefixes: Vec<(ServiceKeyPrefix, u32)> = compiled
        .services
        .iter()
        .map(|(length, key, vector)| (service_key(*length, *key), *vector))
        .collect();
    let services = new_services(places(prefixes.len()))?;
    fill(&services, &prefixes)?;
    same(&services, "SERVICES", prefixes)?;

    maps.vectors.set(slot, &vectors)?;
    maps.addresses.set(slot, &addresses)?;
    maps.services.set(slot, &services)
}

fn places(entries: usize) -> u32 {
    u32::try_from(entries).unwrap_or(u32::MAX).max(1)
}

/// The key of a prefix: its length in bits, then its bytes.
pub(super) fn address_key(length: u32, address: &[u8; 16]) -> AddressKey {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&length.to_ne_bytes());
    key[4..].copy_from_slice(address);
    key
}

/// The key of a range of services: its length in bits, then its bytes.
pub(super) fn service_key(length: u32, service: [u8; 4]) -> ServiceKeyPrefix {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&length.to_ne_bytes());
    key[4..].copy_from_slice(&service);
    key
}

fn fill<K: Pod, V: Pod>(table: &Table<K, V>, entries: &[(K, V)]) -> Result<()> {
    let (keys, values): (Vec<K>, Vec<V>) = entries.iter().copied().unzip();
    table.fill(&keys, &values)
}

/// Reads back.
fn same<K: Pod, V: Pod + PartialEq>(
    table: &Table<K, V>,
    name: &'static str,
    wanted: impl IntoIterator<Item = (K, V)>,
) -> Result<()> {
    for (key, value) in wanted {
        if table.get(&key)? != Some(value) {
            return Err(Error::Differs(name));
        }
    }
    Ok(())
}

fn write<K: Pod, V: Pod + PartialEq>(
    table: &Table<K, V>,
    name: &'static str,
    key: &K,
    value: &V,
) -> Result<()> {
    table.set(key, value)?;
    same(table, name, [(*key, *value)])
}

fn fill_rules(maps: &Maps, slot: u32, rules: &[Rule]) -> Result<()> {
    let first = slot * MAX_RULES;
    maps.rules.set_from(first, rules)?;
    same(&maps.rules, "RULES", (first..).zip(rules.iter().copied()))
}

/// The slot's interfaces, and no others that an earlier policy in this slot knew.
fn fill_interfaces(maps: &Maps, slot: u32, interfaces: &[(InterfaceEntry, u32)]) -> Result<()> {
    for (key, _) in maps.interfaces.list()? {
        if key.slot == slot {
            maps.interfaces.delete(&key)?;
        }
    }
    for (entry, index) in interfaces {
        let key = InterfaceKey {
            slot,
            index: *index,
        };
        write(&maps.interfaces, "INTERFACES", &key, entry)?;
    }
    Ok(())
}

/// Names of rules and zones, and what the slot holds. Numbers stay with their names as long as a kept
/// generation has them, so these writes change nothing for the one in force.
fn fill_names(maps: &Maps, slot: u32, compiled: &Compiled, info: &Info) -> Result<()> {
    let rules = compiled.listing.iter();
    let rules: BTreeMap<u32, Name> = rules
        .filter(|listed| listed.counter >= FIRST_RULE_COUNTER)
        .map(|listed| (listed.counter, Name::new(&listed.id)))
        .collect();
    let rules: Vec<_> = rules.into_iter().collect();
    fill(&maps.rule_names, &rules)?;
    same(&maps.rule_names, "RULE_NAMES", rules)?;
    for (zone, name) in &compiled.zones {
        write(
            &maps.zone_names,
            "ZONE_NAMES",
            &u32::from(zone.0),
            &Name::new(name),
        )?;
    }
    let info = PolicyInfo {
        name: Name::new(&info.name),
        digest: info.digest,
        revision: info.revision,
        applied: info.applied,
    };
    write(&maps.policy_info, "POLICY_INFO", &slot, &info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spare_slot_is_none_that_is_referred_to_and_turns() {
        let mut active = Active::default();
        let mut seen = Vec::new();
        for _ in 0..SLOTS * 2 {
            let slot = spare(&active);
            assert!((1..=SLOTS).contains(&slot) && slot != active.slot);
            seen.push(slot);
            active.slot = slot;
        }
        assert_eq!(seen[..5], [1, 2, 3, 4, 1]);
        active = Active {
            slot: 1,
            fallback: 2,
            candidate: 3,
            ..active
        };
        assert_eq!(spare(&active), 4);
    }
}
