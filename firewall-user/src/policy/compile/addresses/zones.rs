//! Zones of addresses, by class of interface.

use std::collections::BTreeSet;

use firewall_common::zone::INTERFACE_CLASSES;

use crate::policy::compile::interfaces::{Class, Plan};
use crate::policy::compile::zones;
use crate::policy::compiled::Numbers;
use crate::policy::model::{Policy, Zone};

/// Which zone an address has by its interface alone, and where a zone's prefixes count.
pub(super) struct ZoneRules<'p> {
    policy: &'p Policy,
    plan: &'p Plan,
    numbers: &'p Numbers,
}

impl<'p> ZoneRules<'p> {
    pub(super) const fn new(policy: &'p Policy, plan: &'p Plan, numbers: &'p Numbers) -> Self {
        Self {
            policy,
            plan,
            numbers,
        }
    }

    /// By class, the number of the first of its zones that satisfies a condition.
    fn by_class(
        &self,
        zones: fn(&Class) -> &BTreeSet<usize>,
        condition: impl Fn(&Zone) -> bool,
    ) -> [u8; INTERFACE_CLASSES] {
        let mut numbers = [0; INTERFACE_CLASSES];
        for (class, number) in numbers.iter_mut().enumerate() {
            let zones = self.plan.classes.get(class).into_iter().flat_map(zones);
            let zones = zones.filter_map(|index| self.policy.zones.get(*index));
            let mut found = zones.filter(|zone| condition(zone));
            *number = found.next().map_or(0, |zone| self.number(zone));
        }
        numbers
    }

    fn number(&self, zone: &Zone) -> u8 {
        zones::number(self.numbers, &zone.name)
    }

    /// A zone that names only the interface; else the default zone.
    pub(super) fn without_prefix(&self) -> [u8; INTERFACE_CLASSES] {
        let default = self.policy.zones.iter().find(|zone| zone.default);
        let default = default.map_or(0, |zone| self.number(zone));
        self.by_class(|class| &class.included, |zone| !zone.has_cidrs)
            .map(|number| if number == 0 { default } else { number })
    }

    /// A zone that names interfaces owns fe80::/10 there; before others the one that names nothing else, and
    /// last one that stands for the networks on the link.
    pub(super) fn link_local(&self) -> [u8; INTERFACE_CLASSES] {
        let mut owners = self.by_class(|class| &class.included, |zone| !zone.has_cidrs);
        let others = self.by_class(|class| &class.included, |_| true);
        let linked = self.by_class(|class| &class.linked, |_| true);
        for ((owner, other), linked) in owners.iter_mut().zip(others).zip(linked) {
            let next = [*owner, other, linked].into_iter().find(|zone| *zone != 0);
            *owner = next.unwrap_or(0);
        }
        owners
    }

    /// The zone's number in the classes of interfaces that its prefixes count at.
    pub(super) fn where_included(&self, index: usize, zone: &Zone) -> [u8; INTERFACE_CLASSES] {
        let mut numbers = [0; INTERFACE_CLASSES];
        for (class, number) in numbers.iter_mut().enumerate() {
            let included = self.plan.classes.get(class);
            if !zone.has_interfaces || included.is_some_and(|class| class.included.contains(&index))
            {
                *number = self.number(zone);
            }
        }
        numbers
    }
}
