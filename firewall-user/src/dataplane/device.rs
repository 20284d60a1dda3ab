//! What a driver says of its device (ethtool). Asked in this thread's network namespace.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::net::{AddressFamily, SocketType, socket};

use super::raw;

/// The name of an interface's driver, as `ethtool -i` shows it.
#[must_use]
pub fn driver(interface: &str) -> Option<String> {
    raw::driver(any_socket()?.as_fd(), interface).ok()
}

/// Does the driver take VLAN tags out of the frames that arrive (`rx-vlan-offload`)? The stack gets them
/// beside the frame, XDP not at all.
#[must_use]
pub fn takes_tags_out(interface: &str) -> bool {
    let flags = any_socket().and_then(|socket| raw::offloads(socket.as_fd(), interface).ok());
    flags.is_some_and(|flags| flags & RXVLAN != 0)
}

/// `ETH_FLAG_RXVLAN` of linux/ethtool.h.
const RXVLAN: u32 = 1 << 8;

fn any_socket() -> Option<OwnedFd> {
    socket(AddressFamily::INET, SocketType::DGRAM, None).ok()
}
