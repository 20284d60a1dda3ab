//! ICMP (RFC 792) and ICMPv6 (RFC 4443).

use crate::packet::{Packet, Role};
use crate::parse::within;
use crate::reason::Reason;
use crate::source::PacketSource;

const HEADER: u32 = 8;

/// Reads type, code and, of queries and replies, the identifier.
///
/// # Errors
/// `truncated`.
#[inline(always)]
pub fn parse<S: PacketSource>(source: &S, packet: &mut Packet) -> Result<(), Reason> {
    within(packet, packet.l4, HEADER)?;
    let header = source.read::<8>(packet.l4).ok_or(Reason::Truncated)?;
    packet.payload = packet.l4 + HEADER;
    packet.tuple.destination_port = header.be16::<0>();
    packet.role = role(packet.family, header.u8::<0>());
    packet.tuple.source_port = match packet.role {
        Role::Opens | Role::Continues => header.be16::<4>(),
        _ => 0,
    };
    Ok(())
}

/// What a type does to sessions.
#[inline(always)]
#[must_use]
pub const fn role(family: u8, kind: u8) -> Role {
    match (family, kind) {
        (4, 8 | 13) | (6, 128) => Role::Opens,
        (4, 0 | 14) | (6, 129) => Role::Continues,
        // Unreachable, source quench, redirect, time exceeded, parameter problem.
        (4, 3 | 4 | 5 | 11 | 12) | (6, 0..=127) => Role::Error,
        _ => Role::Stateless,
    }
}
