//! The tables, opened from their pins.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use aya::Pod;
use aya::maps::{ArrayOfMaps, Map, MapData};
use firewall_common::addr::Addr;
use firewall_common::config::{
    Active, AddressEntry, Count, Generation, InterfaceEntry, InterfaceKey, LocalEntry, Name,
    PolicyInfo, RuleCount, SLOTS, Settings, Vector, VlanKey,
};
use firewall_common::event::EventCount;
use firewall_common::flow::FlowKey;
use firewall_common::policy::rule::Rule;
use firewall_common::session::Entry;

use super::error::{Error, Result};
use super::pin::{AddressKey, Paths, ServiceKeyPrefix};
use super::raw;
use super::table::{Counters, Table};

/// The only key of tables with one place.
pub(super) const ONLY: u32 = 0;

/// Every table that the agent reads or writes.
#[derive(Debug)]
pub(super) struct Maps {
    pub active: Table<u32, Active>,
    pub generations: Table<u32, Generation>,
    pub settings: Table<u32, Settings>,
    pub rules: Table<u32, Rule>,
    pub vectors: Slots,
    pub addresses: Slots,
    pub services: Slots,
    pub interfaces: Table<InterfaceKey, InterfaceEntry>,
    pub guarded: Table<u32, u32>,
    pub vlans: Table<VlanKey, u32>,
    pub locals: Table<Addr, LocalEntry>,
    pub failsafe_addresses: Table<AddressKey, u64>,
    pub failsafe_services: Table<ServiceKeyPrefix, [u32; 2]>,
    pub sessions: Table<FlowKey, Entry>,
    pub half_open: Table<FlowKey, Entry>,
    pub packets: Counters<Count>,
    pub rule_counts: Counters<RuleCount>,
    pub carried_packets: Table<u32, Count>,
    pub carried_rules: Table<u32, RuleCount>,
    pub home: Table<u32, u64>,
    pub session_counts: Counters<u64>,
    pub event_counts: Counters<EventCount>,
    pub agent_counts: Table<u32, u64>,
    pub rule_names: Table<u32, Name>,
    pub zone_names: Table<u32, Name>,
    pub policy_info: Table<u32, PolicyInfo>,
}

impl Maps {
    /// Opens all pins.
    pub(super) fn open(paths: &Paths) -> Result<Self> {
        let at = &paths.maps;
        Ok(Self {
            active: Table::open(at, "ACTIVE")?,
            generations: Table::open(at, "GENERATIONS")?,
            settings: Table::open(at, "SETTINGS")?,
            rules: Table::open(at, "RULES")?,
            vectors: Slots::open(at, "VECTORS")?,
            addresses: Slots::open(at, "ADDRESSES")?,
            services: Slots::open(at, "SERVICES")?,
            interfaces: Table::open(at, "INTERFACES")?,
            guarded: Table::open(at, "GUARDED")?,
            vlans: Table::open(at, "VLANS")?,
            locals: Table::open(at, "LOCALS")?,
            failsafe_addresses: Table::open(at, "FAILSAFE_ADDRESSES")?,
            failsafe_services: Table::open(at, "FAILSAFE_SERVICES")?,
            sessions: Table::open(at, "SESSIONS")?,
            half_open: Table::open(at, "HALF_OPEN")?,
            packets: Counters::open(at, "PACKETS")?,
            rule_counts: Counters::open(at, "RULE_COUNTS")?,
            carried_packets: Table::open(at, "CARRIED_PACKETS")?,
            carried_rules: Table::open(at, "CARRIED_RULES")?,
            home: Table::open(at, "HOME")?,
            session_counts: Counters::open(at, "SESSION_COUNTS")?,
            event_counts: Counters::open(at, "EVENT_COUNTS")?,
            agent_counts: Table::open(at, "AGENT_COUNTS")?,
            rule_names: Table::open(at, "RULE_NAMES")?,
            zone_names: Table::open(at, "ZONE_NAMES")?,
            policy_info: Table::open(at, "POLICY_INFO")?,
        })
    }
}

/// A table of tables, by slot.
#[derive(Debug)]
pub(super) struct Slots {
    outer: ArrayOfMaps<MapData, MapData>,
    /// The same, as a look-up sees it: numbers of tables.
    numbers: Table<u32, u32>,
    name: &'static str,
}

