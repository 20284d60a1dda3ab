//! The tables, opened from their pins.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use aya::Pod;
use aya::maps::MapData;
use firewall_common::addr::Addr;
use firewall_common::config::{
    Active, COUNTER_PAGE, COUNTER_PAGES, Count, Generation, InterfaceEntry, InterfaceKey,
    LocalEntry, Name, PLACES, PolicyInfo, RuleCount, Settings, VlanKey,
};
use firewall_common::event::EventCount;
use firewall_common::flow::FlowKey;
use firewall_common::policy::dynamic::MemberKey;
use firewall_common::policy::limits::LimitKey;
use firewall_common::policy::line::Line;
use firewall_common::policy::rule::Rule;
use firewall_common::session::Entry;
use firewall_common::way_back::Ways;

use super::error::{Error, Result};
use super::marks::Marks;
use super::pin::{AddressKey, Paths, ServiceKeyPrefix};
use super::raw;
use super::room::Counts;
use super::settle::Settling;
use super::swap::Held;
use super::table::{Counters, Table};
use super::window::Window;

/// A change of a place.
pub(super) type Change<'c> = Box<dyn FnOnce() -> Result<()> + Send + 'c>;

/// The only key of tables with one place.
pub(super) const ONLY: u32 = 0;

/// Every table that the agent reads or writes.
#[derive(Debug)]
pub(super) struct Maps {
    pub active: Table<u32, Active>,
    pub generations: Table<u32, Generation>,
    pub settings: Table<u32, Settings>,
    pub trees: Inner,
    pub rules: Inner,
    pub addresses: Inner,
    pub interfaces: Table<InterfaceKey, InterfaceEntry>,
    pub guarded: Table<u32, u32>,
    pub vlans: Table<VlanKey, u32>,
    pub locals: Table<Addr, LocalEntry>,
    pub ways: Table<AddressKey, Ways>,
    pub failsafe_addresses: Table<AddressKey, u64>,
    pub failsafe_services: Table<ServiceKeyPrefix, [u32; 2]>,
    pub members: Table<MemberKey, u64>,
    pub sessions: Table<FlowKey, Entry>,
    pub half_open: Table<FlowKey, Entry>,
    pub packets: Counters<Count>,
    pub rule_counts: Inner,
    pub carried_packets: Table<u32, Count>,
    pub carried_rules: Table<u32, RuleCount>,
    pub home: Table<u32, u64>,
    pub session_counts: Counters<u64>,
    pub event_counts: Counters<EventCount>,
    pub agent_counts: Table<u32, u64>,
    pub rule_names: Inner,
    pub zone_names: Table<u32, Name>,
    pub policy_info: Table<u32, PolicyInfo>,
    pub counts: Counts,
    pub marks: Marks,
    pub buckets: Table<LimitKey, u64>,
    pub held: Table<LimitKey, u64>,
    pub settling: Settling,
}

impl Maps {
    /// Opens all pins.
    pub(super) fn open(paths: &Paths) -> Result<Self> {
        let at = &paths.maps;
        Ok(Self {
            active: Table::open(at, "ACTIVE")?,
            generations: Table::open(at, "GENERATIONS")?,
            settings: Table::open(at, "SETTINGS")?,
            trees: Inner::open(at, "TREES")?,
            rules: Inner::open(at, "RULES")?,
            addresses: Inner::open(at, "ADDRESSES")?,
            interfaces: Table::open(at, "INTERFACES")?,
            guarded: Table::open(at, "GUARDED")?,
            vlans: Table::open(at, "VLANS")?,
            locals: Table::open(at, "LOCALS")?,
            ways: Table::open(at, "WAYS")?,
            failsafe_addresses: Table::open(at, "FAILSAFE_ADDRESSES")?,
            failsafe_services: Table::open(at, "FAILSAFE_SERVICES")?,
            members: Table::open(at, "MEMBERS")?,
            sessions: Table::open(at, "SESSIONS")?,
            half_open: Table::open(at, "HALF_OPEN")?,
            packets: Counters::open(at, "PACKETS")?,
            rule_counts: Inner::open(at, "RULE_COUNTS")?,
            carried_packets: Table::open(at, "CARRIED_PACKETS")?,
            carried_rules: Table::open(at, "CARRIED_RULES")?,
            home: Table::open(at, "HOME")?,
            session_counts: Counters::open(at, "SESSION_COUNTS")?,
            event_counts: Counters::open(at, "EVENT_COUNTS")?,
            agent_counts: Table::open(at, "AGENT_COUNTS")?,
            rule_names: Inner::open(at, "RULE_NAMES")?,
            zone_names: Table::open(at, "ZONE_NAMES")?,
            policy_info: Table::open(at, "POLICY_INFO")?,
            counts: Counts::open(at)?,
            marks: Marks::open(at)?,
            buckets: Table::open(at, "RATES")?,
            held: Table::open(at, "HELD")?,
            settling: Settling::default(),
        })
    }
}

