//! Layouts of the tables that hold a policy in its compiled form, shared by who fills them and who reads them.
//!
//! A generation is one compiled policy. It lives in a slot; [`Active::slot`] is the one word that says
//! which slot is in force, and changing it is the swap. All the rest of a generation is written before.

use crate::reason::REASONS;
use crate::session::end::CAUSES;
use crate::way_back::SourceCheck;
use crate::zone::{ZONES, ZoneId};

/// Version of all layouts in the pinned tables; part of the pin directory's name.
///
/// A layout that was released is never changed again: what it was is written down in the agent
/// (`dataplane/migrate`), which takes its tables over into those of the layout today.
///
/// 1: the first. 2: in the making, so it may still change.
pub const LAYOUT_VERSION: u32 = 2;

/// Generations that can be in the tables at a time: in force, before it, being filled, candidate.
/// Slots are numbered from 1; 0 means that no policy was ever applied.
pub const SLOTS: u32 = 4;

/// Places for the tables of generations, numbered from 1: more than slots, so that a table is never written in the
/// place of one that a slot's head still names.
pub const PLACES: u32 = 8;

/// Rules of one generation in use, each policy's default counted as one.
pub const MAX_RULES: u32 = 131_072;

/// Counters and names of rules are in pages of so many, which are made when a policy first needs them.
pub const COUNTER_PAGE: u32 = 4096;

/// Pages of counters that there may be.
pub const COUNTER_PAGES: u32 = 64;

/// Rule counters: numbers below [`FIRST_RULE_COUNTER`] are fixed, those of rules are given out by the agent.
pub const RULE_COUNTERS: u32 = COUNTER_PAGE * COUNTER_PAGES;

/// Counter number of failsafe rule 1; at most [`MAX_FAILSAFE`] follow.
pub const FIRST_FAILSAFE_COUNTER: u32 = 32;

/// Failsafe rules of a host.
pub const MAX_FAILSAFE: u32 = 64;

/// The first counter number of a policy's rules.
pub const FIRST_RULE_COUNTER: u32 = 128;

/// The one entry that the packet path reads first.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Active {
    /// Slot of the generation in force; 0: none.
    pub slot: u32,
    /// Slot of a candidate judged beside it (a shadow policy); 0: none. Nothing reads it yet.
    pub candidate: u32,
    /// Slot that decides once [`Self::deadline`] has passed (a dead man's revert); 0: none was in force.
    pub fallback: u32,
    /// Zero.
    pub pad: u32,
    /// Nanoseconds since boot until when [`Self::slot`] waits to be confirmed; 0: it waits for nothing.
    pub deadline: u64,
    /// Zero.
    pub reserved: [u64; 5],
}

impl Active {
    /// The slot that decides at `now` (nanoseconds since boot).
    #[must_use]
    pub const fn deciding(&self, now: u64) -> u32 {
        if has_passed(self.deadline, now) {
            self.fallback
        } else {
            self.slot
        }
    }
}

/// Is a deadline set, and over? The packet path reads the fields of [`Active`] one by one, so it asks this
/// before it reads a slot.
#[inline(always)]
#[must_use]
pub const fn has_passed(deadline: u64, now: u64) -> bool {
    deadline != 0 && now >= deadline
}

/// What `unmatched` says for one course.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// Pass and open a session.
    Allow = 0,
    /// Drop.
    Deny = 1,
    /// Drop and tell.
    Reject = 2,
    /// Routed traffic only: let by, strays too.
    Pass = 3,
}

impl Fallback {
    /// From its number; what is unknown refuses.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Allow,
            2 => Self::Reject,
            3 => Self::Pass,
            _ => Self::Deny,
        }
    }
}

/// Set in [`Generation::flags`]: `mode: monitor` on the whole policy.
pub const GENERATION_MONITOR: u32 = 1;
/// Set in [`Generation::flags`]: addresses differ, by zone or by set.
pub const GENERATION_ADDRESSES: u32 = 2;
/// Set in [`Generation::flags`]: some rule names interfaces.
pub const GENERATION_INTERFACES: u32 = 4;
/// Set in [`Generation::flags`]: some rule only monitors, and is counted.
pub const GENERATION_COUNTS: u32 = 8;
/// Set in [`Generation::flags`]: some rule says `replies: any`.
pub const GENERATION_REPLIES: u32 = 1 << 16;

