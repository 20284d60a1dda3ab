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
    /// `sock.sk_protocol`.
    pub sock_protocol: u32,
    /// `sock_common.skc_family`.
    pub sock_family: u32,
    /// `inet_sock.inet_sport`, the own port.
    pub sock_port: u32,
    /// `sock_common.skc_dport`.
    pub sock_far_port: u32,
    /// `sock_common.skc_rcv_saddr`, and the same of IPv6.
    pub sock_address: [u32; 2],
    /// `sock_common.skc_daddr`, and the same of IPv6.
    pub sock_far: [u32; 2],
    /// `sock_common.skc_ipv6only`, in bits.
    pub sock_only_v6: u32,
    /// Cookie of the network namespace that is watched.
    pub cookie: u64,
}

/// A process connects a TCP socket, or listens with one, or does no more.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketCall {
    /// Nanoseconds since boot.
    pub time: u64,
    /// The socket's own end first; its port is 0 before it has one, and so is all of the far end of one that listens.
    pub tuple: Tuple,
    /// Tells a socket from others that there are; 0: not known.
    pub socket: u64,
    /// The process's control group (version 2): the number of its directory.
    pub group: u64,
    /// How many could not be told before this.
    pub lost: u64,
    /// The process.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its name, as it gives itself.
    pub comm: [u8; 16],
    /// [`CONNECTS`] and so on.
    pub what: u8,
    /// The socket takes no IPv4: 1.
    pub only_v6: u8,
    /// Zero.
    pub pad: [u8; 6],
}

/// It has found a way, and is about to send a SYN.
pub const CONNECTS: u8 = 1;
/// It listens.
pub const LISTENS: u8 = 2;
/// It listens no more; who says so may be anybody.
pub const LISTENED: u8 = 3;
/// Its SYN was answered, or given up; now its port is known. Who says so may be anybody.
pub const CONNECTED: u8 = 4;
/// It has called `connect()`; whether there is a way is not known yet.
pub const TRIES: u8 = 5;

/// Bytes of the ring that they come by.
pub const SOCKET_CALL_BYTES: u32 = 1 << 18;

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

const _: () = assert!(size_of::<Offsets>() == 88 && size_of::<KernelDrop>() == 64);
const _: () = assert!(size_of::<SocketCall>() == 104);
