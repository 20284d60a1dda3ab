//! IPv6 and its extension headers (RFC 8200).

use crate::addr::Addr;
use crate::packet::{FIRST, LATER, Packet};
use crate::parse::{ipv4, within};
use crate::reason::Reason;
use crate::source::PacketSource;

const HEADER: u32 = 40;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// Extension headers that are walked; a longer chain is malformed. Linux sends at most five.
const MAX_HEADERS: u32 = 8;

/// Reads the header, walks the extension headers and finds the transport header.
///
/// # Errors
/// `malformed`, `truncated`, `ipv6-routing-header`, `fragment-overlap`.
#[inline(always)]
pub fn parse<S: PacketSource>(source: &S, packet: &mut Packet) -> Result<(), Reason> {
    let header = source.read::<40>(packet.l3).ok_or(Reason::Truncated)?;
    if header.u8::<0>() >> 4 != 6 {
        return Err(Reason::Malformed);
    }
    let payload = u32::from(header.be16::<4>());
    // A large receive above 64 KiB has no payload length (net/ipv6/ip6_offload.c, "BIG TCP").
    let whole = payload == 0 && source.segments() > 1;
    packet.l4 = packet.l3 + HEADER;
    packet.end = if whole {
        packet.length
    } else {
        packet.l4 + payload
    };
    if packet.end > packet.length || packet.l4 > packet.length {
        return Err(Reason::Truncated);
    }
    packet.family = 6;
    packet.hop_limit = header.u8::<7>();
    packet.tuple.source = Addr {
        hi: header.be64::<8>(),
        lo: header.be64::<16>(),
    };
    packet.tuple.destination = Addr {
        hi: header.be64::<24>(),
        lo: header.be64::<32>(),
    };
    walk(source, packet, header.u8::<6>())
}

/// The authentication header (RFC 4302) is no part of the chain: as in IPv4 it is the protocol that rules name, `ah`.
#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION)
}

/// Follows the chain. A walk that does not end within [`MAX_HEADERS`] is malformed, never "unknown".
#[inline(always)]
fn walk<S: PacketSource>(source: &S, packet: &mut Packet, first: u8) -> Result<(), Reason> {
    let mut next = first;
    let mut fragmented = false;
    for step in 0..MAX_HEADERS {
        if !is_extension(next) || packet.fragment == LATER {
            break;
        }
        within(packet, packet.l4, 8)?;
        let header = source.read::<8>(packet.l4).ok_or(Reason::Truncated)?;
        match next {
            // Only the first header may be hop-by-hop (RFC 8200 section 4.1).
            HOP_BY_HOP if step > 0 => return Err(Reason::Malformed),
            // Routing header type 0 is a source route (RFC 5095).
            ROUTING if header.u8::<2>() == 0 => return Err(Reason::Ipv6RoutingHeader),
            FRAGMENT if fragmented => return Err(Reason::Malformed),
            FRAGMENT => {
                fragmented = true;
                packet.l4 += 8;
                fragment(
                    packet,
                    header.be16::<2>(),
                    header.be32::<4>(),
                    header.u8::<0>(),
                )?;
            }
            _ => packet.l4 += (u32::from(header.u8::<1>()) + 1) * 8,
        }
        next = header.u8::<0>();
    }
    packet.tuple.protocol = next;
    if packet.l4 > packet.end {
        return Err(Reason::Truncated);
    }
    if is_extension(next) && packet.fragment != LATER {
        Err(Reason::Malformed)
    } else {
        Ok(())
    }
}

/// The fragment header (RFC 8200 section 4.5). Offset 0 without more is an atomic fragment (RFC 6946):
/// a whole packet.
#[inline(always)]
fn fragment(packet: &mut Packet, field: u16, id: u32, next: u8) -> Result<(), Reason> {
    let offset = u32::from(field & 0xfff8);
    let more = field & 1 != 0;
    packet.fragment_id = id;
    if offset == 0 {
        packet.fragment = if more { FIRST } else { packet.fragment };
    } else {
        packet.fragment = LATER;
    }
    // Every fragment but the last carries a multiple of eight bytes.
    if more && !packet.end.saturating_sub(packet.l4).is_multiple_of(8) {
        return Err(Reason::Malformed);
    }
    packet.tuple.protocol = next;
    ipv4::later(packet, offset)
}
