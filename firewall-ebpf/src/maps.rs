//! Every table. Names are also those of the pins; `firewall-user`'s data plane fills and reads them.

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf};
use aya_ebpf::macros::btf_map;
use firewall_common::addr::Addr;
use firewall_common::config::{
    AGENT_COUNTERS, Active, AddressEntry, Count, Generation, InterfaceEntry, InterfaceKey,
    LocalEntry, MAX_RULES, Name, PACKET_COUNTERS, PolicyInfo, RULE_COUNTERS, RuleCount,
    SESSION_COUNTERS, SLOTS, Settings, Vector, VlanKey,
};
use firewall_common::event::{BUCKETS, EVENT_BYTES, EventCount, KINDS};
use firewall_common::flow::{FlowKey, FragmentKey};
use firewall_common::pipeline::{At, Scratch};
use firewall_common::policy::rule::Rule;
use firewall_common::reply::Reply;
use firewall_common::session::{Carry, Entry};
use firewall_common::zone::ZONES;

/// Places in tables indexed by slot; slot 0 is never filled.
const SLOT_PLACES: usize = SLOTS as usize + 1;
const RULE_PLACES: usize = SLOT_PLACES * MAX_RULES as usize;
/// What a decision works with. All of it is here and not on the stack, of which the kernel gives 512 bytes
/// to a whole chain of calls.
#[repr(C)]
pub(crate) struct Room {
    /// Where and when.
    pub(crate) at: At,
    /// Working memory.
    pub(crate) scratch: Scratch,
}

/// An inner array may have any size (`BPF_F_INNER_MAP`).
const INNER: usize = 0x1000;

/// A slot's vectors.
pub(crate) type Vectors = Array<Vector, 1, INNER>;
/// A slot's prefixes.
pub(crate) type Addresses = LpmTrie<[u8; 16], AddressEntry, 1>;
/// A slot's services.
pub(crate) type Services = LpmTrie<[u8; 4], u32, 1>;

/// Which generation is in force: the one word that a swap changes.
#[btf_map]
pub(crate) static ACTIVE: Array<Active, 1> = Array::new();
/// Heads of generations by slot.
#[btf_map]
pub(crate) static GENERATIONS: Array<Generation, SLOT_PLACES> = Array::new();
/// The host's own settings.
#[btf_map]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();
/// Ordered lists: rule `i` of slot `s` is at `s * MAX_RULES + i`.
#[btf_map]
pub(crate) static RULES: Array<Rule, RULE_PLACES> = Array::new();
/// Vectors by slot.
#[btf_map]
pub(crate) static VECTORS: ArrayOfMaps<Vectors, SLOT_PLACES> = ArrayOfMaps::new();
/// Prefixes by slot.
#[btf_map]
pub(crate) static ADDRESSES: ArrayOfMaps<Addresses, SLOT_PLACES> = ArrayOfMaps::new();
/// Services by slot.
#[btf_map]
pub(crate) static SERVICES: ArrayOfMaps<Services, SLOT_PLACES> = ArrayOfMaps::new();
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
/// Failsafe rules by prefix.
#[btf_map]
pub(crate) static FAILSAFE_ADDRESSES: LpmTrie<[u8; 16], u64, 4096> = LpmTrie::new();
/// Failsafe rules by service: the lower and the upper half of the set, since the value's place in a
/// trie is only as aligned as the key is long.
#[btf_map]
pub(crate) static FAILSAFE_SERVICES: LpmTrie<[u8; 4], [u32; 2], 4096> = LpmTrie::new();
/// Verified sessions.
#[btf_map]
pub(crate) static SESSIONS: HashMap<FlowKey, Entry, 262_144> = HashMap::new();
/// Openings that were not answered yet: a flood of them cannot push out what is verified.
#[btf_map]
pub(crate) static HALF_OPEN: HashMap<FlowKey, Entry, 65_536> = HashMap::new();
/// First fragments that were let through, and when. Losing one costs a datagram, so it may evict.
#[btf_map]
pub(crate) static FRAGMENTS: LruHashMap<FragmentKey, u64, 16_384> = LruHashMap::new();
/// Packets by verdict, hook, zone and reason.
#[btf_map]
pub(crate) static PACKETS: PerCpuArray<Count, { PACKET_COUNTERS as usize }> = PerCpuArray::new();
/// Packets by rule.
#[btf_map]
pub(crate) static RULE_COUNTS: PerCpuArray<RuleCount, { RULE_COUNTERS as usize }> =
    PerCpuArray::new();
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
/// The same by rule.
#[btf_map]
static CARRIED_RULES: HashMap<u32, RuleCount, { RULE_COUNTERS as usize }, NO_PREALLOC> =
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
/// Names of rules by counter; for people, never read here.
#[btf_map]
static RULE_NAMES: Array<Name, { RULE_COUNTERS as usize }> = Array::new();
/// Names of zones by number; for people, never read here.
#[btf_map]
static ZONE_NAMES: Array<Name, ZONES> = Array::new();
/// What the slots hold; for people, never read here.
#[btf_map]
static POLICY_INFO: Array<PolicyInfo, SLOT_PLACES> = Array::new();

/// `BPF_F_NO_PREALLOC`: memory only for what is there.
const NO_PREALLOC: usize = 1;
