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
    Case::new("a-fragment-that-overlaps-the-first-chunk", WEB, |f| {
        let body = raw(f.stranger, f.host, 132, vec![0; 32]).fragment(8, false, 88);
        vec![arrives(body.frame(), FragmentOverlap)]
    }),
];