/// A table of tables, by place. Each table in it has a pin of its own beside the outer one's: to open one by its
/// number would take CAP_SYS_ADMIN, which the agent has no other need for.
#[derive(Debug)]
pub(super) struct Inner {
    /// As a look-up sees it: numbers of tables. As an update does: their descriptors.
    numbers: Table<u32, u32>,
    directory: PathBuf,
    name: &'static str,
}

impl Inner {
    fn open(directory: &Path, name: &'static str) -> Result<Self> {
        Ok(Self {
            numbers: Table::open(directory, name)?,
            directory: directory.to_owned(),
            name,
        })
    }

    fn pin(&self, place: u32) -> PathBuf {
        self.directory.join(format!("{}_{place}", self.name))
    }

    /// Puts a table into its place. Returns only after every packet that was under way when the
    /// place was set has been judged (the kernel waits a grace period for tables of tables).
    ///
    /// The pin is made first and counts only where it is that of the table in the place, so dying in between
    /// leaves a place whose table is not known, which is then made anew.
    fn set(&self, place: u32, inner: &MapData) -> Result<()> {
        let failed = |error| Error::Table(self.name, io::Error::other(error));
        let pin = self.pin(place);
        let _was_not_there = std::fs::remove_file(&pin);
        let pinned = inner.pin(&pin);
        pinned.map_err(|error| Error::Table(self.name, io::Error::other(error)))?;
        let wanted = inner.info().map_err(failed)?;
        let number = inner.fd().as_fd().as_raw_fd().unsigned_abs();
        self.numbers.set(&place, &number)?;
        if self.numbers.get(&place)? == Some(wanted.id()) {
            Ok(())
        } else {
            Err(Error::Differs(self.name))
        }
    }

    /// The table in a place, where there is one.
    fn get(&self, place: u32) -> Option<MapData> {
        let map = MapData::from_pin(self.pin(place)).ok()?;
        let number = self.numbers.get(&place).ok()?;
        (number == Some(map.info().ok()?.id())).then_some(map)
    }

    /// Looks at the values of the table in a place, those behind the last that is used included; `None` where there is
    /// none of such values.
    pub(super) fn with<V: Pod + PartialEq, T>(
        &self,
        place: u32,
        look: impl FnOnce(&[V]) -> T,
    ) -> Option<T> {
        Some(look(self.window(place)?.values()))
    }

    /// The table in a place as memory of ours.
    fn window<V: Pod + PartialEq>(&self, place: u32) -> Option<Window<V>> {
        let table: Table<u32, V> = Table::from_map(self.get(place)?, self.name).ok()?;
        Window::open(table.map().fd().as_fd(), table.places().ok()? as usize).ok()
    }

    /// Does the table in a place begin with these values? Nothing in them leads to what stands behind.
    pub(super) fn holds<V: Pod + PartialEq>(&self, place: u32, values: &[V]) -> bool {
        let window = self.window::<V>(place);
        window.is_some_and(|window| window.values().get(..values.len()) == Some(values))
    }

    /// Has the table in a place room for these values, and not so much that most of it would be idle?
    pub(super) fn suits<V: Pod + PartialEq>(&self, place: u32, values: &[V]) -> bool {
        let window = self.window::<V>(place);
        window.is_some_and(|window| {
            let room = window.values().len();
            room >= values.len() && room / 4 <= values.len()
        })
    }

    /// Fills the table in a place that nobody reads, and reads it back.
    pub(super) fn refill<V: Pod + PartialEq>(&self, place: u32, values: &[V]) -> Result<()> {
        let window = self.window(place).ok_or(Error::Missing(self.name))?;
        self.fill(window, values)
    }

    /// Makes a table for these values, with a sixteenth more room, so that it may be filled again.
    pub(super) fn make<V: Pod + PartialEq>(&self, values: &[V]) -> Result<MapData> {
        let places = values.len() + values.len() / 16 + 1;
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        let table: Table<u32, V> = new_array(self.name, places, INNER | MMAPABLE)?;
        let failed = |error| Error::Table(self.name, error);
        let window = Window::open(table.map().fd().as_fd(), places as usize).map_err(failed)?;
        self.fill(window, values)?;
        Ok(table.into_map())
    }

    fn fill<V: Pod + PartialEq>(&self, mut window: Window<V>, values: &[V]) -> Result<()> {
        window.set_all(0, values);
        if window.values().get(..values.len()) != Some(values) {
            return Err(Error::Differs(self.name));
        }
        Ok(())
    }

    /// What has to be done so that a table is in its place, and those of unused places go, so that their memory is
    /// free again. Each of it waits for packets that are under way, and none for another.
    pub(super) fn changes<'c>(&'c self, held: &'c Held) -> Vec<Change<'c>> {
        let mut changes: Vec<Change<'c>> = Vec::new();
        if let Some(new) = &held.new {
            changes.push(Box::new(|| self.set(held.place, new)));
        }
        for place in &held.unused {
            if self.numbers.get(place).is_ok_and(|number| number.is_some()) {
                changes.push(Box::new(|| {
                    let _was_empty = raw::delete(self.numbers.map().fd().as_fd(), place);
                    let _was_not_there = std::fs::remove_file(self.pin(*place));
                    Ok(())
                }));
            }
        }
        changes
    }

