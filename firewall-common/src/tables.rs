//! The only way to state: the second of the two doors. In the kernel these are BPF maps; in tests,
//! fuzzers and `explain`, plain collections.

use crate::addr::Addr;
use crate::config::{Generation, InterfaceEntry, ServiceKey, Strays};
use crate::flow::{FlowKey, FragmentKey, Tuple};
use crate::packet::Packet;
use crate::pipeline::At;
use crate::policy::dynamic::MemberKey;
use crate::policy::limits::LimitKey;
use crate::policy::line::Line;
use crate::policy::rule::Rule;
use crate::session::{Entry, Moved, Track};
use crate::way_back::WayBack;

/// Which of the two session tables an entry is in.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Openings that the other side has not answered to satisfaction.
    HalfOpen = 0,
    /// Verified sessions.
    Sessions = 1,
}

/// What became of putting a session into a table.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is there now, put there by this call.
    There = 0,
    /// The table is full.
    Full = 1,
    /// It was there already: another CPU was faster, which is as good.
    Already = 2,
    /// There are too many half-open ones: in all, or of its source.
    Crowded = 3,
    /// Its rule lets no more be open at a time.
    Held = 4,
}

/// What a new session is bounded by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Some room is kept for management zones.
    pub reserves: bool,
    /// Sessions that its rule may have; 0: any number.
    pub most: u32,
    /// It is verified already, and goes among those.
    pub verified: bool,
    /// It does not count for its source while it is half open.
    pub uncapped: bool,
}

/// What became of a SYN cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// None was made, or none was asked for: nothing listens, or the host gives out none.
    None,
    /// The sequence number of the answer.
    Made(u32),
    /// It came back.
    Good,
    /// What came back is none.
    Bad,
}

/// Where the kernel's routing takes a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Delivered to this host.
    pub here: bool,
    /// Interface it leaves by, where it does.
    pub interface: u32,
}

/// What a step of bounded work says.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// Not yet done.
    Further = 0,
    /// Done.
    Done = 1,
}

/// Work done step by step, by [`Tables::repeat`].
pub trait Work<T> {
    /// One step.
    fn go(&mut self, tables: T) -> Sought;
}

/// State as the decision needs it. Methods that find nothing say so; none blocks.
pub trait Tables: Copy {
    /// Points at an entry of a session table for the time of one packet.
    type Handle: Copy;

    /// Borrows the head of a generation.
    type Head: core::ops::Deref<Target = Generation> + Copy;

    /// Borrows a line of a classifier.
    type Line: core::ops::Deref<Target = Line> + Copy;

    /// The slot of the generation in force at `now`; 0 where none is.
    fn slot(self, now: u64) -> u32;
    /// The head of the generation in a slot; `None` for a slot that does not exist.
    fn generation(self, slot: u32) -> Option<Self::Head>;
    /// Nanoseconds of silence after which a session in a state is over.
    fn timeout(self, state: u8) -> u64;
    /// What becomes of strays.
    fn strays(self) -> Strays;
    /// Does this host have failsafe rules?
    fn has_failsafe(self) -> bool;

    /// What the generation knows of an interface.
    fn interface(self, slot: u32, index: u32) -> Option<InterfaceEntry>;
    /// A line of the trees over rules at a place.
    fn tree_line(self, place: u32, index: u32) -> Option<Self::Line>;
    /// A line of what is known of addresses at a place.
    fn address_line(self, place: u32, index: u32) -> Option<Self::Line>;
    /// A rule of the ordered list at a place.
    fn rule(self, place: u32, index: u32) -> Option<Rule>;
    /// Until when a dynamic set has a member that holds an address (see [`MemberKey::ask`]), in nanoseconds since
    /// boot; 0 where it has none.
    fn member(self, key: &MemberKey) -> u64;
    /// Does `work` until it is done, at most `limit` steps.
    fn repeat<W: Work<Self>>(self, limit: u32, work: &mut W);

