//! Packets for cases, built by `etherparse` (another hand than ours) where it can, by hand where a
//! packet has to be wrong.

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;

/// The guarded host's link address.
pub const HOST_MAC: [u8; 6] = [0x02, 0, 0, 0, 0x77, 0x01];
/// Its peer's link address.
pub const PEER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0x77, 0x02];

/// TCP flags.
pub mod flag {
    #![allow(missing_docs, reason = "the names are RFC 9293's")]
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
}

/// A packet under construction: link header, tags, IP header with what may go wrong in it, and the rest.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Sender.
    pub source: IpAddr,
    /// Addressee.
    pub destination: IpAddr,
    /// IP protocol number of `body`.
    pub protocol: u8,
    /// Transport header and payload; the checksum is filled in where `checksum_at` says.
    pub body: Vec<u8>,
    checksum_at: Option<usize>,
    ttl: u8,
    tags: Vec<(u16, u16)>,
    options: Vec<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
    fragment: Option<(u16, bool, u32)>,
    total_length: Option<u16>,
    version: Option<u8>,
    header_words: Option<u8>,
    link_destination: Option<[u8; 6]>,
    padding: usize,
}

/// Any protocol with this body.
#[must_use]
pub fn raw(source: IpAddr, destination: IpAddr, protocol: u8, body: Vec<u8>) -> Packet {
    Packet {
        source,
        destination,
        protocol,
        body,
        checksum_at: None,
        ttl: 64,
        tags: Vec::new(),
        options: Vec::new(),
        extensions: Vec::new(),
        fragment: None,
        total_length: None,
        version: None,
        header_words: None,
        link_destination: None,
        padding: 0,
    }
}

/// A TCP segment. `sequence` and `acknowledgement` are absolute.
#[must_use]
pub fn tcp(
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    flags: u8,
    sequence: u32,
    acknowledgement: u32,
) -> Packet {
    let mut body = Vec::with_capacity(20);
    body.extend(from.1.to_be_bytes());
    body.extend(to.1.to_be_bytes());
    body.extend(sequence.to_be_bytes());
    body.extend(acknowledgement.to_be_bytes());
    body.extend([5 << 4, flags]);
    body.extend(64_000_u16.to_be_bytes());
    body.extend([0; 4]);
    Packet {
        checksum_at: Some(16),
        ..raw(from.0, to.0, 6, body)
    }
}

/// The first packet of a TCP connection; its sequence number is 1000.
#[must_use]
pub fn syn(from: (IpAddr, u16), to: (IpAddr, u16)) -> Packet {
    tcp(from, to, flag::SYN, 1000, 0)
}

/// The answer to [`syn`]; its sequence number is 5000.
#[must_use]
pub fn syn_ack(from: (IpAddr, u16), to: (IpAddr, u16)) -> Packet {
    tcp(from, to, flag::SYN | flag::ACK, 5000, 1001)
}

/// The third packet.
#[must_use]
pub fn ack(from: (IpAddr, u16), to: (IpAddr, u16)) -> Packet {
    tcp(from, to, flag::ACK, 1001, 5001)
}

/// A UDP datagram.
#[must_use]
pub fn udp(from: (IpAddr, u16), to: (IpAddr, u16), payload: &[u8]) -> Packet {
    let mut body = Vec::with_capacity(8 + payload.len());
    body.extend(from.1.to_be_bytes());
    body.extend(to.1.to_be_bytes());
    body.extend((8 + payload.len() as u16).to_be_bytes());
    body.extend([0; 2]);
    body.extend(payload);
    Packet {
        checksum_at: Some(6),
        ..raw(from.0, to.0, 17, body)
    }
}

/// An ICMP or ICMPv6 message, by the addresses' family. `rest` is the second word of the header.
#[must_use]
pub fn icmp(
    source: IpAddr,
    destination: IpAddr,
    kind: u8,
    code: u8,
    rest: u32,
    data: &[u8],
) -> Packet {
    let mut body = vec![kind, code, 0, 0];
    body.extend(rest.to_be_bytes());
    body.extend(data);
    let protocol = if source.is_ipv6() { 58 } else { 1 };
    let mut packet = Packet {
        checksum_at: Some(2),
        ..raw(source, destination, protocol, body)
    };
    let neighbour = source.is_ipv6() && (133..=137).contains(&kind);
    packet.ttl = if neighbour { 255 } else { 64 };
    packet
}

