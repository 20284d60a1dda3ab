//! What is exact when two CPUs do it at once.

use core::arch::asm;

/// Adds to a counter that other CPUs add to as well.
///
/// # Safety
/// `counter` points into a map value, aligned to eight bytes.
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, amount: u64) {
    // The target's `AtomicU64` has no `fetch_add`; this is the instruction it would be (RFC 9669
    // section 5.3), BPF_ADD without BPF_FETCH, so no old value is asked for.
    // SAFETY: the caller vouches for the pointer; the instruction touches only those eight bytes.
    unsafe {
        asm!("lock *(u64 *)({counter} + 0) += {amount}", counter = in(reg) counter, amount = in(reg) amount);
    }
}

/// The same, and what the counter was before (RFC 9669 section 5.3, BPF_ADD with BPF_FETCH; since Linux 5.12).
///
/// # Safety
/// As for [`add`].
#[inline(always)]
pub(crate) unsafe fn fetch_add(counter: *mut u64, amount: u64) -> u64 {
    let mut word = amount;
    // SAFETY: as above.
    unsafe {
        asm!("{word} = atomic_fetch_add((u64 *)({counter} + 0), {word})", counter = in(reg) counter, word = inout(reg) word);
    }
    word
}
