//! TCP (RFC 9293 section 3.1).

use crate::packet::{Packet, Role};
use crate::parse::within;
use crate::reason::Reason;
use crate::session::window::MAX_SCALE;
use crate::source::PacketSource;

const MIN_HEADER: u32 = 20;

/// No more data from the sender.
pub const FIN: u8 = 0x01;
/// Synchronise sequence numbers.
pub const SYN: u8 = 0x02;
/// Reset.
pub const RST: u8 = 0x04;
/// Push.
pub const PSH: u8 = 0x08;
/// The acknowledgement field counts.
pub const ACK: u8 = 0x10;
/// The urgent pointer counts.
pub const URG: u8 = 0x20;

/// Reads the fixed header and checks that the whole header is there: in a first fragment too (RFC 1858).
///
/// # Errors
/// `truncated`, `malformed`, `bad-tcp-flags`.
#[inline(always)]
pub fn parse<S: PacketSource>(source: &S, packet: &mut Packet) -> Result<(), Reason> {
    within(packet, packet.l4, MIN_HEADER)?;
    let header = source.read::<20>(packet.l4).ok_or(Reason::Truncated)?;
    let length = u32::from(header.u8::<12>() >> 4) * 4;
    if length < MIN_HEADER {
        return Err(Reason::Malformed);
    }
    within(packet, packet.l4, length)?;
    packet.payload = packet.l4 + length;
    packet.tuple.source_port = header.be16::<0>();
    packet.tuple.destination_port = header.be16::<2>();
    packet.sequence = header.be32::<4>();
    packet.acknowledgement = header.be32::<8>();
    packet.tcp_flags = header.u8::<13>();
    packet.window = header.be16::<14>();
    if !plausible(packet.tcp_flags) {
        return Err(Reason::BadTcpFlags);
    }
    let opens = packet.tcp_flags & (SYN | ACK | RST | FIN) == SYN;
    packet.role = if opens { Role::Opens } else { Role::Continues };
    if packet.tcp_flags & SYN != 0 && length > MIN_HEADER {
        packet.scale = offered_scale(source, packet.l4 + MIN_HEADER, packet.payload);
    }
    Ok(())
}

/// Options that are looked at; senders of good faith use six at most. Behind more of them the window scale counts
/// as the greatest.
const MAX_OPTIONS: u32 = 12;

/// One more than the window scale that a SYN offers, or 0. What is wrong with the options is for the receiver to
/// find: nothing is refused for it.
// Not inlined: few packets have a SYN, and the registers are for the others.
#[inline(never)]
fn offered_scale<S: PacketSource>(source: &S, start: u32, end: u32) -> u8 {
    let mut offset = start;
    for _ in 0..MAX_OPTIONS {
        if offset >= end {
            return 0;
        }
        let kind = source.read::<1>(offset).map_or(0, |byte| byte.u8::<0>());
        match kind {
            0 => return 0,
            1 => offset += 1,
            _ => {
                let Some(rest) = source.read::<2>(offset + 1) else {
                    return 0;
                };
                if kind == WINDOW_SCALE && rest.u8::<0>() == 3 && offset + 3 <= end {
                    return rest.u8::<1>().min(MAX_SCALE) + 1;
                }
                // A length below two would never end.
                offset += u32::from(rest.u8::<0>()).max(2);
            }
        }
    }
    MAX_SCALE + 1
}

/// Kind of the window scale option, three bytes long (RFC 7323 section 2.2).
const WINDOW_SCALE: u8 = 3;

/// Combinations that a sender of good faith uses, PSH, ECE and CWR aside; the same as
/// `tcp_valid_flags` of net/netfilter/nf_conntrack_proto_tcp.c.
#[inline(always)]
#[must_use]
pub const fn plausible(flags: u8) -> bool {
    let core = flags & (FIN | SYN | RST | ACK | URG);
    matches!(core, SYN | RST | ACK)
        || core == SYN | URG
        || core == SYN | ACK
        || core == RST | ACK
        || core == FIN | ACK
        || core == FIN | ACK | URG
        || core == ACK | URG
}
