//! What Ringwall sends itself: the answers of `reject`. What is the same at every hook; how a hook turns
//! a refused packet into its answer is in a file of the hook's name.

pub(crate) mod tc;
pub(crate) mod xdp;

use core::arch::asm;

use firewall_common::addr::Addr;
use firewall_common::flow::Hook;
use firewall_common::limit::{Rate, take};
use firewall_common::packet::Packet;
use firewall_common::reply::{self, ERROR_V6, RESET_V4, Reply};
use firewall_common::source::PacketSource;

use crate::maps::{ANSWER_LIMIT, ANSWERS, REPLIES};

/// Answers of all sorts together.
const ALL: Rate = Rate::per_second(1000);
/// Answers to one address.
const EACH: Rate = Rate::per_second(10);

/// Builds the answer to a refused packet; its length and itself, or `None` where the answer is silence.
#[inline(always)]
fn prepare<S: PacketSource>(
    source: &S,
    hook: Hook,
    packet: &Packet,
    now: u64,
) -> Option<(u32, &'static Reply)> {
    if !within_limits(&packet.tuple.source, now) {
        return None;
    }
    // SAFETY: this CPU's value of that type; nobody else on this CPU uses the hook's place meanwhile.
    let reply = unsafe { &mut *REPLIES.get_ptr_mut(hook as u32)? };
    let length = reply::build(source, packet, reply)?;
    Some((length, reply))
}

/// The length as the helpers that store may have it; `None` where it is none. The verifier must see that
/// it is within the answer and not 0; older ones see that only of a value that was masked and then
/// compared once, so the compiler is kept from knowing which four lengths there are.
#[inline(always)]
fn bounded(length: u32) -> Option<u32> {
    let mut length = u64::from(length);
    // SAFETY: one instruction, which changes nothing but the register.
    unsafe { asm!("{0} &= {1}", inout(reg) length, const size_of::<Reply>() - 1) };
    if length < RESET_V4.into() {
        return None;
    }
    Some(length as u32)
}

const _: () = assert!(ERROR_V6 as usize <= size_of::<Reply>());
const _: () = assert!(size_of::<Reply>().is_power_of_two());

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
