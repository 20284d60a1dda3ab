//! The packet that an ICMP error quotes (RFC 792, RFC 4443 section 2.4): as much of it as tells its session.

use crate::addr::Addr;
use crate::flow::Tuple;
use crate::packet::{Packet, Role, protocol, query_ports};
use crate::parse::icmp;
use crate::source::PacketSource;

/// Reads the session tuple of the packet quoted by the ICMP error `outer`, in the direction it was sent, and, of a TCP
/// segment, its sequence number into that of `outer`.
/// `None` where too little is quoted, or a later fragment, or a message that has no session.
// Not inlined, for the kernel's stack.
#[inline(never)]
pub fn parse<S: PacketSource>(source: &S, outer: &mut Packet, tuple: &mut Tuple) -> Option<()> {
    // Ports stay 0 where what is quoted has none.
    *tuple = Tuple::default();
    let offset = outer.payload;
    let l4 = if outer.family == 4 {
        v4(source, offset, tuple)?
    } else {
        v6(source, offset, tuple)?
    };
    if l4 + 8 > outer.end {
        return None;
    }
    let header = source.read::<8>(l4)?;
    let icmp = match outer.family {
        4 => protocol::ICMP,
        _ => protocol::ICMPV6,
    };
    if tuple.protocol == icmp {
        // Only a request or a reply of a session of ours can be quoted.
        let kind = header.u8::<0>();
        let role = icmp::role(outer.family, kind);
        if !matches!(role, Role::Opens | Role::Continues) {
            return None;
        }
        let ports = query_ports(outer.family, kind, header.be16::<4>());
        (tuple.source_port, tuple.destination_port) = ports;
    } else if protocol::has_ports(tuple.protocol) {
        tuple.source_port = header.be16::<0>();
        tuple.destination_port = header.be16::<2>();
        outer.sequence = header.be32::<4>();
    } else {
        // What is there is left from the packet before.
        (tuple.source_port, tuple.destination_port) = (0, 0);
    }
    Some(())
}

#[inline(always)]
fn v4<S: PacketSource>(source: &S, offset: u32, tuple: &mut Tuple) -> Option<u32> {
    let header = source.read::<20>(offset)?;
    let first = header.u8::<0>();
    let length = u32::from(first & 0x0f) * 4;
    if first >> 4 != 4 || length < 20 || header.be16::<6>() & 0x1fff != 0 {
        return None;
    }
    tuple.protocol = header.u8::<9>();
    tuple.source = Addr::v4(header.be32::<12>());
    tuple.destination = Addr::v4(header.be32::<16>());
    Some(offset + length)
}

#[inline(always)]
fn v6<S: PacketSource>(source: &S, offset: u32, tuple: &mut Tuple) -> Option<u32> {
    let header = source.read::<40>(offset)?;
    if header.u8::<0>() >> 4 != 6 {
        return None;
    }
    tuple.source = Addr {
        hi: header.be64::<8>(),
        lo: header.be64::<16>(),
    };
    tuple.destination = Addr {
        hi: header.be64::<24>(),
        lo: header.be64::<32>(),
    };
    extensions(source, offset + 40, header.u8::<6>(), tuple)
}

/// Walks a few extension headers of the quoted packet; a quoted first fragment still has its ports.
#[inline(always)]
fn extensions<S: PacketSource>(
    source: &S,
    start: u32,
    first: u8,
    tuple: &mut Tuple,
) -> Option<u32> {
    let (mut next, mut offset) = (first, start);
    for _ in 0..4 {
        if !matches!(next, 0 | 43 | 44 | 60) {
            break;
        }
        let header = source.read::<8>(offset)?;
        if next == 44 && header.be16::<2>() & 0xfff8 != 0 {
            return None;
        }
        offset += if next == 44 {
            8
        } else {
            (u32::from(header.u8::<1>()) + 1) * 8
        };
        next = header.u8::<0>();
    }
    tuple.protocol = next;
    Some(offset)
}
