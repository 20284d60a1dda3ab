//! Headers read where they lie, without a call: each call of a helper costs more than all loads of a header together.
//!
//! Only at the places where headers nearly always are: behind an Ethernet header without tags, and behind an IP header
//! without options. The places are constants, so that the kernel's verifier sees that they are within the packet; the
//! compiler would merge loads at a place that varies into what it refuses. So the loads are written as instructions.

use core::arch::asm;
use core::mem::MaybeUninit;

use firewall_common::source::Bytes;

/// Behind an Ethernet header.
const NETWORK: u32 = 14;
/// Behind that and an IPv4 header.
const TRANSPORT_4: u32 = 34;
/// Behind that and an IPv6 header.
const TRANSPORT_6: u32 = 54;

/// `N` bytes at an offset, where both are those of a header at its usual place and the packet's linear part, from `start`
/// to `end`, reaches so far; else `None`, and a helper must be asked.
#[inline(always)]
pub(super) fn read<const N: usize>(start: usize, end: usize, offset: u32) -> Option<Bytes<N>> {
    match (N, offset) {
        (14, 0) => at::<N, 0>(start, end),
        (20 | 40, NETWORK) => at::<N, { NETWORK as usize }>(start, end),
        (20 | 8, TRANSPORT_4) => at::<N, { TRANSPORT_4 as usize }>(start, end),
        (20 | 8, TRANSPORT_6) => at::<N, { TRANSPORT_6 as usize }>(start, end),
        _ => None,
    }
}

#[inline(always)]
fn at<const N: usize, const AT: usize>(start: usize, end: usize) -> Option<Bytes<N>> {
    if start + AT + N > end {
        return None;
    }
    let mut bytes = MaybeUninit::<Bytes<N>>::uninit();
    let to = bytes.as_mut_ptr().cast::<u8>();
    // SAFETY: what is read ends where the linear part ends, as the verifier sees by the comparison, too; each of the `N`
    // bytes is written, at places as aligned as what is written.
    unsafe {
        if N >= 8 {
            to.cast::<u64>().write(load::<8, AT, 0>(start));
        }
        if N >= 16 {
            to.add(8).cast::<u64>().write(load::<8, AT, 8>(start));
        }
        if N >= 40 {
            to.add(16).cast::<u64>().write(load::<8, AT, 16>(start));
            to.add(24).cast::<u64>().write(load::<8, AT, 24>(start));
            to.add(32).cast::<u64>().write(load::<8, AT, 32>(start));
        }
        if N == 20 {
            to.add(16)
                .cast::<u32>()
                .write(load::<4, AT, 16>(start) as u32);
        }
        if N == 14 {
            to.add(8)
                .cast::<u32>()
                .write(load::<4, AT, 8>(start) as u32);
            to.add(12)
                .cast::<u16>()
                .write(load::<2, AT, 12>(start) as u16);
        }
        Some(bytes.assume_init())
    }
}

/// Loads a word of 8, 4 or 2 bytes (RFC 9669 section 5.1).
///
/// # Safety
/// The packet's linear part, from `start` on, holds it.
#[inline(always)]
unsafe fn load<const SIZE: usize, const AT: usize, const MORE: usize>(start: usize) -> u64 {
    let word: u64;
    // SAFETY: the caller vouches for the place; nothing is written.
    unsafe {
        match SIZE {
            8 => {
                asm!("{word} = *(u64 *)({start} + {at})", word = out(reg) word, start = in(reg) start, at = const AT + MORE);
            }
            4 => {
                asm!("{word} = *(u32 *)({start} + {at})", word = out(reg) word, start = in(reg) start, at = const AT + MORE);
            }
            _ => {
                asm!("{word} = *(u16 *)({start} + {at})", word = out(reg) word, start = in(reg) start, at = const AT + MORE);
            }
        }
    }
    word
}
