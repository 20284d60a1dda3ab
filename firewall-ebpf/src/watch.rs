//! Handshakes that end inside the kernel: what it drops of them beyond our hooks, with its own reason. Attached
//! only while an agent runs; nothing is decided here.

use aya_ebpf::Global;
use aya_ebpf::helpers::{bpf_probe_read_kernel, generated as h};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use firewall_common::addr::Addr;
use firewall_common::flow::{FlowKey, Tuple};
use firewall_common::limit::take;
use firewall_common::packet::protocol;
use firewall_common::parse::tcp::{RST, SYN};
use firewall_common::watch::{KERNEL_DROP_RATE, KernelDrop, Offsets};

use crate::maps::{HALF_OPEN, KERNEL_DROP_LIMIT, KERNEL_DROPS};

/// Where this kernel keeps things; the agent says so when it loads the program.
#[unsafe(no_mangle)]
pub(crate) static WATCH: Global<Offsets> = Global::new(Offsets {
    skb_head: 0,
    skb_network_header: 0,
    skb_dev: 0,
    skb_sk: 0,
    dev_index: 0,
    dev_net: 0,
    sock_net: 0,
    net_number: 0,
    namespace: 0,
    hooks: [0; 2],
    sock_protocol: 0,
    sock_family: 0,
    sock_port: 0,
    sock_far_port: 0,
    sock_address: [0; 2],
    sock_far: [0; 2],
    sock_only_v6: 0,
    cookie: 0,
});

/// Numbers of namespaces begin here (`PROC_DYNAMIC_FIRST`, fs/proc/generic.c); what is smaller is none.
const NAMESPACES: u32 = 0xf000_0000;

/// `trace_kfree_skb(skb, location, reason)`: runs for every packet that the kernel drops, so most end after a few
/// reads. Before Linux 5.17 there is no reason, and this does not load.
#[raw_tracepoint(tracepoint = "kfree_skb")]
pub fn ringwall_kernel_drop(ctx: RawTracePointContext) -> i32 {
    let _nothing_to_tell = tell(ctx.arg(0), ctx.arg(2));
    0
}

/// A member of a structure of the kernel's; `None` where it cannot be read.
#[inline(always)]
pub(crate) fn member<T>(of: u64, offset: u32) -> Option<T> {
    let at = of.wrapping_add(u64::from(offset)) as *const T;
    // SAFETY: the helper reads any address of the kernel's, or fails.
    unsafe { bpf_probe_read_kernel(at) }.ok()
}

#[inline(always)]
fn tell(skb: u64, reason: u32) -> Option<()> {
    let at = WATCH.load();
    let head: u64 = member(skb, at.skb_head)?;
    let network: u16 = member(skb, at.skb_network_header)?;
    let mut tuple = Tuple::default();
    let tcp_flags = handshake(head.wrapping_add(u64::from(network)), &mut tuple)?;
    let by_a_hook = reason == at.hooks[0] || reason == at.hooks[1];
    if by_a_hook && !is_half_open(&tuple) {
        // It is one of ours, or nobody's handshake here.
        return None;
    }
    let interface = here(&at, skb, by_a_hook)?;
    // SAFETY: the helper takes nothing and only returns a number.
    let now = unsafe { h::bpf_ktime_get_boot_ns() };
    admit(now)?;
    let mut record = KERNEL_DROPS.reserve_untyped::<KernelDrop>(0)?;
    record.write(KernelDrop {
        time: now,
        tuple,
        reason,
        interface,
        tcp_flags,
        pad: [0; 7],
    });
    record.submit(0);
    Some(())
}

/// Reads who sends to whom, and the flags, of a packet that opens, answers or refuses a TCP connection.
#[inline(always)]
fn handshake(ip: u64, tuple: &mut Tuple) -> Option<u8> {
    let first: u8 = member(ip, 0)?;
    let transport = match first >> 4 {
        4 => {
            let header: [u8; 20] = member(ip, 0)?;
            if header[9] != protocol::TCP || (header[6] & 0x1f) | header[7] != 0 {
                return None;
            }
            let word = |i: usize| -> Option<u32> { Some(u32::from_be(member(ip, i as u32)?)) };
            tuple.source = Addr::v4(word(12)?);
            tuple.destination = Addr::v4(word(16)?);
            u32::from(first & 15) * 4
        }
        6 => {
            let next: u8 = member(ip, 6)?;
            if next != protocol::TCP {
                return None;
            }
            tuple.source = Addr::from_bytes(member(ip, 8)?);
            tuple.destination = Addr::from_bytes(member(ip, 24)?);
            40
        }
        _ => return None,
    };
    tuple.source_port = u16::from_be(member(ip, transport)?);
    tuple.destination_port = u16::from_be(member(ip, transport + 2)?);
    tuple.protocol = protocol::TCP;
    let flags: u8 = member(ip, transport + 13)?;
    (flags & (SYN | RST) != 0).then_some(flags)
}

#[inline(always)]
fn is_half_open(tuple: &Tuple) -> bool {
    let mut key = FlowKey::default();
    tuple.key(&mut key);
    HALF_OPEN.get_ptr_mut(key).is_some()
}

/// The packet's interface (0: none yet), if it is of the namespace that is watched.
///
/// The device says so first. A packet that this host sends may have none yet; then its socket does. Before a
/// packet has come to IP the socket may still be the sender's, in another namespace, so what a hook has dropped
/// is nobody's without a device; and what is in the place of a device may be part of a queue instead, whose
/// "namespace" has a number that none has.
#[inline(always)]
fn here(at: &Offsets, skb: u64, by_a_hook: bool) -> Option<u32> {
    let device: u64 = member(skb, at.skb_dev)?;
    if device != 0
        && let Some(net) = member::<u64>(device, at.dev_net)
        && let Some(number) = member::<u32>(net, at.net_number)
    {
        if number == at.namespace {
            return member(device, at.dev_index);
        }
        if number >= NAMESPACES {
            return None;
        }
    }
    let socket: u64 = member(skb, at.skb_sk)?;
    if by_a_hook || socket == 0 {
        return None;
    }
    let net: u64 = member(socket, at.sock_net)?;
    let number: u32 = member(net, at.net_number)?;
    (number == at.namespace).then_some(0)
}

/// May there be one more? CPUs that ask at once may take the same token: then there are a few more.
#[inline(always)]
fn admit(now: u64) -> Option<()> {
    let word = KERNEL_DROP_LIMIT.get_ptr_mut(0)?;
    // SAFETY: one aligned word of a map.
    let next = take(unsafe { word.read_volatile() }, now, KERNEL_DROP_RATE)?;
    // SAFETY: as above.
    unsafe { word.write_volatile(next) };
    Some(())
}
