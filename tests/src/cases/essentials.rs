//! What keeps a machine alive on its link, with any policy; and what may be switched off.

use std::net::IpAddr;

use firewall_common::reason::Reason::*;

use super::policies::{NO_ESSENTIALS, WEB};
use crate::case::packet::{HOST_MAC, PEER_MAC, Packet, ethernet, icmp, raw, udp};
use crate::case::{Case, arrives, leaves};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn arp(to: [u8; 6], from: [u8; 6]) -> Vec<u8> {
    let mut payload = vec![0, 1, 8, 0, 6, 4, 0, 1];
    payload.extend([0; 38]);
    ethernet(to, from, 0x0806, &payload)
}

fn solicitation(from: &str, to: &str) -> Packet {
    icmp(ip(from), ip(to), 135, 0, 0, &[0; 16])
}

fn report(from: &str) -> Packet {
    let mut packet = icmp(ip(from), ip("ff02::16"), 143, 0, 1, &[0; 20]);
    packet = packet.extension(0, &[5, 2, 0, 0, 1, 0]);
    packet.ttl(1)
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("arp-both-ways", NO_ESSENTIALS, |_| {
        vec![
            arrives(arp(HOST_MAC, PEER_MAC), Essential).by("essentials/arp"),
            leaves(arp(PEER_MAC, HOST_MAC), Essential).by("essentials/arp"),
        ]
    })
    .v4(),
    Case::new("neighbour-discovery-both-ways", NO_ESSENTIALS, |_| {
        let advertisement = icmp(ip("fd77::1"), ip("fd77::2"), 136, 0, 0x6000_0000, &[0; 16]);
        vec![
            arrives(solicitation("fe80::2", "ff02::1:ff00:1").frame(), Essential)
                .by("essentials/nd"),
            arrives(solicitation("::", "ff02::1:ff00:1").frame(), Essential).by("essentials/nd"),
            leaves(advertisement.sent(), Essential).by("essentials/nd"),
        ]
    })
    .v6(),
    Case::new("neighbour-discovery-in-our-own-name", WEB, |_| {
        vec![arrives(
            solicitation("fd77::1", "ff02::1:ff00:1").frame(),
            SpoofedSource,
        )]
    })
    .v6(),
    Case::new("router-advertisement", WEB, |f| {
        let good = icmp(ip("fe80::2"), ip("ff02::1"), 134, 0, 0x4000_0708, &[0; 8]);
        let far = icmp(f.stranger, ip("ff02::1"), 134, 0, 0x4000_0708, &[0; 8]);
        vec![
            arrives(good.frame(), Essential).by("essentials/ra"),
            arrives(good.clone().ttl(64).frame(), NdInvalid),
            arrives(far.frame(), NdInvalid),
        ]
    })
    .v6(),
    Case::new("router-solicitation-leaves", WEB, |_| {
        let packet = icmp(ip("fe80::1"), ip("ff02::2"), 133, 0, 0, &[]);
        vec![leaves(packet.sent(), Essential).by("essentials/ra")]
    })
    .v6(),
    Case::new("router-advertisement-switched-off", NO_ESSENTIALS, |_| {
        let packet = icmp(ip("fe80::2"), ip("ff02::1"), 134, 0, 0x4000_0708, &[0; 8]);
        vec![arrives(packet.frame(), NoSession)]
    })
    .v6(),
    Case::new("dhcp-both-ways", WEB, |_| {
        let discover = udp((ip("0.0.0.0"), 68), (ip("255.255.255.255"), 67), &[1; 240]);
        let offer = udp(
            (ip("10.77.0.2"), 67),
            (ip("255.255.255.255"), 68),
            &[2; 240],
        );
        vec![
            leaves(discover.sent(), Essential).by("essentials/dhcp"),
            arrives(offer.frame(), Essential).by("essentials/dhcp"),
        ]
    })
    .v4(),
    Case::new("dhcp-requests-of-others-are-not-for-a-client", WEB, |_| {
        let discover = udp((ip("0.0.0.0"), 68), (ip("255.255.255.255"), 67), &[1; 240]);
        vec![arrives(discover.frame(), NoPolicy)]
    })
    .v4(),
    Case::new("dhcp-answers-in-fragments", WEB, |_| {
        let (server, client) = (ip("10.77.0.2"), ip("10.77.0.1"));
        let first = udp((server, 67), (client, 68), &[2; 240]).fragment(0, true, 61);
        let rest = raw(server, client, 17, vec![2; 80]).fragment(248, false, 61);
        vec![
            arrives(first.frame(), Essential).by("essentials/dhcp"),
            arrives(rest.frame(), Session),
        ]
    })
    .v4(),
    Case::new("dhcp-switched-off", NO_ESSENTIALS, |_| {
        let discover = udp((ip("0.0.0.0"), 68), (ip("255.255.255.255"), 67), &[1; 240]);
        let offer = udp(
            (ip("10.77.0.2"), 67),
            (ip("255.255.255.255"), 68),
            &[2; 240],
        );
        vec![
            leaves(discover.sent(), NoPolicy),
            arrives(offer.frame(), NoPolicy),
        ]
    })
    .v4(),
    Case::new("dhcpv6-both-ways", WEB, |_| {
        let solicit = udp((ip("fe80::1"), 546), (ip("ff02::1:2"), 547), &[1; 20]);
        let advertise = udp((ip("fe80::2"), 547), (ip("fe80::1"), 546), &[2; 20]);
        vec![
            leaves(solicit.sent(), Essential).by("essentials/dhcpv6"),
            arrives(advertise.frame(), Essential).by("essentials/dhcpv6"),
        ]
    })
    .v6(),
    Case::new("dhcpv6-answers-in-fragments", WEB, |_| {
        let (server, client) = (ip("fe80::2"), ip("fe80::1"));
        let first = udp((server, 547), (client, 546), &[2; 240]).fragment(0, true, 62);
        let rest = raw(server, client, 17, vec![2; 80]).fragment(248, false, 62);
        vec![
            arrives(first.frame(), Essential).by("essentials/dhcpv6"),
            arrives(rest.frame(), Session),
        ]
    })
    .v6(),
    Case::new("neighbour-discovery-in-fragments", WEB, |_| {
        // RFC 6980: nobody may take it.
        let first = solicitation("fe80::2", "ff02::1:ff00:1").fragment(0, true, 63);
        let rest = raw(ip("fe80::2"), ip("ff02::1:ff00:1"), 58, vec![0; 8]).fragment(24, false, 63);
        vec![
            arrives(first.frame(), NdInvalid),
            arrives(rest.frame(), FragmentWithoutFirst),
        ]
    })
    .v6(),
    Case::new("igmp-in-fragments", WEB, |f| {
        let report = raw(f.trusted, ip("224.0.0.22"), 2, vec![0x22; 64]).fragment(0, true, 64);
        let rest = raw(f.trusted, ip("224.0.0.22"), 2, vec![0; 40]).fragment(64, false, 64);
        let own = raw(f.host, ip("224.0.0.22"), 2, vec![0x22; 64]).fragment(0, true, 65);
        let own_rest = raw(f.host, ip("224.0.0.22"), 2, vec![0; 40]).fragment(64, false, 65);
        vec![
            arrives(report.frame(), Essential).by("essentials/igmp"),
            arrives(rest.frame(), Session),
            leaves(own.sent(), Essential).by("essentials/igmp"),
            leaves(own_rest.sent(), Session),
        ]
    })
    .v4(),
    Case::new("igmp-both-ways", WEB, |f| {
        let body = vec![0x11, 0, 0xee, 0xff, 0, 0, 0, 0];
        let query = raw(f.trusted, ip("224.0.0.1"), 2, body.clone()).ttl(1);
        let own = raw(f.host, ip("224.0.0.22"), 2, body).ttl(1);
        vec![
            arrives(query.frame(), Essential).by("essentials/igmp"),
            leaves(own.sent(), Essential).by("essentials/igmp"),
        ]
    })
    .v4(),
    Case::new("igmp-switched-off", NO_ESSENTIALS, |f| {
        let query = raw(
            f.trusted,
            ip("224.0.0.1"),
            2,
            vec![0x11, 0, 0xee, 0xff, 0, 0, 0, 0],
        );
        vec![arrives(query.ttl(1).frame(), NoPolicy)]
    })
    .v4(),
    Case::new("listener-reports-both-ways", WEB, |_| {
        vec![
            arrives(report("fe80::2").frame(), Essential).by("essentials/mld"),
            leaves(report("fe80::1").sent(), Essential).by("essentials/mld"),
            leaves(report("::").sent(), Essential).by("essentials/mld"),
        ]
    })
    .v6(),
    Case::new("link-protocols-both-ways", WEB, |_| {
        let kinds = [0x888e, 0x88cc, 0x8809, 0x88f7];
        let to = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
        let mut steps = Vec::new();
        for kind in kinds {
            let arriving = ethernet(to, PEER_MAC, kind, &[0; 46]);
            let leaving = ethernet(to, HOST_MAC, kind, &[0; 46]);
            steps.push(arrives(arriving, Essential).by("essentials/link"));
            steps.push(leaves(leaving, Essential).by("essentials/link"));
        }
        steps
    })
    .v4(),
    Case::new("spanning-tree", WEB, |_| {
        let mut payload = vec![0x42, 0x42, 0x03];
        payload.extend([0; 43]);
        let frame = ethernet([0x01, 0x80, 0xc2, 0, 0, 0], PEER_MAC, 38, &payload);
        vec![arrives(frame, Essential).by("essentials/link")]
    })
    .v4(),
    Case::new("link-protocols-switched-off", NO_ESSENTIALS, |_| {
        let frame = ethernet(HOST_MAC, PEER_MAC, 0x88cc, &[0; 46]);
        vec![arrives(frame, UnsupportedEthertype)]
    })
    .v4(),
];