/// An echo request with this identifier.
#[must_use]
pub fn ping(source: IpAddr, destination: IpAddr, id: u16) -> Packet {
    let kind = if source.is_ipv6() { 128 } else { 8 };
    icmp(
        source,
        destination,
        kind,
        0,
        (u32::from(id) << 16) | 1,
        b"ringwall",
    )
}

/// An echo reply with this identifier.
#[must_use]
pub fn pong(source: IpAddr, destination: IpAddr, id: u16) -> Packet {
    let kind = if source.is_ipv6() { 129 } else { 0 };
    icmp(
        source,
        destination,
        kind,
        0,
        (u32::from(id) << 16) | 1,
        b"ringwall",
    )
}

/// "Port unreachable" about `about`, from `source` to the sender of `about`.
#[must_use]
pub fn unreachable(source: IpAddr, about: &Packet) -> Packet {
    let (kind, code) = if source.is_ipv6() { (1, 4) } else { (3, 3) };
    icmp(source, about.source, kind, code, 0, &about.quote())
}

/// "Packet too big" or "fragmentation needed" about `about`, from `source`, to `to`.
#[must_use]
pub fn too_big(source: IpAddr, to: IpAddr, about: &Packet) -> Packet {
    let (kind, code) = if source.is_ipv6() { (2, 0) } else { (3, 4) };
    icmp(source, to, kind, code, 1300, &about.quote())
}

impl Packet {
    /// The same headers around these bytes, which get no checksum.
    #[must_use]
    pub fn carrying(mut self, bytes: &[u8]) -> Self {
        (self.body, self.checksum_at) = (bytes.to_vec(), None);
        self
    }

    /// With this payload after the transport header.
    #[must_use]
    pub fn data(mut self, payload: &[u8]) -> Self {
        self.body.extend(payload);
        self
    }

    /// With these TCP options, of whole words.
    #[must_use]
    pub fn tcp_options(mut self, options: &[u8]) -> Self {
        self.body.splice(20..20, options.iter().copied());
        self.body[12] = (5 + options.len() as u8 / 4) << 4;
        self
    }

    /// With this time to live or hop limit.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// With one more VLAN tag inside the ones before.
    #[must_use]
    pub fn tag(mut self, ethertype: u16, id: u16) -> Self {
        self.tags.push((ethertype, id));
        self
    }

    /// With these IPv4 options, padded to whole words.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// With an IPv6 extension header of this number; `content` follows its two first bytes and is padded.
    #[must_use]
    pub fn extension(mut self, number: u8, content: &[u8]) -> Self {
        self.extensions.push((number, content.to_vec()));
        self
    }

