//! Every table. Names are also those of the pins; `firewall-user`'s data plane fills and reads them.

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf};
use aya_ebpf::macros::btf_map;
use firewall_common::addr::Addr;
use firewall_common::config::{
    AGENT_COUNTERS, Active, COUNTER_PAGE, COUNTER_PAGES, Count, Generation, InterfaceEntry,
    InterfaceKey, LocalEntry, Name, PACKET_COUNTERS, PLACES, PolicyInfo, RuleCount,
    SESSION_COUNTERS, SLOTS, Settings, VlanKey,
};
use firewall_common::event::{BUCKETS, EVENT_BYTES, EventCount, KINDS};
use firewall_common::flow::{FlowKey, FragmentKey};
use firewall_common::marks::WORDS as MARK_WORDS;
use firewall_common::pipeline::{At, Scratch};
use firewall_common::policy::dynamic::MAX_MEMBERS;
use firewall_common::policy::limits::LimitKey;
use firewall_common::policy::line::Line;
use firewall_common::policy::rule::Rule;
use firewall_common::reply::Reply;
use firewall_common::session::room::{Opening, SOURCES as SOURCE_COUNTS, TALLIES};
use firewall_common::session::{Carry, Entry};
use firewall_common::watch::{KERNEL_DROP_BYTES, SOCKET_CALL_BYTES};
use firewall_common::way_back::{MAX_WAYS, Ways};
use firewall_common::zone::ZONES;

use crate::clock::Clock;
use crate::cookie::Headers;

/// Places in tables indexed by slot; slot 0 is never filled.
const SLOT_PLACES: usize = SLOTS as usize + 1;
/// Places of tables; place 0 is never filled.
const TABLE_PLACES: usize = PLACES as usize + 1;
/// What a decision works with. All of it is here and not on the stack, of which the kernel gives 512 bytes
/// to a whole chain of calls.
#[repr(C)]
pub(crate) struct Room {
    /// What time it is.
    pub(crate) clock: Clock,
    /// Where and when.
    pub(crate) at: At,
    /// Working memory.
    pub(crate) scratch: Scratch,
}

/// An inner array may have any size (`BPF_F_INNER_MAP`), and is filled through a mapping
/// (`BPF_F_MMAPABLE`), which also puts its first value at the beginning of a page, and so each line at the
/// beginning of a line of the processor's cache.
const INNER: usize = 0x1000 | 0x400;

/// A classifier's lines.
pub(crate) type Lines = Array<Line, 1, INNER>;
/// An ordered list.
pub(crate) type Rules = Array<Rule, 1, INNER>;
/// A page of counters.
pub(crate) type CounterPage = PerCpuArray<RuleCount, { COUNTER_PAGE as usize }>;
/// A page of names.
type NamePage = Array<Name, { COUNTER_PAGE as usize }, 0x400>;

