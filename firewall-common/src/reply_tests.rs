//! Answers as another library reads them: what they say, and that each checksum is right.

use std::vec::Vec;

use etherparse::icmpv4::DestUnreachableHeader as Unreachable4;
use etherparse::icmpv6::DestUnreachableCode as Unreachable6;
use etherparse::{
    Icmpv4Type, Icmpv6Type, NetSlice, PacketBuilder, SlicedPacket, TcpSlice, TransportSlice,
};

use super::*;
use crate::parse;
use crate::source::Slice;

const HERE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const HERE4: [u8; 4] = [192, 0, 2, 1];
const PEER4: [u8; 4] = [198, 51, 100, 7];
const HERE6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const PEER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/// The answer to a frame, cut to its length.
fn answer(frame: &[u8]) -> Option<Vec<u8>> {
    let source = Slice {
        bytes: frame,
        tag: None,
    };
    let mut packet = Packet::default();
    parse::parse(&source, &mut packet).unwrap();
    let mut reply = Reply::default();
    let length = build(&source, &packet, Toward::Sender, &mut reply)? as usize;
    let bytes: Vec<u8> = reply.words.iter().flat_map(|w| w.to_ne_bytes()).collect();
    assert_eq!(&bytes[0..6], &frame[6..12]);
    assert_eq!(&bytes[6..12], &frame[0..6]);
    Some(bytes[..length].to_vec())
}

fn tcp(version: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let link = PacketBuilder::ethernet2(PEER, HERE);
    let ip = match version {
        4 => link.ipv4(PEER4, HERE4, 57),
        _ => link.ipv6(PEER6, HERE6, 57),
    };
    let mut bytes = Vec::new();
    let segment = ip.tcp(40000, 22, sequence, 64240).syn();
    segment.write(&mut bytes, payload).unwrap();
    bytes
}

fn udp(version: u8, payload: &[u8]) -> Vec<u8> {
    let link = PacketBuilder::ethernet2(PEER, HERE);
    let ip = match version {
        4 => link.ipv4(PEER4, HERE4, 57),
        _ => link.ipv6(PEER6, HERE6, 57),
    };
    let mut bytes = Vec::new();
    ip.udp(40000, 53).write(&mut bytes, payload).unwrap();
    bytes
}

/// Checks the IP header and hands on the transport part, whose checksum `check` verifies.
fn transport<R>(answer: &[u8], check: impl FnOnce(&SlicedPacket<'_>) -> R) -> R {
    let sliced = SlicedPacket::from_ethernet(answer).unwrap();
    match sliced.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!((header.source, header.destination), (HERE4, PEER4));
            assert_eq!(header.calc_header_checksum(), header.header_checksum);
            assert_eq!(usize::from(header.total_len), answer.len() - 14);
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            assert_eq!((header.source, header.destination), (HERE6, PEER6));
            assert_eq!(usize::from(header.payload_length), answer.len() - 54);
        }
        NetSlice::Arp(_) => panic!("an answer is IP"),
    }
    check(&sliced)
}

fn tcp_of<'a>(packet: &SlicedPacket<'a>) -> TcpSlice<'a> {
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else {
        panic!("not TCP");
    };
    tcp.clone()
}

#[test]
fn a_syn_is_answered_with_a_reset_that_acknowledges_it_whole() {
    for version in [4, 6] {
        let answer = answer(&tcp(version, u32::MAX, b"fast open")).unwrap();
        transport(&answer, |packet| {
            let tcp = tcp_of(packet);
            assert_eq!((tcp.source_port(), tcp.destination_port()), (22, 40000));
            assert_eq!((tcp.sequence_number(), tcp.acknowledgment_number()), (0, 9));
            assert!(tcp.rst() && tcp.ack() && !tcp.syn() && !tcp.fin());
            let right = match version {
                4 => tcp.calc_checksum_ipv4(HERE4, PEER4).unwrap(),
                _ => tcp.calc_checksum_ipv6(HERE6, PEER6).unwrap(),
            };
            assert_eq!(tcp.checksum(), right);
        });
    }
}

#[test]
fn a_segment_with_ack_is_answered_at_the_number_it_acknowledged() {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(PEER, HERE)
        .ipv4(PEER4, HERE4, 57)
        .tcp(40000, 22, 77, 64240)
        .ack(0xdead_beef)
        .write(&mut bytes, b"")
        .unwrap();
    transport(&answer(&bytes).unwrap(), |packet| {
        let tcp = tcp_of(packet);
        assert_eq!(tcp.sequence_number(), 0xdead_beef);
        assert!(tcp.rst() && !tcp.ack());
        let right = tcp.calc_checksum_ipv4(HERE4, PEER4).unwrap();
        assert_eq!(tcp.checksum(), right);
    });
}

