//! What Ringwall sends itself: the answers of `reject`. What is the same at every hook; how a hook turns
//! a refused packet into its answer is in a file of the hook's name.

pub(crate) mod tc;
pub(crate) mod xdp;

use core::arch::asm;
use core::ffi::c_void;
use core::ptr::from_ref;

use firewall_common::addr::Addr;
use firewall_common::flow::Hook;
use firewall_common::limit::{Rate, take};
use firewall_common::packet::Packet;
use firewall_common::parse::eth;
use firewall_common::reply::{self, LENGTHS, RESET_V4, Reply, Toward};
use firewall_common::source::PacketSource;

use crate::maps::{ANSWER_LIMIT, ANSWERS, REPLIES};

/// Answers of all sorts together.
const ALL: Rate = Rate::per_second(1000);
/// Answers to one address.
const EACH: Rate = Rate::per_second(10);

/// An answer that is built.
#[derive(Clone, Copy)]
struct Built {
    reply: &'static Reply,
    /// Bytes to send.
    length: u32,
    /// Bytes of `reply` before them: the link header, where the device has none.
    skipped: u32,
}

/// Builds the answer to a refused packet; `None` where the answer is silence.
#[inline(always)]
fn build<S: PacketSource>(
    source: &S,
    hook: Hook,
    packet: &Packet,
    toward: Toward,
) -> Option<Built> {
    // SAFETY: this CPU's value of that type; nobody else on this CPU uses the hook's place meanwhile.
    let reply = unsafe { &mut *REPLIES.get_ptr_mut(hook as u32)? };
    let skipped = if source.bare().is_some() {
        eth::HEADER
    } else {
        0
    };
    let length = reply::build(source, packet, toward, reply)? - skipped;
    Some(Built {
        reply,
        length,
        skipped,
    })
}

impl Built {
    /// What is sent, and its length as the helpers that store may have it. The verifier must see that the
    /// length is within the answer and not 0; older ones see that only of a value that was masked and then
    /// compared once, so the compiler is kept from knowing which lengths there are.
    #[inline(always)]
    fn bytes(self) -> Option<(*const c_void, u32)> {
        let mut length = u64::from(self.length);
        // SAFETY: one instruction, which changes nothing but the register.
        unsafe { asm!("{0} &= {1}", inout(reg) length, const LENGTHS) };
        if length < (RESET_V4 - self.skipped).into() {
            return None;
        }
        // SAFETY: the link header is the first part of a reply, and the length at most that of the rest.
        let from = unsafe { from_ref(self.reply).cast::<u8>().add(self.skipped as usize) };
        Some((from.cast(), length as u32))
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
