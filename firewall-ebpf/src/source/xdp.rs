//! A packet at XDP: a frame as the driver has it, before there is a socket buffer.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::addr_of;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated as h;
use firewall_common::source::{Bytes, PacketSource, Tag};

use super::{Context, near};

/// A frame, from its link header on. It may lie in several buffers (`frags`), of which only the first is
/// within reach of a load; the kernel's helpers reach all.
#[derive(Clone, Copy)]
pub(crate) struct Frame(pub(crate) *mut xdp_md);

/// Bytes before the first one of the packet that a test run reads as a decision.
const META: i32 = size_of::<[u32; 4]>() as i32;

impl Context for Frame {
    #[inline(always)]
    fn raw(self) -> *mut c_void {
        self.0.cast()
    }

    #[inline(always)]
    fn interface(self) -> u32 {
        // SAFETY: the kernel hands out a valid context for the time of the program.
        unsafe { addr_of!((*self.0).ingress_ifindex).read_volatile() }
    }

    /// What arrives is judged as such.
    #[inline(always)]
    fn came_by(self) -> u32 {
        0
    }
}

impl Frame {
    /// Where the first buffer begins and ends.
    #[inline(always)]
    fn linear(self) -> (usize, usize) {
        // SAFETY: the kernel hands out a valid context for the time of the program.
        unsafe {
            (
                addr_of!((*self.0).data).read_volatile() as usize,
                addr_of!((*self.0).data_end).read_volatile() as usize,
            )
        }
    }

    /// The six bytes of the Ethernet source address, as they stand in the frame.
    #[inline(always)]
    pub(crate) fn source(self) -> Option<u64> {
        // SAFETY: the context is valid, and what is read ends where the frame's first buffer ends, as the
        // verifier sees by the comparison. The link header's fourteen bytes are always in that buffer.
        unsafe {
            let (start, end) = self.linear();
            if start + 14 > end {
                return None;
            }
            let low = u64::from(((start + 6) as *const u32).read_unaligned());
            let high = u64::from(((start + 10) as *const u16).read_unaligned());
            Some(low | high << 32)
        }
    }

    /// Leaves four words before the frame, where the caller of a test run finds them.
    #[inline(always)]
    pub(crate) fn leave(self, words: [u32; 4]) {
        // SAFETY: the context is valid; the words are written only where there is room for them, as the
        // verifier sees by the comparison.
        unsafe {
            if h::bpf_xdp_adjust_meta(self.0, -META) != 0 {
                return;
            }
            let start = addr_of!((*self.0).data_meta).read_volatile() as usize;
            let end = addr_of!((*self.0).data).read_volatile() as usize;
            if start + META as usize <= end {
                (start as *mut [u32; 4]).write_volatile(words);
            }
        }
    }
}

impl PacketSource for Frame {
    #[inline(always)]
    fn length(&self) -> u32 {
        // SAFETY: the context is valid.
        unsafe { h::bpf_xdp_get_buff_len(self.0) as u32 }
    }

    /// Where a load does not reach, by the helper, which reaches all buffers.
    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<Bytes<N>> {
        let (start, end) = self.linear();
        if let Some(bytes) = near::read(start, end, offset) {
            return Some(bytes);
        }
        let mut bytes = MaybeUninit::<Bytes<N>>::uninit();
        // SAFETY: the helper writes exactly `N` bytes to `bytes`, or fails.
        unsafe {
            let to = bytes.as_mut_ptr().cast();
            if h::bpf_xdp_load_bytes(self.0, offset, to, N as u32) == 0 {
                Some(bytes.assume_init())
            } else {
                None
            }
        }
    }

    /// All tags are in the frame.
    #[inline(always)]
    fn tag_in_metadata(&self) -> Option<Tag> {
        None
    }

    /// A frame is a packet: what merges packets comes later.
    #[inline(always)]
    fn segments(&self) -> u32 {
        1
    }
}
