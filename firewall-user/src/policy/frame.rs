//! Ethernet frames of packets as operators write them, with right lengths and checksums.

use std::net::IpAddr;

use firewall_common::packet::protocol;
use firewall_common::parse::tcp::SYN;

use super::model::PacketSpec;

/// A source port where none is written: of the ephemeral range (RFC 6335 section 6).
const EPHEMERAL: u16 = 50_000;
/// The sequence number that a built segment begins with.
pub const SEQUENCE: u32 = 1_000;

/// A packet with every choice made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concrete {
    /// Sender.
    pub source: IpAddr,
    /// Addressee, of the same family.
    pub destination: IpAddr,
    /// Sender's port; of ICMP queries the identifier.
    pub source_port: u16,
    /// Addressee's port.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// ICMP type and code.
    pub icmp: (u8, u8),
    /// TCP flags.
    pub tcp_flags: u8,
    /// TCP sequence and acknowledgement number.
    pub tcp_numbers: (u32, u32),
    /// Time to live, or hop limit.
    pub hop_limit: u8,
    /// What follows the transport header.
    pub payload: Vec<u8>,
}

impl Concrete {
    /// The opening packet between two addresses, its open ports chosen.
    #[must_use]
    pub fn new(spec: &PacketSpec, source: IpAddr, destination: IpAddr) -> Self {
        let icmp = spec.icmp.unwrap_or_default();
        Self {
            source,
            destination,
            source_port: spec.source_port.unwrap_or(EPHEMERAL),
            destination_port: spec.destination_port.unwrap_or(0),
            protocol: spec.protocol,
            icmp,
            tcp_flags: SYN,
            tcp_numbers: (SEQUENCE, 0),
            hop_limit: hop_limit(spec.protocol, icmp.0),
            payload: Vec::new(),
        }
    }

    /// The frame.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = self.link();
        let transport = self.transport();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let ends = [source.octets(), destination.octets()].concat();
                frame.extend(self.v4(&ends, transport.len()));
            }
            _ => {
                let length = (transport.len() as u16).to_be_bytes();
                frame.extend([0x60, 0, 0, 0, length[0], length[1]]);
                frame.extend([self.protocol, self.hop_limit]);
                frame.extend(octets(self.source));
                frame.extend(octets(self.destination));
            }
        }
        frame.extend(transport);
        frame
    }

    /// To a locally administered address, or the group that the destination stands for (RFC 1112
    /// section 6.4, RFC 2464 section 7).
    fn link(&self) -> Vec<u8> {
        let (to, kind) = match self.destination {
            IpAddr::V4(v4) if v4.is_broadcast() => ([0xff; 6], [0x08, 0x00]),
            IpAddr::V4(v4) if v4.is_multicast() => {
                let [_, b, c, d] = v4.octets();
                ([0x01, 0, 0x5e, b & 0x7f, c, d], [0x08, 0x00])
            }
            IpAddr::V6(v6) if v6.is_multicast() => {
                let [.., a, b, c, d] = v6.octets();
                ([0x33, 0x33, a, b, c, d], [0x86, 0xdd])
            }
            IpAddr::V4(_) => ([2, 0, 0, 0, 0, 1], [0x08, 0x00]),
            IpAddr::V6(_) => ([2, 0, 0, 0, 0, 1], [0x86, 0xdd]),
        };
        [to.as_slice(), &[2, 0, 0, 0, 0, 2], &kind].concat()
    }

    fn v4(&self, ends: &[u8], transport: usize) -> Vec<u8> {
        let length = (transport as u16 + 20).to_be_bytes();
        let mut header = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0];
        header.extend([self.hop_limit, self.protocol, 0, 0]);
        header.extend(ends);
        let sum = checksum(&[&header]);
        put(&mut header, 10, sum);
        header
    }

    fn transport(&self) -> Vec<u8> {
        let ports = [
            self.source_port.to_be_bytes(),
            self.destination_port.to_be_bytes(),
        ]
        .concat();
        match self.protocol {
            protocol::TCP => self.summed([ports, self.tcp(), self.payload.clone()].concat(), 16),
            protocol::UDP | protocol::UDPLITE => {
                let length = (self.payload.len() as u16 + 8).to_be_bytes();
                let rest = [&length, [0; 2].as_slice(), &self.payload];
                self.summed([ports, rest.concat()].concat(), 6)
            }
            protocol::DCCP => self.summed([ports, dccp_request()].concat(), 6),
            protocol::SCTP => sctp_init(&ports),
            protocol::ICMP | protocol::ICMPV6 => self.icmp(),
            _ => [0; 8].into_iter().chain(self.payload.clone()).collect(),
        }
    }

    /// RFC 9293 section 3.1, from the sequence number on.
    fn tcp(&self) -> Vec<u8> {
        let (sequence, acknowledgement) = self.tcp_numbers;
        let numbers = [sequence.to_be_bytes(), acknowledgement.to_be_bytes()].concat();
        [
            &numbers,
            [0x50, self.tcp_flags, 0xfa, 0xf0, 0, 0, 0, 0].as_slice(),
        ]
        .concat()
    }

    fn icmp(&self) -> Vec<u8> {
        let [high, low] = self.source_port.to_be_bytes();
        let header = [self.icmp.0, self.icmp.1, 0, 0, high, low, 0, 1];
        let mut message: Vec<u8> = header.into_iter().chain(self.payload.clone()).collect();
        if self.protocol == protocol::ICMP {
            let sum = checksum(&[&message]);
            put(&mut message, 2, sum);
            return message;
        }
        self.summed(message, 2)
    }

    /// With the checksum over the pseudo-header too (RFC 9293 section 3.1, RFC 8200 section 8.1).
    fn summed(&self, mut segment: Vec<u8>, place: usize) -> Vec<u8> {
        let ends = [octets(self.source), octets(self.destination)].concat();
        let length = (segment.len() as u32).to_be_bytes();
        let sum = checksum(&[&ends, &length, &[0, 0, 0, self.protocol], &segment]);
        // In UDP 0 means that there is none (RFC 768).
        let sum = if sum == 0 { 0xffff } else { sum };
        put(&mut segment, place, sum);
        segment
    }
}

