//! What the agent says of records: the drops, the handshakes that do not complete.

use ipnet::IpNet;
use jiff::Timestamp;

use super::clock;
use super::state::{Agent, Current};
use crate::api::types::{Group, OneSidedRow};
use crate::detect::{Cause, OneSided, Way};
use crate::events::Seen;
use crate::events::drops::{Drops, group};
use crate::events::hub::wall;
use crate::sessions::address;

/// Nanoseconds for which a handshake without a packet counts as going on: Linux tries again within this time.
const CURRENT: u64 = 20_000_000_000;

/// Its like: one network of peers at one port. A scan has many ports, and a flood many networks.
fn group_of(one: &OneSided) -> Group {
    let peer = match one.way {
        Way::Inbound => address(one.tuple.source),
        Way::Outbound => address(one.tuple.destination),
    };
    let length = if peer.is_ipv4() { 24 } else { 64 };
    let network = IpNet::new(peer, length).map(|net| net.trunc().to_string());
    Group {
        direction: one.way.word().to_owned(),
        cause: one.cause.word().to_owned(),
        network: network.ok().filter(|_| one.cause != Cause::SynFlood),
        port: (one.cause != Cause::Scan).then_some(one.tuple.destination_port),
    }
}

impl Agent {
    /// `GET /v1/drops`.
    #[must_use]
    pub fn drops(&mut self, since: Timestamp) -> Drops {
        let (seen, _) = self.eyes.hub.follow(since);
        self.read_text();
        group(&seen, self.in_force().and_then(Current::policy))
    }

    /// `GET /v1/one-sided`.
    #[must_use]
    pub fn one_sided(&self, since: Timestamp) -> Vec<OneSidedRow> {
        let clock = clock::now();
        let names = self.names();
        let row = |one: OneSided| OneSidedRow {
            cause: one.cause.word().to_owned(),
            direction: one.way.word().to_owned(),
            source: address(one.tuple.source),
            source_port: one.tuple.source_port,
            destination: address(one.tuple.destination),
            destination_port: one.tuple.destination_port,
            zone: crate::sessions::Zones {
                source: names.zone(one.zones.0.0),
                destination: names.zone(one.zones.1.0),
            },
            rule: one.rule.and_then(|rule| names.rules.get(&rule).cloned()),
            interface: names.interfaces.get(&one.interface).cloned(),
            packets: crate::sessions::Traffic {
                sent: one.sent,
                received: one.received,
            },
            first: wall(&clock, one.first),
            last: wall(&clock, one.last),
            advice: one.advice.unwrap_or(one.cause.advice()).to_owned(),
            current: clock.boot.saturating_sub(one.last) < CURRENT,
            group: group_of(&one),
            process: self.eyes.hub.owner_of_one(&one).as_deref().cloned(),
            evidence: one.evidence,
        };
        let all = self.eyes.hub.one_sided().into_iter().map(row);
        all.filter(|row| row.last >= since).collect()
    }

    /// The live sessions as records of this moment.
    pub fn live_records(&self) -> anyhow::Result<Vec<Seen>> {
        let clock = clock::now();
        let live = self.plane.as_ref().map(|plane| plane.sessions());
        let live = live.transpose()?.unwrap_or_default().into_iter();
        Ok(live.map(|live| self.eyes.hub.live(live, &clock)).collect())
    }
}
