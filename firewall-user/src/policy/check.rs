//! What a policy must and should be, as far as that needs no tables: [`check`] refuses, [`lint`] warns.

pub mod globs;
mod lints;

use std::collections::HashMap;

use ipnet::IpNet;

use super::diagnostic::Report;
use super::model::{Policy, Zone};
use super::text::whole_file;

pub use lints::lint;

/// Errors that only the whole policy shows.
pub fn check(policy: &Policy, report: &mut Report<'_>) {
    one_default_zone(policy, report);
    shared_prefixes(&policy.zones, report);
    shared_interfaces(&policy.zones, report);
}

fn one_default_zone(policy: &Policy, report: &mut Report<'_>) {
    let mut defaults = policy.zones.iter().filter(|zone| zone.default);
    let Some(first) = defaults.next() else {
        let at = policy.zones.first().map_or(whole_file(0), |zone| zone.span);
        let message = "no zone says `default: true`: somebody must be everyone else";
        let help = "add `internet: {default: true}` to `zones`";
        return report.error_help(at, "default-zone", message, help);
    };
    for other in defaults {
        let message = format!(
            "`{}` says `default: true`, and so does `{}`: exactly one zone is everyone else",
            other.name, first.name
        );
        report.error(other.span, "default-zone", message);
    }
}

/// The same prefix in two zones leaves open which of them an address is in.
fn shared_prefixes(zones: &[Zone], report: &mut Report<'_>) {
    let mut holders: HashMap<IpNet, Vec<usize>> = HashMap::new();
    let mut told = Vec::new();
    for (index, zone) in zones.iter().enumerate() {
        for prefix in &zone.cidrs {
            let holders = holders.entry(*prefix).or_default();
            for other in holders.iter().copied().filter(|other| *other != index) {
                let clash = zones.get(other).filter(|other| could_share(zone, other));
                if let Some(other_zone) = clash.filter(|_| !told.contains(&(other, index))) {
                    told.push((other, index));
                    same_prefix(zone, other_zone, *prefix, report);
                }
            }
            holders.push(index);
        }
    }
}

fn same_prefix(zone: &Zone, other: &Zone, prefix: IpNet, report: &mut Report<'_>) {
    let message = format!(
        "`{prefix}` is in the zone `{}` too, and both could be asked at one interface",
        other.name
    );
    let help = "take it out of one of them, or tell them apart by `interfaces`";
    report.error_help(zone.span, "zone-overlap", message, help);
}

/// Two zones that name only interfaces leave open which of them an interface is.
fn shared_interfaces(zones: &[Zone], report: &mut Report<'_>) {
    let only: Vec<&Zone> = zones
        .iter()
        .filter(|zone| zone.has_interfaces && !zone.has_cidrs)
        .collect();
    for (index, zone) in only.iter().enumerate() {
        if let Some(other) = only
            .iter()
            .take(index)
            .find(|other| could_share(zone, other))
        {
            let message = format!(
                "the zones `{}` and `{}` name only interfaces, and one interface could be in both",
                other.name, zone.name
            );
            let help = "make their names and globs differ, or add `cidrs`";
            report.error_help(zone.span, "zone-overlap", message, help);
        }
    }
}

/// Is there an interface that both could include? A zone without `interfaces` includes all.
pub(in crate::policy) fn could_share(a: &Zone, b: &Zone) -> bool {
    if !(a.has_interfaces && b.has_interfaces) {
        return true;
    }
    let meets = |one: &String| {
        b.interfaces
            .iter()
            .any(|other| globs::could_meet(one, other))
    };
    a.interfaces.iter().any(meets)
}
