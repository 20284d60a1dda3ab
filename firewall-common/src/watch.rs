//! What the kernel itself drops: the record of a packet of a handshake that came to its end beyond our hooks, and
//! where the running kernel keeps what such a record is made of.

use crate::flow::Tuple;
use crate::limit::Rate;

/// Where members are in this kernel's structures, in bytes, as its type information says. No member of interest is
/// first in its structure but where 0 is right.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offsets {
    /// `sk_buff.head`.
    pub skb_head: u32,
    /// `sk_buff.network_header`.
    pub skb_network_header: u32,
    /// `sk_buff.dev`.
    pub skb_dev: u32,
    /// `sk_buff.sk`.
    pub skb_sk: u32,
    /// `net_device.ifindex`.
    pub dev_index: u32,
    /// `net_device.nd_net.net`.
    pub dev_net: u32,
    /// `sock_common.skc_net.net`.
    pub sock_net: u32,
    /// `net.ns.inum`.
    pub net_number: u32,
    /// Number of the network namespace that is watched.
    pub namespace: u32,
    /// The kernel's reasons for what a program at a hook such as ours has dropped.
    pub hooks: [u32; 2],
    /// Zero.
    pub pad: u32,
}

/// A packet of a handshake that the kernel dropped.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KernelDrop {
    /// Nanoseconds since boot.
    pub time: u64,
    /// Who sent it to whom.
    pub tuple: Tuple,
    /// The kernel's reason (`enum skb_drop_reason`).
    pub reason: u32,
    /// The interface it was at; 0: none yet.
    pub interface: u32,
    /// TCP flags.
    pub tcp_flags: u8,
    /// Zero.
    pub pad: [u8; 7],
}

/// Bytes of the ring that they come by.
pub const KERNEL_DROP_BYTES: u32 = 1 << 16;
/// How many there may be: evidence for those who look, no census.
pub const KERNEL_DROP_RATE: Rate = Rate::per_second(512);

const _: () = assert!(size_of::<Offsets>() == 48 && size_of::<KernelDrop>() == 64);
