//! What is asked about packets, and the different ways in which they cross interfaces.

use std::collections::HashMap;

use firewall_common::config::{GENERATION_INTERFACES, InterfaceEntry};
use firewall_common::essential::Essential;
use firewall_common::packet::protocol;
use firewall_common::zone::Course;
use ipnet::IpNet;

use super::Space;
use crate::policy::compiled::Compiled;
use crate::policy::model::Service;

/// One end of what is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Every address, in whatever zone.
    All,
    /// The addresses of a zone, by its number.
    Zone(u8),
    /// The addresses of a prefix.
    Net(IpNet),
    /// Multicast and the limited broadcast.
    Groups,
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Query<'q> {
    /// To this host, from it, or neither.
    pub course: Course,
    /// Who sends; of outbound packets every address is this host's.
    pub source: Target,
    /// Who is addressed; of inbound packets every address is this host's.
    pub destination: Target,
    /// Which services; `None` for all.
    pub services: Option<&'q [Service]>,
}

/// An interface's name and what the policy knows of it.
type Named = (String, InterfaceEntry);

/// Interfaces as a packet meets them.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Setting {
    pub(in crate::policy) class_in: u32,
    pub(in crate::policy) class_out: u32,
    pub(in crate::policy) kind: Option<u32>,
    pub(in crate::policy) names: (String, String),
    pub(in crate::policy) leaving: bool,
}

impl Space<'_> {
    /// The different combinations of interfaces.
    pub(in crate::policy) fn settings(&self, course: Course) -> Vec<Setting> {
        let ways: &[bool] = match course {
            Course::Inbound => &[false],
            Course::Outbound => &[true],
            Course::Routed => &[false, true],
        };
        let named = self.compiled.head.flags & GENERATION_INTERFACES != 0;
        let mut known = HashMap::new();
        let mut settings = Vec::new();
        for leaving in ways {
            for ((name_in, by), (name_out, on)) in self.pairs(course) {
                let judged = if *leaving { on } else { by };
                let setting = Setting {
                    class_in: by.class,
                    class_out: on.class,
                    kind: named.then_some(judged.kind),
                    names: (name_in.clone(), name_out.clone()),
                    leaving: *leaving,
                };
                let key = (setting.class_in, setting.class_out, setting.kind);
                known.entry(key).or_insert_with(|| settings.push(setting));
            }
        }
        settings
    }

    fn pairs(&self, course: Course) -> Vec<(&Named, &Named)> {
        let names = || self.interfaces.iter();
        match course {
            Course::Routed => names().flat_map(|a| names().map(move |b| (a, b))).collect(),
            _ => names().map(|name| (name, name)).collect(),
        }
    }

    /// The interface's name, where a policy can tell interfaces apart.
    pub(in crate::policy) fn matters(&self, setting: &Setting) -> Option<String> {
        let (name_in, name_out) = &setting.names;
        let judged = if setting.leaving { name_out } else { name_in };
        (self.interfaces.len() > 1).then(|| judged.clone())
    }
}

/// ICMP is of its own family, and IPv6 has no protocols where it has extension headers.
pub(in crate::policy) const fn exists(number: u8, v6: bool) -> bool {
    match number {
        protocol::ICMP | protocol::IGMP => !v6,
        protocol::ICMPV6 => v6,
        0 | 43 | 44 | 51 | 60 => !v6,
        _ => true,
    }
}

/// Packets that the list is never asked about: ICMP errors go by sessions alone, and what the link needs is decided
/// before.
pub(in crate::policy) fn never(compiled: &Compiled, number: u8, port: u16) -> bool {
    let on = |essential: Essential| compiled.head.essentials & essential.bit() != 0;
    match (number, port >> 8) {
        (protocol::ICMP, kind) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        (protocol::ICMPV6, 133 | 134) => on(Essential::Ra),
        (protocol::ICMPV6, kind) => kind < 128 || matches!(kind, 135..=137),
        (protocol::IGMP, _) => port != 0 || on(Essential::Igmp),
        (number, _) => !protocol::has_ports(number) && port != 0,
    }
}
