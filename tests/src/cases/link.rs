//! Ethernet: VLAN tags of every kind, frames that are not IP, frames that are too short.

use firewall_common::reason::Reason::*;

use super::policies::WEB;
use crate::case::packet::{HOST_MAC, PEER_MAC, ack, ethernet, raw, syn, syn_ack, udp};
use crate::case::{Case, LeftOut, Way, arrives, leaves};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("priority-tag", WEB, |f| {
        let open = syn((f.stranger, 40000), (f.host, 443)).tag(0x8100, 0);
        let shut = syn((f.stranger, 40001), (f.host, 23)).tag(0x8100, 0);
        vec![
            arrives(open.frame(), RuleAllow).by("inbound/web"),
            arrives(shut.frame(), RuleDeny).by("inbound/telnet"),
        ]
    }),
    Case::new("three-priority-tags", WEB, |f| {
        let tags = |p: crate::case::packet::Packet| p.tag(0x8100, 0).tag(0x8100, 0).tag(0x8100, 0);
        let open = tags(syn((f.stranger, 40000), (f.host, 443)));
        let shut = tags(syn((f.stranger, 40001), (f.host, 23)));
        vec![
            arrives(open.frame(), RuleAllow).by("inbound/web"),
            arrives(shut.frame(), RuleDeny).by("inbound/telnet"),
        ]
    }),
    Case::new("service-tag-around-customer-tag", WEB, |f| {
        let shut = syn((f.stranger, 40001), (f.host, 23))
            .tag(0x88a8, 0)
            .tag(0x8100, 0);
        vec![arrives(shut.frame(), RuleDeny).by("inbound/telnet")]
    }),
    Case::new("service-tag-inside-customer-tag", WEB, |f| {
        let tags = |p: crate::case::packet::Packet| p.tag(0x8100, 0).tag(0x88a8, 0).tag(0x8100, 0);
        let open = tags(syn((f.stranger, 40000), (f.host, 443)));
        let shut = tags(syn((f.stranger, 40001), (f.host, 23)));
        vec![
            arrives(open.frame(), RuleAllow).by("inbound/web"),
            arrives(shut.frame(), RuleDeny).by("inbound/telnet"),
        ]
    }),
    Case::new("a-session-under-tags-is-the-same-session", WEB, |f| {
        let (own, peer) = ((f.stranger, 40000), (f.host, 443));
        vec![
            arrives(
                syn(own, peer).tag(0x88a8, 0).tag(0x8100, 0).frame(),
                RuleAllow,
            )
            .by("inbound/web"),
            leaves(syn_ack(peer, own).sent(), Session),
            arrives(ack(own, peer).tag(0x8100, 0xe000).frame(), Session),
            arrives(
                ack(own, peer).tag(0x8100, 0).tag(0x88a8, 0).frame(),
                Session,
            ),
        ]
    }),
    Case::new("fragments-under-tags", WEB, |f| {
        let first = udp((f.stranger, 40000), (f.host, 443), &[0; 24]).fragment(0, true, 66);
        let rest = raw(f.stranger, f.host, 17, vec![0; 40]).fragment(32, false, 66);
        let lost = raw(f.stranger, f.host, 17, vec![0; 40]).fragment(32, false, 67);
        vec![
            arrives(first.tag(0x8100, 0).frame(), RuleAllow).by("inbound/web"),
            arrives(rest.tag(0x88a8, 0).tag(0x8100, 0).frame(), Session),
            arrives(lost.tag(0x8100, 0).frame(), FragmentWithoutFirst),
        ]
    }),
    Case::new("snap-behind-a-tag", WEB, |_| {
        let mut payload = vec![0, 0, 0, 48, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
        payload.extend([0; 40]);
        vec![arrives(
            ethernet(HOST_MAC, PEER_MAC, 0x8100, &payload),
            UnsupportedEthertype,
        )]
    })
    .v4(),
    Case::new("more-tags-than-anyone-sends", WEB, |f| {
        let mut packet = syn((f.stranger, 40000), (f.host, 443));
        for _ in 0..12 {
            packet = packet.tag(0x8100, 0);
        }
        vec![arrives(packet.frame(), Malformed)]
    }),
    Case::new("tag-beside-the-frame", WEB, |f| {
        let shut = syn((f.stranger, 40001), (f.host, 23));
        vec![
            arrives(shut.frame(), RuleDeny)
                .tagged(0x8100, 7)
                .by("inbound/telnet"),
        ]
    })
    .without(&[
        (Way::TestRun, LeftOut::TagInMetadata),
        (Way::XdpTestRun, LeftOut::TagInMetadata),
        (Way::XdpWire, LeftOut::TagInMetadata),
    ]),
    Case::new("tagged-on-the-way-out", WEB, |f| {
        let packet = syn((f.host, 40001), (f.stranger, 23)).tag(0x8100, 0);
        vec![leaves(packet.sent(), DefaultAllow).zone("internet")]
    }),
    // eth0.100, a service VLAN 200 and eth0.300 exist; whatever is in their frames is judged there.
    Case::new("a-tag-of-a-vlan-device-is-handed-up", WEB, |f| {
        let open = |vid| syn((f.stranger, 40000), (f.host, 443)).tag(0x8100, vid);
        let shut = syn((f.stranger, 40001), (f.host, 23)).tag(0x8100, 0x6000 | 100);
        let out = syn((f.host, 40001), (f.stranger, 23)).tag(0x8100, 100);
        let mut cut = open(100).frame();
        cut.truncate(34);
        vec![
            arrives(open(100).frame(), HandedUp),
            arrives(shut.frame(), HandedUp),
            arrives(cut, HandedUp),
            leaves(out.sent(), HandedUp),
            arrives(open(101).frame(), RuleAllow).by("inbound/web"),
        ]
    }),
    Case::new("the-ethertype-of-the-tag-is-part-of-its-name", WEB, |f| {
        let shut = |kind, vid| {
            syn((f.stranger, 40001), (f.host, 23))
                .tag(kind, vid)
                .frame()
        };
        vec![
            arrives(shut(0x88a8, 200), HandedUp),
            arrives(shut(0x8100, 200), RuleDeny).by("inbound/telnet"),
            arrives(shut(0x88a8, 100), RuleDeny).by("inbound/telnet"),
        ]
    }),
    Case::new("behind-a-priority-tag-is-a-vlan", WEB, |f| {
        let shut = || syn((f.stranger, 40001), (f.host, 23));
        let twice = shut().tag(0x8100, 0).tag(0x8100, 0xe000).tag(0x8100, 300);
        let other = shut().tag(0x8100, 5).tag(0x8100, 100);
        vec![
            arrives(shut().tag(0x8100, 0).tag(0x8100, 100).frame(), HandedUp),
            arrives(twice.frame(), HandedUp),
            arrives(other.frame(), RuleDeny).by("inbound/telnet"),
        ]
    }),
    Case::new("a-tag-of-a-vlan-device-beside-the-frame", WEB, |f| {
        let shut = || syn((f.stranger, 40001), (f.host, 23));
        vec![
            arrives(shut().frame(), HandedUp).tagged(0x8100, 0xa000 | 100),
            leaves(syn((f.host, 40001), (f.stranger, 23)).sent(), HandedUp).tagged(0x88a8, 200),
            arrives(shut().tag(0x8100, 300).frame(), HandedUp).tagged(0x8100, 0),
            arrives(shut().tag(0x8100, 300).frame(), RuleDeny)
                .tagged(0x8100, 9)
                .by("inbound/telnet"),
        ]
    })
    .without(&[
        (Way::TestRun, LeftOut::TagInMetadata),
        (Way::XdpTestRun, LeftOut::TagInMetadata),
        (Way::XdpWire, LeftOut::TagInMetadata),
    ]),
    Case::new("a-tag-and-nothing-behind", WEB, |_| {
        vec![arrives(
            ethernet(HOST_MAC, PEER_MAC, 0x8100, &[0]),
            Truncated,
        )]
    })
    .v4()
    .without(&[
        (Way::Wire, LeftOut::FrameTooShort),
        (Way::XdpWire, LeftOut::FrameTooShort),
    ]),
    Case::new("shorter-than-a-link-header", WEB, |_| {
        vec![arrives(vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0], Truncated)]
    })
    .v4()
    .without(&[
        (Way::TestRun, LeftOut::FrameTooShort),
        (Way::XdpTestRun, LeftOut::FrameTooShort),
        (Way::Wire, LeftOut::FrameTooShort),
        (Way::XdpWire, LeftOut::FrameTooShort),
    ]),
    Case::new("a-link-header-and-a-piece-of-ip", WEB, |f| {
        let mut frame = syn((f.stranger, 40000), (f.host, 443)).frame();
        frame.truncate(30);
        vec![arrives(frame, Truncated)]
    })
    .without(&[(Way::TestRun, LeftOut::FrameTooShort)]),
    Case::new("neither-ip-nor-of-the-link", WEB, |_| {
        vec![
            arrives(
                ethernet(HOST_MAC, PEER_MAC, 0x8137, &[0; 50]),
                UnsupportedEthertype,
            ),
            leaves(
                ethernet(PEER_MAC, HOST_MAC, 0x8137, &[0; 50]),
                UnsupportedEthertype,
            ),
        ]
    })
    .v4(),
    Case::new("reverse-arp-is-not-arp", WEB, |_| {
        vec![arrives(
            ethernet(HOST_MAC, PEER_MAC, 0x8035, &[0; 50]),
            UnsupportedEthertype,
        )]
    })
    .v4(),
    // RFC 1042; Linux takes no IP from such frames.
    Case::new("an-open-port-in-a-snap-frame", WEB, |f| {
        let snap = |frame: Vec<u8>| {
            let (ethertype, ip) = (&frame[12..14], &frame[14..]);
            let llc = [&[0xaa, 0xaa, 3, 0, 0, 0], ethertype, ip].concat();
            let to = if frame[..6] == HOST_MAC {
                (HOST_MAC, PEER_MAC)
            } else {
                (PEER_MAC, HOST_MAC)
            };
            ethernet(to.0, to.1, llc.len() as u16, &llc)
        };
        let (own, peer) = ((f.stranger, 40000), (f.host, 443));
        let tagged = [&[0x81, 0, 0, 0][..], &snap(syn(own, peer).frame())[12..]].concat();
        vec![
            arrives(snap(syn(own, peer).frame()), UnsupportedEthertype),
            arrives(
                [&HOST_MAC[..], &PEER_MAC, &tagged].concat(),
                UnsupportedEthertype,
            ),
            leaves(snap(syn((f.host, 1), own).sent()), UnsupportedEthertype),
        ]
    }),
    Case::new("snap-frame", WEB, |_| {
        let mut payload = vec![0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
        payload.extend([0; 40]);
        vec![arrives(
            ethernet(HOST_MAC, PEER_MAC, 48, &payload),
            UnsupportedEthertype,
        )]
    })
    .v4(),
];
