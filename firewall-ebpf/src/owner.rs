//! Whose sockets these are: told when a process connects one, or begins to listen, for then it is the process itself
//! that runs. Attached only while an agent runs; nothing is decided here.

use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid, generated as h,
};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use firewall_common::addr::Addr;
use firewall_common::flow::Tuple;
use firewall_common::packet::protocol;
use firewall_common::watch::{CONNECTS, LISTENED, LISTENS, Offsets, SocketCall};

use crate::maps::SOCKET_CALLS;
use crate::watch::{WATCH, member};

/// States of `include/net/tcp_states.h`.
const SYN_SENT: i32 = 2;
const LISTEN: i32 = 10;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// `trace_inet_sock_set_state(sk, oldstate, newstate)`. A socket comes into these two states only by `connect()` and
/// `listen()` of its process, and leaves the second only by a call, too.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn ringwall_socket_state(ctx: RawTracePointContext) -> i32 {
    let what = match (ctx.arg::<i32>(1), ctx.arg::<i32>(2)) {
        (_, SYN_SENT) => CONNECTS,
        (_, LISTEN) => LISTENS,
        (LISTEN, _) => LISTENED,
        _ => return 0,
    };
    let _nothing_to_tell = tell(ctx.arg(0), what);
    0
}

#[inline(always)]
fn tell(socket: u64, what: u8) -> Option<()> {
    let at = WATCH.load();
    let net: u64 = member(socket, at.sock_net)?;
    let number: u32 = member(net, at.net_number)?;
    let transport: u16 = member(socket, at.sock_protocol)?;
    if number != at.namespace || transport != u16::from(protocol::TCP) {
        return None;
    }
    let mut tuple = Tuple::default();
    ends(&at, socket, &mut tuple)?;
    let mut record = SOCKET_CALLS.reserve_untyped::<SocketCall>(0)?;
    record.write(SocketCall {
        // SAFETY: the helper takes nothing and only returns a number.
        time: unsafe { h::bpf_ktime_get_boot_ns() },
        tuple,
        pid: (bpf_get_current_pid_tgid() >> 32) as u32,
        uid: bpf_get_current_uid_gid() as u32,
        comm: bpf_get_current_comm().unwrap_or([0; 16]),
        what,
        pad: [0; 7],
    });
    record.submit(0);
    Some(())
}

#[inline(always)]
fn ends(at: &Offsets, socket: u64, tuple: &mut Tuple) -> Option<()> {
    let family: u16 = member(socket, at.sock_family)?;
    match family {
        AF_INET => {
            tuple.source = Addr::v4(u32::from_be(member(socket, at.sock_address[0])?));
            tuple.destination = Addr::v4(u32::from_be(member(socket, at.sock_far[0])?));
        }
        AF_INET6 => {
            tuple.source = Addr::from_bytes(member(socket, at.sock_address[1])?);
            tuple.destination = Addr::from_bytes(member(socket, at.sock_far[1])?);
        }
        _ => return None,
    }
    tuple.source_port = member(socket, at.sock_port)?;
    tuple.destination_port = u16::from_be(member(socket, at.sock_far_port)?);
    tuple.protocol = protocol::TCP;
    Some(())
}
