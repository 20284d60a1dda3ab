//! What the tables hold of the host itself, whatever the policy: addresses, settings, failsafe rules.

use std::collections::BTreeMap;

use aya::Pod;
use firewall_common::addr::Addr;
use firewall_common::config::{LocalEntry, MAX_FAILSAFE, ServiceKey, Settings, VlanKey};

use super::error::{Error, Result};
use super::maps::{Maps, ONLY};
use super::swap::{address_key, service_key};
use super::table::Table;

/// The host's failsafe rules by what they name: bit `i` of a set is rule `i + 1`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failsafe {
    /// How many rules there are.
    pub rules: u32,
    /// Sources: length in bits (of 128), the sixteen bytes, the rules that name exactly this prefix.
    pub addresses: Vec<(u32, [u8; 16], u64)>,
    /// Services: length in bits (of 32), the key, the rules that name exactly this range.
    pub services: Vec<(u32, ServiceKey, u64)>,
}

/// Makes a table hold exactly `wanted`. What is new comes first, so that what stays is never missing.
fn hold<K: Pod + Ord, V: Pod>(table: &Table<K, V>, wanted: &BTreeMap<K, V>) -> Result<()> {
    let (keys, values): (Vec<K>, Vec<V>) = wanted.iter().unzip();
    table.fill(&keys, &values)?;
    for (key, _) in table.list()? {
        if !wanted.contains_key(&key) {
            table.delete(&key)?;
        }
    }
    Ok(())
}

/// Tells which addresses are this machine's, and of which kind.
pub(super) fn set_locals(maps: &Maps, locals: &[(Addr, u32)]) -> Result<()> {
    let entries = locals
        .iter()
        .map(|(a, kind)| (*a, LocalEntry { kind: *kind }));
    let wanted: BTreeMap<Addr, LocalEntry> = entries.collect();
    let known: BTreeMap<Addr, LocalEntry> = maps.locals.list()?.into_iter().collect();
    if known == wanted && maps.marks.know_addresses() {
        return Ok(());
    }
    maps.marks
        .addresses(&wanted, || hold(&maps.locals, &wanted))
}

/// Tells which VLAN devices are set up: where, by which tag, and their indexes.
pub(super) fn set_vlans(maps: &Maps, vlans: &BTreeMap<VlanKey, u32>) -> Result<()> {
    hold(&maps.vlans, vlans)
}

/// Tells the host's timeouts; the mark and the number of failsafe rules stay.
pub(super) fn set_timeouts(maps: &Maps, timeouts: [u64; 16]) -> Result<()> {
    let settings = maps.settings.need(&ONLY)?;
    maps.settings.set(
        &ONLY,
        &Settings {
            timeouts,
            ..settings
        },
    )
}

/// Tells the failsafe rules. Packets look for the longest prefix only, so each prefix also holds the
/// rules of all that contain it.
pub(super) fn set_failsafe(maps: &Maps, failsafe: &Failsafe) -> Result<()> {
    if failsafe.rules > MAX_FAILSAFE {
        let message = format!(
            "{} failsafe rules, at most {MAX_FAILSAFE} have a place",
            failsafe.rules
        );
        return Err(Error::TooLarge(message));
    }
    let addresses = cumulated(&failsafe.addresses);
    let addresses = addresses
        .iter()
        .map(|(l, a, rules)| (address_key(*l, a), *rules));
    hold(&maps.failsafe_addresses, &addresses.collect())?;
    let services = cumulated(&failsafe.services);
    let services = services.iter().map(|(l, s, rules)| {
        let halves = [*rules as u32, (*rules >> 32) as u32];
        (service_key(*l, *s), halves)
    });
    hold(&maps.failsafe_services, &services.collect())?;
    let settings = maps.settings.need(&ONLY)?;
    let failsafe = failsafe.rules;
    maps.settings.set(
        &ONLY,
        &Settings {
            failsafe,
            ..settings
        },
    )
}

fn cumulated<const N: usize>(prefixes: &[(u32, [u8; N], u64)]) -> Vec<(u32, [u8; N], u64)> {
    let rules = |length: u32, bytes: &[u8; N]| {
        let covering = prefixes
            .iter()
            .filter(|(l, b, _)| *l <= length && begins(bytes, b, *l));
        covering.fold(0, |all, (_, _, rules)| all | rules)
    };
    let all = prefixes.iter();
    all.map(|(length, bytes, _)| (*length, *bytes, rules(*length, bytes)))
        .collect()
}

/// Do the first `length` bits agree?
fn begins<const N: usize>(bytes: &[u8; N], prefix: &[u8; N], length: u32) -> bool {
    let differ = bytes.iter().zip(prefix).map(|(a, b)| a ^ b);
    let mut agree = 0;
    for byte in differ {
        agree += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    agree >= length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_prefix_holds_the_rules_of_those_around_it() {
        let all = cumulated(&[
            (8, [10, 0, 0, 0], 1),
            (24, [10, 1, 1, 0], 2),
            (24, [10, 1, 2, 0], 4),
            (0, [0; 4], 8),
            (32, [10, 1, 1, 255], 16),
        ]);
        let rules: Vec<u64> = all.iter().map(|(_, _, rules)| *rules).collect();
        assert_eq!(rules, [9, 11, 13, 8, 27]);
    }
}
