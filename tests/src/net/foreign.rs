//! A program of somebody else on an interface: it lets everything by, some with a tag.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use firewall_common::source::Tag;

use super::Netns;

/// Where it sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// At XDP.
    Xdp,
    /// At TCX ingress, before all others.
    TcxFirst,
    /// At TCX ingress, after all others.
    TcxLast,
    /// At TCX egress, before all others.
    EgressFirst,
}

/// Sits on an interface until it is dropped.
pub struct Foreign {
    _link: OwnedFd,
}

const LOAD: libc::c_long = 5;
const LINK: libc::c_long = 28;
const BEFORE: u32 = 1 << 3;
const AFTER: u32 = 1 << 4;

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 4],
    version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    place: u32,
}

/// The same for `BPF_LINK_CREATE`.
#[repr(C)]
#[derive(Default)]
struct Attach {
    program: u32,
    interface: u32,
    place: u32,
    flags: u32,
    relative: u32,
    pad: u32,
    revision: u64,
}

impl Foreign {
    /// Attaches one with this name.
    pub fn attach(ns: &Netns, interface: &str, seat: Seat, name: &CStr) -> Result<Self> {
        let verdict = if seat == Seat::Xdp { 2 } else { -1 };
        Self::running(ns, interface, seat, name, &[set(0, verdict), EXIT])
    }

    /// One that puts a VLAN tag beside each frame, as a driver does that takes tags out.
    pub fn tagging(ns: &Netns, interface: &str, seat: Seat, tag: Tag) -> Result<Self> {
        // bpf_skb_vlan_push(skb, protocol, control): helper 18.
        let protocol = set(2, tag.protocol.to_be().into());
        let control = set(3, tag.control.into());
        let code = [protocol, control, CALL | 18 << 32, set(0, -1), EXIT];
        Self::running(ns, interface, seat, c"tagging", &code)
    }

    fn running(ns: &Netns, at: &str, seat: Seat, name: &CStr, code: &[u64]) -> Result<Self> {
        let index = ns.ifindex(at)?;
        let link = ns.run(|| sit(index, seat, name, code));
        let _link = link.with_context(|| format!("a foreign program on {at}"))?;
        Ok(Self { _link })
    }
}

/// Instructions (RFC 9669).
const CALL: u64 = 0x85;
const EXIT: u64 = 0x95;

/// Sets a register to a number.
fn set(register: u64, value: i32) -> u64 {
    0xb7 | register << 8 | u64::from(value.cast_unsigned()) << 32
}

fn sit(index: u32, seat: Seat, name: &CStr, code: &[u64]) -> io::Result<OwnedFd> {
    // Numbers of linux/bpf.h: kind of program, place to attach.
    let (kind, place, flags) = match seat {
        Seat::Xdp => (6, 37, 0),
        Seat::TcxFirst => (3, 46, BEFORE),
        Seat::TcxLast => (3, 46, AFTER),
        Seat::EgressFirst => (3, 47, BEFORE),
    };
    let mut load = Load {
        kind,
        count: code.len() as u32,
        instructions: code.as_ptr().addr() as u64,
        license: c"GPL".as_ptr().addr() as u64,
        place: if kind == 6 { place } else { 0 },
        ..Load::default()
    };
    for (to, from) in load.name.iter_mut().take(15).zip(name.to_bytes()) {
        *to = *from;
    }
    let program = bpf(LOAD, &mut load)?;
    let mut attach = Attach {
        program: program.as_raw_fd().cast_unsigned(),
        interface: index,
        place,
        flags,
        ..Attach::default()
    };
    bpf(LINK, &mut attach)
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<OwnedFd> {
    let size = size_of::<T>();
    // SAFETY: the attributes are what the command expects, and point at memory that the caller holds.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    let number = i32::try_from(answer).map_err(io::Error::other)?;
    // SAFETY: both commands answer with a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
