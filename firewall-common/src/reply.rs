//! Answers to what a policy refuses: a TCP reset (RFC 9293 section 3.5.2), or port unreachable in ICMP
//! (RFC 792) or ICMPv6 (RFC 4443 section 3.1).
//!
//! An answer is built whole, from the link header on, out of the packet it answers. Where that has no Ethernet
//! header the answer's stays zero, and is left out by who sends it. It is kept as
//! 16-bit words in network byte order: the internet checksum (RFC 1071) is their sum in any byte order.

use crate::addr::Addr;
use crate::packet::{Packet, Role, WHOLE, protocol};
use crate::parse::eth;
use crate::parse::tcp::{ACK, FIN, RST, SYN};
use crate::source::{Bytes, PacketSource};

/// Bytes of a TCP reset in IPv4, link header included.
pub const RESET_V4: u32 = 14 + 20 + 20;
/// Bytes of a TCP reset in IPv6.
pub const RESET_V6: u32 = 14 + 40 + 20;
/// Bytes of an ICMP error, which quotes a header and eight bytes more.
pub const ERROR_V4: u32 = 14 + 20 + 8 + QUOTE_V4 as u32;
/// Bytes of an ICMPv6 error, which quotes a header and eight bytes more.
pub const ERROR_V6: u32 = 14 + 40 + 8 + QUOTE_V6 as u32;

const QUOTE_V4: usize = 28;
const QUOTE_V6: usize = 48;
/// The largest answer, and behind it as much as a masked length may reach beyond (see `LENGTHS`).
const WORDS: usize = 72;
/// The bits that the lengths of answers have: a length masked with it stays within a [`Reply`], also from behind
/// the link header on.
pub const LENGTHS: usize = 127;
/// The word where the IP header begins.
const L3: usize = 7;
/// The word where the transport header begins in IPv4.
const L4_V4: usize = L3 + 10;
/// The word where the transport header begins in IPv6.
const L4_V6: usize = L3 + 20;
const HOPS: u16 = 64;
/// Window of an answer with a SYN cookie, in bytes.
const WINDOW: u16 = 29_200;

/// An answer, as large as the largest.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The frame, in network byte order.
    pub words: [u16; WORDS],
}

impl Default for Reply {
    fn default() -> Self {
        Self { words: [0; WORDS] }
    }
}

/// Builds the answer to `packet` into `reply`; its length, an Ethernet header included, or `None` where silence
/// is the answer.
///
/// Never to a reset, an ICMP error, anything but a whole or first fragment, or from or to an address
/// of a group (RFC 1122 section 3.2.2, RFC 4443 section 2.4). Only where the IP header directly follows
/// an Ethernet header, or where there is nothing but the IP packet.
// Not inlined, for the kernel's stack.
#[inline(never)]
pub fn build<S: PacketSource>(
    source: &S,
    packet: &Packet,
    toward: Toward,
    reply: &mut Reply,
) -> Option<u32> {
    if !may_answer(packet) {
        return None;
    }
    if source.bare().is_none() {
        if packet.l3 != eth::HEADER {
            return None;
        }
        let frame = source.read::<14>(0)?;
        match toward {
            Toward::Sender => link(&frame, reply),
            Toward::Receiver => same_link(&frame, reply),
        }
    } else if packet.length != packet.end {
        // More than the IP packet: a link header that the device has, of a kind that is not known here.
        return None;
    }
    match (packet.family, packet.tuple.protocol) {
        (4, protocol::TCP) => reset_v4(packet, reply),
        (6, protocol::TCP) => reset_v6(packet, reply),
        (4, _) => error_v4(source, packet, reply),
        _ => error_v6(source, packet, reply),
    }
}

/// Who is told.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toward {
    /// Who sent the packet.
    Sender = 0,
    /// Whom it was sent to, in the sender's name; of a packet that was [turned](turn) before.
    Receiver = 1,
}

/// Turns a segment around: its answer is what its sender would have sent. False where it does not say what its
/// receiver expects next, and must be left alone. Turned twice it is as it was.
#[inline(always)]
pub fn turn(packet: &mut Packet) -> bool {
    if packet.tcp_flags & ACK == 0 {
        return false;
    }
    // Word by word, which takes no stack.
    let tuple = &mut packet.tuple;
    core::mem::swap(&mut tuple.source.hi, &mut tuple.destination.hi);
    core::mem::swap(&mut tuple.source.lo, &mut tuple.destination.lo);
    core::mem::swap(&mut tuple.source_port, &mut tuple.destination_port);
    core::mem::swap(&mut packet.sequence, &mut packet.acknowledgement);
    true
}

