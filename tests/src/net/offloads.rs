//! What a device does for the stack, switched on and off (ethtool). On a veth this decides which way frames take.

use std::io;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};

use super::End;

/// What can be switched, by the command of `linux/ethtool.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offload {
    /// Merging of what arrives. A veth then has a ring and a receiver of its own (NAPI) all the time, and not only while
    /// it has a program at XDP.
    Merge = 0x2c,
    /// Segments larger than the MTU of what leaves. What comes from a veth without it takes the ring of the other end.
    Segments = 0x1f,
}

/// Switches one at an end of a wire.
///
/// # Errors
/// The device refuses.
pub fn switch(end: &End, offload: Offload, on: bool) -> Result<()> {
    let asked = end.ns.run(|| ask(&end.interface, offload as u32, on));
    asked.with_context(|| format!("{offload:?} of {}", end.interface))
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    value: u32,
}

fn ask(interface: &str, command: u32, on: bool) -> io::Result<()> {
    const SIOCETHTOOL: libc::Ioctl = 0x8946;
    let mut value = Value {
        command,
        value: on.into(),
    };
    // SAFETY: ifreq is plain data, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1);
    for (to, from) in name.zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
    // SAFETY: the request is a terminated name and a pointer to the structure that the command reads.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