/// Neighbour discovery is sent with 255 (RFC 4861 section 4), group management with 1 (RFC 3810 section 5).
const fn hop_limit(number: u8, kind: u8) -> u8 {
    match (number, kind) {
        (protocol::ICMPV6, 133..=137) => 255,
        (protocol::ICMPV6, 130..=132 | 143) => 1,
        _ => 64,
    }
}

/// Is it what neighbours on a link say to each other?
#[must_use]
pub const fn on_link(packet: &Concrete) -> bool {
    packet.protocol == protocol::ICMPV6 && matches!(packet.icmp.0, 130..=137 | 143)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn put(bytes: &mut [u8], place: usize, value: u16) {
    if let Some(field) = bytes.get_mut(place..place + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// The internet checksum (RFC 1071) over parts; only the last may be of odd length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|word| match word {
            [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
            [high] => u32::from(*high) << 8,
            _ => 0,
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A Request behind its ports (RFC 4340 sections 5.1 and 5.2): 48-bit sequence number, service code 0.
fn dccp_request() -> Vec<u8> {
    vec![5, 0, 0, 0, 0x01, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
}

/// An INIT chunk behind its ports (RFC 9260 sections 3.1 and 3.3.2).
fn sctp_init(ports: &[u8]) -> Vec<u8> {
    let chunk = [1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];
    let mut packet = [ports, &[0; 8], &chunk].concat();
    let sum = crc32c(&packet).to_le_bytes();
    if let Some(field) = packet.get_mut(8..12) {
        field.copy_from_slice(&sum);
    }
    packet
}

/// RFC 9260 appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::model::Endpoint;
    use etherparse::{SlicedPacket, TransportSlice};

    fn spec(protocol: u8) -> PacketSpec {
        PacketSpec {
            protocol,
            source: Endpoint::Host,
            source_port: None,
            destination: Endpoint::Host,
            destination_port: Some(443),
            icmp: Some((8, 0)),
            interface: None,
            leaving: false,
        }
    }

    fn built(protocol: u8, from: &str, to: &str) -> Concrete {
        Concrete::new(&spec(protocol), from.parse().unwrap(), to.parse().unwrap())
    }

    #[test]
    fn another_parser_agrees_about_checksums() {
        let frame = built(6, "192.0.2.1", "198.51.100.2").frame();
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        let ip = sliced
            .net
            .as_ref()
            .unwrap()
            .ipv4_ref()
            .unwrap()
            .header()
            .to_header();
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
            panic!("no TCP")
        };
        let sum = tcp.calc_checksum_ipv4([192, 0, 2, 1], [198, 51, 100, 2]);
        assert_eq!(tcp.checksum(), sum.unwrap());
        assert!(tcp.syn() && !tcp.ack() && tcp.destination_port() == 443);
    }

    #[test]
    fn every_protocol_is_parsed_as_an_opening_packet() {
        use firewall_common::packet::{Packet, Role};
        for (protocol, from, to) in [
            (6, "2001:db8::1", "2001:db8::2"),
            (17, "2001:db8::1", "2001:db8::2"),
            (33, "192.0.2.1", "192.0.2.2"),
            (132, "192.0.2.1", "192.0.2.2"),
            (136, "192.0.2.1", "192.0.2.2"),
            (1, "192.0.2.1", "192.0.2.2"),
            (47, "192.0.2.1", "224.0.0.9"),
        ] {
            let frame = built(protocol, from, to).frame();
            let source = firewall_common::source::Slice {
                bytes: &frame,
                tag: None,
            };
            let mut packet = Packet::default();
            firewall_common::parse::parse(&source, &mut packet).unwrap();
            assert_eq!(packet.role, Role::Opens, "{protocol}");
            assert_eq!(packet.tuple.protocol, protocol);
            assert_eq!(packet.end as usize, frame.len());
        }
    }

    #[test]
    fn crc32c_of_the_check_string() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
