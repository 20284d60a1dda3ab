//! SYN cookies, made and taken by the kernel (`bpf_tcp_gen_syncookie`, `bpf_tcp_check_syncookie`; since Linux 5.3).
//!
//! Both ask for headers. They look at addresses, ports, sequence numbers and the segment size on offer, so headers
//! with just those are made of what was parsed: no bytes of the packet are needed, and the same code serves
//! XDP and TC.

use core::ffi::c_void;
use core::ptr::addr_of_mut;

use aya_ebpf::helpers::generated as h;
use firewall_common::cookie::{PRESSURE, SEGMENT_V4, SEGMENT_V6, STEP, VALID, asks};
use firewall_common::packet::Packet;
use firewall_common::parse::tcp::{ACK, SYN};
use firewall_common::session::room::{COOKIES_MADE, COOKIES_TAKEN, COOKIES_UNTIL, PRESSURE_UNTIL};
use firewall_common::tables::Cookie;

use crate::atomics;
use crate::maps::{COOKIE, TALLY};

/// What the helpers are given, in network byte order.
#[repr(C)]
pub(crate) struct Headers {
    /// Addresses and ports: `struct bpf_sock_tuple`.
    tuple: [u16; 18],
    /// The IP header.
    ip: [u16; 20],
    /// The TCP header with one option.
    tcp: [u16; 12],
}

/// `TCP_LISTEN` of include/net/tcp_states.h.
const LISTEN: u32 = 10;
/// `BPF_F_CURRENT_NETNS`: the device's.
const HERE: u64 = u64::MAX;
/// The helpers' answers as numbers, since no other values go from function to function.
const NONE: u64 = 0;
const GOOD: u64 = 1;
const BAD: u64 = 2;
const MADE: u64 = 1 << 32;

/// Makes a cookie for a SYN, or looks whether that of an ACK is right.
#[inline(always)]
pub(crate) fn cookie(context: *mut c_void, packet: &Packet, now: u64) -> Cookie {
    let answer = ask(context, packet);
    match answer {
        NONE => Cookie::None,
        GOOD => {
            count(COOKIES_TAKEN);
            Cookie::Good
        }
        BAD => Cookie::Bad,
        made => {
            count(COOKIES_MADE);
            extend(COOKIES_UNTIL, now, VALID);
            Cookie::Made(made as u32)
        }
    }
}

// Not inlined, for the kernel's stack.
#[inline(never)]
fn ask(context: *mut c_void, packet: &Packet) -> u64 {
    let Some(headers) = COOKIE.get_ptr_mut(0) else {
        return NONE;
    };
    // SAFETY: this CPU's value of that type. Only hooks for what arrives use it, one after the other.
    let headers = unsafe { &mut *headers };
    let v4 = packet.family == 4;
    fill(packet, v4, headers);
    let tuple = addr_of_mut!(headers.tuple).cast();
    let (ip, tcp): (*mut c_void, *mut c_void) = (
        addr_of_mut!(headers.ip).cast(),
        addr_of_mut!(headers.tcp).cast(),
    );
    let (tuple_bytes, ip_bytes) = if v4 { (12, 20) } else { (36, 40) };
    // SAFETY: the context is valid, and so many bytes are there.
    let socket = unsafe { h::bpf_skc_lookup_tcp(context, tuple, tuple_bytes, HERE, 0) };
    if socket.is_null() {
        return NONE;
    }
    // SAFETY: the kernel lends the socket until it is released, and the headers are as long as is said.
    unsafe {
        let answer = if (*socket).state != LISTEN {
            NONE
        } else if asks(packet) {
            made(h::bpf_tcp_gen_syncookie(
                socket.cast(),
                ip,
                ip_bytes,
                tcp.cast(),
                24,
            ))
        } else if h::bpf_tcp_check_syncookie(socket.cast(), ip, ip_bytes, tcp.cast(), 24) == 0 {
            GOOD
        } else {
            BAD
        };
        h::bpf_sk_release(socket.cast());
        answer
    }
}

