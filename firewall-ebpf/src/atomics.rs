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

/// Sets bits of a word that other CPUs set bits of as well (RFC 9669 section 5.3, BPF_OR; since Linux 5.12).
///
/// # Safety
/// As for [`add`].
#[inline(always)]
pub(crate) unsafe fn or(word: *mut u64, bits: u64) {
    // SAFETY: as above.
    unsafe {
        asm!("lock *(u64 *)({word} + 0) |= {bits}", word = in(reg) word, bits = in(reg) bits);
    }
}

/// As [`add`], and what the counter was before (RFC 9669 section 5.3, BPF_ADD with BPF_FETCH; since Linux 5.12).
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

/// Writes `new` where `old` still is; what was there (RFC 9669 section 5.3, BPF_CMPXCHG; since Linux 5.12).
///
/// # Safety
/// As for [`add`].
#[inline(always)]
pub(crate) unsafe fn exchange(word: *mut u64, old: u64, new: u64) -> u64 {
    let mut found = old;
    // SAFETY: as above; the instruction has its comparison and its result in r0.
    unsafe {
        asm!("r0 = cmpxchg_64({word} + 0, r0, {new})", word = in(reg) word, new = in(reg) new, inout("r0") found);
    }
    found
}
