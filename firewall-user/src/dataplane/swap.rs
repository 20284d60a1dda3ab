//! A policy comes into force: tables are filled and read back, then one word is changed.
//!
//! A generation is a head in a slot, and three tables in places of their own that the head names: trees, rules,
//! what is known of addresses. A table that is what the generation in force already has is not filled again: the
//! new head names the same place. Else one that an earlier generation has left is filled, if it is large enough;
//! so there are two of each that take turns.
//!
//! Who may still read what is written here? A packet reads [`Active::slot`] once, and uses that
//! slot for as long as it is judged. Before anything is written, [`settle`] sees to it that none is under way that
//! was led to a slot which is not in force, nor waits behind it. Only such slots are written, and only tables that no
//! other slot names. So nobody reads what is written here until the flip, and a packet sees all of one generation
//! or all of another.
//!
//! If the agent dies anywhere before the flip, the policy in force was not touched; the half-filled slot
//! is filled again by the next swap. The flip writes one element of an array of which only the lowest
//! byte of one word changes, so no reader can see half of it; see [`deadman`] for one that goes back.

use std::collections::BTreeMap;
use std::time::Duration;

use aya::Pod;
use aya::maps::MapData;
use firewall_common::config::{
    Active, COUNTER_PAGE, FIRST_RULE_COUNTER, Generation, InterfaceEntry, InterfaceKey, MAX_RULES,
    Name, PLACES, PolicyInfo, RULE_COUNTERS, SLOTS,
};

use super::deadman;
use super::error::{Error, Result};
use super::maps::{Change, Inner, Maps, ONLY, grace};
use super::pin::{AddressKey, ServiceKeyPrefix};
use super::settle::{refers, settle};
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
    settle(maps, &active)?;
    let slot = spare(&active);
    let head = fill_inner(maps, &active, compiled)?;
    fill_interfaces(maps, slot, interfaces)?;
    maps.make_pages(compiled.listing.iter().map(|listed| listed.counter))?;
    fill_names(maps, slot, compiled, info)?;
    let epoch = next_epoch(maps)?;
    let head = Generation { epoch, ..head };
    write(&maps.generations, "GENERATIONS", &slot, &head)?;
    if let Some(pause) = flip.pause {
        std::thread::sleep(pause);
    }
    deadman::flip(maps, slot, flip.within)?;
    maps.settling.begin();
    Ok(Applied { slot, epoch })
}

/// Has live sessions judged anew at their next packets: the policy in force, and the one that waits behind it to come
/// back, get other epochs, each in a slot of its own. For changes of what stands outside of generations.
///
/// It waits until every packet that was under way when it was called has been judged. So a session that was judged
/// without the change was so under an epoch that is not in force any more, and what is written into spare slots is
/// read by nobody.
pub(super) fn renew(maps: &Maps) -> Result<()> {
    let active = deadman::tidy(maps)?;
    grace()?;
    if active.slot == 0 {
        return Ok(());
    }
    if active.deadline != 0 && active.fallback != 0 && active.fallback != active.slot {
        let slot = spare(&active);
        copy(maps, active.fallback, slot)?;
        deadman::move_fallback(maps, slot)?;
        // The slot that it was in may be the next to be written.
        grace()?;
    }
    let active = maps.active.need(&ONLY)?;
    let slot = spare(&active);
    copy(maps, active.slot, slot)?;
    deadman::flip(maps, slot, None)
}

/// The same generation in another slot, under another epoch. Its tables are the same ones.
fn copy(maps: &Maps, from: u32, to: u32) -> Result<()> {
    let interfaces = maps.interfaces.list()?.into_iter();
    let interfaces = interfaces.filter(|(key, _)| key.slot == from);
    let interfaces: Vec<_> = interfaces.map(|(key, entry)| (entry, key.index)).collect();
    fill_interfaces(maps, to, &interfaces)?;
    let info = maps.policy_info.need(&from)?;
    write(&maps.policy_info, "POLICY_INFO", &to, &info)?;
    let head = maps.generations.need(&from)?;
    let epoch = next_epoch(maps)?;
    write(
        &maps.generations,
        "GENERATIONS",
        &to,
        &Generation { epoch, ..head },
    )
}

fn fits(compiled: &Compiled) -> Result<()> {
    let refuse = |what: String| Err(Error::TooLarge(what));
    let rules = compiled.rules.len();
    if rules > MAX_RULES as usize || compiled.head.rules as usize != rules {
        return refuse(format!("{rules} rules, at most {MAX_RULES} have a place"));
    }
    if let Some(listed) = compiled.listing.iter().find(|l| l.counter >= RULE_COUNTERS) {
        return refuse(format!("no counter is left for rule {}", listed.id));
    }
    Ok(())
}

/// The next slot, in turn, that nothing refers to.
fn spare(active: &Active) -> u32 {
    (1..=SLOTS)
        .map(|step| (active.slot + step - 1) % SLOTS + 1)
        .find(|slot| !refers(active, *slot))
        .unwrap_or(1)
}

const _: () = assert!(SLOTS > 3);

