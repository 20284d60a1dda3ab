//! Whose sockets these are: told when a process connects one, or begins to listen, for then it is the process itself
//! that runs. Attached only while an agent runs; nothing is decided here.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid, generated as h,
};
use aya_ebpf::macros::{cgroup_sock_addr, raw_tracepoint};
use aya_ebpf::programs::{RawTracePointContext, SockAddrContext};
use firewall_common::addr::Addr;
use firewall_common::flow::Tuple;
use firewall_common::packet::protocol;
use firewall_common::watch::{CONNECTED, CONNECTS, LISTENED, LISTENS, Offsets, SocketCall, TRIES};

use crate::maps::{SOCKET_CALLS, SOCKET_CALLS_LOST};
use crate::watch::{WATCH, member};

/// States of `include/net/tcp_states.h`.
const SYN_SENT: i32 = 2;
const CLOSE: i32 = 7;
const LISTEN: i32 = 10;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// What the kernel is to do with the call: go on.
const GO_ON: i32 = 1;

/// `trace_inet_sock_set_state(sk, oldstate, newstate)`. A socket comes into these two states only by `connect()` and
/// `listen()` of its process. From `LISTEN` it goes to `CLOSE`; what goes elsewhere is a copy of it, made for a
/// connection.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn ringwall_socket_state(ctx: RawTracePointContext) -> i32 {
    let what = match (ctx.arg::<i32>(1), ctx.arg::<i32>(2)) {
        (_, SYN_SENT) => CONNECTS,
        (SYN_SENT, _) => CONNECTED,
        (_, LISTEN) => LISTENS,
        (LISTEN, CLOSE) => LISTENED,
        _ => return 0,
    };
    let _nothing_to_tell = changed(ctx.arg(0), what);
    0
}

#[inline(always)]
fn changed(socket: u64, what: u8) -> Option<()> {
    let at = WATCH.load();
    let net: u64 = member(socket, at.sock_net)?;
    let number: u32 = member(net, at.net_number)?;
    let transport: u16 = member(socket, at.sock_protocol)?;
    if number != at.namespace || transport != u16::from(protocol::TCP) {
        return None;
    }
    let mut tuple = Tuple::default();
    ends(&at, socket, &mut tuple)?;
    let only: u8 = member(socket, at.sock_only_v6 / 8)?;
    let only_v6 = (only >> (at.sock_only_v6 & 7)) & 1;
    tell(what, socket, tuple, only_v6)
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
    tuple.source_port = u16::from_be(member(socket, at.sock_port)?);
    tuple.destination_port = u16::from_be(member(socket, at.sock_far_port)?);
    tuple.protocol = protocol::TCP;
    Some(())
}

/// `connect()` of an IPv4 socket, before the kernel looks for a way: where there is none, nothing else tells of it.
#[cgroup_sock_addr(connect4)]
pub fn ringwall_connect4(ctx: SockAddrContext) -> i32 {
    // SAFETY: the context of the program, of which each member is read as what it is.
    let call = unsafe { &*ctx.sock_addr };
    let far = Addr::v4(u32::from_be(call.user_ip4));
    // SAFETY: the socket of the call, which the verifier knows to be there.
    let own = unsafe { (*call.__bindgen_anon_1.sk).src_ip4 };
    let own = match own {
        0 => Addr::UNSPECIFIED,
        own => Addr::v4(u32::from_be(own)),
    };
    tries(&ctx, own, far)
}

/// The same of an IPv6 socket.
#[cgroup_sock_addr(connect6)]
pub fn ringwall_connect6(ctx: SockAddrContext) -> i32 {
    // SAFETY: the context of the program, of which each member is read as what it is.
    let call = unsafe { &*ctx.sock_addr };
    let far = v6(call.user_ip6);
    // SAFETY: the socket of the call, which the verifier knows to be there.
    let own = v6(unsafe { (*call.__bindgen_anon_1.sk).src_ip6 });
    tries(&ctx, own, far)
}

#[inline(always)]
fn v6(words: [u32; 4]) -> Addr {
    let half =
        |high: u32, low: u32| u64::from(u32::from_be(high)) << 32 | u64::from(u32::from_be(low));
    Addr {
        hi: half(words[0], words[1]),
        lo: half(words[2], words[3]),
    }
}

#[inline(always)]
fn tries(ctx: &SockAddrContext, own: Addr, far: Addr) -> i32 {
    // SAFETY: the context of the program, of which each member is read as what it is.
    let call = unsafe { &*ctx.sock_addr };
    // SAFETY: the helper takes the context of the program, and returns a number.
    let cookie = unsafe { h::bpf_get_netns_cookie(ctx.as_ptr()) };
    if call.protocol == u32::from(protocol::TCP) && cookie == WATCH.load().cookie {
        let tuple = Tuple {
            source: own,
            destination: far,
            destination_port: u16::from_be(call.user_port as u16),
            protocol: protocol::TCP,
            ..Tuple::default()
        };
        let _nothing_more = tell(TRIES, 0, tuple, 0);
    }
    GO_ON
}

#[inline(always)]
fn tell(what: u8, socket: u64, tuple: Tuple, only_v6: u8) -> Option<()> {
    let lost = SOCKET_CALLS_LOST.get_ptr_mut(0)?;
    let Some(mut record) = SOCKET_CALLS.reserve_untyped::<SocketCall>(0) else {
        // SAFETY: one aligned word of a map. CPUs that lose at once may count one for two: that some were lost is
        // what matters.
        unsafe { lost.write_volatile(lost.read_volatile() + 1) };
        return None;
    };
    record.write(SocketCall {
        // SAFETY: the helper takes nothing and only returns a number.
        time: unsafe { h::bpf_ktime_get_boot_ns() },
        tuple,
        socket,
        // SAFETY: as above.
        group: unsafe { h::bpf_get_current_cgroup_id() },
        // SAFETY: one aligned word of a map.
        lost: unsafe { lost.read_volatile() },
        pid: (bpf_get_current_pid_tgid() >> 32) as u32,
        uid: bpf_get_current_uid_gid() as u32,
        comm: bpf_get_current_comm().unwrap_or([0; 16]),
        what,
        only_v6,
        pad: [0; 6],
    });
    record.submit(0);
    Some(())
}