/// Set in [`Generation::flags`]: some rule names a dynamic set.
pub const GENERATION_DYNAMIC: u32 = 0x100;

/// The head of a generation.
#[repr(C)]
#[cfg_attr(feature = "user", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Generation {
    /// Rises with every change that sessions must be judged anew for; never 0 in a filled slot.
    pub epoch: u32,
    /// Rules in use.
    pub rules: u32,
    /// `GENERATION_…` bits.
    pub flags: u32,
    /// Bits by [`crate::essential::Essential`]: switched on.
    pub essentials: u32,
    /// [`Fallback`] by [`crate::zone::Course`].
    pub unmatched: [u8; 4],
    /// Place of its trees.
    pub trees: u32,
    /// Place of its rules.
    pub list: u32,
    /// Place of what is known of addresses.
    pub addresses: u32,
    /// Among the lines of the trees: the record of the first kind of interfaces.
    pub interface_records: u32,
    /// Lines of the record of one kind of interfaces.
    pub interface_stride: u32,
    /// `metadata.revision`.
    pub revision: u64,
    /// [`SourceCheck`] by zone: the lower bit of each, then the upper one.
    pub source_checks: [u64; 2],
    /// Bits by zone number: `management: true`.
    pub management: u64,
    /// Among the lines of the trees: the numbers of dynamic sets, and then their conditions.
    pub dynamic: u32,
    /// Zero.
    pub pad: u32,
    /// Zero.
    pub reserved: [u64; 3],
}

impl Generation {
    /// What the sources of a zone are held against.
    #[inline(always)]
    #[must_use]
    pub const fn source_check(&self, zone: ZoneId) -> SourceCheck {
        let place = zone.0 as u32 & (ZONES as u32 - 1);
        let [low, high] = self.source_checks;
        SourceCheck::from_number((low >> place & 1 | (high >> place & 1) << 1) as u8)
    }

    /// Sets it.
    pub const fn set_source_check(&mut self, zone: ZoneId, check: SourceCheck) {
        let place = zone.0 as u32 & (ZONES as u32 - 1);
        let [low, high] = &mut self.source_checks;
        *low = *low & !(1 << place) | (check as u64 & 1) << place;
        *high = *high & !(1 << place) | (check as u64 >> 1) << place;
    }

    /// Is one of two zones one that operators come from?
    #[inline(always)]
    #[must_use]
    pub const fn manages(&self, zones: [u8; 2]) -> bool {
        let bits = 1_u64 << (zones[0] & 63) | 1_u64 << (zones[1] & 63);
        self.management & bits != 0
    }
}

/// Key of the service table, for longest-prefix match: protocol, kind, and the port in network byte order
/// (ICMP: type, code). A range of ports is a few prefixes.
pub type ServiceKey = [u8; 4];

/// [`ServiceKey`] kind: destination port.
pub const KIND_DESTINATION: u8 = 0;
/// [`ServiceKey`] kind: source port (the protocol byte is 0 there).
pub const KIND_SOURCE: u8 = 1;

/// Key of the table of interfaces.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct InterfaceKey {
    /// Slot of the generation.
    pub slot: u32,
    /// Interface index.
    pub index: u32,
}

/// Key of the table of VLAN devices.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct VlanKey {
    /// Index of the interface that the frames come by.
    pub parent: u32,
    /// The tag, as [`crate::source::Tag::word`].
    pub tag: u32,
}

/// What a generation knows of an interface.
#[repr(C)]
#[cfg_attr(feature = "user", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InterfaceEntry {
    /// Class for zones, below [`crate::zone::INTERFACE_CLASSES`]; 0 is the class of interfaces that no zone names.
    pub class: u32,
    /// Kind for rules: interfaces of one kind are named by the same rules.
    pub kind: u32,
}

/// What the routing tables say of one of this machine's addresses.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalEntry {
    /// [`LOCAL_UNICAST`], [`LOCAL_BROADCAST`] or [`LOCAL_SHARED`].
    pub kind: u32,
}

