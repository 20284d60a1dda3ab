//! Refusals that are told: once for each opening, never where nobody should hear it.

use std::net::IpAddr;

use firewall_common::reason::Reason::*;
use firewall_common::verdict::Verdict;

use super::policies::{REJECT_UNMATCHED, WEB};
use crate::case::packet::{syn, tcp, udp};
use crate::case::{Case, arrives, leaves};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("tcp-is-reset", WEB, |f| {
        vec![
            arrives(syn((f.stranger, 40000), (f.host, 113)).frame(), RuleReject)
                .by("inbound/ident")
                .zone("internet")
                .answered(),
        ]
    }),
    Case::new("tcp-with-data-is-reset", WEB, |f| {
        let packet = tcp((f.stranger, 40000), (f.host, 113), 2, 0xffff_fffe, 0).data(b"early");
        vec![
            arrives(packet.frame(), RuleReject)
                .by("inbound/ident")
                .answered(),
        ]
    }),
    Case::new("udp-is-told-unreachable", WEB, |f| {
        vec![
            arrives(
                udp((f.stranger, 40000), (f.host, 113), b"who?").frame(),
                RuleReject,
            )
            .by("inbound/ident")
            .answered(),
        ]
    }),
    Case::new("a-short-datagram-is-told-too", WEB, |f| {
        vec![
            arrives(
                udp((f.stranger, 40000), (f.host, 113), b"").frame(),
                RuleReject,
            )
            .by("inbound/ident")
            .answered(),
        ]
    }),
    Case::new("nothing-is-told-to-a-group", WEB, |f| {
        let to_group = udp((f.stranger, 40000), (f.group, 113), b"who?");
        let by_link = udp((f.stranger, 40000), (f.host, 113), b"who?").to_mac([0xff; 6]);
        vec![
            arrives(to_group.frame(), RuleReject).by("inbound/ident"),
            arrives(by_link.frame(), RuleReject).by("inbound/ident"),
        ]
    }),
    Case::new("nothing-is-told-to-a-broadcast", WEB, |f| {
        let packet = udp((f.stranger, 40000), (ip("10.77.0.255"), 113), b"who?");
        vec![arrives(packet.frame(), RuleReject).by("inbound/ident")]
    })
    .v4(),
    Case::new("the-local-sender-is-told", REJECT_UNMATCHED, |f| {
        vec![
            leaves(syn((f.host, 50000), (f.stranger, 25)).sent(), RuleReject)
                .by("outbound/no-smtp")
                .zone("internet")
                .answered(),
        ]
    }),
    Case::new("the-local-sender-is-told-of-udp", REJECT_UNMATCHED, |f| {
        vec![
            leaves(udp((f.host, 50000), (f.stranger, 9), b"x").sent(), NoPolicy)
                .verdict(Verdict::Rejected)
                .answered(),
        ]
    }),
    Case::new("each-opening-is-told", WEB, |f| {
        let one = |port| syn((f.stranger, port), (f.host, 113)).frame();
        vec![
            arrives(one(40000), RuleReject)
                .by("inbound/ident")
                .answered(),
            arrives(one(40001), RuleReject)
                .by("inbound/ident")
                .answered(),
        ]
    }),
];
