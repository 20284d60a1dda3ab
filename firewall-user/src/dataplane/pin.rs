//! Where pins are, and whether what is pinned is what this agent needs.

use std::path::{Path, PathBuf};

use aya::maps::{MapInfo, MapType};
use firewall_common::addr::Addr;
use firewall_common::config::{
    AGENT_COUNTERS, Active, COUNTER_PAGE, COUNTER_PAGES, Count, Generation, InterfaceEntry,
    InterfaceKey, LAYOUT_VERSION, LocalEntry, Name, PACKET_COUNTERS, PLACES, PolicyInfo, RuleCount,
    SESSION_COUNTERS, SLOTS, Settings, VlanKey,
};
use firewall_common::event::{BUCKETS, EVENT_BYTES, EventCount, KINDS};
use firewall_common::flow::{FlowKey, FragmentKey};
use firewall_common::marks;
use firewall_common::policy::dynamic::{MAX_MEMBERS, MemberKey};
use firewall_common::policy::limits::{LimitKey, MAX_LIMITED};
use firewall_common::session::Entry;
use firewall_common::session::room::{Opening, SOURCES, TALLIES};
use firewall_common::way_back::{MAX_WAYS, Ways};
use firewall_common::zone::ZONES;

use super::Options;
use super::bpffs;
use super::error::{Error, Result};
use super::raw;

/// The directories of one network namespace and layout.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    /// All of it.
    pub root: PathBuf,
    /// A pin for each table.
    pub maps: PathBuf,
    /// A pin for each program.
    pub programs: PathBuf,
    /// A pin for each interface and direction: `INDEX-ingress` and `INDEX-egress`.
    pub links: PathBuf,
}

impl Paths {
    /// Those of this thread's network namespace.
    pub(super) fn of(bpf_dir: &Path) -> Result<Self> {
        let namespace = bpf_dir.join(bpffs::namespace()?.to_string());
        Ok(Self::below(&namespace, LAYOUT_VERSION))
    }

    /// Those of a layout in a namespace's directory.
    pub(super) fn below(namespace: &Path, layout: u32) -> Self {
        Self::at(namespace.join(layout.to_string()))
    }

    /// Those below a directory.
    pub(super) fn at(root: PathBuf) -> Self {
        Self {
            maps: root.join("maps"),
            programs: root.join("programs"),
            links: root.join("links"),
            root,
        }
    }

    /// Makes them.
    pub(super) fn make(&self) -> Result<()> {
        for directory in [&self.maps, &self.programs, &self.links] {
            bpffs::make(directory).map_err(|error| Error::Directory(directory.clone(), error))?;
        }
        Ok(())
    }
}

/// What a pinned table must be.
pub(super) struct Shape {
    /// Its name, also that of its pin.
    pub name: &'static str,
    kind: MapType,
    key: usize,
    value: usize,
    /// Places.
    pub places: u32,
}

const fn shape<K, V>(name: &'static str, kind: MapType, places: u32) -> Shape {
    Shape {
        name,
        kind,
        key: size_of::<K>(),
        value: size_of::<V>(),
        places,
    }
}

/// A prefix of an address: its length and its bytes.
pub(super) type AddressKey = [u8; 20];
/// A prefix of a service: its length and its bytes.
pub(super) type ServiceKeyPrefix = [u8; 8];

/// Size of aya-log's ring.
const LOG_BYTES: u32 = 1 << 17;