/// What the table of guarded interfaces says of one where TC judges what arrives.
pub const AT_TC: u32 = 1;
/// The same, where XDP in the driver does, and no program of ours is at TC for it.
pub const AT_XDP: u32 = 2;
/// The same, and the driver sends what the program wants sent.
pub const AT_XDP_SENDS: u32 = 4;
/// The same, where XDP in the stack does.
pub const AT_XDP_GENERIC: u32 = 3;

/// A unicast address that is delivered here.
pub const LOCAL_UNICAST: u32 = 1;
/// A broadcast address of a link of ours.
pub const LOCAL_BROADCAST: u32 = 2;
/// A unicast address that is delivered here, and that others have, too (`own_address_from`): a packet that comes from
/// it is not spoofed.
pub const LOCAL_SHARED: u32 = 3;

/// The host's own settings that the packet path reads.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Nanoseconds of silence after which a session is over, by [`crate::session::State`].
    pub timeouts: [u64; 16],
    /// Failsafe rules in use.
    pub failsafe: u32,
    /// Mark of packets that Ringwall itself sends (answers of `reject`); drawn at load.
    pub mark: u32,
    /// What becomes of strays.
    pub strays: Strays,
    /// Where the answers to local senders seem to come from, if they arrive by a device with XDP in the stack: an
    /// Ethernet address of nobody, as its six bytes stand in a frame; drawn at load.
    pub station: u64,
    /// `WAYS_…` of [`crate::way_back`]: what is known of the ways back to sources.
    pub ways: u32,
    /// Zero.
    pub pad: u32,
    /// How full the session tables may get.
    pub room: Room,
}

/// How full the session tables may get, see [`crate::session::room`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Verified sessions.
    pub max: u32,
    /// Of those, how many are kept for management zones.
    pub reserve: u32,
    /// Half-open sessions.
    pub half_open_max: u32,
    /// Half-open sessions that one source may have.
    pub half_open_per_source: u32,
}

/// What becomes of a stray that the list gives `no-session`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Strays {
    /// Nanoseconds since boot until when routed strays are taken up as sessions, since enforcement has
    /// just begun.
    pub midstream_until: u64,
    /// [`STRAY_DROP`], [`STRAY_RESET`] or [`STRAY_PASS`].
    pub mode: u32,
    /// Zero.
    pub pad: u32,
}

/// [`Strays::mode`]: dropped silently.
pub const STRAY_DROP: u32 = 0;
/// [`Strays::mode`]: dropped, and answered with a reset.
pub const STRAY_RESET: u32 = 1;
/// [`Strays::mode`]: taken up as a session where the list would let it open one.
pub const STRAY_PASS: u32 = 2;

/// Seconds of silence after which a session is over, by [`crate::session::State`]: as nf_conntrack has them.
const TIMEOUTS: [u64; 16] = [
    0, 120, 60, 432_000, 120, 120, 10, 30, 120, 30, 600, 0, 0, 0, 0, 0,
];

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeouts: TIMEOUTS.map(|seconds| seconds * 1_000_000_000),
            failsafe: 0,
            mark: 0,
            strays: Strays::default(),
            station: 0,
            ways: 0,
            pad: 0,
            room: Room {
                max: 262_144,
                reserve: 1024,
                half_open_max: 65_536,
                half_open_per_source: 128,
            },
        }
    }
}

/// A counter of packets and bytes; per CPU in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Packets on the wire: a large segment counts as what it is cut into.
    pub packets: u64,
    /// Bytes on the wire, from the link header on.
    pub bytes: u64,
}

/// A rule's counter; per CPU in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleCount {
    /// Packets that the rule decided.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that the rule would have decided, were it not in monitor mode.
    pub would_packets: u64,
    /// Their bytes.
    pub would_bytes: u64,
    /// Nanoseconds since boot of the last of either.
    pub last_hit: u64,
}

/// Places in the table of packet counters.
pub const PACKET_COUNTERS: u32 = (4 * 2 * ZONES * REASONS) as u32;

