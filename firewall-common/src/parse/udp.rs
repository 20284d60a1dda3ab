//! UDP (RFC 768).

use crate::packet::{FIRST, Packet, Role};
use crate::parse::within;
use crate::reason::Reason;
use crate::source::PacketSource;

const HEADER: u32 = 8;

/// Reads the ports and checks that the length tells the truth.
///
/// # Errors
/// `truncated`, `malformed`.
#[inline(always)]
pub fn parse<S: PacketSource>(source: &S, packet: &mut Packet) -> Result<(), Reason> {
    within(packet, packet.l4, HEADER)?;
    let header = source.read::<8>(packet.l4).ok_or(Reason::Truncated)?;
    let length = u32::from(header.be16::<4>());
    if length < HEADER {
        return Err(Reason::Malformed);
    }
    // The length of a fragmented datagram is that of the whole; a large segment's is the sender's.
    if packet.fragment != FIRST && source.segments() == 1 {
        within(packet, packet.l4, length)?;
    }
    packet.payload = packet.l4 + HEADER;
    packet.tuple.source_port = header.be16::<0>();
    packet.tuple.destination_port = header.be16::<2>();
    packet.role = Role::Opens;
    Ok(())
}
