//! Classes of services and of source ports.

use firewall_common::packet::protocol;

use super::Space;
use super::settings::{exists, never};
use crate::policy::compile::{ALL_SERVICES, Rules, Run, service_run};
use crate::policy::compiled::Compiled;
use crate::policy::model::Service;

/// A protocol that is named by nobody (RFC 3692).
const UNNAMED: u8 = 253;
/// Protocols that are looked at in any case.
const ALWAYS: [u8; 8] = [6, 17, 1, 58, 33, 132, 136, UNNAMED];

/// Packets of one protocol and a run of ports (of ICMP: type and code) that meet the same rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceClass {
    pub(super) protocol: u8,
    /// Protocol and port of one of them.
    pub(super) packets: (u8, u16),
    /// The rules that they leave.
    pub(super) rules: Rules,
}

/// The classes of the services asked about, of all where none are.
pub(super) fn classes(
    space: &Space<'_>,
    services: Option<&[Service]>,
    v6: bool,
) -> Vec<ServiceClass> {
    let asked = services.map_or_else(
        || everything(space),
        |all| all.iter().map(service_run).collect(),
    );
    let mut classes = Vec::new();
    for asked in asked {
        let protocol = (asked.0 >> 16) as u8;
        if !exists(protocol, v6) {
            continue;
        }
        for (first, last) in pieces(&space.fields.services, asked) {
            if let Some(low) = judged(space.compiled, protocol, first as u16, last as u16) {
                classes.push(ServiceClass {
                    protocol,
                    packets: (protocol, low),
                    rules: meeting(&space.fields.services, first),
                });
            }
        }
    }
    classes
}

/// The classes of source ports: an example and the rules that it leaves.
pub(super) fn source_ports(space: &Space<'_>, number: u8) -> Vec<(u16, Rules)> {
    let named = &space.fields.source_ports;
    let within = |port: Option<u32>| {
        Rules::of(named.len(), |rule| match named.get(rule) {
            Some(Some(runs)) => port.is_some_and(|port| contains(runs, port)),
            _ => true,
        })
    };
    if !protocol::has_ports(number) {
        return vec![(0, within(None))];
    }
    let runs: Vec<Vec<Run>> = named.iter().flatten().cloned().collect();
    if runs.is_empty() {
        return vec![(50_000, within(Some(50_000)))];
    }
    let pieces = pieces(&runs, (0, 0xffff)).into_iter();
    let example = |(first, last): Run| {
        if (first..=last).contains(&50_000) {
            50_000
        } else {
            first
        }
    };
    pieces
        .map(|piece| (example(piece) as u16, within(Some(example(piece)))))
        .collect()
}

fn contains(runs: &[Run], value: u32) -> bool {
    runs.iter()
        .any(|(first, last)| (*first..=*last).contains(&value))
}

/// The rules that name a value.
fn meeting(runs: &[Vec<Run>], value: u32) -> Rules {
    Rules::of(runs.len(), |rule| {
        runs.get(rule).is_some_and(|runs| contains(runs, value))
    })
}

/// A run, cut wherever one of others begins or has ended.
fn pieces(runs: &[Vec<Run>], (low, high): Run) -> Vec<Run> {
    let mut borders = vec![low];
    let inner = runs
        .iter()
        .flatten()
        .flat_map(|(first, last)| [*first, last.saturating_add(1)]);
    borders.extend(inner.filter(|border| (low..=high).contains(border)));
    borders.sort_unstable();
    borders.dedup();
    let ends = borders.iter().skip(1).map(|next| next - 1).chain([high]);
    borders.iter().copied().zip(ends).collect()
}

/// The protocols that rules name, and some more, each with all its ports.
fn everything(space: &Space<'_>) -> Vec<Run> {
    let runs = space.fields.services.iter().flatten();
    let named = runs.filter(|run| **run != ALL_SERVICES);
    let named = named.flat_map(|(first, last)| (first >> 16) as u8..=(last >> 16) as u8);
    let mut all: Vec<u8> = named.chain(ALWAYS).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
        .map(|number| service_run(&Service::Protocol(number)))
        .collect()
}

/// An example of a run that the list is asked about.
fn judged(compiled: &Compiled, number: u8, first: u16, last: u16) -> Option<u16> {
    (first..=last).find(|port| !never(compiled, number, *port))
}
