//! Classes of services and of source ports.

use firewall_common::config::{GENERATION_SOURCE_PORTS, KIND_DESTINATION, KIND_SOURCE, VECTOR_ALL};
use firewall_common::essential::Essential;
use firewall_common::packet::protocol;

use crate::policy::compiled::Compiled;
use crate::policy::model::Service;

/// A protocol that is named by nobody (RFC 3692).
const UNNAMED: u8 = 253;
/// Protocols that are looked at in any case.
const ALWAYS: [u8; 8] = [6, 17, 1, 58, 33, 132, 136, UNNAMED];

/// Packets of one protocol and a run of ports (of ICMP: type and code) that meet the same rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServiceClass {
    pub(super) protocol: u8,
    pub(super) low: u16,
    pub(super) vector: u32,
}

/// What is asked about: a protocol and a run of ports.
type Asked = (u8, u16, u16);

/// The classes of the services asked about, of all where none are.
pub(super) fn classes(
    compiled: &Compiled,
    services: Option<&[Service]>,
    v6: bool,
) -> Vec<ServiceClass> {
    let asked = services.map_or_else(
        || everything(compiled),
        |all| all.iter().map(asked).collect(),
    );
    let mut classes = Vec::new();
    for (protocol, low, high) in asked
        .into_iter()
        .filter(|(protocol, ..)| exists(*protocol, v6))
    {
        let start = u32::from_be_bytes([protocol, KIND_DESTINATION, 0, 0]);
        let any = compiled.head.any_service;
        for (first, last, vector) in runs(compiled, start, any, low, high) {
            if let Some(low) = judged(compiled, protocol, first, last) {
                let class = ServiceClass {
                    protocol,
                    low,
                    vector,
                };
                classes.push(class);
            }
        }
    }
    classes
}

/// The classes of source ports: an example and the vector.
pub(super) fn source_ports(compiled: &Compiled, number: u8) -> Vec<(u16, u32)> {
    let any = compiled.head.any_source_port;
    if compiled.head.flags & GENERATION_SOURCE_PORTS == 0 {
        return vec![(50_000, VECTOR_ALL)];
    }
    if !protocol::has_ports(number) {
        return vec![(0, any)];
    }
    let start = u32::from_be_bytes([0, KIND_SOURCE, 0, 0]);
    let runs = runs(compiled, start, any, 0, u16::MAX).into_iter();
    let example = |first, last| {
        if (first..=last).contains(&50_000) {
            50_000
        } else {
            first
        }
    };
    runs.map(|(first, last, vector)| (example(first, last), vector))
        .collect()
}

fn asked(service: &Service) -> Asked {
    match *service {
        Service::Ports {
            protocol,
            low,
            high,
        } => (protocol, low, high),
        Service::Icmp { v6, kind, code } => {
            let (first, last) = (code.unwrap_or(0), code.unwrap_or(u8::MAX));
            let (low, high) = (kind.unwrap_or(0), kind.unwrap_or(u8::MAX));
            let join = |kind, code| u16::from_be_bytes([kind, code]);
            let number = if v6 { protocol::ICMPV6 } else { protocol::ICMP };
            (number, join(low, first), join(high, last))
        }
        Service::Protocol(number) => (number, 0, u16::MAX),
    }
}

fn everything(compiled: &Compiled) -> Vec<Asked> {
    let destination = compiled
        .services
        .iter()
        .filter(|(_, key, _)| key[1] == KIND_DESTINATION);
    let named = destination.map(|(_, key, _)| key[0]);
    let mut all: Vec<u8> = named.chain(ALWAYS).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
        .map(|number| (number, 0, u16::MAX))
        .collect()
}

/// ICMP is of its own family, and IPv6 has no protocols where it has extension headers.
const fn exists(number: u8, v6: bool) -> bool {
    match number {
        protocol::ICMP | protocol::IGMP => !v6,
        protocol::ICMPV6 => v6,
        0 | 43 | 44 | 51 | 60 => !v6,
        _ => true,
    }
}

/// An example of a run that the list is asked about: ICMP errors go by sessions alone, and what the
/// link needs is decided before.
fn judged(compiled: &Compiled, number: u8, first: u16, last: u16) -> Option<u16> {
    let on = |essential: Essential| compiled.head.essentials & essential.bit() != 0;
    let never = |port: u16| match (number, port >> 8) {
        (protocol::ICMP, kind) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        (protocol::ICMPV6, 133 | 134) => on(Essential::Ra),
        (protocol::ICMPV6, kind) => kind < 128 || matches!(kind, 135..=137),
        (protocol::IGMP, _) => port != 0 || on(Essential::Igmp),
        (number, _) => !protocol::has_ports(number) && port != 0,
    };
    (first..=last).find(|port| !never(*port))
}

/// The runs of ports within bounds that have the same longest prefix: first, last, vector.
fn runs(compiled: &Compiled, start: u32, any: u32, low: u16, high: u16) -> Vec<(u16, u16, u32)> {
    let prefixes: Vec<(u32, u16, u16, u32)> = compiled
        .services
        .iter()
        .filter(|(_, key, _)| u32::from_be_bytes(*key) & 0xffff_0000 == start)
        .map(|(length, key, vector)| {
            let first = u16::from_be_bytes([key[2], key[3]]);
            let last = u32::from(first) | (u32::MAX.checked_shr(*length).unwrap_or(0));
            (*length, first, last as u16, *vector)
        })
        .collect();
    let mut borders: Vec<u16> = vec![low];
    for (_, first, last, _) in &prefixes {
        borders.push(*first);
        borders.extend(last.checked_add(1));
    }
    borders.retain(|border| (low..=high).contains(border));
    borders.sort_unstable();
    borders.dedup();
    let ends = borders.iter().skip(1).map(|next| next - 1).chain([high]);
    let vector = |port: u16| {
        let holding = prefixes
            .iter()
            .filter(|(_, first, last, _)| (*first..=*last).contains(&port));
        let longest = holding.max_by_key(|(length, ..)| *length);
        longest.map_or(any, |(.., vector)| *vector)
    };
    borders
        .iter()
        .zip(ends)
        .map(|(first, last)| (*first, last, vector(*first)))
        .collect()
}
