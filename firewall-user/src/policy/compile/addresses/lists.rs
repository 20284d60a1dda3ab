//! All lists of addresses of a policy, and their prefixes by family.

use firewall_common::config::Vector;
use firewall_common::zone::INTERFACE_CLASSES;
use ipnet::IpNet;

use super::zones::ZoneRules;
use super::{LINK_LOCAL, MAPPED, MAPPED_BITS, mask};
use crate::policy::compile::Place;
use crate::policy::compile::bits;
use crate::policy::model::{Addresses, Policy};

/// What being in a list does.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) sources: Vector,
    pub(super) except_sources: Vector,
    pub(super) destinations: Vector,
    pub(super) except_destinations: Vector,
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

/// What being in one of them does.
type Effect = fn(&mut Group) -> &mut Vector;

/// One of a rule's four conditions on addresses.
type Field = for<'p> fn(&Place<'p>) -> Option<&'p Addresses>;

/// All lists of the policy, and their prefixes by family.
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
        let length = u32::from(prefix.prefix_len());
        match prefix.trunc() {
            IpNet::V4(net) => self.v4.push(Named {
                key: MAPPED | u128::from(u32::from(net.network())),
                length: MAPPED_BITS + length,
                group,
            }),
            IpNet::V6(net) => {
                let key = u128::from(net.network());
                // No IPv6 packet has a mapped address, and IPv4 packets are none of this prefix's.
                let mapped = length >= MAPPED_BITS && key & mask(MAPPED_BITS) == MAPPED;
                if !mapped {
                    self.v6.push(Named { key, length, group });
                }
            }
        }
    }

    /// The first list, so that a zone that names the same prefix itself outranks it.
    pub(super) fn link_local(&mut self, zones: &ZoneRules<'_>) {
        let (key, length) = LINK_LOCAL;
        let group = Group {
            zones: zones.link_local(),
            ..Group::default()
        };
        self.groups.push(group);
        self.v6.push(Named {
            key,
            length,
            group: 0,
        });
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

    pub(super) fn sets(&mut self, policy: &Policy, active: &[&Place<'_>]) {
        for (index, set) in policy.sets.iter().enumerate() {
            let names = |field: Option<&Addresses>| {
                field.is_some_and(|addresses| addresses.sets.contains(&index))
            };
            let of = |field: Field| bits::of(active, |place| names(field(place)));
            let group = Group {
                sources: of(|p| p.rule?.sources.as_ref()),
                except_sources: of(|p| p.rule?.except_sources.as_ref()),
                destinations: of(|p| p.rule?.destinations.as_ref()),
                except_destinations: of(|p| p.rule?.except_destinations.as_ref()),
                ..Group::default()
            };
            if group.is_used() {
                self.add(group, &set.members);
            }
        }
    }

    pub(super) fn inline(&mut self, active: &[&Place<'_>]) {
        for place in active {
            let (Some(rule), Some(index)) = (place.rule, place.index) else {
                continue;
            };
            let fields: [(&Option<Addresses>, Effect); 4] = [
                (&rule.sources, |group| &mut group.sources),
                (&rule.except_sources, |group| &mut group.except_sources),
                (&rule.destinations, |group| &mut group.destinations),
                (&rule.except_destinations, |group| {
                    &mut group.except_destinations
                }),
            ];
            for (addresses, vector) in fields {
                let Some(addresses) = addresses else { continue };
                let mut group = Group::default();
                bits::set(vector(&mut group), index);
                self.add(group, &addresses.prefixes);
            }
        }
    }
}

impl Group {
    fn is_used(&self) -> bool {
        let all = [
            &self.sources,
            &self.except_sources,
            &self.destinations,
            &self.except_destinations,
        ];
        all.iter().any(|vector| **vector != Vector::default())
    }
}