#[inline(always)]
fn may_answer(packet: &Packet) -> bool {
    let (source, destination) = (&packet.tuple.source, &packet.tuple.destination);
    let tcp = packet.tuple.protocol == protocol::TCP;
    let refuses = (tcp && (packet.tcp_flags & RST != 0 || packet.fragment != WHOLE))
        || matches!(packet.role, Role::Error);
    packet.family != 0
        && packet.fragment != crate::packet::LATER
        && !packet.group
        && !refuses
        && !(source.is_unspecified() || source.is_multicast() || source.is_class_e())
        && !(destination.is_multicast() || destination.is_class_e())
}

#[inline(always)]
fn put(reply: &mut Reply, at: usize, word: u16) {
    if let Some(place) = reply.words.get_mut(at) {
        *place = word.to_be();
    }
}

#[inline(always)]
fn put32(reply: &mut Reply, at: usize, value: u32) {
    put(reply, at, (value >> 16) as u16);
    put(reply, at + 1, value as u16);
}

#[inline(always)]
fn put64(reply: &mut Reply, at: usize, value: u64) {
    put32(reply, at, (value >> 32) as u32);
    put32(reply, at + 2, value as u32);
}

/// Back to where the frame came from.
#[inline(always)]
fn link(frame: &Bytes<14>, reply: &mut Reply) {
    put(reply, 0, frame.be16::<6>());
    put(reply, 1, frame.be16::<8>());
    put(reply, 2, frame.be16::<10>());
    put(reply, 3, frame.be16::<0>());
    put(reply, 4, frame.be16::<2>());
    put(reply, 5, frame.be16::<4>());
    put(reply, 6, frame.be16::<12>());
}

/// On to where the frame was going.
#[inline(always)]
fn same_link(frame: &Bytes<14>, reply: &mut Reply) {
    put(reply, 0, frame.be16::<0>());
    put(reply, 1, frame.be16::<2>());
    put(reply, 2, frame.be16::<4>());
    put(reply, 3, frame.be16::<6>());
    put(reply, 4, frame.be16::<8>());
    put(reply, 5, frame.be16::<10>());
    put(reply, 6, frame.be16::<12>());
}

/// The header of RFC 791, from who was addressed to who sent.
#[inline(always)]
fn header_v4(packet: &Packet, number: u8, length: u32, reply: &mut Reply) {
    put(reply, L3, 0x4500);
    put(reply, L3 + 1, (length - eth::HEADER) as u16);
    put(reply, L3 + 2, 0);
    put(reply, L3 + 3, 0x4000);
    put(reply, L3 + 4, HOPS << 8 | u16::from(number));
    put(reply, L3 + 5, 0);
    put32(reply, L3 + 6, packet.tuple.destination.as_v4());
    put32(reply, L3 + 8, packet.tuple.source.as_v4());
    checksum::<L3, L4_V4>(reply, L3 + 5, 0);
}

/// The header of RFC 8200.
#[inline(always)]
fn header_v6(packet: &Packet, number: u8, length: u32, reply: &mut Reply) {
    put(reply, L3, 0x6000);
    put(reply, L3 + 1, 0);
    put(reply, L3 + 2, (length - eth::HEADER - 40) as u16);
    put(reply, L3 + 3, u16::from(number) << 8 | HOPS);
    address(reply, L3 + 4, &packet.tuple.destination);
    address(reply, L3 + 12, &packet.tuple.source);
}

#[inline(always)]
fn address(reply: &mut Reply, at: usize, address: &Addr) {
    put64(reply, at, address.hi);
    put64(reply, at + 4, address.lo);
}

#[inline(always)]
fn reset_v4(packet: &Packet, reply: &mut Reply) -> Option<u32> {
    header_v4(packet, protocol::TCP, RESET_V4, reply);
    reset(packet, L4_V4, reply);
    let pseudo = addresses::<{ L3 + 6 }, L4_V4>(reply) + pseudo(protocol::TCP, 20);
    seal::<L4_V4, { RESET_V4 as usize / 2 }>(reply, pseudo);
    Some(RESET_V4)
}

#[inline(always)]
fn reset_v6(packet: &Packet, reply: &mut Reply) -> Option<u32> {
    header_v6(packet, protocol::TCP, RESET_V6, reply);
    reset(packet, L4_V6, reply);
    let pseudo = addresses::<{ L3 + 4 }, L4_V6>(reply) + pseudo(protocol::TCP, 20);
    seal::<L4_V6, { RESET_V6 as usize / 2 }>(reply, pseudo);
    Some(RESET_V6)
}

/// Of a segment with ACK the reset takes the sequence number that was acknowledged; else it has 0 and
/// acknowledges all of the segment (RFC 9293 section 3.5.2). A SYN cookie is answered in the same shape.
#[inline(always)]
fn reset(packet: &Packet, at: usize, reply: &mut Reply) {
    let flags = packet.tcp_flags;
    let phantom = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    let whole = packet
        .sequence
        .wrapping_add(packet.payload_length())
        .wrapping_add(phantom);
    let (sequence, acknowledgement, answer) = if flags & ACK != 0 {
        (packet.acknowledgement, 0, RST)
    } else {
        (0, whole, RST | ACK)
    };
    // A SYN cookie: the window is what every listener has at least, and no option is offered.
    let (sequence, answer, window) = if packet.cookie {
        (packet.acknowledgement, SYN | ACK, WINDOW)
    } else {
        (sequence, answer, 0)
    };
    put(reply, at, packet.tuple.destination_port);
    put(reply, at + 1, packet.tuple.source_port);
    put32(reply, at + 2, sequence);
    put32(reply, at + 4, acknowledgement);
    put(reply, at + 6, 5 << 12 | u16::from(answer));
    put(reply, at + 7, window);
    put(reply, at + 8, 0);
    put(reply, at + 9, 0);
}

