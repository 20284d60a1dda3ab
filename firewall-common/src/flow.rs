//! Which conversation a packet belongs to, whichever of the two sides sent it.

use crate::addr::Addr;

/// The hook a packet is judged at.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Arriving by an interface.
    Ingress = 0,
    /// Leaving by an interface.
    Egress = 1,
}

/// The key of a session: both ends in one fixed order, so that there is one entry for both directions.
///
/// Ports are in host byte order; 0 for protocols without ports. For ICMP queries one port is the
/// identifier and the other the type of the request shifted left by eight.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct FlowKey {
    /// The smaller end's address.
    pub low: Addr,
    /// The greater end's address.
    pub high: Addr,
    /// The smaller end's port.
    pub low_port: u16,
    /// The greater end's port.
    pub high_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub pad: [u8; 3],
}

/// Which side of a [`FlowKey`] sent a packet.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The smaller end.
    Low = 0,
    /// The greater end.
    High = 1,
}

impl Side {
    /// The one across.
    #[inline(always)]
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

/// One direction of a conversation, from who sends to who is addressed.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Tuple {
    /// Sender.
    pub source: Addr,
    /// Addressee.
    pub destination: Addr,
    /// Sender's port, or the ICMP identifier.
    pub source_port: u16,
    /// Addressee's port, or ICMP type and code.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub pad: [u8; 3],
}

impl Tuple {
    /// The other direction.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
            pad: [0; 3],
        }
    }

    /// The key of its session, and which side the sender is.
    #[inline(always)]
    pub fn key(&self, key: &mut FlowKey) -> Side {
        key.protocol = self.protocol;
        key.pad = [0; 3];
        if (self.source, self.source_port) <= (self.destination, self.destination_port) {
            (key.low, key.low_port) = (self.source, self.source_port);
            (key.high, key.high_port) = (self.destination, self.destination_port);
            Side::Low
        } else {
            (key.low, key.low_port) = (self.destination, self.destination_port);
            (key.high, key.high_port) = (self.source, self.source_port);
            Side::High
        }
    }
}

impl FlowKey {
    /// The direction that `sender` sends in.
    #[inline(always)]
    pub fn tuple(&self, sender: Side, out: &mut Tuple) {
        out.protocol = self.protocol;
        out.pad = [0; 3];
        let low = matches!(sender, Side::Low);
        out.source = if low { self.low } else { self.high };
        out.destination = if low { self.high } else { self.low };
        out.source_port = if low { self.low_port } else { self.high_port };
        out.destination_port = if low { self.high_port } else { self.low_port };
    }
}

/// Nanoseconds for which later fragments are let through after the first: as long as the kernel keeps
/// them for reassembly (`net.ipv4.ipfrag_time`).
pub const FRAGMENT_LIFE: u64 = 30_000_000_000;

/// The key of a fragmented packet (RFC 791 section 3.2, RFC 8200 section 4.5).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FragmentKey {
    /// Sender.
    pub source: Addr,
    /// Addressee.
    pub destination: Addr,
    /// Identification, 16 bits in IPv4 and 32 in IPv6.
    pub id: u32,
    /// IP protocol number; 0 in IPv6, where the identification is per pair of addresses.
    pub protocol: u32,
}

const _: () = assert!(size_of::<FlowKey>() == 40 && size_of::<Tuple>() == 40);
const _: () = assert!(size_of::<FragmentKey>() == 40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key_and_different_sides() {
        let there = Tuple {
            source: Addr::v4(0x0a00_0001),
            destination: Addr::v4(0x0a00_0002),
            source_port: 40000,
            destination_port: 443,
            protocol: 6,
            pad: [0; 3],
        };
        let (mut a, mut b) = (FlowKey::default(), FlowKey::default());
        let side = there.key(&mut a);
        assert_ne!(side, there.reversed().key(&mut b));
        assert_eq!(a, b);
        let mut back = Tuple::default();
        a.tuple(side, &mut back);
        assert_eq!(back, there);
    }
}
