//! Records from the kernel, and what became of those that did not come.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{Map, MapData, RingBuf};
use firewall_common::config::{
    AGENT_LIMITED, AGENT_RECORDED, AGENT_SAMPLED, closed_counter, opened_counter,
};
use firewall_common::event::{EventCount, Kind};
use firewall_common::session::end::Cause;
use firewall_common::zone::{Course, ZONES, ZoneId};

use super::error::{Error, Result};
use super::maps::Maps;
use super::pin::Paths;

/// The ring that the programs put records into. It is pinned, so what they put there while no agent runs is
/// still there for the next one, as far as there is room.
pub struct Ring(RingBuf<MapData>);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

impl Ring {
    pub(super) fn open(paths: &Paths) -> Result<Self> {
        let failed = |error| Error::Table("EVENTS", io::Error::other(error));
        let map = MapData::from_pin(paths.maps.join("EVENTS")).map_err(failed)?;
        let map = Map::from_map_data(map).map_err(failed)?;
        Ok(Self(RingBuf::try_from(map).map_err(failed)?))
    }

    /// Calls `each` with the bytes of every record that is there now, at most `most`; how many there were.
    pub fn drain(&mut self, most: usize, mut each: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < most
            && let Some(bytes) = self.0.next()
        {
            each(&bytes);
            count += 1;
        }
        count
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sessions opened and ended since the tables were made; exact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Opened, by where to (a [`Course`] by number) and the zone at the other end.
    pub opened: BTreeMap<(u8, ZoneId), u64>,
    /// Ended, by why.
    pub closed: BTreeMap<Cause, u64>,
}

/// What became of records since the tables were made; exact.
pub type EventCounts = BTreeMap<Kind, EventCount>;

/// Sessions opened and ended: what the programs counted, and what the agent did.
pub(super) fn sessions(maps: &Maps) -> Result<SessionCounts> {
    let mut places: BTreeMap<u32, u64> = BTreeMap::new();
    maps.session_counts.list(|place, cpus| {
        let sum: u64 = cpus.iter().sum();
        if sum != 0 {
            places.insert(place, sum);
        }
    })?;
    let at = |place: u32| places.get(&place).copied().unwrap_or(0);
    let mut counts = SessionCounts::default();
    for course in [Course::Inbound, Course::Outbound, Course::Routed] {
        for zone in 0..ZONES as u8 {
            let opened = at(opened_counter(course as u8, zone));
            if opened != 0 {
                let key = (course as u8, ZoneId(zone));
                counts.opened.insert(key, opened);
            }
        }
    }
    for cause in Cause::ALL {
        let by_agent = maps.agent_counts.need(&(*cause as u32))?;
        let closed = at(closed_counter(*cause as u8)) + by_agent;
        counts.closed.insert(*cause, closed);
    }
    Ok(counts)
}

/// What became of records of each kind, those of the agent's own included.
pub(super) fn records(maps: &Maps) -> Result<EventCounts> {
    let mut counts = EventCounts::new();
    maps.event_counts.list(|place, cpus| {
        let Some(kind) = u8::try_from(place).ok().and_then(Kind::from_number) else {
            return;
        };
        let mut sum = EventCount::default();
        for cpu in cpus {
            sum.recorded += cpu.recorded;
            sum.limited += cpu.limited;
            sum.full += cpu.full;
            sum.sampled += cpu.sampled;
            sum.suppressed += cpu.suppressed;
        }
        counts.insert(kind, sum);
    })?;
    let close = counts.entry(Kind::Close).or_default();
    close.recorded += maps.agent_counts.need(&AGENT_RECORDED)?;
    close.limited += maps.agent_counts.need(&AGENT_LIMITED)?;
    close.sampled += maps.agent_counts.need(&AGENT_SAMPLED)?;
    Ok(counts)
}

/// Adds to counters of the agent's own. The agent is their only writer, so reading and writing back is fine.
pub(super) fn add(maps: &Maps, amounts: &BTreeMap<u32, u64>) -> Result<()> {
    for (place, amount) in amounts.iter().filter(|(_, amount)| **amount != 0) {
        let before = maps.agent_counts.need(place)?;
        maps.agent_counts.set(place, &(before + amount))?;
    }
    Ok(())
}
