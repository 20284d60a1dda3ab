//! The smallest XDP program, which passes everything: another owner's, or what makes the far end of a veth
//! take the frames that the near end's program sends back.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use super::End;

/// What the program is called in the kernel.
pub const NAME: &str = "pass_all";

const PROG_LOAD: libc::c_long = 5;
const LINK_CREATE: libc::c_long = 28;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const DRIVER_MODE: u32 = 1 << 2;

/// `r0 = XDP_PASS; exit` (RFC 9669).
const INSTRUCTIONS: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
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
}

/// The same for `BPF_LINK_CREATE`.
#[repr(C)]
struct Create {
    program: u32,
    interface: u32,
    attach: u32,
    flags: u32,
}

/// The program on a device, for as long as this lives.
#[derive(Debug)]
pub struct PassAll {
    _link: OwnedFd,
}

impl PassAll {
    /// Puts it into the driver of a device.
    pub fn attach(end: &End) -> Result<Self> {
        end.ns.run(|| {
            let program = load().context("loading a program")?;
            let mut create = Create {
                program: program.as_raw_fd().unsigned_abs(),
                interface: end.ifindex,
                attach: ATTACH_XDP,
                flags: DRIVER_MODE,
            };
            // SAFETY: no pointers in it, and the command answers with a new descriptor.
            let _link = unsafe { bpf(LINK_CREATE, &mut create) }.context("attaching it")?;
            Ok(Self { _link })
        })
    }
}

fn load() -> io::Result<OwnedFd> {
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(NAME.bytes()) {
        *to = from;
    }
    let mut load = Load {
        kind: PROG_TYPE_XDP,
        count: INSTRUCTIONS.len() as u32,
        instructions: INSTRUCTIONS.as_ptr().addr() as u64,
        license: c"GPL".as_ptr().addr() as u64,
        log: [0; 2],
        log_buffer: 0,
        version: 0,
        flags: 0,
        name,
    };
    // SAFETY: the pointers are to so many instructions and to a string, which live on; the command answers
    // with a new descriptor.
    unsafe { bpf(PROG_LOAD, &mut load) }
}

/// # Safety
/// `attributes` is what `command` expects, and the command answers with a new descriptor.
unsafe fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<OwnedFd> {
    let (place, size) = (std::ptr::from_mut(attributes), size_of::<T>());
    // SAFETY: the caller vouches for what is there.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, place, size) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
