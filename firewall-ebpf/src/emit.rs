//! What Ringwall sends itself: the answers of `reject`.

use core::arch::asm;
use core::ptr::from_ref;

use aya_ebpf::bindings::{BPF_F_INGRESS, BPF_F_INVALIDATE_HASH};
use aya_ebpf::helpers::generated as h;
use firewall_common::addr::Addr;
use firewall_common::flow::Hook;
use firewall_common::limit::{Rate, take};
use firewall_common::packet::Packet;
use firewall_common::parse::eth;
use firewall_common::reply::{self, LENGTHS, RESET_V4, Reply};
use firewall_common::source::PacketSource;

use crate::maps::{ANSWER_LIMIT, ANSWERS, REPLIES, SETTINGS};
use crate::source::tc::Buffer;

/// Answers of all sorts together.
const ALL: Rate = Rate::per_second(1000);
/// Answers to one address.
const EACH: Rate = Rate::per_second(10);

/// Turns a refused packet into its answer and sends it back where it came from; the program's return
/// value, or `None` where the answer is silence.
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
    source: &S,
    buffer: Buffer,
    hook: Hook,
    packet: &Packet,
    now: u64,
) -> i32 {
    send(source, buffer, hook, packet, now).unwrap_or(crate::hook::tc::DROP)
}

#[inline(always)]
fn send<S: PacketSource>(
    source: &S,
    buffer: Buffer,
    hook: Hook,
    packet: &Packet,
    now: u64,
) -> Option<i32> {
    let mark = SETTINGS.get(0)?.mark;
    if mark == 0 || !within_limits(&packet.tuple.source, now) {
        return None;
    }
    // SAFETY: this CPU's value of that type; nobody else on this CPU uses the hook's place meanwhile.
    let reply = unsafe { &mut *REPLIES.get_ptr_mut(hook as u32)? };
    let link = if source.bare().is_some() {
        eth::HEADER
    } else {
        0
    };
    let length = reply::build(source, packet, reply)? - link;
    // SAFETY: the context is valid; nothing points into the packet's bytes.
    if unsafe { h::bpf_skb_change_tail(buffer.0, length, 0) } != 0 {
        return None;
    }
    if store(buffer, length, reply, link) != 0 {
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

/// Stores the whole frame, from behind its link header on where there is none. The verifier must see that the length is within the answer and not 0; older
/// ones see that only of a value that was masked and then compared once, so the compiler is kept from
/// knowing which four lengths there are.
#[inline(always)]
fn store(buffer: Buffer, length: u32, reply: &Reply, link: u32) -> i64 {
    let mut length = u64::from(length);
    // SAFETY: one instruction, which changes nothing but the register.
    unsafe { asm!("{0} &= {1}", inout(reg) length, const LENGTHS) };
    if length < (RESET_V4 - link).into() {
        return -1;
    }
    // SAFETY: the link header is the first part of a reply, and the length at most that of the rest.
    let from = unsafe { from_ref(reply).cast::<u8>().add(link as usize) };
    // SAFETY: as above.
    unsafe {
        let flags = BPF_F_INVALIDATE_HASH.into();
        h::bpf_skb_store_bytes(buffer.0, 0, from.cast(), length as u32, flags)
    }
}

/// One token from the source's bucket, then one from that of all: who asks too often does not use up
/// what is left for others. Where that of all is empty the sources are not even looked up, so that a
/// flood of forged ones does not turn the table over.
///
/// Two CPUs that take at once may take the same token: then one answer more is sent than the limit
/// says for each further CPU, which is harmless.
#[inline(always)]
fn within_limits(source: &Addr, now: u64) -> bool {
    let Some(all) = ANSWER_LIMIT.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: one aligned word of a map.
    let Some(all_next) = take(unsafe { all.read_volatile() }, now, ALL) else {
        return false;
    };
    // SAFETY: one aligned word, read at once.
    let paid_until = unsafe { ANSWERS.get(source) }.copied().unwrap_or(0);
    let Some(next) = take(paid_until, now, EACH) else {
        return false;
    };
    if ANSWERS.insert(source, next, 0).is_err() {
        return false;
    }
    // SAFETY: one aligned word of a map.
    unsafe { all.write_volatile(all_next) };
    true
}