fn next_epoch(maps: &Maps) -> Result<u32> {
    let heads = maps.generations.list()?;
    let last = heads.iter().map(|(_, head)| head.epoch).max();
    // Never 0, which is no epoch; after four thousand million swaps it begins anew.
    Ok(last.unwrap_or(0).wrapping_add(1).max(1))
}

/// Fills the tables that differ from those in force, each in a place of its own that no slot's head names.
/// The head that names them all.
fn fill_inner(maps: &mut Maps, active: &Active, compiled: &Compiled) -> Result<Generation> {
    let heads = maps.generations.list()?;
    let now = heads
        .iter()
        .find(|(slot, _)| *slot == active.slot && *slot != 0);
    let now = now.map_or_else(Generation::default, |(_, head)| *head);
    let named =
        |of: fn(&Generation) -> u32| heads.iter().map(|(_, head)| of(head)).collect::<Vec<_>>();
    let trees = hold(
        &maps.trees,
        now.trees,
        named(|head| head.trees),
        &compiled.trees,
    )?;
    let list = hold(
        &maps.rules,
        now.list,
        named(|head| head.list),
        &compiled.rules,
    )?;
    let addresses = named(|head| head.addresses);
    let addresses = hold(
        &maps.addresses,
        now.addresses,
        addresses,
        &compiled.addresses,
    )?;
    // Each change of a place waits for packets that are under way. All at once wait for the same ones.
    let changes = [
        (&maps.trees, &trees),
        (&maps.rules, &list),
        (&maps.addresses, &addresses),
    ];
    at_once(
        changes
            .iter()
            .flat_map(|(tables, held)| tables.changes(held)),
    )?;
    Ok(Generation {
        trees: trees.place,
        list: list.place,
        addresses: addresses.place,
        ..compiled.head
    })
}

/// A place for values, and what is to be done for it.
#[derive(Debug)]
pub(super) struct Held {
    /// The place.
    pub(super) place: u32,
    /// The table that goes there, where it is not there already.
    pub(super) new: Option<MapData>,
    /// Places whose tables no head names: they go.
    pub(super) unused: Vec<u32>,
}

/// Where these values are held: in the place in force, if they are there; else in one that no head names, whose table
/// is filled if it has room for them, and not much more. Else a new table is made, which is not put there yet.
fn hold<V: Pod + PartialEq>(
    tables: &Inner,
    now: u32,
    named: Vec<u32>,
    values: &[V],
) -> Result<Held> {
    let in_place = |place, unused| Held {
        place,
        new: None,
        unused,
    };
    if now != 0 && tables.holds(now, values) {
        return Ok(in_place(now, Vec::new()));
    }
    let free = (1..=PLACES).filter(|place| !named.contains(place));
    let mut free: Vec<u32> = free.collect();
    if let Some(at) = free.iter().position(|place| tables.suits(*place, values)) {
        let place = free.remove(at);
        tables.refill(place, values)?;
        return Ok(in_place(place, free));
    }
    let place = free.pop().ok_or(Error::Missing("a place for a table"))?;
    Ok(Held {
        place,
        new: Some(tables.make(values)?),
        unused: free,
    })
}

/// Does it all at the same time; the first error, if there is one.
fn at_once<'c>(changes: impl Iterator<Item = Change<'c>>) -> Result<()> {
    std::thread::scope(|scope| {
        let started: Vec<_> = changes.map(|change| scope.spawn(change)).collect();
        let mut done = Ok(());
        for one in started {
            let one = one.join().unwrap_or(Err(Error::Missing("a thread")));
            done = done.and(one);
        }
        done
    })
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

/// The slot's interfaces, and no others that an earlier policy in this slot knew.
fn fill_interfaces(maps: &Maps, slot: u32, interfaces: &[(InterfaceEntry, u32)]) -> Result<()> {
    maps.marks.forget_interfaces(slot);
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
        maps.marks.tell_interface(&key, *entry);
    }
    Ok(())
}

/// Names of rules and zones, and what the slot holds. Numbers stay with their names as long as a kept
/// generation has them, so these writes change nothing for the one in force.
fn fill_names(maps: &Maps, slot: u32, compiled: &Compiled, info: &Info) -> Result<()> {
    let rules = compiled.listing.iter();
    let mut rules: BTreeMap<u32, &str> = rules
        .filter(|listed| listed.counter >= FIRST_RULE_COUNTER)
        .map(|listed| (listed.counter, listed.id.as_str()))
        .collect();
    for (first, mut page) in maps.name_pages()? {
        let later = rules.split_off(&(first + COUNTER_PAGE));
        for (counter, id) in std::mem::replace(&mut rules, later) {
            let (place, name) = ((counter - first) as usize, Name::new(id));
            if page.values().get(place) != Some(&name) {
                page.set(place, &name);
            }
            if page.values().get(place) != Some(&name) {
                return Err(Error::Differs("RULE_NAMES"));
            }
        }
    }
    if !rules.is_empty() {
        return Err(Error::Missing("RULE_NAMES"));
    }
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
