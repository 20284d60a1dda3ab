//! IPv4 (RFC 791).

use crate::addr::Addr;
use crate::packet::{FIRST, LATER, Packet, WHOLE, protocol};
use crate::reason::Reason;
use crate::source::{Bytes, PacketSource};

const MIN_HEADER: u32 = 20;
/// Loose and strict source route (RFC 791 section 3.1; dropped as RFC 7126 section 4.3 and 4.4 advise).
const SOURCE_ROUTES: [u8; 2] = [131, 137];

/// Reads the header, wherever its options end, and finds the transport header.
///
/// # Errors
/// `malformed`, `truncated`, `ip-options`, `fragment-overlap`.
#[inline(always)]
pub fn parse<S: PacketSource>(source: &S, packet: &mut Packet) -> Result<(), Reason> {
    let header = source.read::<20>(packet.l3).ok_or(Reason::Truncated)?;
    let first = header.u8::<0>();
    let header_length = u32::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header_length < MIN_HEADER {
        return Err(Reason::Malformed);
    }
    bounds(source, packet, u32::from(header.be16::<2>()), header_length)?;
    packet.family = 4;
    packet.hop_limit = header.u8::<8>();
    packet.tuple.protocol = header.u8::<9>();
    packet.tuple.source = Addr::v4(header.be32::<12>());
    packet.tuple.destination = Addr::v4(header.be32::<16>());
    if header_length > MIN_HEADER {
        options(source, packet.l3 + MIN_HEADER, packet.l4)?;
    }
    fragment(packet, &header)
}

#[inline(always)]
fn bounds<S: PacketSource>(
    source: &S,
    packet: &mut Packet,
    total: u32,
    header_length: u32,
) -> Result<(), Reason> {
    // A large receive above 64 KiB has no total length (net/ipv4/tcp_offload.c, "BIG TCP").
    let whole = total == 0 && source.segments() > 1;
    let total = if whole {
        packet.length - packet.l3
    } else {
        total
    };
    if total < header_length {
        return Err(Reason::Malformed);
    }
    packet.end = packet.l3 + total;
    packet.l4 = packet.l3 + header_length;
    if packet.end > packet.length {
        Err(Reason::Truncated)
    } else {
        Ok(())
    }
}

/// Walks the options for a source route. Each option takes at least a byte, so forty steps are enough.
#[inline(always)]
fn options<S: PacketSource>(source: &S, start: u32, end: u32) -> Result<(), Reason> {
    let mut offset = start;
    for _ in 0..40 {
        if offset >= end {
            break;
        }
        let kind = source.read::<1>(offset).ok_or(Reason::Truncated)?.u8::<0>();
        match kind {
            0 => break,
            1 => offset += 1,
            _ if kind == SOURCE_ROUTES[0] || kind == SOURCE_ROUTES[1] => {
                return Err(Reason::IpOptions);
            }
            _ => offset += option_length(source, offset, end)?,
        }
    }
    Ok(())
}

#[inline(always)]
fn option_length<S: PacketSource>(source: &S, offset: u32, end: u32) -> Result<u32, Reason> {
    let length = u32::from(
        source
            .read::<1>(offset + 1)
            .ok_or(Reason::Truncated)?
            .u8::<0>(),
    );
    if length < 2 || offset + length > end {
        Err(Reason::Malformed)
    } else {
        Ok(length)
    }
}

#[inline(always)]
fn fragment(packet: &mut Packet, header: &Bytes<20>) -> Result<(), Reason> {
    let field = header.be16::<6>();
    let offset = u32::from(field & 0x1fff) * 8;
    let more = field & 0x2000 != 0;
    packet.fragment_id = u32::from(header.be16::<4>());
    packet.fragment = match (offset, more) {
        (0, false) => WHOLE,
        (0, true) => FIRST,
        _ => LATER,
    };
    later(packet, offset)
}

/// What a later fragment may not do: end beyond 65,535 bytes, or reach into the transport header
/// (RFC 1858 section 4, RFC 3128).
#[inline(always)]
pub(super) fn later(packet: &Packet, offset: u32) -> Result<(), Reason> {
    // What is whole may be longer where it is cut up later ("BIG TCP").
    if packet.fragment != WHOLE && offset + packet.end.saturating_sub(packet.l4) > 65_535 {
        return Err(Reason::Malformed);
    }
    let header = match packet.tuple.protocol {
        protocol::TCP => 20,
        // As far as parsing reads in a first fragment.
        protocol::SCTP | protocol::DCCP => 12,
        _ => 8,
    };
    if packet.fragment == LATER && offset < header {
        return Err(Reason::FragmentOverlap);
    }
    Ok(())
}
