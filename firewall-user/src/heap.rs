//! Memory that big work leaves behind goes back to the kernel.
//!
//! The C library keeps what is freed for the next time. An agent reads a policy of megabytes once a week, and
//! would hold that much all week. So after such work, and not before it is quite over, what is free is given back,
//! and so is the code that it ran: the reader of policies and the loader of programs are most of the binary, and
//! what watches a quiet host is little of it.

use std::sync::atomic::{AtomicU8, Ordering};

/// How often is left to give back: twice, since what follows the work (an answer that is written out) may have
/// held some when it was done the first time.
static LEFT: AtomicU8 = AtomicU8::new(0);

/// Much memory was used just now.
pub fn used() {
    LEFT.store(2, Ordering::Relaxed);
}

/// Gives back what is free, if much was used lately. To be called every second or so.
pub fn tidy() {
    let less = |left: u8| left.checked_sub(1);
    if LEFT
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
        .is_ok()
    {
        give_back();
    }
}

#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: takes a number, and locks each part of the heap while it looks at it (malloc_trim(3)).
    unsafe { libc::malloc_trim(0) };
    let (first, size) = code();
    // SAFETY: the range is this program's constants and code, private pages of its file that nobody has written:
    // the kernel reads those again from the file, which it has in memory, as soon as one is needed (madvise(2)).
    // Where it will not, nothing has changed.
    unsafe { libc::madvise(first, size, libc::MADV_DONTNEED) };
}

/// Where this program's constants and code begin, and their size, in whole pages.
#[cfg(target_env = "gnu")]
fn code() -> (*mut libc::c_void, usize) {
    const PAGE: usize = 4096;
    unsafe extern "C" {
        // By the linker: the first byte of the program, and the first behind its code (ld(1)).
        static __executable_start: u8;
        static etext: u8;
    }
    let first = (&raw const __executable_start).cast_mut();
    let size = (&raw const etext).addr() - first.addr();
    (first.cast(), size / PAGE * PAGE)
}

/// Other C libraries keep little, or decide for themselves.
#[cfg(not(target_env = "gnu"))]
fn give_back() {}

/// A few heaps for all threads (mallopt(3)): else each has its own, and what one frees the next does not use.
/// To be called before there are threads.
pub fn share() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers; no other thread allocates yet, by the caller's word, and it would do no harm.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_back_is_there_when_it_is_needed() {
        used();
        tidy();
        tidy();
        // Others may have used much meanwhile; this code, and what it reads, is there in any case.
        assert!(LEFT.load(Ordering::Relaxed) <= 2);
        assert_eq!(
            format!("{}", "::1".parse::<std::net::IpAddr>().unwrap()),
            "::1"
        );
    }
}