    /// Makes the page of counters or names in a place, where it is missing.
    fn make_page(&self, place: u32, make: impl FnOnce() -> Result<MapData>) -> Result<()> {
        if self.get(place).is_some() {
            return Ok(());
        }
        self.set(place, &make()?)
    }
}

impl Maps {
    /// Makes the pages that counters of these numbers and their names need. What is there is never changed, so
    /// that nothing that was counted is lost.
    pub(super) fn make_pages(&self, counters: impl Iterator<Item = u32>) -> Result<()> {
        let pages: BTreeSet<u32> = counters.map(|counter| counter / COUNTER_PAGE).collect();
        for page in pages {
            self.rule_counts.make_page(page, new_counters)?;
            self.rule_names.make_page(page, new_names)?;
        }
        Ok(())
    }

    /// Every page of counters, with the number of its first.
    pub(super) fn counter_pages(&self) -> Result<Vec<(u32, Counters<RuleCount>)>> {
        let pages = (0..COUNTER_PAGES).filter_map(|page| Some((page, self.rule_counts.get(page)?)));
        pages
            .map(|(page, map)| Ok((page * COUNTER_PAGE, Counters::from_map(map, "RULE_COUNTS")?)))
            .collect()
    }

    /// The names in every page, with the number of its first.
    pub(super) fn name_pages(&self) -> Result<Vec<(u32, Window<Name>)>> {
        let pages = (0..COUNTER_PAGES).filter_map(|page| Some((page, self.rule_names.get(page)?)));
        pages
            .map(|(page, map)| {
                let table: Table<u32, Name> = Table::from_map(map, "RULE_NAMES")?;
                let window = Window::open(table.map().fd().as_fd(), COUNTER_PAGE as usize);
                let window = window.map_err(|error| Error::Table("RULE_NAMES", error))?;
                Ok((page * COUNTER_PAGE, window))
            })
            .collect()
    }
}

/// Makes the tables of tables that are missing.
///
/// Left to the loader they would be made after inner tables with type information, and up to Linux 6.2 the
/// kernel takes such a one's place only for tables that have it too, which those we fill have not.
pub(super) fn make_slots(paths: &Paths) -> Result<()> {
    let lines = |name| move || Ok(new_array::<Line>(name, 1, INNER | MMAPABLE)?.into_map());
    let places = PLACES + 1;
    make_outer(paths, "TREES", places, lines("TREES"))?;
    make_outer(paths, "ADDRESSES", places, lines("ADDRESSES"))?;
    make_outer(paths, "RULES", places, || {
        Ok(new_array::<Rule>("RULES", 1, INNER | MMAPABLE)?.into_map())
    })?;
    make_outer(paths, "RULE_COUNTS", COUNTER_PAGES, new_counters)?;
    make_outer(paths, "RULE_NAMES", COUNTER_PAGES, new_names)?;
    // Essentials and failsafe rules are counted from the first packet on.
    Inner::open(&paths.maps, "RULE_COUNTS")?.make_page(0, new_counters)?;
    Inner::open(&paths.maps, "RULE_NAMES")?.make_page(0, new_names)
}

fn make_outer(
    paths: &Paths,
    name: &'static str,
    places: u32,
    inner: impl FnOnce() -> Result<MapData>,
) -> Result<()> {
    let pin = paths.maps.join(name);
    if pin.exists() {
        return Ok(());
    }
    let inner = inner()?;
    let shape = raw::Shape::of_tables(places, inner.fd().as_fd(), c"ring_places");
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
const PERCPU_ARRAY: u32 = 6;
/// `BPF_F_MMAPABLE`: may be mapped into our memory.
const MMAPABLE: u32 = 0x400;
/// `BPF_F_INNER_MAP`: any number of places.
const INNER: u32 = 0x1000;

fn adopt<K: Pod, V: Pod>(fd: io::Result<OwnedFd>, name: &'static str) -> Result<Table<K, V>> {
    let fd = fd.map_err(|error| Error::Table(name, error))?;
    let map = MapData::from_fd(fd).map_err(|error| Error::Table(name, io::Error::other(error)))?;
    Table::from_map(map, name)
}

/// A new array.
fn new_array<V: Pod>(name: &'static str, places: u32, flags: u32) -> Result<Table<u32, V>> {
    let size = size_of::<V>() as u32;
    let shape = raw::Shape::new(ARRAY, 4, size, places, flags, c"ring_array");
    adopt(raw::create(shape), name)
}

/// A new page of names.
fn new_names() -> Result<MapData> {
    Ok(new_array::<Name>("RULE_NAMES", COUNTER_PAGE, MMAPABLE)?.into_map())
}

/// A new page of counters.
fn new_counters() -> Result<MapData> {
    let size = size_of::<RuleCount>() as u32;
    let shape = raw::Shape::new(PERCPU_ARRAY, 4, size, COUNTER_PAGE, 0, c"ring_counters");
    let table: Table<u32, RuleCount> = adopt(raw::create(shape), "RULE_COUNTS")?;
    Ok(table.into_map())
}
