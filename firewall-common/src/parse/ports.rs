//! The other protocols that begin with two ports: SCTP (RFC 9260), DCCP (RFC 4340), UDP-Lite (RFC 3828).

use crate::packet::{Packet, Role, protocol};
use crate::parse::within;
use crate::reason::Reason;
use crate::source::PacketSource;

/// Reads the ports, and whether the packet may open a session: an SCTP INIT, a DCCP Request.
///
/// # Errors
/// `truncated`.
#[inline(always)]
pub fn parse<S: PacketSource>(source: &S, packet: &mut Packet) -> Result<(), Reason> {
    let length = match packet.tuple.protocol {
        protocol::UDPLITE => 8,
        _ => 12,
    };
    within(packet, packet.l4, length)?;
    let header = source.read::<8>(packet.l4).ok_or(Reason::Truncated)?;
    packet.tuple.source_port = header.be16::<0>();
    packet.tuple.destination_port = header.be16::<2>();
    packet.payload = packet.l4 + length;
    packet.role = match packet.tuple.protocol {
        protocol::SCTP => sctp_role(source, packet)?,
        protocol::DCCP => dccp_role(source, packet)?,
        _ => Role::Opens,
    };
    Ok(())
}

/// The first chunk's type; INIT is 1 (RFC 9260 section 3.2).
#[inline(always)]
fn sctp_role<S: PacketSource>(source: &S, packet: &Packet) -> Result<Role, Reason> {
    within(packet, packet.l4, 13)?;
    let chunk = source
        .read::<1>(packet.l4 + 12)
        .ok_or(Reason::Truncated)?
        .u8::<0>();
    Ok(if chunk == 1 {
        Role::Opens
    } else {
        Role::Continues
    })
}

/// The packet type; Request is 0 (RFC 4340 section 5.1).
#[inline(always)]
fn dccp_role<S: PacketSource>(source: &S, packet: &Packet) -> Result<Role, Reason> {
    let kind = source
        .read::<1>(packet.l4 + 8)
        .ok_or(Reason::Truncated)?
        .u8::<0>()
        >> 1
        & 0x0f;
    Ok(if kind == 0 {
        Role::Opens
    } else {
        Role::Continues
    })
}
