//! Records as bytes. The first eight bytes are the same in every version for ever: they tell a reader of
//! any version how long the record is, and whether it knows it.
//!
//! Integers are in host byte order: a record never leaves its machine in this form.

use crate::flow::{FlowKey, Tuple};
use crate::session::Entry;

/// Version of the layouts in this file. It rises with every change of one of them; a reader skips and
/// counts what has another version than its own.
pub const VERSION: u16 = 1;

/// How every record begins.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Bytes of the record, these included.
    pub size: u32,
    /// [`VERSION`] of who wrote it.
    pub version: u16,
    /// [`super::Kind`] by number.
    pub kind: u8,
    /// Zero.
    pub pad: u8,
    /// Nanoseconds since boot.
    pub time: u64,
    /// Records of this kind left out on this CPU since the one before.
    pub suppressed: u64,
}

/// A packet that was dropped, rejected, or would have been.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refused {
    /// Its beginning.
    pub header: Header,
    /// Who sends to whom, as in [`crate::packet::Packet::tuple`]; zero where that was not read.
    pub tuple: Tuple,
    /// Counter number of the rule that decided; 0: none did.
    pub rule: u32,
    /// Epoch of the generation it was judged by.
    pub epoch: u32,
    /// Interface of the hook.
    pub interface: u32,
    /// On egress, the interface it came in by; 0: from this host.
    pub came_by: u32,
    /// Packets on the wire.
    pub packets: u32,
    /// Bytes on the wire, from the link header on.
    pub bytes: u32,
    /// [`crate::reason::Reason`] by number.
    pub reason: u8,
    /// [`crate::verdict::Verdict`] by number.
    pub verdict: u8,
    /// [`crate::flow::Hook`] by number.
    pub hook: u8,
    /// Zone of the sender.
    pub source_zone: u8,
    /// Zone of the addressee.
    pub destination_zone: u8,
    /// 4, 6, or 0 where it is not IP.
    pub family: u8,
    /// TCP flags.
    pub tcp_flags: u8,
    /// [`crate::packet::WHOLE`], [`crate::packet::FIRST`] or [`crate::packet::LATER`].
    pub fragment: u8,
    /// Ethertype behind all VLAN tags.
    pub ethertype: u16,
    /// [`crate::packet::Role`] by number.
    pub role: u8,
    /// Zero.
    pub pad: [u8; 5],
}

/// A session that was opened or has ended.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OfSession {
    /// Its beginning.
    pub header: Header,
    /// Both ends.
    pub key: FlowKey,
    /// What is kept of it, at the moment of the record.
    pub entry: Entry,
    /// Interface of the hook.
    pub interface: u32,
    /// Why it ended, a [`crate::session::end::Cause`] by number; 0: it was opened.
    pub cause: u8,
    /// [`crate::reason::Reason`] by number of the packet's decision.
    pub reason: u8,
    /// [`crate::flow::Hook`] by number.
    pub hook: u8,
    /// [`crate::verdict::Verdict`] by number of the packet's decision.
    pub verdict: u8,
}

const _: () = assert!(size_of::<Header>() == 24 && align_of::<Header>() == 8);
const _: () = assert!(size_of::<Refused>() == 104 && align_of::<Refused>() == 8);
const _: () = assert!(size_of::<OfSession>() == 208 && align_of::<OfSession>() == 8);