    /// As a fragment: offset in bytes, more to come, identification.
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool, id: u32) -> Self {
        self.fragment = Some((offset, more, id));
        self
    }

    /// Lying about its length: IPv4 total length, or IPv6 payload length.
    #[must_use]
    pub fn claims_length(mut self, length: u16) -> Self {
        self.total_length = Some(length);
        self
    }

    /// With another IP version in the first four bits.
    #[must_use]
    pub fn version(mut self, version: u8) -> Self {
        self.version = Some(version);
        self
    }

    /// Lying about the IPv4 header's length, in words.
    #[must_use]
    pub fn header_words(mut self, words: u8) -> Self {
        self.header_words = Some(words);
        self
    }

    /// Sent to this link address.
    #[must_use]
    pub fn to_mac(mut self, mac: [u8; 6]) -> Self {
        self.link_destination = Some(mac);
        self
    }

    /// With so many bytes of padding behind the IP packet.
    #[must_use]
    pub fn padded(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// With one byte of the body changed.
    #[must_use]
    pub fn with_byte(mut self, at: usize, value: u8) -> Self {
        self.body[at] = value;
        self
    }

    /// Only the first `length` bytes of the body.
    #[must_use]
    pub fn cut(mut self, length: usize) -> Self {
        self.body.truncate(length);
        self
    }

    /// What an ICMP error quotes of it.
    #[must_use]
    pub fn quote(&self) -> Vec<u8> {
        let mut ip = self.ip();
        ip.truncate(96);
        ip
    }

    /// The body with its checksum.
    #[must_use]
    pub fn transport(&self) -> Vec<u8> {
        let mut body = self.body.clone();
        let Some(at) = self.checksum_at.filter(|at| at + 2 <= body.len()) else {
            return body;
        };
        let mut sum = Sum16BitWords::new().add_slice(&body);
        let length = (body.len() as u32).to_be_bytes();
        let sum = match (self.source, self.destination) {
            // ICMP in IPv4 has no pseudo header.
            (IpAddr::V4(_), IpAddr::V4(_)) if self.protocol == 1 => sum,
            (IpAddr::V4(s), IpAddr::V4(d)) => sum
                .add_4bytes(s.octets())
                .add_4bytes(d.octets())
                .add_2bytes([0, self.protocol])
                .add_2bytes([length[2], length[3]]),
            (IpAddr::V6(s), IpAddr::V6(d)) => sum
                .add_16bytes(s.octets())
                .add_16bytes(d.octets())
                .add_2bytes([0, self.protocol])
                .add_4bytes(length),
            _ => panic!("one family at a time"),
        };
        body[at..at + 2].copy_from_slice(&sum.ones_complement().to_ne_bytes());
        body
    }

    fn ip(&self) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(s), IpAddr::V4(d)) => self.ipv4(s.octets(), d.octets()),
            (IpAddr::V6(s), IpAddr::V6(d)) => self.ipv6(s.octets(), d.octets()),
            _ => panic!("one family at a time"),
        }
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let body = self.transport();
        let words = 5 + self.options.len() as u8 / 4;
        let total = (usize::from(words) * 4 + body.len()) as u16;
        let (offset, more, id) = self.fragment.unwrap_or((0, false, 7));
        let field = (offset / 8) | if more { 0x2000 } else { 0 };
        let mut ip = vec![
            (self.version.unwrap_or(4) << 4) | self.header_words.unwrap_or(words),
            0,
        ];
        ip.extend(self.total_length.unwrap_or(total).to_be_bytes());
        ip.extend((id as u16).to_be_bytes());
        ip.extend(field.to_be_bytes());
        ip.extend([self.ttl, self.protocol, 0, 0]);
        ip.extend(source);
        ip.extend(destination);
        ip.extend(&self.options);
        let sum = Sum16BitWords::new()
            .add_slice(&ip)
            .ones_complement()
            .to_ne_bytes();
        ip[10..12].copy_from_slice(&sum);
        ip.extend(body);
        ip
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let (first, rest) = self.ipv6_rest();
        let mut ip = vec![self.version.unwrap_or(6) << 4, 0, 0, 0];
        ip.extend(self.total_length.unwrap_or(rest.len() as u16).to_be_bytes());
        ip.extend([first, self.ttl]);
        ip.extend(source);
        ip.extend(destination);
        ip.extend(rest);
        ip
    }

    /// Extension headers, the fragment header last among them, and the body.
    fn ipv6_rest(&self) -> (u8, Vec<u8>) {
        let mut headers = self.extensions.clone();
        if let Some((offset, more, id)) = self.fragment {
            let mut content = (offset | u16::from(more)).to_be_bytes().to_vec();
            content.extend(id.to_be_bytes());
            headers.push((44, content));
        }
        let mut rest = Vec::new();
        for (index, (_, content)) in headers.iter().enumerate() {
            let next = headers
                .get(index + 1)
                .map_or(self.protocol, |header| header.0);
            let length = (content.len() + 2).next_multiple_of(8);
            let words = if headers[index].0 == 44 {
                0
            } else {
                (length / 8 - 1) as u8
            };
            let start = rest.len();
            rest.extend([next, words]);
            rest.extend(content);
            rest.resize(start + length, 0);
        }
        rest.extend(self.transport());
        (
            headers.first().map_or(self.protocol, |header| header.0),
            rest,
        )
    }

    /// The frame as it arrives at the host.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        self.framed(HOST_MAC, PEER_MAC)
    }

    /// The frame as the host sends it.
    #[must_use]
    pub fn sent(&self) -> Vec<u8> {
        self.framed(PEER_MAC, HOST_MAC)
    }

    fn framed(&self, to: [u8; 6], from: [u8; 6]) -> Vec<u8> {
        let kind: u16 = if self.source.is_ipv6() {
            0x86dd
        } else {
            0x0800
        };
        let mut frame = self.link_destination.unwrap_or(to).to_vec();
        frame.extend(from);
        for (ethertype, id) in &self.tags {
            frame.extend(ethertype.to_be_bytes());
            frame.extend(id.to_be_bytes());
        }
        frame.extend(kind.to_be_bytes());
        frame.extend(self.ip());
        frame.resize(frame.len() + self.padding, 0);
        frame
    }
}

/// A frame that is not IP.
#[must_use]
pub fn ethernet(to: [u8; 6], from: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend(from);
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}
