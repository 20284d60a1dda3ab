//! Answers at TC.

use core::ptr::addr_of;

use aya_ebpf::bindings::{BPF_F_INGRESS, BPF_F_INVALIDATE_HASH};
use aya_ebpf::helpers::generated as h;
use firewall_common::config::AT_XDP_GENERIC;
use firewall_common::flow::Hook;
use firewall_common::packet::Packet;
use firewall_common::source::PacketSource;

use super::build;
use crate::hook::tc::DROP;
use crate::maps::{GUARDED, SETTINGS};
use crate::source::Context as _;
use crate::source::tc::Buffer;

/// Turns a refused packet into its answer and sends it back where it came from; the program's return
/// value.
///
/// On ingress it leaves by the interface that the packet arrived by. On egress it arrives by the
/// interface that the packet was to leave by, so that a local `connect` fails at once. Either way it
/// passes the other hook, which knows it by its mark.
///
/// A packet whose checksum the sender left to the device (`CHECKSUM_PARTIAL`) keeps that property.
/// Such a packet never was on a wire, and its answer goes the same way back, to a receiver that takes
/// the checksum on trust.
// Not inlined, for the kernel's stack.
#[inline(never)]
pub(crate) fn answer<S: PacketSource>(
    source: S,
    buffer: Buffer,
    hook: Hook,
    packet: &Packet,
    now: u64,
) -> i32 {
    send(source, buffer, hook, packet, now).unwrap_or(DROP)
}

#[inline(always)]
fn send<S: PacketSource>(
    source: S,
    buffer: Buffer,
    hook: Hook,
    packet: &Packet,
    now: u64,
) -> Option<i32> {
    let mark = SETTINGS.get(0)?.mark;
    if mark == 0 {
        return None;
    }
    let built = build(&source, hook, packet, now)?;
    // SAFETY: the context is valid; nothing points into the packet's bytes.
    if unsafe { h::bpf_skb_change_tail(buffer.0, built.length, 0) } != 0 {
        return None;
    }
    let (from, length) = built.bytes()?;
    let flags = BPF_F_INVALIDATE_HASH.into();
    // SAFETY: so many bytes are there.
    if unsafe { h::bpf_skb_store_bytes(buffer.0, 0, from, length, flags) } != 0 {
        return None;
    }
    if matches!(hook, Hook::Egress) && !sign(buffer) {
        return None;
    }
    buffer.set_mark(mark);
    let flags = match hook {
        Hook::Ingress => 0,
        Hook::Egress => BPF_F_INGRESS.into(),
    };
    // SAFETY: takes and returns numbers.
    Some(unsafe { h::bpf_redirect(buffer.interface(), flags) } as i32)
}

/// An answer to a local sender meets XDP in the stack where that judges what arrives, and XDP sees no mark.
/// There it is known by the address it seems to come from, which is 46 bits that nobody outside knows. The
/// stack does not look at that address.
#[inline(always)]
fn sign(buffer: Buffer) -> bool {
    if !GUARDED.get_ptr(buffer.interface()).is_some_and(is_generic) {
        return true;
    }
    let Some(settings) = SETTINGS.get(0) else {
        return false;
    };
    let from = addr_of!(settings.station).cast();
    // SAFETY: eight bytes are there; the link header has six at this place.
    settings.station != 0 && unsafe { h::bpf_skb_store_bytes(buffer.0, 6, from, 6, 0) } == 0
}

/// Does XDP in the stack judge what arrives there?
#[inline(always)]
pub(crate) fn is_generic(place: *const u32) -> bool {
    // SAFETY: one aligned word of a map, read once.
    unsafe { place.read_volatile() == AT_XDP_GENERIC }
}
