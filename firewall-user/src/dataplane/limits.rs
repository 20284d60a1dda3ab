//! What rules bound, as the agent looks after it: buckets that are full again go, and open sessions are counted anew.

use std::collections::HashMap;

use firewall_common::flow::FlowKey;
use firewall_common::policy::limits::LimitKey;
use firewall_common::session::Entry;
use firewall_common::session::room::{
    COOKIES_MADE, COOKIES_TAKEN, PRESSURE_UNTIL, SHARED, held_at,
};

use super::error::Result;
use super::load;
use super::maps::Maps;
use super::{Dataplane, clock, room};

/// A bucket that has been full for so many nanoseconds is as if it had never been used.
const IDLE: u64 = 1_000_000_000;

/// How full the tables of limits are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitUse {
    /// Buckets of sources.
    pub buckets: u64,
    /// Places for them.
    pub bucket_places: u64,
    /// Counts of open sessions.
    pub counts: u64,
    /// Places for them.
    pub count_places: u64,
    /// Openings charged to a bucket that sources share, since there was no place for one of their own.
    pub shared: u64,
    /// SYN cookies.
    pub cookies: Cookies,
}

/// What became of SYN cookies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cookies {
    /// Half-open sessions are being pushed out, so they would help listeners of this host.
    pub pressure: bool,
    /// What the kernel is told of them, `net.ipv4.tcp_syncookies`; `None`: not known.
    pub kernel: Option<u8>,
    /// Given out.
    pub sent: u64,
    /// Come back, and right.
    pub accepted: u64,
}

impl Cookies {
    /// Are they given out at present? With 1 the kernel makes them for listeners whose own queue is full, with 0 never.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.pressure && matches!(self.kernel, Some(1..))
    }
}

/// What the kernel is told in this network namespace.
fn kernels_will() -> Option<u8> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies");
    text.ok()?.trim().parse().ok()
}

/// What the agent remembers of them from one sweep to the next.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// By how much counts were not what was found in the session tables.
    drift: HashMap<LimitKey, u64>,
    /// Counts that were zero.
    zero: HashMap<LimitKey, ()>,
}

/// How full they are.
pub(super) fn used(maps: &Maps) -> Result<LimitUse> {
    Ok(LimitUse {
        buckets: maps.buckets.list()?.len() as u64,
        bucket_places: u64::from(maps.buckets.places()?),
        counts: maps.held.list()?.len() as u64,
        count_places: u64::from(maps.held.places()?),
        shared: room::tally(&maps.counts, SHARED),
        cookies: Cookies {
            pressure: room::tally(&maps.counts, PRESSURE_UNTIL) > clock::boot_now(),
            kernel: kernels_will(),
            sent: room::tally(&maps.counts, COOKIES_MADE),
            accepted: room::tally(&maps.counts, COOKIES_TAKEN),
        },
    })
}

/// Open sessions by where they count for their rules.
pub(super) fn held<'s>(
    sessions: impl Iterator<Item = &'s (FlowKey, Entry)>,
) -> HashMap<LimitKey, u64> {
    let mut held = HashMap::new();
    for at in sessions.filter_map(|(key, entry)| held_at(key, entry)) {
        *held.entry(at).or_default() += 1;
    }
    held
}

impl Dataplane {
    /// Sessions that the agent has taken out of their tables count no more. A program subtracts, since programs add at the
    /// same time. One that was taken out of both tables, since it was on its way from one to the other, has counted once.
    pub(super) fn release(&mut self, ended: &[(FlowKey, Entry)]) -> Result<()> {
        let counted = |(key, entry): &&(FlowKey, Entry)| held_at(key, entry).is_some();
        let mut counted: Vec<_> = ended.iter().filter(counted).collect();
        counted.sort_by_key(|(key, entry)| (*key, entry.opened));
        counted.dedup_by_key(|(key, entry)| (*key, entry.opened));
        if counted.is_empty() {
            return Ok(());
        }
        let carrier = match self.carrier.take() {
            Some(carrier) => carrier,
            None => load::carrier(&self.options, &self.paths)?,
        };
        let carrier = self.carrier.insert(carrier);
        let mut counted = counted.into_iter();
        counted.try_for_each(|(key, entry)| carrier.release(key, entry))
    }
}

impl Keeper {
    /// Takes away what nobody uses, and puts right what is wrong.
    pub(super) fn sweep(
        &mut self,
        maps: &Maps,
        now: u64,
        wanted: &HashMap<LimitKey, u64>,
    ) -> Result<()> {
        refill(maps, now)?;
        self.recount(maps, wanted)
    }

    /// What differs by as much at two looks is wrong: an agent died between taking a session out and saying so, or a
    /// count was taken away at the very moment when a packet added to it. Meanwhile sessions come and go, which makes
    /// differences that are none.
    fn recount(&mut self, maps: &Maps, wanted: &HashMap<LimitKey, u64>) -> Result<()> {
        let counts: HashMap<LimitKey, u64> = maps.held.list()?.into_iter().collect();
        let mut drift = HashMap::new();
        for at in counts.keys().chain(wanted.keys()) {
            let there = counts.get(at).copied().unwrap_or(0);
            let off = wanted.get(at).copied().unwrap_or(0).wrapping_sub(there);
            if off == 0 {
                continue;
            }
            // Only if it has not moved since it was read.
            let moved = maps.held.get(at)?.unwrap_or(0) != there;
            if self.drift.get(at) == Some(&off) && !moved {
                maps.held.set(at, &there.wrapping_add(off))?;
            } else {
                drift.insert(*at, off);
            }
        }
        self.drift = drift;
        self.forget(maps, &counts)
    }

    /// Counts that were zero at two looks go. One that a packet has added to since is put back.
    fn forget(&mut self, maps: &Maps, counts: &HashMap<LimitKey, u64>) -> Result<()> {
        let zero = counts.iter().filter(|(_, count)| **count == 0);
        let zero: HashMap<LimitKey, ()> = zero.map(|(at, _)| (*at, ())).collect();
        for at in zero.keys().filter(|at| self.zero.contains_key(at)) {
            if let Some(count) = maps.held.take(at)?
                && count != 0
            {
                maps.held.put_back(at, &count)?;
            }
        }
        self.zero = zero;
        Ok(())
    }
}

/// Buckets that have been full for a while go. One that a packet has taken from since is put back; where the next
/// packet has made a new one already, that one has as much more as was taken from this.
fn refill(maps: &Maps, now: u64) -> Result<()> {
    let full = |paid_until: u64| paid_until.saturating_add(IDLE) <= now;
    for (key, paid_until) in maps.buckets.list()? {
        if !full(paid_until) {
            continue;
        }
        if let Some(taken) = maps.buckets.take(&key)?
            && !full(taken)
        {
            maps.buckets.put_back(&key, &taken)?;
        }
    }
    Ok(())
}
