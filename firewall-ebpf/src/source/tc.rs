//! A packet at TC: a socket buffer.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{addr_of, addr_of_mut};

use aya_ebpf::bindings::{__sk_buff, bpf_hdr_start_off::BPF_HDR_START_NET};
use aya_ebpf::helpers::generated as h;
use firewall_common::source::{Bytes, PacketSource, Tag};

use super::{Context, near};

/// Reads a field of the buffer's context. The verifier allows each field only at its own width, so
/// neighbours must not be read as one: hence volatile.
macro_rules! field {
    ($buffer:expr, $field:ident) => {
        // SAFETY: the kernel hands out a valid context for the time of the program.
        unsafe { addr_of!((*$buffer.0).$field).read_volatile() }
    };
}

/// A socket buffer, from its link header on.
#[derive(Clone, Copy)]
pub(crate) struct Buffer(pub(crate) *mut __sk_buff);

impl Context for Buffer {
    #[inline(always)]
    fn raw(self) -> *mut c_void {
        self.0.cast()
    }

    #[inline(always)]
    fn interface(self) -> u32 {
        field!(self, ifindex)
    }

    #[inline(always)]
    fn came_by(self) -> u32 {
        field!(self, ingress_ifindex)
    }
}

impl Buffer {
    /// The firewall mark.
    #[inline(always)]
    pub(crate) fn mark(self) -> u32 {
        field!(self, mark)
    }

    /// Sets the firewall mark.
    #[inline(always)]
    pub(crate) fn set_mark(self, mark: u32) {
        // SAFETY: the mark is writable at TC, and the context valid.
        unsafe { addr_of_mut!((*self.0).mark).write_volatile(mark) }
    }

    /// Leaves four words where the caller of a test run finds them.
    #[inline(always)]
    pub(crate) fn leave(self, words: [u32; 4]) {
        // SAFETY: the control buffer is writable at TC, and the context valid.
        unsafe {
            addr_of_mut!((*self.0).cb[0]).write_volatile(words[0]);
            addr_of_mut!((*self.0).cb[1]).write_volatile(words[1]);
            addr_of_mut!((*self.0).cb[2]).write_volatile(words[2]);
            addr_of_mut!((*self.0).cb[3]).write_volatile(words[3]);
        }
    }
}

impl PacketSource for Buffer {
    #[inline(always)]
    fn length(&self) -> u32 {
        field!(self, len)
    }

    /// Where a load does not reach, by the helper, which reaches all pages.
    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<Bytes<N>> {
        let (start, end) = (field!(self, data) as usize, field!(self, data_end) as usize);
        if let Some(bytes) = near::read(start, end, offset) {
            return Some(bytes);
        }
        let mut bytes = MaybeUninit::<Bytes<N>>::uninit();
        // SAFETY: the helper writes exactly `N` bytes to `bytes`, or zeroes them and fails.
        unsafe {
            let to = bytes.as_mut_ptr().cast();
            if h::bpf_skb_load_bytes(self.0.cast(), offset, to, N as u32) == 0 {
                Some(bytes.assume_init())
            } else {
                None
            }
        }
    }

    #[inline(always)]
    fn tag_in_metadata(&self) -> Option<Tag> {
        if field!(self, vlan_present) == 0 {
            return None;
        }
        Some(Tag {
            protocol: u16::from_be(field!(self, vlan_proto) as u16),
            control: field!(self, vlan_tci) as u16,
        })
    }

    #[inline(always)]
    fn segments(&self) -> u32 {
        match field!(self, gso_segs) {
            0 => 1,
            segments => segments,
        }
    }

    /// Guests and tunnels hand over large segments uncounted (`SKB_GSO_DODGY`).
    #[inline(always)]
    fn segment_size(&self) -> u32 {
        match field!(self, gso_segs) {
            0 => field!(self, gso_size),
            _ => 0,
        }
    }
}

/// A socket buffer of a device without an Ethernet header. Offsets count from the network header, which the
/// stack has set on both ways, so that what a device puts in front of it does not matter.
#[derive(Clone, Copy)]
pub(crate) struct Bare(pub(crate) Buffer);

impl Context for Bare {
    #[inline(always)]
    fn raw(self) -> *mut c_void {
        self.0.raw()
    }

    #[inline(always)]
    fn interface(self) -> u32 {
        self.0.interface()
    }

    #[inline(always)]
    fn came_by(self) -> u32 {
        self.0.came_by()
    }
}

impl PacketSource for Bare {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.0.length()
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<Bytes<N>> {
        let mut bytes = MaybeUninit::<Bytes<N>>::uninit();
        // SAFETY: the helper writes exactly `N` bytes to `bytes`, or zeroes them and fails.
        unsafe {
            let to = bytes.as_mut_ptr().cast();
            let from = self.0.0.cast();
            if h::bpf_skb_load_bytes_relative(from, offset, to, N as u32, BPF_HDR_START_NET) == 0 {
                Some(bytes.assume_init())
            } else {
                None
            }
        }
    }

    #[inline(always)]
    fn tag_in_metadata(&self) -> Option<Tag> {
        None
    }

    #[inline(always)]
    fn segments(&self) -> u32 {
        self.0.segments()
    }

    #[inline(always)]
    fn segment_size(&self) -> u32 {
        self.0.segment_size()
    }

    #[inline(always)]
    fn bare(&self) -> Option<u16> {
        let buffer = self.0;
        Some(u16::from_be(field!(buffer, protocol) as u16))
    }
}
