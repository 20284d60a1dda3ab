//! Answers at TC.

use core::ptr::addr_of;

use aya_ebpf::bindings::{BPF_F_INGRESS, BPF_F_INVALIDATE_HASH};
use aya_ebpf::helpers::generated as h;
use firewall_common::config::AT_XDP_GENERIC;
use firewall_common::flow::Hook;
use firewall_common::packet::Packet;
use firewall_common::reply::{self, Toward};
use firewall_common::source::PacketSource;

use super::{Built, build, within_limits};
use crate::hook::tc::DROP;
use crate::maps::{GUARDED, SETTINGS};
use crate::source::Context as _;
use crate::source::tc::Buffer;

/// In place of the time: the answer to the one packet that ends a session, of which there are no more than sessions.
pub(crate) const UNLIMITED: u64 = 0;

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
    if now != UNLIMITED && !packet.cookie && !within_limits(&packet.tuple.source, now) {
        return DROP;
    }
    send(source, buffer, hook, packet).unwrap_or(DROP)
}

/// Turns the last packet of a session that the policy has ended into a reset for its receiver, which goes on to
/// where it was going. The packet is left to be answered.
// Not inlined, and apart from the answer, for the kernel's stack.
#[inline(never)]
pub(crate) fn tell_receiver<S: PacketSource>(
    source: S,
    buffer: Buffer,
    hook: Hook,
    packet: &mut Packet,
) -> bool {
    if !reply::turn(packet) {
        return false;
    }
    let told = onward(&source, buffer, hook, packet).is_some();
    reply::turn(packet);
    told
}

/// A copy of it goes its way, past the hook of either direction, which knows it by its mark.
#[inline(always)]
fn onward<S: PacketSource>(source: &S, buffer: Buffer, hook: Hook, packet: &Packet) -> Option<()> {
    let mark = SETTINGS.get(0)?.mark;
    if mark == 0 {
        return None;
    }
    let built = build(source, hook, packet, Toward::Receiver)?;
    write(buffer, built)?;
    buffer.set_mark(mark);
    let flags = match hook {
        Hook::Ingress => BPF_F_INGRESS.into(),
        Hook::Egress => 0,
    };
    // SAFETY: the context is valid; nothing points into the packet's bytes.
    (unsafe { h::bpf_clone_redirect(buffer.0, buffer.interface(), flags) } == 0).then_some(())
}

/// Makes the buffer what was built.
#[inline(always)]
fn write(buffer: Buffer, built: Built) -> Option<()> {
    // SAFETY: the context is valid; nothing points into the packet's bytes.
    if unsafe { h::bpf_skb_change_tail(buffer.0, built.length, 0) } != 0 {
        return None;
    }
    let (from, length) = built.bytes()?;
    let flags = BPF_F_INVALIDATE_HASH.into();
    // SAFETY: so many bytes are there.
    (unsafe { h::bpf_skb_store_bytes(buffer.0, 0, from, length, flags) } == 0).then_some(())
}

#[inline(always)]
fn send<S: PacketSource>(source: S, buffer: Buffer, hook: Hook, packet: &Packet) -> Option<i32> {
    let mark = SETTINGS.get(0)?.mark;
    if mark == 0 {
        return None;
    }
    let built = build(&source, hook, packet, Toward::Sender)?;
    write(buffer, built)?;
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