    /// [`crate::config::LOCAL_UNICAST`], [`crate::config::LOCAL_BROADCAST`], [`crate::config::LOCAL_SHARED`], or 0 where the address is
    /// not known to be this machine's.
    fn local(self, address: &Addr) -> u32;
    /// The kernel's routing decision for a packet that arrived by `interface`.
    fn route(self, tuple: &Tuple, interface: u32) -> Route;
    /// What is known of the ways back to sources: `WAYS_…` of [`crate::way_back`].
    fn ways_known(self) -> u32;
    /// Where the way back to a source leads, seen from an interface.
    fn way_back(self, source: &Addr, interface: u32) -> WayBack;
    /// Is an interface guarded on ingress?
    fn guarded(self, interface: u32) -> bool;
    /// Is there a VLAN device, set up, on an interface for a tag ([`crate::source::Tag::word`])?
    fn vlan(self, parent: u32, tag: u32) -> bool;
    /// Failsafe rules (bit `i` is rule `i + 1`) that name an address.
    fn failsafe_address(self, address: &Addr) -> u64;
    /// Failsafe rules that name a service.
    fn failsafe_service(self, key: ServiceKey) -> u64;

    /// The entry of a session, in either table.
    fn find(self, key: &FlowKey) -> Option<(Self::Handle, Table)>;
    /// Copies an entry.
    fn read(self, handle: Self::Handle, entry: &mut Entry);
    /// Writes back what a packet changed.
    fn write(self, handle: Self::Handle, track: &Track, moved: Moved, last_seen: u64);
    /// Writes back where an adopted session was found to be: its zones and interfaces.
    fn place(self, handle: Self::Handle, entry: &Entry);
    /// Writes back a new judgement: [`Entry::permit`] and [`Entry::on_change`].
    fn permit(self, handle: Self::Handle, entry: &Entry);
    /// Adds to the counts of one direction; exact under concurrency.
    fn account(self, handle: Self::Handle, responder: bool, packets: u32, bytes: u32);
    /// Puts a new entry into its table. [`Put::Full`] where there is no room left for it as a verified one;
    /// [`Put::Held`] where its rule has as many as it may.
    fn open(self, key: &FlowKey, entry: &Entry, bounds: Bounds) -> Put;
    /// Takes what costs so many nanoseconds from a bucket, that of a rule as a `whole` or of one source; is there as
    /// much? Exact under concurrency.
    fn take(self, key: &LimitKey, whole: bool, now: u64, price: u64, tolerance: u64) -> bool;
    /// Are openings to be answered with cookies at present, and can answers be sent where the packet came in?
    fn cookies_wanted(self, at: &At) -> bool;
    /// Were cookies given out that may still come back?
    fn cookies_out(self, now: u64) -> bool;
    /// Asks the kernel for a cookie for a SYN, or whether that of an ACK is right.
    fn cookie(self, packet: &Packet, now: u64) -> Cookie;
    /// Moves an entry from the half-open ones to the verified ones, leaving no moment without one.
    fn promote(self, key: &FlowKey, entry: &Entry) -> Put;
    /// Ends a session, as it was found; says whether it was this call that did. Of many that end one session at
    /// once, one is told so.
    fn close(self, key: &FlowKey, entry: &Entry) -> bool;

    /// Remembers that the first fragment of a packet was let through.
    fn remember_fragment(self, key: &FragmentKey, now: u64);

    /// No more fragments of this packet pass.
    fn forget_fragment(self, key: &FragmentKey);
    /// Was the first fragment let through, not too long ago?
    fn knows_fragment(self, key: &FragmentKey, now: u64) -> bool;

    /// Counts a packet that a rule decided.
    fn hit(self, counter: u32, packets: u32, bytes: u32, now: u64);
    /// Counts a packet that a rule in monitor mode would have decided.
    fn would_hit(self, counter: u32, packets: u32, bytes: u32, now: u64);
    /// Counts a packet at [`crate::config::packet_counter`].
    fn count(self, place: u32, packets: u32, bytes: u32);
}
