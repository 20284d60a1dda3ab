//! Fragments: the first is judged, the later ones follow it and are never read as ports.

use firewall_common::reason::Reason::*;

use super::policies::WEB;
use crate::case::packet::{Packet, raw, syn, udp};
use crate::case::{Case, Family, arrives, leaves};

/// A later piece whose first bytes would be ports, were they read.
fn later(f: &Family, to_port: u16, offset: u16, id: u32) -> Packet {
    let mut body = 40000_u16.to_be_bytes().to_vec();
    body.extend(to_port.to_be_bytes());
    body.extend([0; 28]);
    raw(f.stranger, f.host, 17, body).fragment(offset, false, id)
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("later-fragment-of-an-allowed-first", WEB, |f| {
        let first = udp((f.stranger, 40000), (f.host, 443), &[0; 24]).fragment(0, true, 77);
        vec![
            arrives(first.frame(), RuleAllow).by("inbound/web"),
            arrives(later(f, 23, 32, 77).frame(), Session),
            arrives(later(f, 443, 64, 77).frame(), Session),
        ]
    }),
    Case::new("later-fragment-without-a-first", WEB, |f| {
        vec![arrives(later(f, 443, 32, 78).frame(), FragmentWithoutFirst)]
    }),
    Case::new("later-fragment-of-a-denied-first", WEB, |f| {
        let first = udp((f.stranger, 40000), (f.host, 9), &[0; 24]).fragment(0, true, 79);
        vec![
            arrives(first.frame(), NoPolicy),
            arrives(later(f, 443, 32, 79).frame(), FragmentWithoutFirst),
        ]
    }),
    Case::new("later-fragment-of-another-packet", WEB, |f| {
        let first = udp((f.stranger, 40000), (f.host, 443), &[0; 24]).fragment(0, true, 80);
        vec![
            arrives(first.frame(), RuleAllow).by("inbound/web"),
            arrives(later(f, 443, 32, 81).frame(), FragmentWithoutFirst),
        ]
    }),
    Case::new("a-fragment-that-overlaps-the-ports", WEB, |f| {
        let body = raw(f.stranger, f.host, 6, vec![0; 32]).fragment(8, false, 82);
        vec![arrives(body.frame(), FragmentOverlap)]
    }),
    Case::new("a-first-fragment-too-small-for-its-header", WEB, |f| {
        let packet = syn((f.stranger, 40000), (f.host, 443))
            .cut(16)
            .fragment(0, true, 83);
        vec![arrives(packet.frame(), Truncated)]
    }),
    Case::new("a-fragment-that-ends-beyond-the-largest-packet", WEB, |f| {
        let packet = raw(f.stranger, f.host, 17, vec![0; 64]).fragment(65_528, false, 84);
        vec![arrives(packet.frame(), Malformed)]
    }),
    Case::new("own-fragments-leave", WEB, |f| {
        let first = udp((f.host, 40000), (f.stranger, 9), &[0; 24]).fragment(0, true, 85);
        let second = raw(f.host, f.stranger, 17, vec![0; 40]).fragment(32, false, 85);
        vec![
            leaves(first.sent(), DefaultAllow).zone("internet"),
            leaves(second.sent(), Session),
        ]
    }),
    Case::new("a-later-fragment-in-our-name-from-outside", WEB, |f| {
        let first = udp((f.host, 40000), (f.stranger, 9), &[0; 24]).fragment(0, true, 87);
        let second = raw(f.host, f.stranger, 17, vec![0; 40]).fragment(32, false, 87);
        vec![
            leaves(first.sent(), DefaultAllow),
            arrives(second.frame(), SpoofedSource),
        ]
    }),
    Case::new("one-id-twice-opens-no-denied-port", WEB, |f| {
        let first = |port| udp((f.stranger, 40000), (f.host, port), &[0; 24]).fragment(0, true, 89);
        vec![
            arrives(first(443).frame(), RuleAllow).by("inbound/web"),
            arrives(first(9).frame(), NoPolicy),
            // Whichever of the two it belongs to: they overlap, and nobody sends such a packet.
            arrives(later(f, 9, 32, 89).frame(), FragmentWithoutFirst),
            arrives(first(23).frame(), NoPolicy),
        ]
    }),
    Case::new("the-same-id-of-another-protocol", WEB, |f| {
        let first = udp((f.stranger, 40000), (f.host, 443), &[0; 24]).fragment(0, true, 90);
        let other = raw(f.stranger, f.host, 6, vec![0; 32]).fragment(32, false, 90);
        vec![
            arrives(first.frame(), RuleAllow).by("inbound/web"),
            arrives(other.frame(), FragmentWithoutFirst),
        ]
    })
    .v4(),
    Case::new("a-fragment-that-overlaps-the-tcp-flags", WEB, |f| {
        let first = syn((f.stranger, 40000), (f.host, 443))
            .data(&[0; 20])
            .fragment(0, true, 92);
        let over = |offset| {
            raw(f.stranger, f.host, 6, vec![0; 32])
                .fragment(offset, false, 92)
                .frame()
        };
        vec![
            arrives(first.frame(), RuleAllow).by("inbound/web"),
            arrives(over(8), FragmentOverlap),
            arrives(over(16), FragmentOverlap),
            arrives(over(24), FragmentWithoutFirst),
        ]
    }),
    Case::new("a-first-fragment-without-the-whole-chain", WEB, |f| {
        // RFC 7112: the ports would come in the second.
        let packet = udp((f.stranger, 40000), (f.host, 443), &[0; 24]);
        let mut frame = packet
            .extension(44, &[0, 1, 0, 0, 0, 93])
            .extension(60, &[1, 4])
            .frame();
        frame.truncate(14 + 40 + 8 + 8);
        frame[14 + 4..14 + 6].copy_from_slice(&16_u16.to_be_bytes());
        vec![arrives(frame, Truncated)]
    })
    .v6(),
    Case::new("a-middle-fragment-of-no-whole-words", WEB, |f| {
        let packet = raw(f.stranger, f.host, 17, vec![0; 30]).fragment(32, true, 94);
        vec![arrives(packet.frame(), Malformed)]
    })
    .v6(),
    Case::new("later-fragments-of-a-session-both-ways", WEB, |f| {
        let to = |id| udp((f.stranger, 40000), (f.host, 443), &[0; 24]).fragment(0, true, id);
        let back = udp((f.host, 443), (f.stranger, 40000), &[0; 24]).fragment(0, true, 96);
        let rest = raw(f.host, f.stranger, 17, vec![0; 40]).fragment(32, false, 96);
        vec![
            arrives(to(95).frame(), RuleAllow).by("inbound/web"),
            leaves(back.sent(), Session),
            leaves(rest.sent(), Session),
            arrives(to(97).frame(), Session),
            arrives(later(f, 23, 32, 97).frame(), Session),
        ]
    }),
    Case::new("a-fragment-that-overlaps-the-first-chunk", WEB, |f| {
        let body = raw(f.stranger, f.host, 132, vec![0; 32]).fragment(8, false, 88);
        vec![arrives(body.frame(), FragmentOverlap)]
    }),
];
