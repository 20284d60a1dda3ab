//! Zones: their names, and the rules that each may be an end of.

use firewall_common::config::Generation;
use firewall_common::way_back::SourceCheck as Check;
use firewall_common::zone::ZoneId;

use crate::policy::compiled::Numbers;
use crate::policy::model::{Ends, Policy, SourceCheck};

/// Zone names by number, the built-in ones first.
pub(super) fn names(policy: &Policy, numbers: &Numbers) -> Vec<(ZoneId, String)> {
    let own = policy.zones.iter().map(|zone| {
        let number = number(numbers, &zone.name);
        (ZoneId(number), zone.name.clone())
    });
    let built_in = [(ZoneId::HOST, "host"), (ZoneId::MULTICAST, "multicast")];
    let mut names: Vec<(ZoneId, String)> = built_in
        .into_iter()
        .map(|(id, name)| (id, name.to_owned()))
        .chain(own)
        .collect();
    names.sort();
    names
}

/// Writes down what the sources of each zone are held against.
pub(super) fn checks(policy: &Policy, numbers: &Numbers, head: &mut Generation) {
    for zone in &policy.zones {
        let check = match (zone.checks(false), zone.checks(true)) {
            (SourceCheck::Off, _) => Check::Off,
            (SourceCheck::Strict, _) => Check::Strict,
            (SourceCheck::Loose, SourceCheck::Strict) => Check::Suited,
            (SourceCheck::Loose, _) => Check::Loose,
        };
        head.set_source_check(ZoneId(number(numbers, &zone.name)), check);
    }
}

/// Bits by number of the zones that operators come from.
pub(super) fn management(policy: &Policy, numbers: &Numbers) -> u64 {
    let zones = policy.zones.iter().filter(|zone| zone.management);
    let bits = zones.map(|zone| 1_u64 << (number(numbers, &zone.name) & 63));
    bits.fold(0, |all, bit| all | bit)
}

/// The number of a zone of the policy.
pub(super) fn number(numbers: &Numbers, name: &str) -> u8 {
    numbers.zones.get(name).copied().unwrap_or(ZoneId::NONE.0)
}

/// Is a zone among the ends? `any` is every zone but host.
pub(super) fn holds(policy: &Policy, ends: &Ends, zone: ZoneId, numbers: &Numbers) -> bool {
    match ends {
        Ends::Host => zone == ZoneId::HOST,
        Ends::Any => zone != ZoneId::HOST && zone != ZoneId::NONE,
        Ends::Zones { multicast, .. } if zone == ZoneId::MULTICAST => *multicast,
        Ends::Zones { zones, .. } => zones
            .iter()
            .filter_map(|index| policy.zones.get(*index))
            .any(|own| number(numbers, &own.name) == zone.0),
    }
}
