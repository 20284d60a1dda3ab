//! State in the kernel: maps behind the door [`Tables`].

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::helpers::generated as h;
use core::ffi::c_void;
use core::ptr::{addr_of, addr_of_mut, from_mut, from_ref, null};
use firewall_common::addr::Addr;
use firewall_common::config::{
    AT_XDP, COUNTER_PAGE, Generation, InterfaceEntry, InterfaceKey, RuleCount, ServiceKey, Strays,
    VlanKey, has_passed,
};
use firewall_common::flow::{FRAGMENT_LIFE, FlowKey, FragmentKey, Tuple};
use firewall_common::packet::Packet;
use firewall_common::pipeline::At;
use firewall_common::policy::dynamic::MemberKey;
use firewall_common::policy::limits::LimitKey;
use firewall_common::policy::line::Line;
use firewall_common::policy::rule::Rule;
use firewall_common::session::room::{COOKIES_UNTIL, PRESSURE_UNTIL};
use firewall_common::session::{Entry, Moved, Track};
use firewall_common::tables::{Bounds, Cookie, Put, Route, Sought, Table, Tables, Work};
use firewall_common::way_back::{WAYS_UNKNOWN, WayBack};

use crate::atomics;
use crate::clock;
use crate::cookie;
use crate::limits;
use crate::maps::{
    ACTIVE, ADDRESSES, FAILSAFE_ADDRESSES, FAILSAFE_SERVICES, FRAGMENTS, GENERATIONS, GUARDED,
    HALF_OPEN, INTERFACES, LOCALS, MEMBERS, PACKETS, RULE_COUNTS, RULES, SESSIONS, SETTINGS, TREES,
    VLANS, WAYS,
};
use crate::marks;
use crate::room;
use crate::route;
use crate::source::Context;

/// The errors of updates that are told apart, as the kernel returns them.
const EEXIST: i32 = -17;

/// The maps. With `DRY` nothing is written: for `explain`, which leaves no trace.
#[derive(Clone, Copy)]
pub(crate) struct MapTables<const DRY: bool> {
    /// What the routing helper asks for; the same for every hook.
    context: *mut c_void,
}

/// A session's value in its map.
///
/// The kernel may give the memory of a deleted entry to a new one at once, so what is written through
/// a handle could reach another session. For that, this very session must be deleted by another CPU
/// and the place taken again within the few hundred nanoseconds that one packet takes. Sessions
/// that packets still come for are deleted only when they are opened anew, revoked or closed by hand; what
/// would be wrong then is one session's track, which its next packets correct, never a verdict of the
/// policy. A lock would cost every packet of every session.
#[derive(Clone, Copy)]
pub(crate) struct Handle(*mut Entry);

impl<const DRY: bool> MapTables<DRY> {
    #[inline(always)]
    pub(crate) fn new(packet: impl Context) -> Self {
        Self {
            context: packet.raw(),
        }
    }
}

#[inline(always)]
fn session(key: &FlowKey) -> Option<(Handle, Table)> {
    Some((Handle(SESSIONS.get_ptr_mut(key)?), Table::Sessions))
}

#[inline(always)]
fn half_open(key: &FlowKey) -> Option<(Handle, Table)> {
    Some((Handle(HALF_OPEN.get_ptr_mut(key)?), Table::HalfOpen))
}

// Look-ups that build their key on the stack are functions of their own, so that each key is on the
// stack only for as long as it is needed. They hand back plain pointers: the kernel knows no other
// return values between a program's functions.

#[inline(never)]
fn find_interface(slot: u32, index: u32) -> *const InterfaceEntry {
    let key = InterfaceKey { slot, index };
    INTERFACES.get_ptr(key).unwrap_or(null())
}

#[inline(never)]
fn find_vlan(parent: u32, tag: u32) -> bool {
    VLANS.get_ptr(VlanKey { parent, tag }).is_some()
}

#[inline(never)]
fn find_failsafe_address(address: &Addr) -> u64 {
    let key = Key::new(128, address.to_bytes());
    FAILSAFE_ADDRESSES.get(&key).copied().unwrap_or(0)
}

/// [`WayBack`] as a number: between a program's functions the kernel wants plain ones.
#[inline(always)]
fn find_way_back(source: &Addr, interface: u32) -> u32 {
    let ways = WAYS.get(&Key::new(128, source.to_bytes()));
    ways.map_or(WayBack::Nowhere, |ways| ways.judge(interface)) as u32
}

