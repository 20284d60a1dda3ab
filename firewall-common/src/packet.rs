//! What parsing found out about a packet.

use crate::flow::Tuple;

/// [`Packet::fragment`]: whole.
pub const WHOLE: u8 = 0;
/// [`Packet::fragment`]: the first of several fragments.
pub const FIRST: u8 = 1;
/// [`Packet::fragment`]: a later fragment; it has no ports.
pub const LATER: u8 = 2;

/// IP protocol numbers that parsing knows (IANA protocol numbers).
pub mod protocol {
    #![expect(missing_docs, reason = "the names are IANA's")]
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const DCCP: u8 = 33;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;
    pub const UDPLITE: u8 = 136;

    /// Do its headers begin with two ports?
    #[inline(always)]
    #[must_use]
    pub const fn has_ports(number: u8) -> bool {
        matches!(number, TCP | UDP | DCCP | SCTP | UDPLITE)
    }
}

/// What a packet does to sessions, by its own headers.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// May open a session.
    #[default]
    Opens = 0,
    /// Opens none; without one it is a stray.
    Continues = 1,
    /// An ICMP error about another packet.
    Error = 2,
    /// An ICMP message that has no sessions by nature.
    Stateless = 3,
}

/// A parsed packet. It lives in per-CPU scratch memory in the kernel, so it is flat and has no holes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packet {
    /// Who sends to whom. ICMP: the source port is the identifier of queries, the destination port is
    /// type and code. Ports are 0 where the packet has none.
    pub tuple: Tuple,
    /// Bytes of the frame.
    pub length: u32,
    /// Offset of the IP header.
    pub l3: u32,
    /// Offset of the transport header.
    pub l4: u32,
    /// Offset of what follows the transport header.
    pub payload: u32,
    /// Offset of the end of the IP packet (frames may be padded).
    pub end: u32,
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP acknowledgement number.
    pub acknowledgement: u32,
    /// Identification of a fragmented packet.
    pub fragment_id: u32,
    /// Ethertype behind all VLAN tags.
    pub ethertype: u16,
    /// TCP window as sent, unscaled.
    pub window: u16,
    /// 4, 6, or 0 where the packet is not IP.
    pub family: u8,
    /// [`WHOLE`], [`FIRST`] or [`LATER`].
    pub fragment: u8,
    /// TCP flags (RFC 9293 section 3.1).
    pub tcp_flags: u8,
    /// Time to live, or hop limit.
    pub hop_limit: u8,
    /// What it does to sessions.
    pub role: Role,
    /// The destination of the link header is a group address.
    pub group: bool,
    /// [`Self::acknowledgement`] of this SYN is the SYN cookie that it is to be answered with.
    pub cookie: bool,
    /// TCP: one more than the window scale that a SYN offers (RFC 7323 section 2); 0: none.
    pub scale: u8,
    /// Zero.
    pub pad: [u8; 4],
    /// VLAN tags by which a device of this host may take the frame, as [`crate::source::Tag::word`]: the outermost,
    /// and behind priority tags (VID 0) the first that names a VLAN. 0: none.
    pub tags: [u32; 2],
}

impl Packet {
    /// The tuple that sessions know it by: for ICMP queries and their replies, the identifier and the
    /// type of the request.
    #[inline(always)]
    pub fn session_tuple(&self, out: &mut Tuple) {
        *out = self.tuple;
        if self.is_icmp() {
            let ports = query_ports(self.family, self.icmp_type(), self.tuple.source_port);
            (out.source_port, out.destination_port) = ports;
        }
    }

    /// ICMP in IPv4 or ICMPv6 in IPv6.
    #[inline(always)]
    #[must_use]
    pub fn is_icmp(&self) -> bool {
        (self.family == 4 && self.tuple.protocol == protocol::ICMP)
            || (self.family == 6 && self.tuple.protocol == protocol::ICMPV6)
    }

    /// ICMP type; meaningful where [`Self::is_icmp`].
    #[inline(always)]
    #[must_use]
    pub const fn icmp_type(&self) -> u8 {
        (self.tuple.destination_port >> 8) as u8
    }

    /// ICMP code; meaningful where [`Self::is_icmp`].
    #[inline(always)]
    #[must_use]
    pub const fn icmp_code(&self) -> u8 {
        self.tuple.destination_port as u8
    }

    /// A spanning-tree frame: IEEE 802.3 with LLC access point 0x42, which parsing leaves in
    /// [`Packet::fragment_id`] (IEEE 802.1D clause 7.12.3).
    #[inline(always)]
    #[must_use]
    pub const fn bpdu(&self) -> bool {
        self.family == 0 && self.ethertype <= 1500 && self.fragment_id == 0x0042_4203
    }

    /// The window scale that a SYN offers.
    #[inline(always)]
    #[must_use]
    pub const fn offered_scale(&self) -> Option<u8> {
        self.scale.checked_sub(1)
    }

    /// The first of several fragments: its payload goes on in the others.
    #[inline(always)]
    #[must_use]
    pub const fn is_first_fragment(&self) -> bool {
        self.fragment == FIRST
    }

    /// Bytes of transport payload.
    #[inline(always)]
    #[must_use]
    pub const fn payload_length(&self) -> u32 {
        self.end.saturating_sub(self.payload)
    }
}

/// Ports that stand for an ICMP query in session tuples: the sender of the request has the identifier,
/// the other end the request's type (RFC 792, RFC 4443 section 4).
#[inline(always)]
#[must_use]
pub const fn query_ports(family: u8, kind: u8, id: u16) -> (u16, u16) {
    let request: u8 = match (family, kind) {
        (4, 0) => 8,
        (4, 14) => 13,
        (6, 129) => 128,
        _ => kind,
    };
    let port = (request as u16) << 8;
    if request == kind {
        (id, port)
    } else {
        (port, id)
    }
}

const _: () = assert!(size_of::<Packet>() == 96);
