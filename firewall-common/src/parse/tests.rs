//! Parsing against packets built by another hand, and against noise.

use std::vec::Vec;

use etherparse::{Ipv6FlowLabel, PacketBuilder};
use proptest::prelude::*;

use super::*;
use crate::addr::Addr;
use crate::packet::{FIRST, WHOLE};
use crate::source::Slice;

fn read(bytes: &[u8]) -> Result<Packet, Reason> {
    let mut packet = Packet::default();
    parse(&Slice { bytes, tag: None }, &mut packet).map(|()| packet)
}

fn v4_tcp(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 61)
        .tcp(40_000, 443, 0x0102_0304, 500)
        .syn();
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

#[test]
fn fields_are_where_the_rfcs_put_them() {
    let packet = read(&v4_tcp(b"abc")).unwrap();
    assert_eq!(packet.tuple.source, Addr::v4(0xc000_0201));
    assert_eq!(packet.tuple.destination, Addr::v4(0xc000_0202));
    assert_eq!(
        (packet.tuple.source_port, packet.tuple.destination_port),
        (40_000, 443)
    );
    assert_eq!((packet.sequence, packet.window), (0x0102_0304, 500));
    assert_eq!((packet.tcp_flags, packet.role), (tcp::SYN, Role::Opens));
    assert_eq!((packet.l3, packet.l4, packet.payload), (14, 34, 54));
    assert_eq!((packet.hop_limit, packet.payload_length()), (61, 3));
    assert_eq!((packet.family, packet.fragment), (4, WHOLE));
}

/// A SYN with these options, of whole words.
fn with_options(options: &[u8]) -> Vec<u8> {
    let mut bytes = v4_tcp(b"");
    bytes.extend(options);
    bytes[14 + 3] += options.len() as u8;
    bytes[34 + 12] = (5 + options.len() as u8 / 4) << 4;
    bytes
}

/// RFC 7323 section 2, RFC 9293 section 3.1.
#[test]
fn the_window_scale_is_found_among_the_options() {
    let none: &[&[u8]] = &[
        &[2, 4, 5, 180],
        &[0, 3, 3, 7],
        &[1, 0, 3, 3],
        &[3, 4, 7, 0],
        &[1, 1, 3, 3],
        &[8, 0, 0, 3],
    ];
    for options in none {
        let found = read(&with_options(options)).unwrap();
        assert_eq!(found.offered_scale(), None, "{options:?}");
    }
    let some: &[(&[u8], u8)] = &[
        (&[3, 3, 7, 0], 7),
        (&[1, 3, 3, 0], 0),
        (&[2, 4, 5, 180, 4, 2, 1, 3, 3, 9, 0, 0], 9),
        (&[3, 3, 200, 0], 14),
        (&[1; 40], 14),
    ];
    for (options, scale) in some {
        let found = read(&with_options(options)).unwrap();
        assert_eq!(found.offered_scale(), Some(*scale), "{options:?}");
    }
}

#[test]
fn a_tcp_header_is_no_shorter_than_its_least() {
    let mut bytes = v4_tcp(b"");
    bytes[34 + 12] = 4 << 4;
    assert_eq!(read(&bytes), Err(Reason::Malformed));
}

#[test]
fn every_cut_of_a_packet_is_truncated() {
    let whole = v4_tcp(b"abc");
    for length in 0..whole.len() {
        assert_eq!(
            read(&whole[..length]),
            Err(Reason::Truncated),
            "{length} bytes"
        );
    }
}

#[test]
fn every_header_length_is_taken_from_the_byte() {
    for words in 5..=15_u8 {
        let mut bytes = v4_tcp(b"");
        let options = usize::from(words - 5) * 4;
        bytes[14] = 0x40 | words;
        let total = (40 + options) as u16;
        bytes[16..18].copy_from_slice(&total.to_be_bytes());
        bytes.splice(34..34, core::iter::repeat_n(1, options));
        let packet = read(&bytes).unwrap();
        assert_eq!(packet.l4, 14 + u32::from(words) * 4);
        assert_eq!(packet.tuple.destination_port, 443);
    }
    for words in 0..5_u8 {
        let mut bytes = v4_tcp(b"");
        bytes[14] = 0x40 | words;
        assert_eq!(read(&bytes), Err(Reason::Malformed));
    }
}

