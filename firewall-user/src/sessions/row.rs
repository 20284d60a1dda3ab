//! A session as people and programs see it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use firewall_common::addr::Addr;
use firewall_common::flow::Tuple;
use firewall_common::session::opener_tuple;
use firewall_common::zone::Course;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent::plane::Live;
use crate::events::record::Process;
use crate::policy::services::protocol_word;

/// What went each way: from the opener, and back to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// From the opener.
    pub sent: u64,
    /// Back to it.
    pub received: u64,
}

/// The zones of a session's ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zones {
    /// The opener's.
    pub source: String,
    /// The responder's.
    pub destination: String,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// `tcp`, `udp` …
    pub protocol: String,
    /// The opener.
    pub source: IpAddr,
    /// Its port, or the ICMP identifier; `null` for protocols without ports.
    pub source_port: Option<u16>,
    /// The responder.
    pub destination: IpAddr,
    /// Its port; `null` for protocols without ports.
    pub destination_port: Option<u16>,
    /// `inbound`, `outbound` or `routed`.
    pub direction: String,
    /// Where it stands.
    pub state: String,
    /// The rule it was let in by; `null`: `unmatched`, or translated.
    pub rule: Option<String>,
    /// It is a session of the list as it left this host, under other addresses.
    #[serde(default)]
    pub translated: bool,
    /// Its ends' zones.
    pub zone: Zones,
    /// Packets.
    pub packets: Traffic,
    /// Bytes.
    pub bytes: Traffic,
    /// Seconds since its first packet.
    pub age_s: u64,
    /// Seconds since its last packet.
    pub idle_s: u64,
    /// The guarded interface it was opened at.
    pub interface: Option<String>,
    /// Who sent or listens, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

/// Names for the numbers in tables.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Rules by counter number.
    pub rules: BTreeMap<u32, String>,
    /// Those of them that reject, of the policy in force.
    pub rejects: BTreeSet<u32>,
    /// Zones by number.
    pub zones: BTreeMap<u8, String>,
    /// Interfaces by index.
    pub interfaces: BTreeMap<u32, String>,
}

impl Names {
    /// A zone's name; `-` for a number that no kept policy knows.
    #[must_use]
    pub fn zone(&self, number: u8) -> String {
        let name = self.zones.get(&number).cloned();
        name.unwrap_or_else(|| "-".to_owned())
    }
}

/// An address of the tables as everyone writes it.
#[must_use]
pub fn address(address: Addr) -> IpAddr {
    if address.is_v4() {
        IpAddr::V4(Ipv4Addr::from(address.as_v4()))
    } else {
        IpAddr::V6(Ipv6Addr::from(address.to_bytes()))
    }
}

/// The row of a session at a time, in nanoseconds since boot.
#[must_use]
pub fn row(live: &Live, names: &Names, now: u64) -> Row {
    let entry = &live.entry;
    let mut tuple = Tuple::default();
    opener_tuple(&live.key, entry, &mut tuple);
    let (source_port, destination_port) = ports(&tuple);
    let [sent, received] = entry.counts;
    let seconds = |since: u64| now.saturating_sub(since) / 1_000_000_000;
    let interface = match entry.interface_in {
        0 => entry.interface_out,
        index => index,
    };
    Row {
        protocol: protocol_word(tuple.protocol),
        source: address(tuple.source),
        source_port,
        destination: address(tuple.destination),
        destination_port,
        direction: direction(entry.course()).to_owned(),
        state: entry.track.state().word().to_owned(),
        rule: names.rules.get(&entry.permit.rule).cloned(),
        translated: entry.stands_in(),
        zone: Zones {
            source: names.zone(entry.source_zone),
            destination: names.zone(entry.destination_zone),
        },
        packets: Traffic {
            sent: sent.packets,
            received: received.packets,
        },
        bytes: Traffic {
            sent: sent.bytes,
            received: received.bytes,
        },
        age_s: seconds(entry.opened),
        idle_s: seconds(entry.last_seen),
        interface: names.interfaces.get(&interface).cloned(),
        process: None,
    }
}

/// The word for where a session opened to.
#[must_use]
pub const fn direction(course: Course) -> &'static str {
    match course {
        Course::Inbound => "inbound",
        Course::Outbound => "outbound",
        Course::Routed => "routed",
    }
}

fn ports(tuple: &Tuple) -> (Option<u16>, Option<u16>) {
    match tuple.protocol {
        6 | 17 | 33 | 132 | 136 => (Some(tuple.source_port), Some(tuple.destination_port)),
        1 | 58 => (Some(tuple.source_port), None),
        _ => (None, None),
    }
}