/// The lower word is the cookie. An error: the host does not give out cookies, or not yet.
#[inline(always)]
const fn made(answer: i64) -> u64 {
    if answer < 0 {
        NONE
    } else {
        MADE | answer as u64 & 0xffff_ffff
    }
}

#[inline(always)]
fn fill(packet: &Packet, v4: bool, to: &mut Headers) {
    let tuple = &packet.tuple;
    let (source, destination) = (&tuple.source, &tuple.destination);
    let ports = [tuple.source_port, tuple.destination_port];
    to.ip = [0; 20];
    if v4 {
        to.ip[0] = 0x4500_u16.to_be();
        words32(&mut to.ip, 6, source.as_v4());
        words32(&mut to.ip, 8, destination.as_v4());
        words32(&mut to.tuple, 0, source.as_v4());
        words32(&mut to.tuple, 2, destination.as_v4());
        to.tuple[4] = ports[0].to_be();
        to.tuple[5] = ports[1].to_be();
    } else {
        to.ip[0] = 0x6000_u16.to_be();
        words64(&mut to.ip, 4, source.hi);
        words64(&mut to.ip, 8, source.lo);
        words64(&mut to.ip, 12, destination.hi);
        words64(&mut to.ip, 16, destination.lo);
        words64(&mut to.tuple, 0, source.hi);
        words64(&mut to.tuple, 4, source.lo);
        words64(&mut to.tuple, 8, destination.hi);
        words64(&mut to.tuple, 12, destination.lo);
        to.tuple[16] = ports[0].to_be();
        to.tuple[17] = ports[1].to_be();
    }
    to.tcp = [0; 12];
    to.tcp[0] = ports[0].to_be();
    to.tcp[1] = ports[1].to_be();
    words32(&mut to.tcp, 2, packet.sequence);
    words32(&mut to.tcp, 4, packet.acknowledgement);
    let flags = packet.tcp_flags & (SYN | ACK);
    to.tcp[6] = (6_u16 << 12 | u16::from(flags)).to_be();
    // The option "maximum segment size" (RFC 9293 section 3.7.1).
    to.tcp[10] = 0x0204_u16.to_be();
    let segment = if v4 { SEGMENT_V4 } else { SEGMENT_V6 };
    to.tcp[11] = segment.to_be();
}

#[inline(always)]
fn words32<const N: usize>(to: &mut [u16; N], at: usize, value: u32) {
    to[at] = ((value >> 16) as u16).to_be();
    to[at + 1] = (value as u16).to_be();
}

#[inline(always)]
fn words64<const N: usize>(to: &mut [u16; N], at: usize, value: u64) {
    words32(to, at, (value >> 32) as u32);
    words32(to, at + 2, value as u32);
}

#[inline(always)]
fn count(place: u32) {
    if let Some(count) = TALLY.get_ptr_mut(place) {
        // SAFETY: one aligned word of a map.
        unsafe { atomics::add(count, 1) };
    }
}

/// Half-open sessions are being pushed out.
#[inline(always)]
pub(crate) fn press(now: u64) {
    extend(PRESSURE_UNTIL, now, PRESSURE);
}

/// Is a time stamp of the table still to come?
#[inline(always)]
pub(crate) fn until(place: u32, now: u64) -> bool {
    // SAFETY: one aligned word of a map, read once.
    TALLY
        .get_ptr(place)
        .is_some_and(|word| now < unsafe { word.read_volatile() })
}

/// CPUs that write at once write nearly the same.
#[inline(always)]
fn extend(place: u32, now: u64, by: u64) {
    if let Some(word) = TALLY.get_ptr_mut(place) {
        // SAFETY: one aligned word of a map.
        unsafe {
            if word.read_volatile() < now + by - STEP {
                word.write_volatile(now + by);
            }
        }
    }
}
