//! What the agent says of records: the drops, the handshakes that do not complete.

use jiff::Timestamp;

use super::clock;
use super::state::Agent;
use crate::api::types::OneSidedRow;
use crate::detect::OneSided;
use crate::events::Seen;
use crate::events::drops::{Drops, group};
use crate::events::hub::wall;
use crate::sessions::address;

impl Agent {
    /// `GET /v1/drops`.
    #[must_use]
    pub fn drops(&self, since: Timestamp) -> Drops {
        let (seen, _) = self.eyes.hub.follow(since);
        group(
            &seen,
            self.in_force().and_then(|current| current.policy.as_ref()),
        )
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
            advice: one.cause.advice().to_owned(),
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