#[inline(never)]
fn find_failsafe_service(key: u32) -> u64 {
    let halves = FAILSAFE_SERVICES.get(&Key::new(32, key.to_ne_bytes()));
    halves.map_or(0, |[low, high]| u64::from(*low) | u64::from(*high) << 32)
}

/// Does an answer leave by the interface that its packet came in by? XDP in a driver may lose it.
#[inline(always)]
fn sends(interface: u32) -> bool {
    // SAFETY: one aligned word of a map, read once.
    GUARDED
        .get_ptr(interface)
        .is_some_and(|place| unsafe { place.read_volatile() } != AT_XDP)
}

/// This CPU's counter of a rule.
#[inline(always)]
fn rule_count(counter: u32) -> Option<*mut RuleCount> {
    RULE_COUNTS.get_value_ptr_mut(counter / COUNTER_PAGE, &(counter % COUNTER_PAGE))
}

/// What a step of `bpf_loop` needs: it must be on the stack, so it is no more than two pointers.
struct Call<W, T> {
    work: *mut W,
    tables: T,
}

/// One step of `bpf_loop`.
extern "C" fn step<W: Work<T>, T: Tables>(_index: u64, call: *mut c_void) -> i64 {
    // SAFETY: `repeat` passes a call whose work outlives the loop and is used by nobody else meanwhile.
    let (work, tables) = unsafe {
        let call = &*call.cast::<Call<W, T>>();
        (&mut *call.work, call.tables)
    };
    matches!(work.go(tables), Sought::Done).into()
}

impl<const DRY: bool> Tables for MapTables<DRY> {
    type Handle = Handle;
    type Head = &'static Generation;
    type Line = &'static Line;

    #[inline(always)]
    fn slot(self, now: u64) -> u32 {
        let Some(active) = ACTIVE.get(0) else {
            return 0;
        };
        // SAFETY: aligned words of a map, each read once: a swap may change them at any moment. The deadline
        // comes first; why any mixture of old and new is right is argued where they are written
        // (deadman.rs of the data plane).
        unsafe {
            let deadline = addr_of!(active.deadline).read_volatile();
            if has_passed(deadline, now) {
                addr_of!(active.fallback).read_volatile()
            } else {
                addr_of!(active.slot).read_volatile()
            }
        }
    }

    #[inline(always)]
    fn generation(self, slot: u32) -> Option<Self::Head> {
        if slot == 0 {
            return None;
        }
        GENERATIONS.get(slot)
    }

    #[inline(always)]
    fn timeout(self, state: u8) -> u64 {
        SETTINGS
            .get(0)
            .map_or(0, |settings| settings.timeouts[state as usize & 15])
    }

    #[inline(always)]
    fn strays(self) -> Strays {
        SETTINGS
            .get(0)
            .map_or(Strays::default(), |settings| settings.strays)
    }

    #[inline(always)]
    fn has_failsafe(self) -> bool {
        SETTINGS
            .get(0)
            .is_some_and(|settings| settings.failsafe != 0)
    }

    #[inline(always)]
    fn interface(self, slot: u32, index: u32) -> Option<InterfaceEntry> {
        if let Some(entry) = marks::interface(slot, index) {
            return Some(entry);
        }
        // SAFETY: entries are written by the agent only, whole, and copied out at once.
        unsafe { find_interface(slot, index).as_ref() }.copied()
    }

    #[inline(always)]
    fn tree_line(self, place: u32, index: u32) -> Option<Self::Line> {
        TREES.get_value(place, &index)
    }

    #[inline(always)]
    fn address_line(self, place: u32, index: u32) -> Option<Self::Line> {
        ADDRESSES.get_value(place, &index)
    }

    #[inline(always)]
    fn rule(self, place: u32, index: u32) -> Option<Rule> {
        RULES.get_value(place, &index).copied()
    }

    /// The key is in working memory, so that it takes no place on the stack.
    #[inline(always)]
    fn member(self, key: &MemberKey) -> u64 {
        let key: *const Key<[u8; 24]> = from_ref(key).cast();
        // SAFETY: both are a length of 32 bits and 24 bytes after it, without padding. A member that is taken out
        // meanwhile stays in memory until this packet is done; its time is one aligned word.
        MEMBERS
            .get(unsafe { &*key })
            .map_or(0, |until| unsafe { from_ref(until).read_volatile() })
    }