/// Which generation is in force: the one word that a swap changes.
#[btf_map]
pub(crate) static ACTIVE: Array<Active, 1> = Array::new();
/// Heads of generations by slot.
#[btf_map]
pub(crate) static GENERATIONS: Array<Generation, SLOT_PLACES> = Array::new();
/// The host's own settings.
#[btf_map]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();
/// Trees over rules, by place; a generation's head names its place.
#[btf_map]
pub(crate) static TREES: ArrayOfMaps<Lines, TABLE_PLACES> = ArrayOfMaps::new();
/// Ordered lists, by the place of their trees.
#[btf_map]
pub(crate) static RULES: ArrayOfMaps<Rules, TABLE_PLACES> = ArrayOfMaps::new();
/// What is known of addresses, by place; a generation's head names its place.
#[btf_map]
pub(crate) static ADDRESSES: ArrayOfMaps<Lines, TABLE_PLACES> = ArrayOfMaps::new();
/// Interfaces by slot and index.
#[btf_map]
pub(crate) static INTERFACES: HashMap<InterfaceKey, InterfaceEntry, 16_384> = HashMap::new();
/// Interfaces guarded on ingress.
#[btf_map]
pub(crate) static GUARDED: HashMap<u32, u32, 4096> = HashMap::new();
/// VLAN devices that are set up, by the device below and the tag.
#[btf_map]
pub(crate) static VLANS: HashMap<VlanKey, u32, 8192, NO_PREALLOC> = HashMap::new();
/// This machine's own addresses.
#[btf_map]
pub(crate) static LOCALS: HashMap<Addr, LocalEntry, 65_536, NO_PREALLOC> = HashMap::new();
/// The ways back to sources by prefix.
#[btf_map]
pub(crate) static WAYS: LpmTrie<[u8; 16], Ways, { MAX_WAYS as usize }> = LpmTrie::new();
/// Failsafe rules by prefix.
#[btf_map]
pub(crate) static FAILSAFE_ADDRESSES: LpmTrie<[u8; 16], u64, 4096> = LpmTrie::new();
/// Failsafe rules by service: the lower and the upper half of the set, since the value's place in a
/// trie is only as aligned as the key is long.
#[btf_map]
pub(crate) static FAILSAFE_SERVICES: LpmTrie<[u8; 4], [u32; 2], 4096> = LpmTrie::new();
/// Members of dynamic sets, by set and prefix, and until when they are: nanoseconds since boot, odd.
#[btf_map]
pub(crate) static MEMBERS: LpmTrie<[u8; 24], u64, { MAX_MEMBERS as usize }> = LpmTrie::new();
/// Verified sessions. More places than the host wants sessions, see `firewall_common::session::room`.
#[btf_map]
pub(crate) static SESSIONS: HashMap<FlowKey, Entry, 328_064> = HashMap::new();
/// Openings that were not answered yet: a flood of them cannot push out what is verified.
#[btf_map]
pub(crate) static HALF_OPEN: HashMap<FlowKey, Entry, 65_536> = HashMap::new();
/// The ring of half-open sessions: who has to give way first.
#[btf_map]
pub(crate) static OPENINGS: Array<Opening, 65_536> = Array::new();
/// How many verified sessions there are, and the ring's next place; the agent adds to it, too.
#[btf_map]
pub(crate) static TALLY: Array<u64, { TALLIES as usize }, MMAPABLE> = Array::new();
/// Half-open sessions by source; the agent adds to it, too.
#[btf_map]
pub(crate) static SOURCES: Array<u64, { SOURCE_COUNTS as usize }, MMAPABLE> = Array::new();
/// Bits for what tables may hold (see `firewall_common::marks`); the agent sets and clears them, too.
#[btf_map]
pub(crate) static MARKS: Array<u64, { MARK_WORDS as usize }, MMAPABLE> = Array::new();
/// When buckets of `limit` are full again, of one source at one rule (see `firewall_common::limit`).
#[btf_map]
pub(crate) static RATES: HashMap<LimitKey, u64, 65_536, NO_PREALLOC> = HashMap::new();
/// The same of rules as a whole.
#[btf_map]
pub(crate) static RULE_RATES: HashMap<u32, u64, 16_384, NO_PREALLOC> = HashMap::new();
/// Open sessions of rules that say how many there may be, and of one source at them.
#[btf_map]
pub(crate) static HELD: HashMap<LimitKey, u64, 131_072, NO_PREALLOC> = HashMap::new();
/// Where the session at hand counts for its rule.
#[btf_map]
pub(crate) static HELD_AT: PerCpuArray<LimitKey, 1> = PerCpuArray::new();
/// First fragments that were let through, and when. Losing one costs a datagram, so it may evict.
#[btf_map]
pub(crate) static FRAGMENTS: LruHashMap<FragmentKey, u64, 16_384> = LruHashMap::new();
/// Packets by verdict, hook, zone and reason.
#[btf_map]
pub(crate) static PACKETS: PerCpuArray<Count, { PACKET_COUNTERS as usize }> = PerCpuArray::new();
/// Packets by rule, in pages.
#[btf_map]
pub(crate) static RULE_COUNTS: ArrayOfMaps<CounterPage, { COUNTER_PAGES as usize }> =
    ArrayOfMaps::new();
