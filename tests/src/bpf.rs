//! The few calls of bpf(2) that tests make in the place of others: of an old agent, of other owners of hooks.

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// A call of bpf(2) with a `union bpf_attr` of eight words, which is enough for those below.
fn bpf(command: libc::c_long, mut attributes: [u64; 8]) -> Result<RawFd> {
    let size = size_of_val(&attributes);
    // SAFETY: the kernel reads the attributes; every pointer in them is to a buffer that its caller holds.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size) };
    ensure!(
        done >= 0,
        "bpf({command}): {}",
        std::io::Error::last_os_error()
    );
    Ok(i32::try_from(done)?)
}

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just given us this descriptor.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn words(pair: [u32; 2]) -> u64 {
    u64::from(pair[0]) | u64::from(pair[1]) << 32
}

/// Makes a table: kind, bytes of a key, bytes of a value, places, flags, and the descriptor of an inner table.
pub fn create([kind, key, value, places, flags, inner]: [u32; 6]) -> Result<OwnedFd> {
    let attributes = [
        words([kind, key]),
        words([value, places]),
        words([flags, inner]),
    ];
    let mut all = [0; 8];
    all[..3].copy_from_slice(&attributes);
    bpf(0, all).map(owned)
}

fn path_of(path: &Path) -> Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// Opens a pin.
pub fn open(path: &Path) -> Result<OwnedFd> {
    let name = path_of(path)?;
    let fd = bpf(7, [name.as_ptr().addr() as u64, 0, 0, 0, 0, 0, 0, 0]);
    fd.map(owned).with_context(|| path.display().to_string())
}

/// Pins an object.
pub fn pin(map: &OwnedFd, path: &Path) -> Result<()> {
    let name = path_of(path)?;
    let fd = u64::from(map.as_raw_fd().unsigned_abs());
    bpf(6, [name.as_ptr().addr() as u64, fd, 0, 0, 0, 0, 0, 0]).map(drop)
}

/// The largest value of any table of the fixture, so that a short one is followed by zeros.
const LARGEST: usize = 256;

/// Sets a value; zeros follow a short one.
pub fn update(map: &OwnedFd, key: &[u8], value: &[u8]) -> Result<()> {
    let mut whole = [0_u8; LARGEST];
    whole[..value.len()].copy_from_slice(value);
    let fd = u64::from(map.as_fd().as_raw_fd().unsigned_abs());
    let (key, value) = (key.as_ptr().addr() as u64, whole.as_ptr().addr() as u64);
    bpf(2, [fd, key, value, 0, 0, 0, 0, 0]).map(drop)
}

/// `BPF_PROG_TYPE_SCHED_CLS`.
const AT_TC: u32 = 3;
/// `BPF_PROG_TYPE_XDP`.
const AT_XDP: u32 = 6;

/// A program that answers every packet with one number.
fn program(kind: u32, answer: i32, name: &str) -> Result<OwnedFd> {
    // r0 = answer; exit
    let number = u64::from(answer.cast_unsigned());
    let instructions = [0xb7 | number << 32, 0x95];
    let license = c"GPL";
    let mut called = [0; 16];
    for (to, from) in called.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    let [first, second] = [0, 8].map(|at| called[at..at + 8].try_into().map(u64::from_ne_bytes));
    let (code, license) = (instructions.as_ptr().addr(), license.as_ptr().addr());
    let attributes = [
        words([kind, 2]),
        code as u64,
        license as u64,
        0,
        0,
        0,
        first?,
        second?,
    ];
    bpf(5, attributes).map(owned)
}

/// A program of another owner on a hook, for as long as the value lives.
pub struct Other {
    /// Its number.
    pub id: u32,
    _program: OwnedFd,
    _link: OwnedFd,
}

/// Where another owner's program goes.
#[derive(Debug, Clone, Copy)]
pub enum At {
    /// TCX, in front of all that is there.
    First {
        /// On the way out.
        egress: bool,
    },
    /// TCX, behind all that is there.
    Last {
        /// On the way out.
        egress: bool,
    },
    /// XDP, in the stack.
    Xdp,
}

/// Puts a program on an interface of the calling thread's namespace. It answers every packet with one number.
pub fn attach(at: At, interface: u32, answer: i32, name: &str) -> Result<Other> {
    const BPF_F_BEFORE: u32 = 1 << 3;
    const BPF_F_AFTER: u32 = 1 << 4;
    const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
    let tcx = |egress| 46 + u32::from(egress);
    let (kind, hook, flags) = match at {
        At::First { egress } => (AT_TC, tcx(egress), BPF_F_BEFORE),
        At::Last { egress } => (AT_TC, tcx(egress), BPF_F_AFTER),
        At::Xdp => (AT_XDP, 37, XDP_FLAGS_SKB_MODE),
    };
    let program = program(kind, answer, name)?;
    let fd = program.as_raw_fd().unsigned_abs();
    let attributes = [
        words([fd, interface]),
        words([hook, flags]),
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    let link = bpf(28, attributes).map(owned)?;
    // `struct bpf_prog_info` begins with the kind and the number.
    let mut info = [0_u32; 2];
    let place = info.as_mut_ptr().addr() as u64;
    bpf(15, [words([fd, 8]), place, 0, 0, 0, 0, 0, 0])?;
    Ok(Other {
        id: info[1],
        _program: program,
        _link: link,
    })
}

/// Takes a pinned link from its hook, as `bpftool link detach` does.
pub fn detach(pin: &Path) -> Result<()> {
    let link = open(pin)?;
    let fd = u64::from(link.as_raw_fd().unsigned_abs());
    bpf(34, [fd, 0, 0, 0, 0, 0, 0, 0]).map(drop)
}
