//! Protocols beside TCP, UDP and ICMP have keys of their own.

use firewall_common::reason::Reason::*;

use super::policies::WEB;
use crate::case::packet::{Packet, raw};
use crate::case::{Case, Family, arrives, leaves};

fn sctp(f: &Family, port: u16, chunk: u8) -> Packet {
    let mut body = 40000_u16.to_be_bytes().to_vec();
    body.extend(port.to_be_bytes());
    body.extend([0, 0, 0, 0, 0, 0, 0, 0, chunk, 0, 0, 4]);
    raw(f.stranger, f.host, 132, body)
}

fn dccp(f: &Family, kind: u8) -> Packet {
    let mut body = 40000_u16.to_be_bytes().to_vec();
    body.extend(7000_u16.to_be_bytes());
    body.extend([4, 0, 0, 0, kind << 1, 0, 0, 0, 0, 0, 0, 0]);
    raw(f.stranger, f.host, 33, body)
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("gre-both-ways", WEB, |f| {
        let body = vec![0, 0, 8, 0, 1, 2, 3, 4];
        vec![
            arrives(raw(f.stranger, f.host, 47, body.clone()).frame(), RuleAllow)
                .by("inbound/tunnel"),
            leaves(raw(f.host, f.stranger, 47, body.clone()).sent(), Session),
            arrives(raw(f.stranger, f.host, 47, body).frame(), Session),
        ]
    }),
    Case::new("icmp-of-the-other-family", WEB, |f| {
        let number = if f.v6 { 1 } else { 58 };
        let kind = if f.v6 { 8 } else { 128 };
        let body = vec![kind, 0, 0, 0, 0, 1, 0, 1];
        vec![
            arrives(
                raw(f.stranger, f.host, number, body.clone()).frame(),
                Malformed,
            ),
            leaves(raw(f.host, f.stranger, number, body).sent(), Malformed),
        ]
    }),
    Case::new("a-protocol-that-nothing-names", WEB, |f| {
        vec![arrives(raw(f.stranger, f.host, 50, vec![0; 16]).frame(), NoPolicy).zone("internet")]
    }),
    Case::new("an-inner-packet-is-not-looked-at", WEB, |f| {
        let inner = crate::case::packet::syn((f.trusted, 40000), (f.host, 22)).frame();
        let number = if f.v6 { 41 } else { 4 };
        vec![arrives(
            raw(f.stranger, f.host, number, inner[14..].to_vec()).frame(),
            NoPolicy,
        )]
    }),
    Case::new("one-protocols-session-is-not-anothers", WEB, |f| {
        let body = [
            &40000_u16.to_be_bytes()[..],
            &443_u16.to_be_bytes(),
            &[0, 12, 0, 0, 0, 0],
        ]
        .concat();
        vec![
            arrives(
                raw(f.stranger, f.host, 17, body.clone())
                    .with_byte(5, 10)
                    .frame(),
                RuleAllow,
            )
            .by("inbound/web"),
            arrives(raw(f.stranger, f.host, 136, body).frame(), NoPolicy),
        ]
    }),
    Case::new("vxlan-is-judged-by-its-outer-header", WEB, |f| {
        let inner = crate::case::packet::syn((f.trusted, 40000), (f.host, 22)).frame();
        let body = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &inner].concat();
        let outer = crate::case::packet::udp((f.stranger, 40000), (f.host, 4789), &body);
        vec![arrives(outer.frame(), NoPolicy).zone("internet")]
    }),
    Case::new("a-tunnel-is-not-of-the-session-inside-it", WEB, |f| {
        let inner = crate::case::packet::syn((f.stranger, 40000), (f.host, 443));
        let number = if f.v6 { 41 } else { 4 };
        let tunnelled = raw(f.stranger, f.host, number, inner.frame()[14..].to_vec());
        let other = raw(
            f.stranger,
            f.host,
            if f.v6 { 4 } else { 41 },
            vec![0x60; 60],
        );
        vec![
            arrives(inner.frame(), RuleAllow).by("inbound/web"),
            arrives(tunnelled.frame(), NoPolicy),
            arrives(other.frame(), NoPolicy),
        ]
    }),
    Case::new("no-two-protocols-share-a-session", WEB, |f| {
        // The same eight bytes in each: ports 40000 and 443, or none.
        let body = [
            &40000_u16.to_be_bytes()[..],
            &443_u16.to_be_bytes(),
            &[0; 24],
        ]
        .concat();
        let of = |number| raw(f.stranger, f.host, number, body.clone()).frame();
        vec![
            arrives(of(47), RuleAllow).by("inbound/tunnel"),
            arrives(of(47), Session),
            arrives(of(50), NoPolicy),
            arrives(of(51 + u8::from(f.v6) * 4), NoPolicy),
            arrives(of(136), NoPolicy),
            arrives(of(253), NoPolicy),
            leaves(
                raw(f.host, f.stranger, 253, body.clone()).sent(),
                DefaultAllow,
            ),
            arrives(of(253), Session),
            arrives(of(254), NoPolicy),
        ]
    }),
    Case::new("sctp-opens-with-init", WEB, |f| {
        vec![
            arrives(sctp(f, 2905, 10).frame(), NoSession),
            arrives(sctp(f, 2905, 1).frame(), RuleAllow).by("inbound/tunnel"),
            arrives(sctp(f, 2905, 10).frame(), Session),
            arrives(sctp(f, 2906, 1).frame(), NoPolicy),
        ]
    }),
    Case::new("dccp-opens-with-request", WEB, |f| {
        vec![
            arrives(dccp(f, 2).frame(), NoSession),
            arrives(dccp(f, 0).frame(), RuleAllow).by("inbound/tunnel"),
            arrives(dccp(f, 2).frame(), Session),
        ]
    }),
    Case::new("sctp-cut-off", WEB, |f| {
        vec![arrives(sctp(f, 2905, 1).cut(11).frame(), Truncated)]
    }),
];
