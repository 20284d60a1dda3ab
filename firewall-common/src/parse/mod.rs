//! From bytes to a [`Packet`]: one file a protocol. An error is the reason the packet is dropped for.

pub mod eth;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod ports;
pub mod quoted;
pub mod tcp;
pub mod udp;

use crate::packet::{LATER, Packet, Role, protocol};
use crate::reason::Reason;
use crate::source::PacketSource;

/// Reads all headers of a packet into `packet`, which must be zeroed.
///
/// # Errors
/// The reason for which a packet that cannot be understood is dropped.
// Not inlined: the headers read here and the search of the policy never need the kernel's stack at once.
#[inline(never)]
pub fn parse<S: PacketSource>(source: &S, packet: &mut Packet) -> Result<(), Reason> {
    eth::parse(source, packet)?;
    match packet.ethertype {
        eth::IPV4 => ipv4::parse(source, packet)?,
        eth::IPV6 => ipv6::parse(source, packet)?,
        _ => return Ok(()),
    }
    if packet.fragment == LATER {
        packet.payload = packet.l4;
        packet.role = Role::Continues;
        return Ok(());
    }
    transport(source, packet)
}

#[inline(always)]
fn transport<S: PacketSource>(source: &S, packet: &mut Packet) -> Result<(), Reason> {
    match packet.tuple.protocol {
        protocol::TCP => tcp::parse(source, packet),
        protocol::UDP => udp::parse(source, packet),
        protocol::SCTP | protocol::DCCP | protocol::UDPLITE => ports::parse(source, packet),
        protocol::ICMP | protocol::ICMPV6 if packet.is_icmp() => icmp::parse(source, packet),
        // ICMP belongs to IPv4 and ICMPv6 to IPv6 (RFC 792, RFC 4443 section 1): no host takes it from the other.
        protocol::ICMP | protocol::ICMPV6 => Err(Reason::Malformed),
        _ => {
            packet.payload = packet.l4;
            Ok(())
        }
    }
}

/// Are there `needed` bytes between `offset` and the end of the IP packet?
#[inline(always)]
fn within(packet: &Packet, offset: u32, needed: u32) -> Result<(), Reason> {
    if offset + needed > packet.end {
        Err(Reason::Truncated)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod framed_tests;
#[cfg(test)]
mod tests;