/// Sessions opened and ended.
#[btf_map]
pub(crate) static SESSION_COUNTS: PerCpuArray<u64, { SESSION_COUNTERS as usize }> =
    PerCpuArray::new();
/// Records on their way to the agent.
#[btf_map]
pub(crate) static EVENTS: RingBuf<u64, { EVENT_BYTES as usize }> = RingBuf::new();
/// What became of records, by kind.
#[btf_map]
pub(crate) static EVENT_COUNTS: PerCpuArray<EventCount, { KINDS as usize }> = PerCpuArray::new();
/// When the next record may be made (see `firewall_common::limit`).
#[btf_map]
pub(crate) static EVENT_LIMITS: Array<u64, { BUCKETS as usize }> = Array::new();
/// Working memory: one place for each hook, and two more for `explain`, which may be interrupted by
/// a packet on the same CPU.
#[btf_map]
pub(crate) static SCRATCH: PerCpuArray<Room, 4> = PerCpuArray::new();
/// The answers of `reject`, by hook.
#[btf_map]
pub(crate) static REPLIES: PerCpuArray<Reply, 2> = PerCpuArray::new();
/// What the helpers for SYN cookies are given.
#[btf_map]
pub(crate) static COOKIE: PerCpuArray<Headers, 1> = PerCpuArray::new();
/// When the next answer may be sent to anyone (see `firewall_common::limit`).
#[btf_map]
pub(crate) static ANSWER_LIMIT: Array<u64, 1> = Array::new();
/// When the next answer may be sent to an address.
#[btf_map]
pub(crate) static ANSWERS: LruHashMap<Addr, u64, 8192> = LruHashMap::new();
/// What the tables before these had counted; for the agent, never read here.
#[btf_map]
static CARRIED_PACKETS: HashMap<u32, Count, { PACKET_COUNTERS as usize }, NO_PREALLOC> =
    HashMap::new();
/// The same by rule; layout 1 had as many counters as a page has.
#[btf_map]
static CARRIED_RULES: HashMap<u32, RuleCount, { COUNTER_PAGE as usize }, NO_PREALLOC> =
    HashMap::new();
/// The session that `ringwall_carry` is to see to.
#[btf_map]
pub(crate) static CARRY: Array<Carry, 1> = Array::new();
/// Whose tables these are: the cookie of the network namespace; for the agent, never read here.
#[btf_map]
static HOME: Array<u64, 1> = Array::new();
/// What the agent counts, so that it outlives the agent; never read or written here.
#[btf_map]
static AGENT_COUNTS: Array<u64, { AGENT_COUNTERS as usize }> = Array::new();
/// Names of rules by counter, in pages; for people, never read here.
#[btf_map]
static RULE_NAMES: ArrayOfMaps<NamePage, { COUNTER_PAGES as usize }> = ArrayOfMaps::new();
/// Names of zones by number; for people, never read here.
#[btf_map]
static ZONE_NAMES: Array<Name, ZONES> = Array::new();
/// What the slots hold; for people, never read here.
#[btf_map]
static POLICY_INFO: Array<PolicyInfo, SLOT_PLACES> = Array::new();

/// Sockets that processes connect or listen with; not pinned, for only an agent asks.
#[btf_map]
pub(crate) static SOCKET_CALLS: RingBuf<u64, { SOCKET_CALL_BYTES as usize }> = RingBuf::new();
/// How many of them could not be told for want of room in the ring.
#[btf_map]
pub(crate) static SOCKET_CALLS_LOST: Array<u64, 1> = Array::new();
/// Packets of handshakes that the kernel dropped; not pinned, for only an agent asks.
#[btf_map]
pub(crate) static KERNEL_DROPS: RingBuf<u64, { KERNEL_DROP_BYTES as usize }> = RingBuf::new();
/// When the next of them may be told (see `firewall_common::limit`).
#[btf_map]
pub(crate) static KERNEL_DROP_LIMIT: Array<u64, 1> = Array::new();

/// `BPF_F_MMAPABLE`: the agent has it in its own memory.
const MMAPABLE: usize = 0x400;
/// `BPF_F_NO_PREALLOC`: memory only for what is there.
const NO_PREALLOC: usize = 1;