/// Every pinned table. Working memory is not among them: each load of the programs has its own.
pub(super) fn shapes(options: &Options) -> Vec<Shape> {
    use MapType::{Array, ArrayOfMaps, Hash, LpmTrie, LruHash, PerCpuArray, RingBuf};
    let slots = SLOTS + 1;
    vec![
        shape::<u32, Active>("ACTIVE", Array, 1),
        shape::<u32, Generation>("GENERATIONS", Array, slots),
        shape::<u32, Settings>("SETTINGS", Array, 1),
        shape::<u32, u32>("TREES", ArrayOfMaps, PLACES + 1),
        shape::<u32, u32>("RULES", ArrayOfMaps, PLACES + 1),
        shape::<u32, u32>("ADDRESSES", ArrayOfMaps, PLACES + 1),
        shape::<InterfaceKey, InterfaceEntry>("INTERFACES", Hash, 16_384),
        shape::<u32, u32>("GUARDED", Hash, 4096),
        shape::<VlanKey, u32>("VLANS", Hash, 8192),
        shape::<Addr, LocalEntry>("LOCALS", Hash, 65_536),
        shape::<AddressKey, Ways>("WAYS", LpmTrie, MAX_WAYS),
        shape::<AddressKey, u64>("FAILSAFE_ADDRESSES", LpmTrie, 4096),
        shape::<ServiceKeyPrefix, u64>("FAILSAFE_SERVICES", LpmTrie, 4096),
        shape::<MemberKey, u64>("MEMBERS", LpmTrie, MAX_MEMBERS),
        shape::<FlowKey, Entry>("SESSIONS", Hash, options.session_places()),
        shape::<FlowKey, Entry>("HALF_OPEN", Hash, options.half_open_max),
        shape::<u32, Opening>("OPENINGS", Array, options.half_open_max),
        shape::<u32, u64>("TALLY", Array, TALLIES),
        shape::<u32, u64>("SOURCES", Array, SOURCES),
        shape::<u32, u64>("MARKS", Array, marks::WORDS),
        shape::<LimitKey, u64>("RATES", Hash, 65_536),
        shape::<u32, u64>("RULE_RATES", Hash, 2 * MAX_LIMITED),
        shape::<LimitKey, u64>("HELD", Hash, 131_072),
        shape::<FragmentKey, u64>("FRAGMENTS", LruHash, 16_384),
        shape::<u32, Count>("PACKETS", PerCpuArray, PACKET_COUNTERS),
        shape::<u32, u32>("RULE_COUNTS", ArrayOfMaps, COUNTER_PAGES),
        shape::<u32, u64>("SESSION_COUNTS", PerCpuArray, SESSION_COUNTERS),
        Shape {
            name: "EVENTS",
            kind: RingBuf,
            key: 0,
            value: 0,
            places: EVENT_BYTES,
        },
        // What the programs say of themselves is read by whichever agent runs: aya-log's ring.
        Shape {
            name: "AYA_LOGS",
            kind: RingBuf,
            key: 0,
            value: 0,
            places: LOG_BYTES,
        },
        shape::<u32, EventCount>("EVENT_COUNTS", PerCpuArray, KINDS),
        shape::<u32, u64>("EVENT_LIMITS", Array, BUCKETS),
        shape::<u32, u64>("AGENT_COUNTS", Array, AGENT_COUNTERS),
        shape::<u32, u64>("ANSWER_LIMIT", Array, 1),
        shape::<Addr, u64>("ANSWERS", LruHash, 8192),
        shape::<u32, u32>("RULE_NAMES", ArrayOfMaps, COUNTER_PAGES),
        shape::<u32, Count>("CARRIED_PACKETS", Hash, PACKET_COUNTERS),
        shape::<u32, RuleCount>("CARRIED_RULES", Hash, COUNTER_PAGE),
        shape::<u32, u64>("HOME", Array, 1),
        shape::<u32, Name>("ZONE_NAMES", Array, ZONES as u32),
        shape::<u32, PolicyInfo>("POLICY_INFO", Array, slots),
    ]
}

type Measures = (MapType, (u32, u32, u32));

impl Shape {
    /// Where its pin is: that of the table which is to take its place, while there is one.
    pub(super) fn pin(&self, maps: &Path) -> PathBuf {
        let new = maps.join(format!("{}_new", self.name));
        if new.exists() {
            new
        } else {
            maps.join(self.name)
        }
    }

    /// Refuses a pin of another shape. The kernel and aya would take any map under the right name.
    pub(super) fn check(&self, maps: &Path) -> Result<()> {
        let wanted = self.wanted();
        match self.found(&self.pin(maps))? {
            Some(found) if found != wanted => Err(Error::Shape {
                name: self.name,
                found: words(found),
                wanted: words(wanted),
            }),
            _ => Ok(()),
        }
    }

    /// Is its pin as it should be but for the number of places?
    pub(super) fn is_resized(&self, maps: &Path) -> Result<bool> {
        let (kind, (key, value, places)) = self.wanted();
        let found = self.found(&maps.join(self.name))?;
        Ok(found.is_some_and(|(k, (of, to, there))| {
            (k, of, to) == (kind, key, value) && there != places
        }))
    }

    /// A hash table like it.
    pub(super) fn like(&self) -> raw::Shape {
        const HASH: u32 = 1;
        let (_, (key, value, places)) = self.wanted();
        raw::Shape::new(HASH, key, value, places, 0, c"ring_resized")
    }

    fn wanted(&self) -> Measures {
        (self.kind, (self.key as u32, self.value as u32, self.places))
    }

    fn found(&self, pin: &Path) -> Result<Option<Measures>> {
        if !pin.exists() {
            return Ok(None);
        }
        let failed = |error| Error::Table(self.name, std::io::Error::other(error));
        let info = MapInfo::from_pin(pin).map_err(failed)?;
        let kind = info.map_type().map_err(failed)?;
        let measures = (info.key_size(), info.value_size(), info.max_entries());
        Ok(Some((kind, measures)))
    }
}

fn words((kind, (key, value, places)): Measures) -> String {
    format!("{places} places of {key} and {value} bytes ({kind:?})")
}