#[test]
fn a_first_fragment_has_ports_and_a_later_one_has_none() {
    let mut first = v4_tcp(b"12345678");
    first[20] = 0x20;
    assert_eq!(read(&first).unwrap().fragment, FIRST);
    let mut later = v4_tcp(b"12345678");
    later[21] = 3;
    let packet = read(&later).unwrap();
    assert_eq!((packet.fragment, packet.tuple.destination_port), (LATER, 0));
    assert_eq!(packet.role, Role::Continues);
}

#[test]
fn extension_headers_are_walked_to_the_transport() {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ip(etherparse::IpHeaders::Ipv6(
            etherparse::Ipv6Header {
                flow_label: Ipv6FlowLabel::ZERO,
                hop_limit: 9,
                source: [0xfd; 16],
                destination: [0xfe; 16],
                ..Default::default()
            },
            etherparse::Ipv6Extensions {
                hop_by_hop_options: Some(
                    etherparse::Ipv6RawExtHeader::new_raw(17.into(), &[1, 4, 0, 0, 0, 0]).unwrap(),
                ),
                fragment: Some(etherparse::Ipv6FragmentHeader::new(
                    17.into(),
                    etherparse::IpFragOffset::ZERO,
                    true,
                    77,
                )),
                ..Default::default()
            },
        ))
        .udp(7, 53)
        .write(&mut bytes, &[0; 8])
        .unwrap();
    let packet = read(&bytes).unwrap();
    assert_eq!((packet.family, packet.tuple.protocol), (6, protocol::UDP));
    assert_eq!((packet.fragment, packet.fragment_id), (FIRST, 77));
    assert_eq!(
        (packet.l4, packet.tuple.destination_port),
        (14 + 40 + 16, 53)
    );
}

#[test]
fn tcp_flags_as_conntrack_has_them() {
    let good: Vec<u8> = (0..64).filter(|flags| tcp::plausible(*flags)).collect();
    // With and without PSH: SYN, SYN+ACK, SYN+URG, RST, RST+ACK, FIN+ACK, FIN+ACK+URG, ACK, ACK+URG.
    assert_eq!(good.len(), 18);
    for flags in [0, tcp::FIN, tcp::SYN | tcp::FIN, tcp::SYN | tcp::RST, 0x3f] {
        assert!(!tcp::plausible(flags));
    }
}

proptest! {
    #[test]
    fn noise_is_judged_and_offsets_stay_inside(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(packet) = read(&bytes) {
            prop_assert!(packet.end as usize <= bytes.len());
            prop_assert!(packet.family == 0 || (packet.l4 <= packet.payload && packet.payload <= packet.end));
        }
    }

    #[test]
    fn a_damaged_packet_never_reads_beyond_its_end(
        at in 12_usize..54, value in any::<u8>(), keep in 14_usize..62,
    ) {
        let mut bytes = v4_tcp(b"payload!");
        bytes[at] = value;
        bytes.truncate(keep);
        if let Ok(packet) = read(&bytes) {
            prop_assert!(packet.end as usize <= bytes.len());
        }
    }
}

/// A receive of more than 64 KiB, of which only the headers matter.
struct Large(Vec<u8>);

impl crate::source::PacketSource for Large {
    fn length(&self) -> u32 {
        150_054
    }

    fn read<const N: usize>(&self, offset: u32) -> Option<crate::source::Bytes<N>> {
        let bytes = &self.0;
        Slice { bytes, tag: None }.read(offset)
    }

    fn tag_in_metadata(&self) -> Option<crate::source::Tag> {
        None
    }

    fn segments(&self) -> u32 {
        100
    }
}

#[test]
fn a_receive_beyond_64_kib_has_no_length_and_is_whole() {
    let mut bytes = v4_tcp(b"");
    bytes[16..18].fill(0);
    let mut packet = Packet::default();
    assert_eq!(parse(&Large(bytes), &mut packet), Ok(()));
    assert_eq!((packet.fragment, packet.payload_length()), (WHOLE, 150_000));
}