    #[inline(always)]
    fn repeat<W: Work<Self>>(self, limit: u32, work: &mut W) {
        let function: extern "C" fn(u64, *mut c_void) -> i64 = step::<W, Self>;
        let mut call = Call { work, tables: self };
        // SAFETY: `step` is called with `call`, which lives on until this returns.
        unsafe {
            let call = from_mut(&mut call).cast();
            h::bpf_loop(limit, function as *mut c_void, call, 0);
        }
    }

    #[inline(always)]
    fn local(self, address: &Addr) -> u32 {
        if let Some(kind) = marks::local(address) {
            return kind;
        }
        // SAFETY: entries are written by the agent only, whole, and copied out at once.
        unsafe { LOCALS.get(address) }.map_or(0, |local| local.kind)
    }

    #[inline(always)]
    fn route(self, tuple: &Tuple, interface: u32) -> Route {
        route::find(self.context, tuple, interface)
    }

    #[inline(always)]
    fn ways_known(self) -> u32 {
        SETTINGS
            .get(0)
            .map_or(WAYS_UNKNOWN, |settings| settings.ways)
    }

    #[inline(always)]
    fn way_back(self, source: &Addr, interface: u32) -> WayBack {
        match find_way_back(source, interface) {
            0 => WayBack::Nowhere,
            1 => WayBack::Elsewhere,
            _ => WayBack::Here,
        }
    }

    #[inline(always)]
    fn guarded(self, interface: u32) -> bool {
        GUARDED.get_ptr(interface).is_some()
    }

    #[inline(always)]
    fn vlan(self, parent: u32, tag: u32) -> bool {
        find_vlan(parent, tag)
    }

    #[inline(always)]
    fn failsafe_address(self, address: &Addr) -> u64 {
        find_failsafe_address(address)
    }

    #[inline(always)]
    fn failsafe_service(self, key: ServiceKey) -> u64 {
        find_failsafe_service(u32::from_ne_bytes(key))
    }

    /// A session that is promoted is put into SESSIONS first and taken from HALF_OPEN second. Who
    /// misses it in SESSIONS (not yet there) and then in HALF_OPEN (no longer there) finds it in
    /// SESSIONS now, since it was there before it left. So a live session is never missed.
    #[inline(always)]
    fn find(self, key: &FlowKey) -> Option<(Handle, Table)> {
        if !marks::may_be_session(key) {
            return None;
        }
        session(key)
            .or_else(|| half_open(key))
            .or_else(|| session(key))
    }

    #[inline(always)]
    fn read(self, handle: Handle, entry: &mut Entry) {
        // SAFETY: the handle points to an entry of a map for the time of this packet.
        *entry = unsafe { *handle.0 };
    }

    #[inline(always)]
    fn write(self, handle: Handle, track: &Track, moved: Moved, last_seen: u64) {
        if DRY {
            return;
        }
        // SAFETY: as above. Two CPUs that write at once leave a mix of two true views, see [`Track`].
        unsafe {
            (*handle.0).track.take(track, moved);
            (*handle.0).last_seen = last_seen;
        }
    }

    #[inline(always)]
    fn place(self, handle: Handle, entry: &Entry) {
        if DRY {
            return;
        }
        // SAFETY: as above. Two CPUs that judge an adopted session first write what is true of it by either.
        unsafe {
            (*handle.0).source_zone = entry.source_zone;
            (*handle.0).destination_zone = entry.destination_zone;
            (*handle.0).interface_in = entry.interface_in;
            (*handle.0).interface_out = entry.interface_out;
        }
    }

    #[inline(always)]
    fn permit(self, handle: Handle, judged: &Entry) {
        if DRY {
            return;
        }
        // SAFETY: as above. Two CPUs that judge anew under one policy write the same permit; under
        // two policies, the epoch of either makes the next packet ask again unless it is in force.
        unsafe {
            (*handle.0).permit = judged.permit;
            (*handle.0).on_change = judged.on_change;
        }
    }

    #[inline(always)]
    fn account(self, handle: Handle, responder: bool, packets: u32, bytes: u32) {
        if DRY {
            return;
        }
        // SAFETY: as above; the counts are aligned to eight bytes.
        unsafe {
            let count = if responder {
                addr_of_mut!((*handle.0).counts[1])
            } else {
                addr_of_mut!((*handle.0).counts[0])
            };
            atomics::add(addr_of_mut!((*count).packets), packets.into());
            atomics::add(addr_of_mut!((*count).bytes), bytes.into());
        }
    }

