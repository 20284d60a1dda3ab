//! Parsing of frames written down byte by byte: tags, IEEE 802.3, ports, fragments, options, what is quoted.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::addr::Addr;
use crate::flow::Tuple;
use crate::packet::{FIRST, WHOLE};
use crate::source::{BareSlice, Slice, Tag};

fn read_with(tag: Option<Tag>, bytes: &[u8]) -> Result<Packet, Reason> {
    let mut packet = Packet::default();
    parse(&Slice { bytes, tag }, &mut packet).map(|()| packet)
}

fn read(bytes: &[u8]) -> Result<Packet, Reason> {
    read_with(None, bytes)
}

/// Addresses of a frame, tags, and an ethertype with what follows.
fn frame(tags: &[(u16, u16)], ethertype: u16, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2; 12];
    for (protocol, control) in tags {
        bytes.extend(protocol.to_be_bytes());
        bytes.extend(control.to_be_bytes());
    }
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(rest);
    bytes
}

/// An IPv4 packet from 192.0.2.1 to 192.0.2.2. `field` is flags and offset.
fn v4(protocol: u8, field: u16, options: &[u8], body: &[u8]) -> Vec<u8> {
    let words = 5 + options.len() as u8 / 4;
    let total = (usize::from(words) * 4 + body.len()) as u16;
    let mut ip = vec![0x40 | words, 0];
    ip.extend(total.to_be_bytes());
    ip.extend([0, 9]);
    ip.extend(field.to_be_bytes());
    ip.extend([64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    ip.extend(options);
    ip.extend(body);
    ip
}

/// An IPv6 packet from 2001:db8::1 to 2001:db8::2.
fn v6(next: u8, body: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x60, 0, 0, 0];
    ip.extend((body.len() as u16).to_be_bytes());
    ip.extend([next, 64]);
    for last in [1, 2] {
        ip.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    ip.extend(body);
    ip
}

fn ipv4(protocol: u8, body: &[u8]) -> Vec<u8> {
    frame(&[], eth::IPV4, &v4(protocol, 0, &[], body))
}

fn ipv6(next: u8, body: &[u8]) -> Vec<u8> {
    frame(&[], eth::IPV6, &v6(next, body))
}

const UDP_BODY: [u8; 8] = [0, 7, 0, 53, 0, 8, 0, 0];

#[test]
fn the_tags_that_the_kernel_goes_by_are_kept() {
    let udp = v4(protocol::UDP, 0, &[], &UDP_BODY);
    let (plain, service) = (0x8100_u16, 0x88a8_u16);
    let word = |protocol, control| Tag { protocol, control }.word();
    for (tags, kept) in [
        (&[][..], [0, 0]),
        (&[(plain, 7)], [word(plain, 7), 0]),
        (&[(service, 0x2007)], [word(service, 7), 0]),
        // Behind a VLAN nothing counts.
        (&[(plain, 7), (plain, 8)], [word(plain, 7), 0]),
        // Behind a priority the first VLAN counts.
        (
            &[(plain, 0x2000), (plain, 8)],
            [word(plain, 0), word(plain, 8)],
        ),
        (
            &[(plain, 0), (plain, 0), (service, 9), (plain, 8)],
            [word(plain, 0), word(service, 9)],
        ),
        (&[(service, 1), (plain, 0)], [word(service, 1), 0]),
    ] {
        let packet = read(&frame(tags, eth::IPV4, &udp)).unwrap();
        assert_eq!(packet.tags, kept, "{tags:?}");
        assert_eq!(packet.l3, 14 + 4 * tags.len() as u32);
        assert_eq!(
            (packet.ethertype, packet.tuple.destination_port),
            (eth::IPV4, 53)
        );
    }
    let tag = Tag {
        protocol: plain,
        control: 0,
    };
    let packet = read_with(Some(tag), &frame(&[(plain, 8)], eth::IPV4, &udp)).unwrap();
    assert_eq!(packet.tags, [word(plain, 0), word(plain, 8)]);
}

#[test]
fn eight_tags_are_read_and_nine_are_malformed() {
    let udp = v4(protocol::UDP, 0, &[], &UDP_BODY);
    let tags = [(0x8100, 0); 9];
    assert_eq!(read(&frame(&tags[..8], eth::IPV4, &udp)).unwrap().l3, 46);
    assert_eq!(read(&frame(&tags, eth::IPV4, &udp)), Err(Reason::Malformed));
    assert_eq!(
        read(&frame(&tags[..1], 0x8100, &[0])),
        Err(Reason::Truncated)
    );
}

#[test]
fn a_length_is_no_ethertype() {
    let llc = read(&frame(&[], 1500, &[0x42, 0x43, 0x03, 9])).unwrap();
    assert_eq!(
        (llc.ethertype, llc.fragment_id, llc.family),
        (1500, 0x42_4303, 0)
    );
    assert_eq!(read(&frame(&[], 1501, &[1, 2, 3])).unwrap().fragment_id, 0);
    assert_eq!(read(&frame(&[], 38, &[0x42, 0x42])), Err(Reason::Truncated));
    let mut group = ipv4(protocol::UDP, &UDP_BODY);
    group[0] = 3;
    assert!(read(&group).unwrap().group && !read(&ipv4(protocol::UDP, &UDP_BODY)).unwrap().group);
}

#[test]
fn a_packet_without_a_link_header_begins_at_once() {
    let bytes = v4(protocol::UDP, 0, &[], &UDP_BODY);
    let source = BareSlice {
        bytes: &bytes,
        ethertype: eth::IPV4,
    };
    let mut packet = Packet::default();
    assert_eq!(parse(&source, &mut packet), Ok(()));
    assert_eq!((packet.l3, packet.l4, packet.end), (0, 20, 28));
}

#[test]
fn other_protocols_with_ports_say_what_opens() {
    let sctp = |chunk: u8| [&[0, 1, 0x0b, 0x59][..], &[0; 8], &[chunk, 0, 0, 4]].concat();
    let dccp = |kind: u8| [&[0, 1, 0x0b, 0x59, 4, 0, 0, 0, kind << 1 | 1][..], &[0; 7]].concat();
    for (protocol, body, role) in [
        (protocol::SCTP, sctp(1), Role::Opens),
        (protocol::SCTP, sctp(0), Role::Continues),
        (protocol::SCTP, sctp(2), Role::Continues),
        (protocol::DCCP, dccp(0), Role::Opens),
        (protocol::DCCP, dccp(1), Role::Continues),
        (protocol::DCCP, dccp(8), Role::Continues),
        (
            protocol::UDPLITE,
            vec![0, 1, 0x0b, 0x59, 0, 8, 0, 0],
            Role::Opens,
        ),
    ] {
        for bytes in [ipv4(protocol, &body), ipv6(protocol, &body)] {
            let packet = read(&bytes).unwrap();
            let ports = (packet.tuple.source_port, packet.tuple.destination_port);
            assert_eq!(
                (packet.role, ports),
                (role, (1, 2905)),
                "{protocol}: {body:?}"
            );
            let header = if protocol == protocol::UDPLITE { 8 } else { 12 };
            assert_eq!(packet.payload, packet.l4 + header);
        }
        let least = if protocol == protocol::SCTP {
            13
        } else {
            body.len().min(12)
        };
        let short = body.get(..least - 1).unwrap();
        assert_eq!(
            read(&ipv4(protocol, short)),
            Err(Reason::Truncated),
            "{protocol}"
        );
        assert!(
            read(&ipv4(protocol, body.get(..least).unwrap())).is_ok(),
            "{protocol}"
        );
    }
}

#[test]
fn a_header_ends_where_its_packet_does() {
    // What follows the IP packet in the frame is padding.
    let mut padded = ipv4(protocol::UDP, &UDP_BODY[..4]);
    padded.extend([0; 40]);
    assert_eq!(read(&padded), Err(Reason::Truncated));
    let mut padded = ipv4(protocol::UDP, &UDP_BODY);
    padded.extend([0; 40]);
    let packet = read(&padded).unwrap();
    assert_eq!(
        (packet.end, packet.length, packet.payload_length()),
        (42, 82, 0)
    );
    let mut padded = ipv6(protocol::UDP, &UDP_BODY[..7]);
    padded.extend([0; 40]);
    assert_eq!(read(&padded), Err(Reason::Truncated));
}

#[test]
fn icmp_belongs_to_its_family() {
    let echo = |kind: u8| [kind, 0, 0, 0, 0x12, 0x34, 0, 1];
    for (bytes, role, id) in [
        (ipv4(protocol::ICMP, &echo(8)), Role::Opens, 0x1234),
        (ipv4(protocol::ICMP, &echo(13)), Role::Opens, 0x1234),
        (ipv4(protocol::ICMP, &echo(0)), Role::Continues, 0x1234),
        (ipv4(protocol::ICMP, &echo(14)), Role::Continues, 0x1234),
        (ipv4(protocol::ICMP, &echo(17)), Role::Stateless, 0),
        (ipv4(protocol::ICMP, &echo(3)), Role::Error, 0),
        (ipv4(protocol::ICMP, &echo(12)), Role::Error, 0),
        (ipv6(protocol::ICMPV6, &echo(128)), Role::Opens, 0x1234),
        (ipv6(protocol::ICMPV6, &echo(129)), Role::Continues, 0x1234),
        (ipv6(protocol::ICMPV6, &echo(127)), Role::Error, 0),
        (ipv6(protocol::ICMPV6, &echo(139)), Role::Stateless, 0),
    ] {
        let packet = read(&bytes).unwrap();
        assert_eq!(
            (packet.role, packet.tuple.source_port),
            (role, id),
            "{bytes:?}"
        );
        assert_eq!(packet.payload, packet.l4 + 8);
    }
    assert_eq!(
        read(&ipv6(protocol::ICMP, &echo(8))),
        Err(Reason::Malformed)
    );
    assert_eq!(
        read(&ipv4(protocol::ICMPV6, &echo(128))),
        Err(Reason::Malformed)
    );
    assert_eq!(
        read(&ipv4(protocol::ICMP, &echo(8)[..7])),
        Err(Reason::Truncated)
    );
}

#[test]
fn options_are_walked_for_source_routes_alone() {
    let with = |options: &[u8]| {
        read(&frame(
            &[],
            eth::IPV4,
            &v4(protocol::UDP, 0, options, &UDP_BODY),
        ))
    };
    for good in [
        &[1, 1, 1, 1][..],
        &[0, 131, 3, 4],
        &[7, 4, 4, 0],
        &[148, 4, 0, 0],
        &[68, 7, 5, 0, 0, 0, 0, 1],
        &[1, 7, 3, 131],
    ] {
        let packet = with(good).unwrap();
        assert_eq!(packet.l4, 34 + good.len() as u32, "{good:?}");
    }
    for route in [
        &[131, 3, 4, 0][..],
        &[137, 3, 4, 0],
        &[1, 1, 1, 131],
        &[7, 3, 4, 137],
        &[68, 4, 0, 0, 131, 3, 4, 0],
    ] {
        assert_eq!(with(route), Err(Reason::IpOptions), "{route:?}");
    }
    for bad in [
        &[7, 1, 0, 0][..],
        &[7, 0, 0, 0],
        &[7, 5, 0, 0],
        &[1, 1, 7, 3],
        &[148, 40, 0, 0],
    ] {
        assert_eq!(with(bad), Err(Reason::Malformed), "{bad:?}");
    }
}

#[test]
fn lengths_of_ipv4_must_fit() {
    let good = v4(protocol::UDP, 0, &[], &UDP_BODY);
    let with = |at: usize, value: u8| {
        let mut ip = good.clone();
        ip[at] = value;
        read(&frame(&[], eth::IPV4, &ip))
    };
    assert!(with(3, 28).is_ok());
    assert_eq!(with(3, 29), Err(Reason::Truncated));
    assert_eq!(with(3, 27), Err(Reason::Truncated));
    assert_eq!(with(3, 19), Err(Reason::Malformed));
    assert_eq!(with(3, 0), Err(Reason::Malformed));
    assert_eq!(with(0, 0x44), Err(Reason::Malformed));
    assert_eq!(with(0, 0x65), Err(Reason::Malformed));
    assert_eq!(
        read(&frame(&[], eth::IPV4, &good[..19])),
        Err(Reason::Truncated)
    );
}

#[test]
fn later_fragments_may_not_reach_into_headers_or_beyond_64_kib() {
    let cut = |protocol: u8, field: u16, length: usize| {
        read(&frame(
            &[],
            eth::IPV4,
            &v4(protocol, field, &[], &vec![0; length]),
        ))
    };
    for (protocol, first) in [
        (protocol::TCP, 3),
        (protocol::UDP, 1),
        (protocol::SCTP, 2),
        (protocol::DCCP, 2),
        (47, 1),
    ] {
        let packet = cut(protocol, first, 16).unwrap();
        assert_eq!(
            (packet.fragment, packet.role),
            (LATER, Role::Continues),
            "{protocol}"
        );
        assert_eq!((packet.payload, packet.fragment_id), (packet.l4, 9));
        if first > 1 {
            assert_eq!(
                cut(protocol, first - 1, 16),
                Err(Reason::FragmentOverlap),
                "{protocol}"
            );
        }
    }
    assert_eq!(cut(protocol::TCP, 1, 16), Err(Reason::FragmentOverlap));
    assert_eq!(cut(protocol::UDP, 0x1fff, 8), Err(Reason::Malformed));
    assert_eq!(cut(protocol::UDP, 0x1fff, 7).unwrap().fragment, LATER);
    let mut udp = UDP_BODY.to_vec();
    udp[5] = 200;
    let first = read(&frame(
        &[],
        eth::IPV4,
        &v4(protocol::UDP, 0x2000, &[], &udp),
    ))
    .unwrap();
    assert_eq!((first.fragment, first.tuple.destination_port), (FIRST, 53));
}

/// An extension header of so many words of eight bytes.
fn extension(next: u8, words: usize, third: u8) -> Vec<u8> {
    let mut header = vec![next, words as u8 - 1, third];
    header.resize(words * 8, 0);
    header
}

/// A fragment header: offset with its bit for more, and the identification 77.
fn fragment_header(next: u8, field: u16) -> Vec<u8> {
    [&[next, 0][..], &field.to_be_bytes(), &[0, 0, 0, 77]].concat()
}

#[test]
fn extension_headers_end_in_a_transport_header() {
    let chain = |first: u8, headers: &[Vec<u8>], body: &[u8]| {
        let mut all = headers.concat();
        all.extend(body);
        read(&ipv6(first, &all))
    };
    let packet = chain(
        0,
        &[
            extension(43, 2, 0),
            extension(60, 1, 4),
            extension(17, 3, 0),
        ],
        &UDP_BODY,
    )
    .unwrap();
    assert_eq!((packet.tuple.protocol, packet.l4), (17, 14 + 40 + 48));
    assert_eq!((packet.hop_limit, packet.fragment), (64, WHOLE));
    assert_eq!(
        chain(60, &[extension(0, 1, 0), extension(17, 1, 0)], &UDP_BODY),
        Err(Reason::Malformed)
    );
    assert_eq!(
        chain(43, &[extension(17, 1, 0)], &UDP_BODY),
        Err(Reason::Ipv6RoutingHeader)
    );
    assert_eq!(
        chain(60, &[extension(43, 1, 0), extension(17, 1, 0)], &UDP_BODY),
        Err(Reason::Ipv6RoutingHeader)
    );
    assert!(chain(43, &[extension(17, 1, 2)], &UDP_BODY).is_ok());
    // The authentication header is a protocol of its own.
    assert_eq!(
        chain(51, &[extension(17, 2, 0)], &UDP_BODY)
            .unwrap()
            .tuple
            .protocol,
        51
    );
    let many = |count: usize| {
        let mut headers = vec![extension(60, 1, 0); count - 1];
        headers.push(extension(17, 1, 0));
        chain(60, &headers, &UDP_BODY)
    };
    assert!(many(8).is_ok());
    assert_eq!(many(9), Err(Reason::Malformed));
    assert_eq!(
        chain(60, &[extension(17, 1, 0)[..7].to_vec()], &[]),
        Err(Reason::Truncated)
    );
    // It says that it is longer than the packet.
    assert_eq!(
        chain(60, &[vec![17, 9, 0, 0, 0, 0, 0, 0]], &UDP_BODY),
        Err(Reason::Truncated)
    );
}

#[test]
fn fragments_of_ipv6() {
    let chain = |headers: &[Vec<u8>], body: &[u8]| {
        let mut all = headers.concat();
        all.extend(body);
        read(&ipv6(44, &all))
    };
    let atomic = chain(&[fragment_header(17, 0)], &UDP_BODY).unwrap();
    assert_eq!(
        (atomic.fragment, atomic.tuple.destination_port),
        (WHOLE, 53)
    );
    let first = chain(&[fragment_header(17, 1)], &[0, 7, 0, 53, 0, 200, 0, 0]).unwrap();
    assert_eq!(
        (
            first.fragment,
            first.fragment_id,
            first.tuple.destination_port
        ),
        (FIRST, 77, 53)
    );
    let later = chain(&[fragment_header(17, 16)], &[0; 5]).unwrap();
    assert_eq!(
        (
            later.fragment,
            later.tuple.protocol,
            later.tuple.destination_port
        ),
        (LATER, 17, 0)
    );
    assert_eq!(later.l4, 14 + 40 + 8);
    // What a later one carries is no header, whatever it looks like.
    assert_eq!(
        chain(&[fragment_header(60, 16)], &[17, 0, 0])
            .unwrap()
            .tuple
            .protocol,
        60
    );
    assert_eq!(
        chain(&[fragment_header(44, 0), fragment_header(17, 0)], &UDP_BODY),
        Err(Reason::Malformed)
    );
    assert_eq!(
        chain(&[fragment_header(17, 1)], &[0; 12]),
        Err(Reason::Malformed)
    );
    assert_eq!(
        chain(&[fragment_header(17, 17)], &[0; 12]),
        Err(Reason::Malformed)
    );
    assert_eq!(
        chain(&[fragment_header(6, 16)], &[0; 8]),
        Err(Reason::FragmentOverlap)
    );
    assert_eq!(
        chain(&[fragment_header(6, 24)], &[0; 8]).unwrap().fragment,
        LATER
    );
    assert_eq!(
        chain(&[fragment_header(17, 0xfff8)], &[0; 8]),
        Err(Reason::Malformed)
    );
}

/// What an ICMP error with this behind its header quotes.
fn quoted(six: bool, quote: &[u8]) -> Option<Tuple> {
    let (kind, protocol): (u8, u8) = if six {
        (1, protocol::ICMPV6)
    } else {
        (3, protocol::ICMP)
    };
    let body = [&[kind, 3, 0, 0, 0, 0, 0, 0][..], quote].concat();
    let bytes = if six {
        ipv6(protocol, &body)
    } else {
        ipv4(protocol, &body)
    };
    let mut packet = read(&bytes).unwrap();
    let mut tuple = Tuple {
        source_port: 7,
        destination_port: 8,
        ..Tuple::default()
    };
    let source = Slice {
        bytes: &bytes,
        tag: None,
    };
    quoted::parse(&source, &mut packet, &mut tuple).map(|()| tuple)
}

#[test]
fn an_error_tells_the_session_that_it_is_about() {
    let four = quoted(false, &v4(protocol::UDP, 0, &[], &UDP_BODY)).unwrap();
    assert_eq!(
        (four.protocol, four.source_port, four.destination_port),
        (17, 7, 53)
    );
    assert_eq!(
        (four.source, four.destination),
        (Addr::v4(0xc000_0201), Addr::v4(0xc000_0202))
    );
    let options = quoted(false, &v4(protocol::UDP, 0, &[1; 8], &UDP_BODY)).unwrap();
    assert_eq!(options.destination_port, 53);
    let six = quoted(true, &v6(17, &UDP_BODY)).unwrap();
    assert_eq!((six.source_port, six.destination_port), (7, 53));
    assert_eq!((six.source.lo, six.destination.lo), (1, 2));
    assert_eq!(six.source.hi, 0x2001_0db8 << 32);
    let headers = [
        extension(60, 1, 0),
        extension(44, 2, 0),
        fragment_header(17, 1),
    ]
    .concat();
    let behind = quoted(true, &v6(0, &[&headers[..], &UDP_BODY].concat())).unwrap();
    assert_eq!((behind.protocol, behind.destination_port), (17, 53));
    // No ports, and none left over from the packet before.
    let gre = quoted(false, &v4(47, 0, &[], &[9; 8])).unwrap();
    assert_eq!(
        (gre.protocol, gre.source_port, gre.destination_port),
        (47, 0, 0)
    );
}

#[test]
fn queries_are_quoted_by_their_identifier() {
    let echo = |kind: u8| [kind, 0, 0, 0, 0x12, 0x34, 0, 1];
    let asked = quoted(false, &v4(protocol::ICMP, 0, &[], &echo(8))).unwrap();
    let answered = quoted(false, &v4(protocol::ICMP, 0, &[], &echo(0))).unwrap();
    assert_eq!(asked.source_port.max(asked.destination_port), 0x1234);
    assert_eq!(
        (answered.source_port, answered.destination_port),
        (asked.destination_port, asked.source_port)
    );
    assert_eq!(
        quoted(true, &v6(protocol::ICMPV6, &echo(128)))
            .unwrap()
            .protocol,
        58
    );
    for about_nothing in [3, 11, 17] {
        assert_eq!(
            quoted(false, &v4(protocol::ICMP, 0, &[], &echo(about_nothing))),
            None
        );
    }
    assert_eq!(quoted(true, &v6(protocol::ICMPV6, &echo(135))), None);
}

#[test]
fn too_little_is_no_quotation() {
    let four = v4(protocol::UDP, 0, &[], &UDP_BODY);
    let six = v6(17, &UDP_BODY);
    for length in [0, 19, 20, 27] {
        assert_eq!(quoted(false, &four[..length]), None, "{length}");
    }
    for length in [0, 39, 40, 47] {
        assert_eq!(quoted(true, &six[..length]), None, "{length}");
    }
    // Versions, header lengths and later fragments.
    assert_eq!(quoted(false, &six), None);
    assert_eq!(quoted(true, &four), None);
    let mut short = four.clone();
    short[0] = 0x44;
    assert_eq!(quoted(false, &short), None);
    assert_eq!(quoted(false, &v4(protocol::UDP, 1, &[], &UDP_BODY)), None);
    assert!(quoted(false, &v4(protocol::UDP, 0x2000, &[], &UDP_BODY)).is_some());
    let later = [&fragment_header(17, 8)[..], &UDP_BODY].concat();
    assert_eq!(quoted(true, &v6(44, &later)), None);
    // What stands behind the error's own end is padding.
    let body = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &four[..24]].concat();
    let mut bytes = ipv4(protocol::ICMP, &body);
    bytes.extend([0; 20]);
    let mut packet = read(&bytes).unwrap();
    let source = Slice {
        bytes: &bytes,
        tag: None,
    };
    assert_eq!(
        quoted::parse(&source, &mut packet, &mut Tuple::default()),
        None
    );
}