#[test]
fn a_datagram_is_answered_with_port_unreachable_that_quotes_it() {
    let frame = udp(4, b"what is the time?");
    transport(&answer(&frame).unwrap(), |packet| {
        let Some(TransportSlice::Icmpv4(icmp)) = &packet.transport else {
            panic!("not ICMP");
        };
        let kind = Icmpv4Type::DestinationUnreachable(Unreachable4::Port);
        assert_eq!(icmp.icmp_type(), kind);
        assert_eq!(kind.calc_checksum(icmp.payload()), icmp.checksum());
        assert_eq!(icmp.payload(), &frame[14..42]);
    });
    let frame = udp(6, b"");
    transport(&answer(&frame).unwrap(), |packet| {
        let Some(TransportSlice::Icmpv6(icmp)) = &packet.transport else {
            panic!("not ICMPv6");
        };
        let kind = Icmpv6Type::DestinationUnreachable(Unreachable6::Port);
        assert_eq!(icmp.icmp_type(), kind);
        assert!(icmp.is_checksum_valid(HERE6, PEER6));
        assert_eq!(icmp.payload(), &frame[14..62]);
    });
}

#[test]
fn what_must_not_be_answered_is_not() {
    let reset = {
        let mut frame = tcp(4, 1, b"");
        frame[14 + 20 + 13] = 0x04;
        frame
    };
    let fragment = {
        let mut frame = udp(4, &[0; 64]);
        frame[14 + 6] = 0x20;
        frame[14 + 7] = 2;
        frame
    };
    let group_source = {
        let mut frame = udp(4, b"x");
        frame[14 + 12] = 224;
        frame
    };
    let group_destination = {
        let mut frame = udp(6, b"x");
        frame[14 + 24] = 0xff;
        frame
    };
    let group_frame = {
        let mut frame = udp(4, b"x");
        frame[0] = 1;
        frame
    };
    let error = {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(PEER, HERE)
            .ipv4(PEER4, HERE4, 57)
            .icmpv4(Icmpv4Type::DestinationUnreachable(Unreachable4::Host))
            .write(&mut frame, &[0x45; 40])
            .unwrap();
        frame
    };
    let tagged = {
        let mut frame = udp(4, b"x");
        frame.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
        frame
    };
    for frame in [
        reset,
        fragment,
        group_source,
        group_destination,
        group_frame,
        error,
        tagged,
    ] {
        assert_eq!(answer(&frame), None);
    }
}

/// The sum that a device makes where the sender left that to it: what is in the field, and all of the segment.
fn made_by_device(frame: &[u8], from: usize) -> u16 {
    let words = frame[from..]
        .chunks(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let sum: u32 = words.map(u32::from).sum();
    !fold(sum)
}

#[test]
fn resets_go_both_ways_with_checksums_that_are_right_finished_or_not() {
    for version in [4, 6] {
        let link = PacketBuilder::ethernet2(PEER, HERE);
        let ip = match version {
            4 => link.ipv4(PEER4, HERE4, 57),
            _ => link.ipv6(PEER6, HERE6, 57),
        };
        let mut frame = Vec::new();
        let segment = ip.tcp(40000, 22, 7000, 64240).ack(9000);
        segment.write(&mut frame, b"data").unwrap();
        let source = Slice {
            bytes: &frame,
            tag: None,
        };
        let mut packet = Packet::default();
        parse::parse(&source, &mut packet).unwrap();
        let before = packet;
        for (toward, from, to, sequence) in [
            (Toward::Receiver, 40000, 22, 7000),
            (Toward::Sender, 22, 40000, 9000),
        ] {
            assert!(toward == Toward::Sender || turn(&mut packet));
            let mut reply = Reply::default();
            let length = build(&source, &packet, toward, &mut reply).unwrap() as usize;
            let bytes: Vec<u8> = reply.words.iter().flat_map(|w| w.to_ne_bytes()).collect();
            let bytes = &bytes[..length];
            let links = match toward {
                Toward::Receiver => &frame[..12],
                Toward::Sender => &[&frame[6..12], &frame[..6]].concat(),
            };
            assert_eq!(&bytes[..12], links);
            let sliced = SlicedPacket::from_ethernet(bytes).unwrap();
            let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else {
                panic!("no TCP")
            };
            let header = tcp.to_header();
            assert_eq!((header.source_port, header.destination_port), (from, to));
            assert!(header.rst && !header.ack && header.sequence_number == sequence);
            let sum = match sliced.net.as_ref().unwrap() {
                NetSlice::Ipv4(ip) => header.calc_checksum_ipv4(&ip.header().to_header(), &[]),
                NetSlice::Ipv6(ip) => header.calc_checksum_ipv6(&ip.header().to_header(), &[]),
                NetSlice::Arp(_) => panic!("no IP"),
            };
            assert_eq!(sum.unwrap(), header.checksum, "taken as it is");
            let l4 = if version == 4 { 34 } else { 54 };
            assert_eq!(
                made_by_device(bytes, l4),
                header.checksum,
                "made by the device"
            );
            if toward == Toward::Receiver {
                turn(&mut packet);
            }
        }
        assert_eq!(packet, before);
    }
}
