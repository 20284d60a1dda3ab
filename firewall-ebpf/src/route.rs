//! The kernel's own routing decision: is a packet for this host, and if not, where does it leave?

use core::ffi::c_void;
use core::ptr::addr_of_mut;

use aya_ebpf::bindings::{
    BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS,
    BPF_FIB_LKUP_RET_UNSUPP_LWT, bpf_fib_lookup,
};
use aya_ebpf::helpers::generated as h;
use firewall_common::addr::Addr;
use firewall_common::flow::Tuple;
use firewall_common::tables::Route;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Asks the routing tables, policy routing included, as for a packet that arrived by `interface`.
///
/// Whatever the kernel would not forward (local, blackhole, forwarding switched off on the interface)
/// counts as for this host: then it is judged as such, and the stack does with it what it does.
#[inline(always)]
pub(crate) fn find(context: *mut c_void, tuple: &Tuple, interface: u32) -> Route {
    let answer = ask(context, tuple, interface);
    Route {
        here: answer == HERE,
        interface: answer as u32,
    }
}

/// No interface's number.
const HERE: u64 = u64::MAX;

// Not inlined, so that the helper's argument is on the stack only here.
#[inline(never)]
fn ask(context: *mut c_void, tuple: &Tuple, interface: u32) -> u64 {
    // SAFETY: integers only, for which zero is a value.
    let mut ask: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    ask.l4_protocol = tuple.protocol;
    ask.sport = tuple.source_port.to_be();
    ask.dport = tuple.destination_port.to_be();
    ask.ifindex = interface;
    if tuple.destination.is_v4() {
        ask.family = AF_INET;
        ask.__bindgen_anon_3.ipv4_src = tuple.source.as_v4().to_be();
        ask.__bindgen_anon_4.ipv4_dst = tuple.destination.as_v4().to_be();
    } else {
        ask.family = AF_INET6;
        ask.__bindgen_anon_3.ipv6_src = words(&tuple.source);
        ask.__bindgen_anon_4.ipv6_dst = words(&tuple.destination);
    }
    // SAFETY: the context is valid; the helper reads and writes exactly the structure it is given.
    let answer = unsafe {
        let size = size_of::<bpf_fib_lookup>() as i32;
        h::bpf_fib_lookup(context, addr_of_mut!(ask), size, 0)
    };
    match answer as u32 {
        // Without a known neighbour, or too large for the next link, it is still routed.
        BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH | BPF_FIB_LKUP_RET_FRAG_NEEDED => {
            ask.ifindex.into()
        }
        // Into a tunnel that a route describes: routed too, but the helper does not say by which interface.
        BPF_FIB_LKUP_RET_UNSUPP_LWT => 0,
        _ => HERE,
    }
}

/// An address as the kernel has it: four words in network byte order.
#[inline(always)]
fn words(address: &Addr) -> [u32; 4] {
    [
        ((address.hi >> 32) as u32).to_be(),
        (address.hi as u32).to_be(),
        ((address.lo >> 32) as u32).to_be(),
        (address.lo as u32).to_be(),
    ]
}
