//! Arrays of the kernel as memory of ours (`BPF_F_MMAPABLE`, since Linux 5.5): filling and reading back a table of
//! any size is a copy and a comparison, without a call for each value.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use aya::Pod;

/// An array of the kernel, mapped. Programs read it at the same time; nobody else writes it.
#[derive(Debug)]
pub(super) struct Window<V> {
    start: NonNull<V>,
    places: usize,
    bytes: usize,
    values: PhantomData<V>,
}

// SAFETY: the mapping belongs to the process and not to a thread; who has the window has it alone.
unsafe impl<V: Send> Send for Window<V> {}

/// Pages of the kernel are a multiple of this everywhere.
const PAGE: usize = 4096;

impl<V: Pod + PartialEq> Window<V> {
    /// Maps an array of so many values of that size, which the caller has checked.
    pub(super) fn open(map: BorrowedFd<'_>, places: usize) -> io::Result<Self> {
        // The kernel keeps values eight bytes apart at least.
        const { assert!(size_of::<V>().is_multiple_of(8) && align_of::<V>() <= 8) };
        let bytes = (places * size_of::<V>()).next_multiple_of(PAGE);
        let both = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice, of a descriptor that is open.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                both,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            start,
            places,
            bytes,
            values: PhantomData,
        })
    }

    /// The values as they are.
    pub(super) fn values(&self) -> &[V] {
        // SAFETY: the mapping holds so many values, aligned to a page, and lives as long as this; any bytes
        // are a value of a `Pod`. Whoever else has the array only reads it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.places) }
    }

    /// Writes a value; whether there is such a place.
    pub(super) fn set(&mut self, place: usize, value: &V) -> bool {
        self.set_all(place, std::slice::from_ref(value))
    }

    /// Writes values from a place on; whether there is room for them.
    pub(super) fn set_all(&mut self, first: usize, values: &[V]) -> bool {
        let fits = first
            .checked_add(values.len())
            .is_some_and(|end| end <= self.places);
        if fits {
            // SAFETY: the range is inside the mapping, and `values` is not: it is borrowed beside `self`.
            unsafe {
                let to = self.start.as_ptr().add(first);
                std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len());
            }
        }
        fits
    }
}

impl Window<u64> {
    /// A word that programs add to at the same time.
    pub(super) fn atomic(&self, place: usize) -> Option<&AtomicU64> {
        if place >= self.places {
            return None;
        }
        // SAFETY: the word is inside the mapping, aligned to a page and so to itself, and lives as long as this. It is
        // nowhere borrowed as plain memory: of a table of counts only this is asked for.
        Some(unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(place)) })
    }
}

impl<V> Drop for Window<V> {
    fn drop(&mut self) {
        // SAFETY: the mapping that `open` made, of which nothing is borrowed any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
