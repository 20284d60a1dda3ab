//! The emptiest programs there are, as the floor that every measurement stands on, and the sender of floods: a few
//! instructions each, loaded by hand so that nothing of ours is in them.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

/// `BPF_PROG_LOAD`.
const LOAD: libc::c_long = 5;
/// `BPF_PROG_TEST_RUN`.
const TEST_RUN: libc::c_long = 10;
/// `BPF_LINK_CREATE`.
const LINK: libc::c_long = 28;
/// `BPF_F_TEST_XDP_LIVE_FRAMES`: what the program sends or redirects really goes there.
const LIVE: u32 = 2;
/// `mov r0, …; exit` (RFC 9669, section 4).
const fn answer(value: i32) -> [u64; 2] {
    [0xb7 | (value as u32 as u64) << 32, 0x95]
}

/// Where a program goes: its type, and where it is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// `BPF_PROG_TYPE_SCHED_CLS` at `BPF_TCX_INGRESS`.
    Tc,
    /// `BPF_PROG_TYPE_XDP` at `BPF_XDP`.
    Xdp,
}

impl Place {
    const fn kind(self) -> u32 {
        match self {
            Self::Tc => 3,
            Self::Xdp => 6,
        }
    }

    const fn attach(self) -> u32 {
        match self {
            Self::Tc => 46,
            Self::Xdp => 37,
        }
    }
}

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
    attach: u32,
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
    context_sizes: [u32; 2],
    contexts: [u64; 2],
    flags: u32,
    cpu: u32,
    batch: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct Link {
    program: u32,
    target: u32,
    attach: u32,
    flags: u32,
    more: [u64; 4],
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

fn load(place: Place, instructions: &[u64]) -> io::Result<OwnedFd> {
    let license = c"GPL";
    let mut load = Load {
        kind: place.kind(),
        count: instructions.len() as u32,
        instructions: instructions.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        attach: if place == Place::Xdp {
            place.attach()
        } else {
            0
        },
        ..Load::default()
    };
    // SAFETY: the instructions and the licence outlive the call.
    let fd = unsafe { bpf(LOAD, &mut load)? };
    // SAFETY: a descriptor that the kernel has just given us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn test_run(program: &OwnedFd, frame: &[u8], repeat: u32, flags: u32) -> io::Result<Duration> {
    let mut run = TestRun {
        program: program.as_raw_fd().unsigned_abs(),
        size_in: frame.len() as u32,
        data_in: frame.as_ptr().addr() as u64,
        repeat,
        flags,
        ..TestRun::default()
    };
    // SAFETY: the frame outlives the call, and nothing is written.
    unsafe { bpf(TEST_RUN, &mut run)? };
    Ok(Duration::from_nanos(run.duration.into()))
}

/// A program that does nothing but answer.
pub(crate) struct Empty(OwnedFd);

impl Empty {
    /// Loads one that lets by: at TC, on to the next program.
    pub(crate) fn load() -> io::Result<Self> {
        Ok(Self(load(Place::Tc, &answer(-1))?))
    }

    /// The mean time of a run on a frame.
    pub(crate) fn run(&self, frame: &[u8], repeat: u32) -> io::Result<Duration> {
        test_run(&self.0, frame, repeat, 0)
    }
}

/// Attaches a program that only lets by or only drops, in the caller's namespace, for as long as what is returned lives.
pub(crate) fn attach(place: Place, drops: bool, interface: u32) -> io::Result<[OwnedFd; 2]> {
    let value = match (place, drops) {
        (Place::Tc, false) => -1,
        (Place::Tc, true) => 2,
        (Place::Xdp, false) => 2,
        (Place::Xdp, true) => 1,
    };
    let program = load(place, &answer(value))?;
    let mut link = Link {
        program: program.as_raw_fd().unsigned_abs(),
        target: interface,
        attach: place.attach(),
        ..Link::default()
    };
    // SAFETY: plain numbers.
    let fd = unsafe { bpf(LINK, &mut link)? };
    // SAFETY: a descriptor that the kernel has just given us.
    let link = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    Ok([link, program])
}

/// A sender of frames, each from a source of its own.
pub(crate) struct Sender(OwnedFd);

/// One instruction (RFC 9669, section 3): opcode, registers, offset, immediate.
const fn op(code: u64, to: u64, from: u64, offset: i16, value: u32) -> u64 {
    code | to << 8 | from << 12 | (offset as u16 as u64) << 16 | (value as u64) << 32
}

impl Sender {
    /// Sends out of an interface of the caller's namespace. The low half of the IPv4 source and the source port are
    /// drawn; what is drawn is taken out again of the IP id and of the four bytes at 38, so that checksums stay right.
    pub(crate) fn load(interface: u32, tcp: bool) -> io::Result<Self> {
        let mut code = vec![
            op(0x61, 7, 1, 0, 0),        // r7 = data
            op(0x61, 3, 1, 4, 0),        // r3 = data_end
            op(0xbf, 2, 7, 0, 0),        // r2 = r7
            op(0x07, 2, 0, 0, 54),       // r2 += 54
            op(0xb7, 0, 0, 0, 1),        // r0 = XDP_DROP
            op(0x2d, 2, 3, 0, 0),        // if r2 > r3 goto exit (offset set below)
            op(0x85, 0, 0, 0, 7),        // call bpf_get_prandom_u32
            op(0xbf, 8, 0, 0, 0),        // r8 = r0
            op(0x6b, 7, 8, 28, 0),       // source, low half
            op(0xbf, 9, 8, 0, 0),        // r9 = r8
            op(0xa7, 9, 0, 0, u32::MAX), // r9 ^= -1
            op(0x6b, 7, 9, 18, 0),       // IP id
        ];
        if tcp {
            code.push(op(0x6b, 7, 9, 38, 0)); // sequence, high half
        }
        code.extend([
            op(0x77, 8, 0, 0, 16), // r8 >>= 16
            op(0x6b, 7, 8, 34, 0), // source port
        ]);
        if tcp {
            code.extend([
                op(0xbf, 9, 8, 0, 0),
                op(0xa7, 9, 0, 0, u32::MAX),
                op(0x6b, 7, 9, 40, 0), // sequence, low half
            ]);
        }
        code.extend([
            op(0xb7, 1, 0, 0, interface), // r1 = interface
            op(0xb7, 2, 0, 0, 0),
            op(0x85, 0, 0, 0, 23), // call bpf_redirect
            op(0x95, 0, 0, 0, 0),
        ]);
        let exit = code.len() as i16 - 1;
        code[5] = op(0x2d, 2, 3, exit - 6, 0);
        Ok(Self(load(Place::Xdp, &code)?))
    }

    /// Sends a frame so many times, from the calling thread's namespace.
    pub(crate) fn send(&self, frame: &[u8], times: u32) -> io::Result<()> {
        test_run(&self.0, frame, times, LIVE).map(|_| ())
    }
}