    #[inline(always)]
    fn open(self, key: &FlowKey, entry: &Entry, bounds: Bounds) -> Put {
        if DRY {
            return Put::There;
        }
        room::open(key, entry, bounds)
    }

    #[inline(always)]
    fn cookies_wanted(self, at: &At) -> bool {
        !DRY && cookie::until(PRESSURE_UNTIL, at.now) && sends(at.interface)
    }

    #[inline(always)]
    fn cookies_out(self, now: u64) -> bool {
        cookie::until(COOKIES_UNTIL, now)
    }

    #[inline(always)]
    fn cookie(self, packet: &Packet, now: u64) -> Cookie {
        cookie::cookie(self.context, packet, now)
    }

    /// Who explains has full buckets. Others have them to the nanosecond.
    #[inline(always)]
    fn take(self, key: &LimitKey, whole: bool, _: u64, price: u64, tolerance: u64) -> bool {
        DRY || limits::take(key, whole, clock::exact(), price, tolerance)
    }

    /// In before out, see [`Self::find`]. Of two CPUs that promote at once one finds it there, which is
    /// as good; deleting twice is harmless. What the loser counted for its one packet is lost to
    /// the session's own counts, not to the packet counters.
    #[inline(always)]
    fn promote(self, key: &FlowKey, entry: &Entry) -> Put {
        if DRY {
            return Put::There;
        }
        let put = put(SESSIONS.insert(key, entry, BPF_NOEXIST.into()));
        if matches!(put, Put::There) {
            room::count_verified(entry, 1);
        }
        if !matches!(put, Put::Full) && HALF_OPEN.remove(key).is_ok() {
            room::release(key, entry);
        }
        put
    }

    /// Of many that delete one key at once, the kernel says to one that it was there.
    #[inline(always)]
    fn close(self, key: &FlowKey, entry: &Entry) -> bool {
        if DRY {
            return false;
        }
        room::close(key, entry)
    }

    #[inline(always)]
    fn remember_fragment(self, key: &FragmentKey, now: u64) {
        if DRY {
            return;
        }
        let _evicting_map_is_never_full = FRAGMENTS.insert(key, now, 0);
    }

    #[inline(always)]
    fn forget_fragment(self, key: &FragmentKey) {
        if DRY {
            return;
        }
        let _gone_or_never_there = FRAGMENTS.remove(key);
    }

    #[inline(always)]
    fn knows_fragment(self, key: &FragmentKey, now: u64) -> bool {
        // SAFETY: one aligned word, read at once; of an entry reused meanwhile, another time.
        let seen = unsafe { FRAGMENTS.get(key) };
        seen.is_some_and(|seen| now.saturating_sub(*seen) < FRAGMENT_LIFE)
    }

    /// Per CPU, with softirqs off: nobody else adds to this place at the same time.
    #[inline(always)]
    fn hit(self, counter: u32, packets: u32, bytes: u32, now: u64) {
        if DRY {
            return;
        }
        if let Some(count) = rule_count(counter) {
            // SAFETY: this CPU's value of that type.
            let count = unsafe { &mut *count };
            count.packets += u64::from(packets);
            count.bytes += u64::from(bytes);
            count.last_hit = now;
        }
    }

    #[inline(always)]
    fn would_hit(self, counter: u32, packets: u32, bytes: u32, now: u64) {
        if DRY {
            return;
        }
        if let Some(count) = rule_count(counter) {
            // SAFETY: this CPU's value of that type.
            let count = unsafe { &mut *count };
            count.would_packets += u64::from(packets);
            count.would_bytes += u64::from(bytes);
            count.last_hit = now;
        }
    }

    #[inline(always)]
    fn count(self, place: u32, packets: u32, bytes: u32) {
        if DRY {
            return;
        }
        if let Some(count) = PACKETS.get_ptr_mut(place) {
            // SAFETY: this CPU's value of that type.
            let count = unsafe { &mut *count };
            count.packets += u64::from(packets);
            count.bytes += u64::from(bytes);
        }
    }
}

#[inline(always)]
pub(crate) fn put(outcome: Result<(), i32>) -> Put {
    match outcome {
        Ok(()) => Put::There,
        Err(EEXIST) => Put::Already,
        Err(_) => Put::Full,
    }
}