/// Destination unreachable, port unreachable. A packet with IPv4 options has no answer: the quote would
/// not be of a fixed length.
#[inline(always)]
fn error_v4<S: PacketSource>(source: &S, packet: &Packet, reply: &mut Reply) -> Option<u32> {
    if packet.l4 - packet.l3 != 20 || packet.end < packet.l3 + QUOTE_V4 as u32 {
        return None;
    }
    let quote = source.read::<QUOTE_V4>(packet.l3)?;
    header_v4(packet, protocol::ICMP, ERROR_V4, reply);
    error(L4_V4, 0x0303, &quote, reply);
    checksum::<L4_V4, { ERROR_V4 as usize / 2 }>(reply, L4_V4 + 1, 0);
    Some(ERROR_V4)
}

/// Destination unreachable, port unreachable.
#[inline(always)]
fn error_v6<S: PacketSource>(source: &S, packet: &Packet, reply: &mut Reply) -> Option<u32> {
    if packet.end < packet.l3 + QUOTE_V6 as u32 {
        return None;
    }
    let quote = source.read::<QUOTE_V6>(packet.l3)?;
    header_v6(packet, protocol::ICMPV6, ERROR_V6, reply);
    error(L4_V6, 0x0104, &quote, reply);
    let length = ERROR_V6 - eth::HEADER - 40;
    let pseudo = addresses::<{ L3 + 4 }, L4_V6>(reply) + pseudo(protocol::ICMPV6, length);
    checksum::<L4_V6, { ERROR_V6 as usize / 2 }>(reply, L4_V6 + 1, pseudo);
    Some(ERROR_V6)
}

#[inline(always)]
fn error<const N: usize>(at: usize, kind: u16, quote: &Bytes<N>, reply: &mut Reply) {
    put(reply, at, kind);
    put(reply, at + 1, 0);
    put32(reply, at + 2, 0);
    let (pairs, _) = quote.0.as_chunks::<2>();
    for (i, pair) in pairs.iter().enumerate() {
        put(reply, at + 4 + i, u16::from_be_bytes(*pair));
    }
}

/// The sum of the addresses in the IP header, which the pseudo-header repeats.
#[inline(always)]
fn addresses<const FROM: usize, const TO: usize>(reply: &Reply) -> u32 {
    sum::<FROM, TO>(reply)
}

/// The rest of the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1).
#[inline(always)]
const fn pseudo(number: u8, length: u32) -> u32 {
    (number as u16).to_be() as u32 + (length as u16).to_be() as u32
}

/// Puts the checksum of a reset into its place, so that it is right both where it is taken as it is, and where the
/// device has yet to make it: then the field holds the sum of the pseudo-header, and the device adds the rest. Nothing
/// tells which of them a buffer is, so both are made the same, by the window, which means nothing in a reset.
#[inline(always)]
fn seal<const FROM: usize, const TO: usize>(reply: &mut Reply, pseudo: u32) {
    let pseudo = fold(pseudo);
    let rest = sum::<FROM, TO>(reply);
    let window = !fold(2 * u32::from(pseudo) + rest);
    for (place, word) in [(FROM + 7, window), (FROM + 8, pseudo)] {
        if let Some(at) = reply.words.get_mut(place) {
            *at = word;
        }
    }
}

#[inline(always)]
const fn fold(sum: u32) -> u16 {
    let folded = (sum & 0xffff) + (sum >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}

#[inline(always)]
fn sum<const FROM: usize, const TO: usize>(reply: &Reply) -> u32 {
    const { assert!(FROM <= TO && TO <= WORDS) };
    let mut sum = 0;
    let mut i = FROM;
    while i < TO {
        sum += u32::from(reply.words[i]);
        i += 1;
    }
    sum
}

/// Puts the checksum of the words `FROM..TO`, whose place is zero, and of `more` into its place.
#[inline(always)]
fn checksum<const FROM: usize, const TO: usize>(reply: &mut Reply, place: usize, more: u32) {
    let sum = sum::<FROM, TO>(reply) + more;
    if let Some(word) = reply.words.get_mut(place) {
        *word = !fold(sum);
    }
}

const _: () = assert!(eth::HEADER as usize + LENGTHS <= size_of::<Reply>());
const _: () = assert!(ERROR_V6 as usize <= LENGTHS);

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
