//! SYN cookies (RFC 4987 section 3.6): while half-open sessions are being pushed out, an opening to a listener of this
//! host is answered without keeping anything. Who then acknowledges the answer is there, and has a verified
//! session at once.
//!
//! The kernel makes the cookie and the kernel takes it: an acknowledgement that is right goes on to the listener,
//! which makes its socket of it. So the host must be willing (`net.ipv4.tcp_syncookies = 2`); where it is not, or
//! nothing listens, an opening goes its usual way.

use crate::config::Generation;
use crate::flow::Hook;
use crate::packet::{Packet, Role, WHOLE, protocol};
use crate::parse::eth;
use crate::parse::tcp::{ACK, RST, SYN};
use crate::pipeline::{At, Scratch, monitors};
use crate::session::room::MANAGED;
use crate::tables::{Cookie, Tables};
use crate::zone::Course;

/// Nanoseconds for which cookies are given out after the last opening that another one had to give way to.
pub const PRESSURE: u64 = 30_000_000_000;
/// Nanoseconds for which a cookie may come back: the kernel takes it for two minutes (`TCP_SYNCOOKIE_VALID` in
/// include/net/tcp.h).
pub const VALID: u64 = 120_000_000_000;
/// The time stamps of both are written at most so often, in nanoseconds.
pub const STEP: u64 = 1_000_000_000;

/// Largest segment that is offered over IPv4, and over IPv6. The opener's own offer is not looked at: what every path
/// of today takes, and what the kernel can put into a cookie (`msstab` in net/ipv4/syncookies.c and net/ipv6).
pub const SEGMENT_V4: u16 = 1300;
/// The same over IPv6.
pub const SEGMENT_V6: u16 = 1220;

/// Is an opening that is allowed answered with a cookie? Then that is left in the packet for who builds the answer.
///
/// Not for operators, whose sessions have their places, nor where an answer cannot be built.
#[inline(always)]
pub(crate) fn answers<T: Tables>(
    tables: T,
    at: &At,
    head: &Generation,
    scratch: &mut Scratch,
) -> bool {
    let packet = &scratch.packet;
    let opens = packet.tuple.protocol == protocol::TCP
        && matches!(packet.role, Role::Opens)
        && packet.fragment == WHOLE
        && !packet.group
        && (packet.l3 == eth::HEADER || packet.l3 == 0);
    if !(opens && arrives(at, scratch) && tables.cookies_wanted(at)) {
        return false;
    }
    if monitors(head) || scratch.entry.counted & MANAGED != 0 {
        return false;
    }
    let Cookie::Made(number) = tables.cookie(&scratch.packet, at.now) else {
        return false;
    };
    scratch.packet.acknowledgement = number;
    scratch.packet.cookie = true;
    true
}

/// Does a stray bring a cookie back, and is it right?
#[inline(always)]
pub(crate) fn brings<T: Tables>(tables: T, at: &At, scratch: &Scratch) -> Cookie {
    let packet = &scratch.packet;
    let acknowledges = packet.tuple.protocol == protocol::TCP
        && packet.fragment == WHOLE
        && packet.tcp_flags & (SYN | ACK | RST) == ACK;
    if !(acknowledges && arrives(at, scratch) && tables.cookies_out(at.now)) {
        return Cookie::None;
    }
    tables.cookie(packet, at.now)
}

#[inline(always)]
fn arrives(at: &At, scratch: &Scratch) -> bool {
    matches!(at.hook, Hook::Ingress) && scratch.question.course == Course::Inbound as u8
}

/// Is it an opening, which asks for a cookie, rather than an acknowledgement, which brings one?
#[inline(always)]
#[must_use]
pub const fn asks(packet: &Packet) -> bool {
    packet.tcp_flags & SYN != 0
}
