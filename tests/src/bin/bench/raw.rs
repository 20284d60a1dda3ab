//! The emptiest program there is, as the floor that every measurement stands on.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

/// `BPF_PROG_LOAD`.
const LOAD: libc::c_long = 5;
/// `BPF_PROG_TEST_RUN`.
const TEST_RUN: libc::c_long = 10;
/// `BPF_PROG_TYPE_SCHED_CLS`.
const SCHED_CLS: u32 = 3;
/// `r0 = -1; exit` (RFC 9669): on to the next program.
const PASS: [u64; 2] = [0xffff_ffff_0000_00b7, 0x95];

#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 2],
    log_buffer: u64,
    version: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    answer: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context: [u64; 3],
    flags: [u32; 4],
}

/// # Safety
/// `attributes` is what the command expects, and its pointers are valid.
unsafe fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: as the caller vouches.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

/// A program at TC that does nothing.
pub(crate) struct Empty(OwnedFd);

impl Empty {
    /// Loads it.
    pub(crate) fn load() -> io::Result<Self> {
        let license = c"GPL";
        let mut load = Load {
            kind: SCHED_CLS,
            count: PASS.len() as u32,
            instructions: PASS.as_ptr().addr() as u64,
            license: license.as_ptr().addr() as u64,
            ..Load::default()
        };
        // SAFETY: the instructions and the licence outlive the call.
        let fd = unsafe { bpf(LOAD, &mut load)? };
        // SAFETY: a descriptor that the kernel has just given us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// The mean time of a run on a frame.
    pub(crate) fn run(&self, frame: &[u8], repeat: u32) -> io::Result<Duration> {
        let mut run = TestRun {
            program: self.0.as_raw_fd().unsigned_abs(),
            size_in: frame.len() as u32,
            data_in: frame.as_ptr().addr() as u64,
            repeat,
            ..TestRun::default()
        };
        // SAFETY: the frame outlives the call, and nothing is written.
        unsafe { bpf(TEST_RUN, &mut run)? };
        Ok(Duration::from_nanos(run.duration.into()))
    }
}
