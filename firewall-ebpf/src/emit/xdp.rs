//! Answers at XDP.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_TX};
use aya_ebpf::helpers::generated as h;
use firewall_common::flow::Hook;
use firewall_common::packet::Packet;
use firewall_common::reply::Toward;
use firewall_common::source::PacketSource as _;

use super::{build, within_limits};
use crate::source::xdp::Frame;

/// Turns a refused packet into its answer and sends it out by the interface that it came in by; the
/// program's return value.
///
/// It does not pass the egress hook. Whether it leaves is the driver's: hardware with native XDP sends it.
/// A veth hands it to the other end only if that end has an XDP program of its own; else the driver frees it
/// and nobody is told (`veth_xdp_xmit` in drivers/net/veth.c; `XDP_REDIRECT` takes the same way). In generic
/// mode the stack sends it, to any peer.
// Not inlined, for the kernel's stack.
#[inline(never)]
pub(crate) fn answer(frame: Frame, packet: &Packet, now: u64) -> u32 {
    send(frame, packet, now).unwrap_or(XDP_DROP)
}

#[inline(always)]
fn send(frame: Frame, packet: &Packet, now: u64) -> Option<u32> {
    if !packet.cookie && !within_limits(&packet.tuple.source, now) {
        return None;
    }
    let built = build(&frame, Hook::Ingress, packet, Toward::Sender)?;
    if !resize(frame, built.length as i32 - frame.length() as i32) {
        return None;
    }
    let (from, length) = built.bytes()?;
    // SAFETY: so many bytes are there, and the helper only reads them.
    if unsafe { h::bpf_xdp_store_bytes(frame.0, 0, from.cast_mut(), length) } != 0 {
        return None;
    }
    Some(XDP_TX)
}

/// All bytes are written anew, so a longer answer may as well begin earlier: before the frame every driver
/// has room (`XDP_PACKET_HEADROOM`), behind it a veth may have none.
#[inline(always)]
fn resize(frame: Frame, longer: i32) -> bool {
    // SAFETY: the context is valid; nothing points into the packet's bytes.
    unsafe {
        if longer > 0 {
            h::bpf_xdp_adjust_head(frame.0, -longer) == 0
        } else {
            h::bpf_xdp_adjust_tail(frame.0, longer) == 0
        }
    }
}