/// Place of a packet counter: by verdict, hook, peer zone and reason.
#[inline(always)]
#[must_use]
pub const fn packet_counter(verdict: u8, hook: u8, zone: u8, reason: u8) -> u32 {
    let upper = (verdict as u32 & 3) * 2 + (hook as u32 & 1);
    (upper * ZONES as u32 + (zone as u32 & (ZONES as u32 - 1))) * REASONS as u32
        + (reason as u32 & (REASONS as u32 - 1))
}

/// Places in the table of session counters.
pub const SESSION_COUNTERS: u32 = FIRST_CLOSED + CAUSES;

/// Place of the counter of sessions opened, by [`crate::zone::Course`] and peer zone.
#[inline(always)]
#[must_use]
pub const fn opened_counter(course: u8, zone: u8) -> u32 {
    (course as u32 & 3) * ZONES as u32 + (zone as u32 & (ZONES as u32 - 1))
}

const FIRST_CLOSED: u32 = 4 * ZONES as u32;

/// Place of the counter of sessions ended, by [`crate::session::end::Cause`].
#[inline(always)]
#[must_use]
pub const fn closed_counter(cause: u8) -> u32 {
    FIRST_CLOSED + (cause as u32 & (CAUSES - 1))
}

/// Places in the table of the agent's own counters: sessions that it ended by
/// [`crate::session::end::Cause`], then [`AGENT_RECORDED`], [`AGENT_LIMITED`] and [`AGENT_SAMPLED`].
pub const AGENT_COUNTERS: u32 = CAUSES + 16;

/// Place of the counter of records of ended sessions that the agent has made.
pub const AGENT_RECORDED: u32 = CAUSES;

/// Place of the counter of records of ended sessions that the agent has left out since there were too many.
pub const AGENT_LIMITED: u32 = CAUSES + 1;

/// Place of the counter of records of ended sessions that a rule's `log` leaves out.
pub const AGENT_SAMPLED: u32 = CAUSES + 2;

/// A name kept beside the tables, so that they can be read without the agent: UTF-8, zero-padded.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// The bytes.
    pub bytes: [u8; 128],
}

impl Default for Name {
    fn default() -> Self {
        Self { bytes: [0; 128] }
    }
}

impl Name {
    /// From text, cut after the last character that fits.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut name = Self::default();
        let fits = text.floor_char_boundary(name.bytes.len());
        for (to, from) in name.bytes.iter_mut().zip(&text.as_bytes()[..fits]) {
            *to = *from;
        }
        name
    }

    /// The text; empty where the bytes are none.
    #[must_use]
    pub fn text(&self) -> &str {
        let end = self.bytes.iter().position(|byte| *byte == 0);
        let bytes = &self.bytes[..end.unwrap_or(self.bytes.len())];
        core::str::from_utf8(bytes).unwrap_or("")
    }
}

/// What a slot holds, for people; the packet path does not read it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicyInfo {
    /// `metadata.name`.
    pub name: Name,
    /// SHA-256 of the policy's text.
    pub digest: [u8; 32],
    /// `metadata.revision`.
    pub revision: u64,
    /// Seconds since 1970 when it was put in force.
    pub applied: u64,
}

const _: () = assert!(size_of::<Active>() == 64);
const _: () = assert!(size_of::<Generation>() == 104);
const _: () = assert!(size_of::<Settings>() == 184);
const _: () = assert!(size_of::<PolicyInfo>() == 176);
const _: () = assert!(PACKET_COUNTERS == 32_768);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_has_passed_leads_to_the_fallback() {
        let mut active = Active {
            slot: 3,
            fallback: 2,
            ..Active::default()
        };
        assert_eq!(active.deciding(u64::MAX), 3);
        active.deadline = 10;
        assert_eq!((active.deciding(9), active.deciding(10)), (3, 2));
    }

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(Name::new("web/https").text(), "web/https");
        let long = "ä".repeat(65);
        assert_eq!(Name::new(&long).text(), "ä".repeat(64));
        let odd = std::format!("x{long}");
        assert_eq!(Name::new(&odd).text(), std::format!("x{}", "ä".repeat(63)));
    }
}
