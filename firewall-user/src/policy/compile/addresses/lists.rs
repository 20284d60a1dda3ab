//! All lists of addresses whose members tell addresses apart: those of zones, and those of conditions that are
//! bits. Their prefixes, by family.

use std::collections::BTreeMap;

use firewall_common::zone::INTERFACE_CLASSES;
use ipnet::IpNet;

use super::LINK_LOCAL;
use super::zones::ZoneRules;
use crate::policy::compile::conditions::Condition;
use crate::policy::compile::prefixes::known;
use crate::policy::model::{Addresses, Policy};

/// What being in a list does: to conditions, by their number, and to the zone.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) named: Vec<u32>,
    pub(super) except: Vec<u32>,
    /// By class of interface: the zone, 0 for none.
    pub(super) zones: [u8; INTERFACE_CLASSES],
}

/// A prefix of a family and a list that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) key: u128,
    pub(super) length: u32,
    pub(super) group: u32,
}

/// What being in a list does to conditions.
type Effect = fn(&mut Group) -> &mut Vec<u32>;

/// All lists, and their prefixes by family.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) groups: Vec<Group>,
    pub(super) v4: Vec<Named>,
    pub(super) v6: Vec<Named>,
}

impl Lists {
    fn add(&mut self, group: Group, prefixes: &[IpNet]) {
        if prefixes.is_empty() {
            return;
        }
        let number = self.groups.len() as u32;
        self.groups.push(group);
        for prefix in prefixes {
            self.prefix(*prefix, number);
        }
    }

    fn prefix(&mut self, prefix: IpNet, group: u32) {
        let Some((key, length)) = known(prefix) else {
            return;
        };
        let named = Named { key, length, group };
        match prefix {
            IpNet::V4(_) => self.v4.push(named),
            IpNet::V6(_) => self.v6.push(named),
        }
    }

    /// The first list, so that a zone that names the same prefix itself outranks it.
    pub(super) fn link_local(&mut self, zones: &ZoneRules<'_>) {
        let (key, length) = LINK_LOCAL;
        let zones = zones.link_local();
        let group = Group {
            zones,
            ..Group::default()
        };
        let number = self.groups.len() as u32;
        self.groups.push(group);
        if zones != [0; INTERFACE_CLASSES] {
            self.v6.push(Named {
                key,
                length,
                group: number,
            });
        }
    }

    pub(super) fn zones(&mut self, policy: &Policy, rules: &ZoneRules<'_>) {
        for (index, zone) in policy.zones.iter().enumerate() {
            let group = Group {
                zones: rules.where_included(index, zone),
                ..Group::default()
            };
            self.add(group, &zone.cidrs);
        }
    }

    /// The sets that conditions name, each once, and the prefixes that they name themselves.
    pub(super) fn conditions(&mut self, policy: &Policy, conditions: &[Condition<'_>]) {
        let mut sets: BTreeMap<usize, Group> = BTreeMap::new();
        for (number, (named, except)) in (0..).zip(conditions) {
            let lists: [(&Option<&Addresses>, Effect); 2] = [
                (named, |group| &mut group.named),
                (except, |group| &mut group.except),
            ];
            for (list, effect) in lists {
                let Some(list) = list else { continue };
                for set in &list.sets {
                    effect(sets.entry(*set).or_default()).push(number);
                }
                let mut group = Group::default();
                effect(&mut group).push(number);
                self.add(group, &list.prefixes);
            }
        }
        for (index, group) in sets {
            if let Some(set) = policy.sets.get(index) {
                self.add(group, &set.members);
            }
        }
    }
}
