//! Pieces of the space of packets, and the rule that decides in each: the simple way, which takes sets of rules for each
//! address that the policy tells apart. Tests hold [`super::super::search`] against it.

use std::collections::HashMap;

use super::services;
use super::{Class, Query, Setting, Space, Target};
use crate::policy::compile::{AddressEntry, Rules};
use crate::policy::frame::Concrete;
use firewall_common::packet::protocol;
use firewall_common::policy::rule::{MONITOR, Rule};
use firewall_common::zone::{Course, INTERFACE_CLASSES, ZoneId};

/// A piece of the space of packets, by one packet of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Every rule that matches the packets of this piece.
    pub rules: Rules,
    /// The packet.
    pub packet: Concrete,
    /// The interfaces that it comes in and leaves by.
    pub names: (String, String),
    /// The one of them that it is judged at, where that may matter.
    pub interface: Option<String>,
    /// Is that the one it leaves by?
    pub leaving: bool,
}

/// Rules that are left, each with an example of how it comes about.
type Left<T> = Vec<(Rules, T)>;

/// Keeps one example for each different set of rules.
fn joined<T>(all: impl IntoIterator<Item = (Rules, T)>) -> Left<T> {
    let mut known = HashMap::new();
    let mut left = Vec::new();
    for (rules, example) in all {
        known.entry(rules).or_insert_with_key(|rules: &Rules| {
            left.push((rules.clone(), example));
        });
    }
    left
}

impl Space<'_> {
    /// The rules that may decide at a time: neither expired nor in monitor mode.
    #[must_use]
    pub fn deciding(&self, now: u64) -> Rules {
        let decides =
            |rule: &Rule| rule.flags & MONITOR == 0 && (rule.expires == 0 || now < rule.expires);
        let rules = &self.compiled.rules;
        Rules::of(self.fields.rules, |index| {
            rules.get(index).is_some_and(decides)
        })
    }

    /// The pieces of what is asked about, as far as rules of `mask` tell them apart. `None` past `most` pieces.
    #[must_use]
    pub fn cases(&self, query: &Query<'_>, mask: &Rules, most: usize) -> Option<Vec<Case>> {
        let mut cases = Vec::new();
        for setting in self.settings(query.course) {
            for v6 in [false, true] {
                cases.extend(self.of_setting(query, &setting, v6, mask, most)?);
                if cases.len() > most {
                    return None;
                }
            }
        }
        Some(joined_cases(cases))
    }

    fn of_setting(
        &self,
        query: &Query<'_>,
        setting: &Setting,
        v6: bool,
        mask: &Rules,
        most: usize,
    ) -> Option<Vec<Case>> {
        let start = self.on(setting, mask);
        let sources = self.sources(query, setting, v6, &start);
        let destinations = self.destinations(query, setting, v6);
        let ends = meet(&sources, &destinations, most, |a, b| (*a, *b))?;
        let services = services::classes(self, query.services, v6);
        let mut cases = Vec::new();
        for ported in [true, false] {
            let matching = services
                .iter()
                .filter(|s| protocol::has_ports(s.protocol) == ported);
            let left = joined(matching.map(|class| (class.rules.clone(), class.packets)));
            let asked = meet(&ends, &left, most, |ends, class| (*ends, *class))?;
            let Some((_, (first, _))) = left.first() else {
                continue;
            };
            let ports = services::source_ports(self, *first);
            let ports = joined(ports.into_iter().map(|(port, rules)| (rules, port)));
            let all = meet(&asked, &ports, most, |asked, port| (*asked, *port))?;
            cases.extend(all.into_iter().map(|(rules, ((ends, class), port))| Case {
                rules,
                packet: packet(ends, class, port),
                names: setting.names.clone(),
                interface: self.matters(setting),
                leaving: setting.leaving,
            }));
        }
        Some(cases)
    }

    /// The rules of a mask that hold at an interface.
    fn on(&self, setting: &Setting, mask: &Rules) -> Rules {
        let kind = setting
            .kind
            .and_then(|kind| self.fields.kinds.get(kind as usize));
        kind.map_or_else(|| mask.clone(), |rules| mask.and(rules))
    }

    fn sources(
        &self,
        query: &Query<'_>,
        setting: &Setting,
        v6: bool,
        start: &Rules,
    ) -> Left<Class> {
        let fields = &self.fields;
        let classes = match &query.source {
            // Framing lets no other sources by.
            Target::Net(net) => super::distinct(
                &self.regions,
                &super::clipped(&super::unicast(), super::range(net)),
            ),
            other => self.classes(other, v6),
        };
        let classes = classes.into_iter().filter(|class| class.v6 == v6);
        joined(classes.filter_map(|class| {
            let zone = match query.course {
                Course::Outbound => ZoneId::HOST.0,
                _ => zone(&class.entry, setting.class_in),
            };
            let wanted = wanted(&query.source, zone) || query.course == Course::Outbound;
            let by_zone = fields.source_zones.get(usize::from(zone))?;
            let by_address = fields.sources.get(class.entry.class as usize)?;
            wanted.then(|| (start.and(by_zone).and(by_address), class))
        }))
    }

    fn destinations(&self, query: &Query<'_>, setting: &Setting, v6: bool) -> Left<Class> {
        let fields = &self.fields;
        let classes = self.classes(&query.destination, v6);
        joined(classes.into_iter().filter_map(|class| {
            let group = is_group(&class);
            let zone = match query.course {
                Course::Inbound => ZoneId::HOST.0,
                _ if group => ZoneId::MULTICAST.0,
                _ => zone(&class.entry, setting.class_out),
            };
            let wanted = wanted(&query.destination, zone) || query.course == Course::Inbound;
            let by_zone = fields.destination_zones.get(usize::from(zone))?;
            let by_address = fields.destinations.get(class.entry.class as usize)?;
            wanted.then(|| (by_zone.and(by_address), class))
        }))
    }

    fn classes(&self, target: &Target, v6: bool) -> Vec<Class> {
        let all = match target {
            Target::Net(net) => self.within(net),
            Target::Groups => super::distinct(&self.regions, &super::groups()),
            Target::All | Target::Zone(_) => self.unicast.clone(),
        };
        all.into_iter().filter(|class| class.v6 == v6).collect()
    }
}

