//! Layout 1, of version 0.1.0 before its release: what its tables hold, in the terms of today.
//!
//! These structures describe what was; nothing here is ever changed but the right-hand sides.

use std::path::Path;

use aya::Pod;
use firewall_common::addr::Addr;
use firewall_common::config::{
    self, Count, Generation, Name, PACKET_COUNTERS, RULE_COUNTERS, RuleCount,
};
use firewall_common::flow::FlowKey;
use firewall_common::session;
use firewall_common::tables::Table as Which;

use super::Tables;
use crate::dataplane::count::{sum_packets, sum_rules};
use crate::dataplane::error::Result;
use crate::dataplane::table::{Counters, Table};
use crate::dataplane::{InForce, Info};

#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Active {
    slot: u32,
    rest: [u32; 15],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Head {
    epoch: u32,
    rules: u32,
    flags: u32,
    rest: [u32; 23],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct PolicyInfo {
    name: [u8; 128],
    digest: [u8; 32],
    revision: u64,
    applied: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Key {
    /// High and low word of the lower end's address, then of the higher one's.
    ends: [[u64; 2]; 2],
    ports: [u16; 2],
    protocol: u8,
    pad: [u8; 3],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Window {
    end: u32,
    acknowledged: u32,
    max_window: u32,
    scale: u8,
    flags: u8,
    pad: u16,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Entry {
    opened: u64,
    last_seen: u64,
    epoch: u32,
    rule: u32,
    expires: u64,
    windows: [Window; 2],
    state: u8,
    flags: u8,
    seen: [u8; 2],
    pad: u32,
    /// Packets and bytes of the opener, then of the responder.
    counts: [[u64; 2]; 2],
    interface_in: u32,
    interface_out: u32,
    opener: u8,
    course: u8,
    source_zone: u8,
    destination_zone: u8,
    opening: u8,
    end: [u8; 3],
}

const _: () = assert!(size_of::<Active>() == 64 && size_of::<Head>() == 104);
const _: () = assert!(size_of::<PolicyInfo>() == 176);
const _: () = assert!(size_of::<Key>() == 40 && size_of::<Entry>() == 120);

macro_rules! pod {
    ($($t:ty),*) => { $(
        // SAFETY: `repr(C)`, integers only, no byte that is not named (their sizes are asserted), and any
        // bit pattern is a valid value.
        unsafe impl Pod for $t {}
    )* };
}

pod!(Active, Head, PolicyInfo, Key, Entry);

/// The tables of layout 1 that are taken over. Its counters had the places that they have today.
#[derive(Debug)]
pub(super) struct V1 {
    active: Table<u32, Active>,
    generations: Table<u32, Head>,
    policy_info: Table<u32, PolicyInfo>,
    guarded: Table<u32, u32>,
    sessions: Table<Key, Entry>,
    half_open: Table<Key, Entry>,
    packets: Counters<Count>,
    rule_counts: Counters<RuleCount>,
}

/// What was in layout 1's table of packet counters, and at which places.
const PACKETS: u32 = 4 * 2 * 64 * 64;
const _: () = assert!(PACKETS == PACKET_COUNTERS);
const _: () = assert!(size_of::<Count>() == 16 && size_of::<RuleCount>() == 40);

impl V1 {
    pub(super) fn open(maps: &Path) -> Result<Self> {
        Ok(Self {
            active: Table::open(maps, "ACTIVE")?,
            generations: Table::open(maps, "GENERATIONS")?,
            policy_info: Table::open(maps, "POLICY_INFO")?,
            guarded: Table::open(maps, "GUARDED")?,
            sessions: Table::open(maps, "SESSIONS")?,
            half_open: Table::open(maps, "HALF_OPEN")?,
            packets: Counters::open(maps, "PACKETS")?,
            rule_counts: Counters::open(maps, "RULE_COUNTS")?,
        })
    }
}

impl Tables for V1 {
    fn in_force(&self) -> Result<Option<InForce>> {
        let slot = self.active.need(&0)?.slot;
        if slot == 0 {
            return Ok(None);
        }
        let head = self.generations.need(&slot)?;
        let info = self.policy_info.need(&slot)?;
        Ok(Some(InForce {
            slot,
            head: Generation {
                epoch: head.epoch,
                rules: head.rules,
                // `GENERATION_MONITOR` was the first bit then, too.
                flags: head.flags & config::GENERATION_MONITOR,
                revision: info.revision,
                ..Generation::default()
            },
            info: Info {
                name: Name { bytes: info.name }.text().to_owned(),
                revision: info.revision,
                digest: info.digest,
                applied: info.applied,
            },
        }))
    }

    fn last_epoch(&self) -> Result<u32> {
        let heads = self.generations.list()?;
        Ok(heads.iter().map(|(_, head)| head.epoch).max().unwrap_or(0))
    }

    fn guarded(&self) -> Result<Vec<u32>> {
        let all = self.guarded.list()?;
        Ok(all.into_iter().map(|(index, _)| index).collect())
    }

    fn sessions(&self, which: Which) -> Result<Vec<(FlowKey, session::Entry)>> {
        let table = match which {
            Which::HalfOpen => &self.half_open,
            Which::Sessions => &self.sessions,
        };
        let all = table.list()?.into_iter();
        Ok(all.map(|(k, e)| (key(&k), entry(&e))).collect())
    }

    fn packets(&self) -> Result<Vec<(u32, Count)>> {
        let mut all = Vec::new();
        self.packets.list(|place, cpus| {
            let sum = sum_packets(cpus);
            all.extend((sum.packets != 0).then_some((place, sum)));
        })?;
        Ok(all)
    }

    fn rules(&self) -> Result<Vec<(u32, RuleCount)>> {
        let mut all = Vec::new();
        self.rule_counts.list(|number, cpus| {
            let sum = sum_rules(cpus);
            let counted = sum.packets != 0 || sum.would_packets != 0;
            all.extend((counted && number < RULE_COUNTERS).then_some((number, sum)));
        })?;
        Ok(all)
    }
}

fn key(old: &Key) -> FlowKey {
    let [low, high] = old.ends.map(|[hi, lo]| Addr { hi, lo });
    FlowKey {
        low,
        high,
        low_port: old.ports[0],
        high_port: old.ports[1],
        protocol: old.protocol,
        pad: [0; 3],
    }
}

/// A session of layout 1 as it is kept today. Its numbers of rules and zones are still those of the names, and
/// its epoch is below that of whatever comes into force now, so its next packet is judged anew.
fn entry(old: &Entry) -> session::Entry {
    // Its scale was not followed, so it begins wide open; where it stands was.
    let window = |old: Window| session::Window {
        end: old.end,
        acknowledged: old.acknowledged,
        flags: session::Window::WIDE_OPEN.flags & !session::UNKNOWN,
        ..session::Window::WIDE_OPEN
    };
    let count = |[packets, bytes]: [u64; 2]| Count { packets, bytes };
    session::Entry {
        opened: old.opened,
        last_seen: old.last_seen,
        permit: session::Permit {
            epoch: old.epoch,
            rule: old.rule,
            expires: old.expires,
        },
        track: session::Track {
            windows: old.windows.map(window),
            state: old.state,
            flags: old.flags,
            seen: old.seen,
            error: 0,
            fresh: session::Fresh::default(),
        },
        counts: old.counts.map(count),
        interface_in: old.interface_in,
        interface_out: old.interface_out,
        opener: old.opener,
        course: old.course,
        source_zone: old.source_zone,
        destination_zone: old.destination_zone,
        // Only judged on the way out (1) and opened to a group (2) were there.
        opening: old.opening & (session::LEAVING | session::GROUP),
        ..session::Entry::default()
    }
}