impl Slots {
    fn open(directory: &std::path::Path, name: &'static str) -> Result<Self> {
        let failed = |error| Error::Table(name, io::Error::other(error));
        let map = MapData::from_pin(directory.join(name)).map_err(failed)?;
        let map = Map::from_map_data(map).map_err(failed)?;
        let outer = ArrayOfMaps::try_from(map).map_err(failed)?;
        Ok(Self {
            outer,
            numbers: Table::open(directory, name)?,
            name,
        })
    }

    /// Puts a table into a slot's place. Returns only after every packet that was under way when the
    /// place was set has been judged (the kernel waits a grace period for tables of tables).
    pub(super) fn set<K: Pod, V: Pod>(&mut self, slot: u32, inner: &Table<K, V>) -> Result<()> {
        let failed = |error| Error::Table(self.name, io::Error::other(error));
        self.outer.set(slot, inner.map(), 0).map_err(failed)?;
        // Opening it by its number would take CAP_SYS_ADMIN, which the agent has no other need for.
        let found = self.numbers.get(&slot)?;
        let wanted = inner.map().info().map_err(failed)?;
        if found == Some(wanted.id()) {
            Ok(())
        } else {
            Err(Error::Differs(self.name))
        }
    }
}

/// Makes the tables of tables that are missing.
///
/// Left to the loader they would be made after inner tables with type information, and up to Linux 6.2 the
/// kernel takes such a one's place only for tables that have it too, which those we fill have not.
pub(super) fn make_slots(paths: &Paths) -> Result<()> {
    make_outer(paths, "VECTORS", || new_vectors(1))?;
    make_outer(paths, "ADDRESSES", || new_addresses(1))?;
    make_outer(paths, "SERVICES", || new_services(1))
}

fn make_outer<K: Pod, V: Pod>(
    paths: &Paths,
    name: &'static str,
    inner: impl FnOnce() -> Result<Table<K, V>>,
) -> Result<()> {
    let pin = paths.maps.join(name);
    if pin.exists() {
        return Ok(());
    }
    let inner = inner()?;
    let shape = raw::Shape::of_tables(SLOTS + 1, inner.map().fd().as_fd(), c"ring_slots");
    let outer: Table<u32, u32> = adopt(raw::create(shape), name)?;
    let pinned = outer.map().pin(pin);
    pinned.map_err(|error| Error::Table(name, io::Error::other(error)))
}

/// Returns only after every packet that was under way has been judged.
pub(super) fn grace() -> Result<()> {
    let shape = raw::Shape::new(ARRAY, 4, 4, 1, 0, c"ring_grace");
    let inner: Table<u32, u32> = adopt(raw::create(shape), "a table to wait by")?;
    let inner = inner.map().fd().as_fd();
    let shape = raw::Shape::of_tables(1, inner, c"ring_grace");
    let outer: Table<u32, u32> = adopt(raw::create(shape), "a table to wait by")?;
    // Nobody reads it, but the kernel waits after every change of a table of tables.
    outer.set(&ONLY, &inner.as_raw_fd().unsigned_abs())
}

const ARRAY: u32 = 2;
const LPM_TRIE: u32 = 11;
const NO_PREALLOC: u32 = 1;
/// `BPF_F_INNER_MAP`: any number of places.
const INNER: u32 = 0x1000;

fn adopt<K: Pod, V: Pod>(fd: io::Result<OwnedFd>, name: &'static str) -> Result<Table<K, V>> {
    let fd = fd.map_err(|error| Error::Table(name, error))?;
    let map = MapData::from_fd(fd).map_err(|error| Error::Table(name, io::Error::other(error)))?;
    Table::from_map(map, name)
}

/// A new table of vectors.
pub(super) fn new_vectors(places: u32) -> Result<Table<u32, Vector>> {
    let size = size_of::<Vector>() as u32;
    let shape = raw::Shape::new(ARRAY, 4, size, places, INNER, c"ring_vectors");
    adopt(raw::create(shape), "VECTORS")
}

/// A new table of prefixes.
pub(super) fn new_addresses(places: u32) -> Result<Table<AddressKey, AddressEntry>> {
    let size = size_of::<AddressEntry>() as u32;
    let shape = raw::Shape::new(LPM_TRIE, 20, size, places, NO_PREALLOC, c"ring_addresses");
    adopt(raw::create(shape), "ADDRESSES")
}

/// A new table of services.
pub(super) fn new_services(places: u32) -> Result<Table<ServiceKeyPrefix, u32>> {
    let shape = raw::Shape::new(LPM_TRIE, 8, 4, places, NO_PREALLOC, c"ring_services");
    adopt(raw::create(shape), "SERVICES")
}