fn is_group(class: &Class) -> bool {
    let address = super::known(class.example);
    address.is_multicast() || address.is_limited_broadcast()
}

fn zone(entry: &AddressEntry, class: u32) -> u8 {
    let class = class as usize & (INTERFACE_CLASSES - 1);
    entry.zones.get(class).copied().unwrap_or(0)
}

fn wanted(target: &Target, zone: u8) -> bool {
    match target {
        Target::Zone(number) => *number == zone,
        _ => true,
    }
}

/// What two lists of sets of rules leave together; `None` past `most`.
fn meet<A, B, C>(
    left: &[(Rules, A)],
    right: &[(Rules, B)],
    most: usize,
    join: impl Fn(&A, &B) -> C,
) -> Option<Left<C>> {
    if left.len().saturating_mul(right.len()) > most.saturating_mul(64) {
        return None;
    }
    let pairs = left.iter().flat_map(|l| right.iter().map(move |r| (l, r)));
    let met = joined(pairs.map(|((v, a), (w, b))| (v.and(w), (a, b))));
    let together = met.into_iter().map(|(rules, (a, b))| (rules, join(a, b)));
    Some(together.collect())
}

fn packet(
    (source, destination): (Class, Class),
    (protocol, low): (u8, u16),
    port: u16,
) -> Concrete {
    let [kind, code] = low.to_be_bytes();
    // Nobody sends to itself over a wire.
    let same = source.example == destination.example;
    let to = if same {
        destination.other
    } else {
        destination.example
    };
    let from = if same && to == source.example {
        source.other
    } else {
        source.example
    };
    Concrete {
        source: from,
        destination: to,
        source_port: port,
        destination_port: low,
        protocol,
        icmp: (kind, code),
        tcp_flags: firewall_common::parse::tcp::SYN,
        tcp_numbers: (crate::policy::frame::SEQUENCE, 0),
        hop_limit: 64,
        payload: Vec::new(),
    }
}

fn joined_cases(cases: Vec<Case>) -> Vec<Case> {
    let all = cases.into_iter().map(|case| (case.rules.clone(), case));
    joined(all).into_iter().map(|(_, case)| case).collect()
}

impl Case {
    /// The rules that match, in order.
    pub fn matching(&self) -> impl Iterator<Item = u32> {
        self.rules.iter()
    }
}
