//! Single packets of every framing.

use std::net::IpAddr;

use super::step::{Maker, host, network, stamp};
use crate::case::packet::{self, HOST_MAC, PEER_MAC, Packet, flag};

/// Protocols that are sent without a meaning.
const PROTOCOLS: [u8; 12] = [0, 2, 4, 41, 47, 50, 51, 59, 89, 103, 136, 253];

/// Any packet that opens something, or seems to.
pub(super) fn any(maker: &mut Maker, v6: bool) -> Packet {
    let (peer, port, to) = (maker.peer(v6), maker.high_port(), maker.port());
    let (from, to) = ((peer, port), (host(v6), to));
    match maker.below(8) {
        0..3 => packet::syn(from, to),
        3..6 => packet::udp(from, to, b"payload of some length"),
        6 => packet::ping(peer, host(v6), port),
        _ => other(maker, peer, v6),
    }
}

fn other(maker: &mut Maker, peer: IpAddr, v6: bool) -> Packet {
    let from = maker.high_port();
    let ports = |to: u16| [from.to_be_bytes(), to.to_be_bytes()].concat();
    let to = maker.port();
    match maker.below(4) {
        // SCTP: INIT or not (RFC 9260 section 3).
        0 => {
            let chunk = maker.pick(&[1, 0, 10]);
            let body = [ports(to), vec![0; 8], vec![chunk, 0, 0, 20], vec![0; 16]].concat();
            packet::raw(peer, host(v6), 132, body)
        }
        // UDP-Lite (RFC 3828).
        1 => packet::raw(
            peer,
            host(v6),
            136,
            [ports(to), vec![0, 8, 1, 1, 0, 0, 0, 0]].concat(),
        ),
        // DCCP: Request or not (RFC 4340 section 5.1).
        2 => {
            let kind = maker.pick(&[0, 1, 2]) << 1 | 1;
            let body = [
                ports(to),
                vec![6, 0, 0, 0, kind, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
            ]
            .concat();
            packet::raw(peer, host(v6), 33, body)
        }
        _ => packet::raw(peer, host(v6), maker.pick(&PROTOCOLS), vec![0xab; 40]),
    }
}

pub(super) fn plain(maker: &mut Maker) {
    maker.class("plain");
    let v6 = maker.v6();
    let packet = any(maker, v6);
    maker.arrive(&packet);
}

pub(super) fn flags(maker: &mut Maker) {
    maker.class("flags");
    let v6 = maker.v6();
    let (from, to) = (
        (maker.peer(v6), maker.high_port()),
        (host(v6), maker.port()),
    );
    let (bits, sequence) = (maker.below(256) as u8, maker.below(1 << 32) as u32);
    let packet = packet::tcp(from, to, bits, sequence, 77);
    maker.arrive(&packet);
}

/// IPv4 options, right and wrong (RFC 791 section 3.1, RFC 2113, RFC 7126).
pub(super) fn options(maker: &mut Maker) {
    maker.class("options");
    let options: &[&[u8]] = &[
        &[1, 1, 1, 1],
        &[0, 0, 0, 0],
        &[7, 7, 4, 0, 0, 0, 0, 0],
        &[68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[148, 4, 0, 0],
        &[131, 7, 4, 10, 77, 0, 1, 0],
        &[137, 7, 4, 10, 77, 0, 1, 0],
        &[1, 131, 3, 4],
        &[130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[7, 1, 0, 0],
        &[7, 40, 4, 0],
        &[200, 4, 1, 2],
    ];
    let chosen = maker.pick(options);
    let packet = any(maker, false).options(chosen);
    maker.arrive(&packet);
}

/// Chains of extension headers (RFC 8200 section 4).
pub(super) fn extensions(maker: &mut Maker) {
    maker.class("extensions");
    let mut packet = any(maker, true);
    for _ in 0..1 + maker.below(5) {
        let number = maker.pick(&[0, 0, 43, 44, 51, 60, 60, 60, 135, 139, 140]);
        let content: &[u8] = match number {
            // Routing: types 0, 2, 3 and 4, no segments left or one.
            43 => maker.pick(&[
                &[0, 0, 0, 0, 0, 0][..],
                &[0, 1, 0, 0, 0, 0],
                &[2, 0, 0, 0, 0, 0],
                &[4, 0, 0, 0, 0, 0],
                &[3, 1, 0, 0, 0, 0],
            ]),
            // An atomic fragment, and one that says that more comes.
            44 => maker.pick(&[&[0, 0, 1, 2, 3, 4][..], &[0, 1, 1, 2, 3, 5]]),
            // Padding, or an option that asks to be dropped where it is not known.
            _ => maker.pick(&[
                &[1, 4, 0, 0, 0, 0][..],
                &[1, 4, 0, 0, 0, 0],
                &[0x9e, 4, 0, 0, 0, 0],
            ]),
        };
        packet = packet.extension(number, content);
    }
    maker.arrive(&packet);
}

/// Stacks of VLAN tags, and IEEE 802.3 frames (IEEE 802.1Q clause 9).
pub(super) fn tags(maker: &mut Maker) {
    maker.class("tags");
    let v6 = maker.v6();
    let mut packet = any(maker, v6);
    for _ in 0..1 + maker.below(4) {
        let ethertype = maker.pick(&[0x8100, 0x8100, 0x88a8]);
        packet = packet.tag(ethertype, maker.pick(&[0, 0, 0, 0x2000, 7]));
    }
    if !maker.chance(6) {
        return maker.arrive(&packet);
    }
    // The same as a SNAP frame, which no host takes for IP by default.
    let ip = packet.frame().split_off(14 + 4);
    let length = (ip.len() as u16 + 8).to_be_bytes();
    let head = [&HOST_MAC[..], &PEER_MAC, &length, &[0xaa, 0xaa, 3, 0, 0, 0]].concat();
    let key = maker.key(v6);
    maker.push(false, key, [head, ip].concat());
}

/// A packet inside another: IPIP, 6in4, GRE, VXLAN.
pub(super) fn tunnels(maker: &mut Maker) {
    maker.class("tunnels");
    let (v6, inner_v6) = (maker.v6(), maker.v6());
    let inner = any(maker, inner_v6).frame();
    let peer = maker.peer(v6);
    let ip = inner.get(14..).unwrap_or_default();
    let protocol: u16 = if inner_v6 { 0x86dd } else { 0x0800 };
    let packet = match maker.below(3) {
        0 => packet::raw(peer, host(v6), if inner_v6 { 41 } else { 4 }, ip.to_vec()),
        1 => {
            let gre = [&[0, 0][..], &protocol.to_be_bytes(), ip].concat();
            packet::raw(peer, host(v6), 47, gre)
        }
        _ => {
            let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &inner].concat();
            packet::udp((peer, 50_000), (host(v6), 4789), &vxlan)
        }
    };
    maker.arrive(&packet);
}

/// Sources and destinations that no packet on a wire can have.
pub(super) fn martians(maker: &mut Maker) {
    maker.class("martians");
    let v6 = maker.v6();
    let never: &[&str] = if v6 {
        &[
            "::",
            "::1",
            "ff02::1",
            "fd77::1",
            "::ffff:10.88.0.1",
            "fe80::1",
        ]
    } else {
        &[
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "10.77.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "10.77.0.3",
        ]
    };
    let address: IpAddr = maker.pick(never).parse().expect("an address");
    let mut packet = any(maker, v6);
    if maker.chance(4) {
        packet.destination = address;
    } else {
        packet.source = address;
    }
    maker.arrive(&packet);
}

/// What keeps a link alive, right and wrong (RFC 4861, RFC 3810, RFC 3376, RFC 2131, RFC 8415).
pub(super) fn essential(maker: &mut Maker, v6: bool) -> Packet {
    let link_local: IpAddr = "fe80::5".parse().expect("an address");
    match (v6, maker.below(3)) {
        (true, 0 | 1) => {
            let source = if maker.chance(3) {
                maker.peer(true)
            } else {
                link_local
            };
            let kind = maker.pick(&[130, 131, 132, 133, 134, 136, 143, 144]);
            let code = maker.pick(&[0, 0, 0, 1]);
            let hops = maker.pick(&[255, 255, 1, 64]);
            packet::icmp(source, host(true), kind, code, 0, &[0; 20]).ttl(hops)
        }
        (true, _) => packet::udp((link_local, 547), (host(true), 546), &[7, 0, 0, 0]),
        (false, 0) => packet::raw(
            maker.peer(false),
            host(false),
            2,
            vec![0x16, 0, 0, 0, 224, 0, 0, 9],
        ),
        (false, _) => packet::udp((maker.peer(false), 67), (host(false), 68), &[0; 64]),
    }
}

pub(super) fn essentials(maker: &mut Maker) {
    maker.class("essentials");
    let v6 = maker.v6();
    let packet = essential(maker, v6);
    maker.arrive(&packet);
}

/// A good packet with bytes changed, or cut off, or lying about its length.
pub(super) fn malformed(maker: &mut Maker) {
    maker.class("malformed");
    let v6 = maker.v6();
    let mut packet = any(maker, v6);
    match maker.below(5) {
        0 => packet = packet.claims_length(maker.below(120) as u16),
        1 => packet = packet.header_words(maker.below(16) as u8),
        2 => packet = packet.version(maker.below(16) as u8),
        3 => {
            let keep = maker.below(packet.body.len() as u64 + 1) as usize;
            packet = packet.cut(keep);
        }
        // Behind the addresses, so that it stays a packet of ours: the transport header and what follows.
        _ => {
            let at = maker.below(packet.body.len() as u64) as usize;
            packet = packet.with_byte(at, maker.below(256) as u8);
        }
    }
    let mut bytes = packet.frame();
    let (start, key) = (network(&bytes), maker.key(v6));
    stamp(&mut bytes, start, key);
    if maker.chance(8) {
        let keep = 14 + maker.below(bytes.len() as u64 - 13) as usize;
        bytes.truncate(keep);
    }
    maker.push(false, key, bytes);
}

/// What the host sends by itself, allowed or not.
pub(super) fn outbound(maker: &mut Maker) {
    maker.class("outbound");
    let v6 = maker.v6();
    let (peer, port) = (maker.peer(v6), maker.port());
    let (from, to) = ((host(v6), maker.high_port()), (peer, port));
    let packet = match maker.below(4) {
        0 => packet::syn(from, to),
        1 => packet::udp(from, to, b"out"),
        2 => packet::tcp(from, to, flag::ACK, 5, 6),
        _ => packet::ping(host(v6), peer, from.1),
    };
    maker.leave(&packet);
}
