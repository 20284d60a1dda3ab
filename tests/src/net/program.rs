//! Programs of a few instructions, loaded by hand: somebody else's on an interface, the floor of measurements, and
//! senders of floods. Numbers are those of `linux/bpf.h`; instructions are encoded as RFC 9669 says.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

const LOAD: libc::c_long = 5;
const TEST_RUN: libc::c_long = 10;
const LINK: libc::c_long = 28;

/// `BPF_F_TEST_XDP_LIVE_FRAMES`: what the program sends or redirects really goes there.
pub const LIVE: u32 = 1 << 1;
/// `BPF_F_BEFORE`, without another program named: before all.
pub const BEFORE: u32 = 1 << 3;
/// `BPF_F_AFTER`, without another program named: after all.
pub const AFTER: u32 = 1 << 4;

/// Where a program goes: its type, and where it is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `BPF_PROG_TYPE_SCHED_CLS` at `BPF_TCX_INGRESS`.
    Tc,
    /// The same at `BPF_TCX_EGRESS`.
    TcEgress,
    /// `BPF_PROG_TYPE_XDP` at `BPF_XDP`.
    Xdp,
}

impl Place {
    const fn kind(self) -> u32 {
        match self {
            Self::Tc | Self::TcEgress => 3,
            Self::Xdp => 6,
        }
    }

    const fn attach(self) -> u32 {
        match self {
            Self::Tc => 46,
            Self::TcEgress => 47,
            Self::Xdp => 37,
        }
    }

    /// What this place is told before a program is attached; TC is told nothing.
    const fn expected(self) -> u32 {
        match self {
            Self::Tc | Self::TcEgress => 0,
            Self::Xdp => 37,
        }
    }

    /// What lets a packet by here, at TC to the next program: `TCX_NEXT` and `XDP_PASS`.
    pub const fn pass(self) -> i32 {
        match self {
            Self::Tc | Self::TcEgress => -1,
            Self::Xdp => 2,
        }
    }

    /// What drops a packet here: `TC_ACT_SHOT` and `XDP_DROP`.
    pub const fn shot(self) -> i32 {
        match self {
            Self::Tc | Self::TcEgress => 2,
            Self::Xdp => 1,
        }
    }
}

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`.
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
    name: [u8; 16],
    interface: u32,
    expected: u32,
}

/// The same for `BPF_PROG_TEST_RUN`.
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
    context_sizes: [u32; 2],
    contexts: [u64; 2],
    flags: u32,
    cpu: u32,
    batch: u32,
    pad: u32,
}

/// The same for `BPF_LINK_CREATE`.
#[repr(C)]
#[derive(Default)]
struct Link {
    program: u32,
    interface: u32,
    attach: u32,
    flags: u32,
    more: [u64; 4],
}

/// A loaded program, for as long as this lives or something holds it.
#[derive(Debug)]
pub struct Program {
    place: Place,
    fd: OwnedFd,
}

impl Program {
    /// Loads instructions under a name of at most 15 bytes.
    pub fn load(place: Place, name: &CStr, instructions: &[u64]) -> io::Result<Self> {
        let mut load = Load {
            kind: place.kind(),
            count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
            instructions: instructions.as_ptr().addr() as u64,
            license: c"GPL".as_ptr().addr() as u64,
            expected: place.expected(),
            ..Load::default()
        };
        for (to, from) in load.name.iter_mut().take(15).zip(name.to_bytes()) {
            *to = *from;
        }
        // SAFETY: the instructions, so many, and the licence outlive the call.
        let fd = unsafe { descriptor(LOAD, &mut load)? };
        Ok(Self { place, fd })
    }

    /// Loads the emptiest: `r0 = value; exit`.
    pub fn answering(place: Place, name: &CStr, value: i32) -> io::Result<Self> {
        let value = 0xb7 | u64::from(value.cast_unsigned()) << 32;
        Self::load(place, name, &[value, 0x95])
    }

    /// Attaches it in the caller's namespace; dropping the link detaches it.
    pub fn attach(&self, interface: u32, flags: u32) -> io::Result<OwnedFd> {
        let mut link = Link {
            program: self.fd.as_raw_fd().cast_unsigned(),
            interface,
            attach: self.place.attach(),
            flags,
            ..Link::default()
        };
        // SAFETY: plain numbers.
        unsafe { descriptor(LINK, &mut link) }
    }

    /// Runs it so many times on a frame: the mean time of a run.
    pub fn run(&self, frame: &[u8], repeat: u32, flags: u32) -> io::Result<Duration> {
        let mut run = TestRun {
            program: self.fd.as_raw_fd().cast_unsigned(),
            size_in: u32::try_from(frame.len()).map_err(io::Error::other)?,
            data_in: frame.as_ptr().addr() as u64,
            repeat,
            flags,
            ..TestRun::default()
        };
        // SAFETY: the frame outlives the call, and nothing is written.
        unsafe { bpf(TEST_RUN, &mut run)? };
        Ok(Duration::from_nanos(run.duration.into()))
    }
}

/// # Safety
/// As for [`bpf`], and the command answers with a new descriptor.
unsafe fn descriptor<T>(command: libc::c_long, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: as the caller vouches.
    let number = unsafe { bpf(command, attributes)? };
    let number = i32::try_from(number).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
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
