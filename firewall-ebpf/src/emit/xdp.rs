//! Answers at XDP.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_TX};
use aya_ebpf::helpers::generated as h;
use firewall_common::flow::Hook;
use firewall_common::packet::Packet;
use firewall_common::source::PacketSource as _;

use super::build;
use crate::source::xdp::Frame;

/// Turns a refused packet into its answer and sends it out by the interface that it came in by; the
/// program's return value.
///
/// It does not pass the egress hook. Whether it leaves is the driver's: hardware with native XDP sends it.
/// A veth hands it to the other end only if that end polls (it has an XDP program of its own, or GRO); else
/// the driver frees it and nobody is told. That is one of the reasons why `hook: auto` takes TC there.
// Not inlined, for the kernel's stack.
#[inline(never)]
pub(crate) fn answer(frame: Frame, packet: &Packet, now: u64) -> u32 {
    send(frame, packet, now).unwrap_or(XDP_DROP)
}

#[inline(always)]
fn send(frame: Frame, packet: &Packet, now: u64) -> Option<u32> {
    let built = build(&frame, Hook::Ingress, packet, now)?;
    let longer = built.length as i32 - frame.length() as i32;
    // SAFETY: the context is valid; nothing points into the packet's bytes.
    if unsafe { h::bpf_xdp_adjust_tail(frame.0, longer) } != 0 {
        return None;
    }
    let (from, length) = built.bytes()?;
    // SAFETY: so many bytes are there, and the helper only reads them.
    if unsafe { h::bpf_xdp_store_bytes(frame.0, 0, from.cast_mut(), length) } != 0 {
        return None;
    }
    Some(XDP_TX)
}
