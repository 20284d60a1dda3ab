//! IPv6 extension headers: walked, bounded, never skipped.

use firewall_common::reason::Reason::*;

use super::policies::WEB;
use crate::case::packet::{Packet, syn};
use crate::case::{Case, Family, arrives};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

fn open(f: &Family) -> Packet {
    syn((f.stranger, 40000), (f.host, 443))
}

fn shut(f: &Family) -> Packet {
    syn((f.stranger, 40001), (f.host, 23))
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("hop-by-hop-options", WEB, |f| {
        vec![
            arrives(open(f).extension(HOP_BY_HOP, &[1, 4]).frame(), RuleAllow).by("inbound/web"),
            arrives(shut(f).extension(HOP_BY_HOP, &[1, 4]).frame(), RuleDeny).by("inbound/telnet"),
        ]
    })
    .v6(),
    Case::new("long-destination-options", WEB, |f| {
        let content = [&[1, 60][..], &[0; 60]].concat();
        vec![
            arrives(shut(f).extension(DESTINATION, &content).frame(), RuleDeny)
                .by("inbound/telnet"),
        ]
    })
    .v6(),
    Case::new("several-extension-headers", WEB, |f| {
        let packet = shut(f)
            .extension(HOP_BY_HOP, &[1, 4])
            .extension(DESTINATION, &[1, 4]);
        vec![arrives(packet.extension(ROUTING, &[4, 0]).frame(), RuleDeny).by("inbound/telnet")]
    })
    .v6(),
    Case::new("authentication-header-is-the-protocol", WEB, |f| {
        // What stands behind it opens nothing: a rule that wants it says `ah`, as for IPv4.
        let packet = open(f).extension(AUTHENTICATION, &[0; 6]);
        vec![arrives(packet.frame(), NoPolicy)]
    })
    .v6(),
    Case::new("hop-by-hop-not-first", WEB, |f| {
        let packet = open(f)
            .extension(DESTINATION, &[1, 4])
            .extension(HOP_BY_HOP, &[1, 4]);
        vec![arrives(packet.frame(), Malformed)]
    })
    .v6(),
    Case::new("routing-header-type-0", WEB, |f| {
        vec![arrives(
            open(f).extension(ROUTING, &[0, 0]).frame(),
            Ipv6RoutingHeader,
        )]
    })
    .v6(),
    Case::new("routing-header-type-0-behind-options", WEB, |f| {
        let packet = open(f)
            .extension(DESTINATION, &[1, 4])
            .extension(ROUTING, &[0, 1]);
        vec![arrives(packet.frame(), Ipv6RoutingHeader)]
    })
    .v6(),
    Case::new("a-chain-without-end", WEB, |f| {
        let mut packet = open(f);
        for _ in 0..12 {
            packet = packet.extension(DESTINATION, &[1, 4]);
        }
        vec![arrives(packet.frame(), Malformed)]
    })
    .v6(),
    Case::new("an-extension-header-longer-than-the-packet", WEB, |f| {
        let mut frame = open(f).extension(DESTINATION, &[1, 4]).frame();
        frame[14 + 40 + 1] = 200;
        vec![arrives(frame, Truncated)]
    })
    .v6(),
    Case::new("atomic-fragment-is-a-whole-packet", WEB, |f| {
        vec![
            arrives(open(f).fragment(0, false, 9).frame(), RuleAllow).by("inbound/web"),
            arrives(shut(f).fragment(0, false, 9).frame(), RuleDeny).by("inbound/telnet"),
        ]
    })
    .v6(),
    Case::new("a-jumbogram-is-not-believed", WEB, |f| {
        // RFC 2675: payload length 0, and the true one in a hop-by-hop option.
        let packet = open(f)
            .extension(HOP_BY_HOP, &[0xc2, 4, 0, 1, 0, 0])
            .claims_length(0);
        vec![arrives(packet.frame(), Truncated)]
    })
    .v6(),
    Case::new("no-next-header", WEB, |f| {
        let packet = crate::case::packet::raw(f.stranger, f.host, 59, vec![0; 16]);
        vec![arrives(packet.frame(), NoPolicy)]
    })
    .v6(),
    Case::new("a-fragment-header-behind-an-atomic-one", WEB, |f| {
        let twice = shut(f)
            .extension(FRAGMENT, &[0, 0, 0, 0, 0, 1])
            .extension(DESTINATION, &[1, 4])
            .fragment(0, true, 9);
        vec![arrives(twice.frame(), Malformed)]
    })
    .v6(),
    Case::new("routing-header-type-0-in-a-first-fragment", WEB, |f| {
        let packet = open(f)
            .extension(FRAGMENT, &[0, 1, 0, 0, 0, 5])
            .extension(ROUTING, &[0, 1]);
        vec![arrives(packet.frame(), Malformed)]
    })
    .v6(),
    Case::new("two-fragment-headers", WEB, |f| {
        let packet = open(f)
            .extension(FRAGMENT, &[0, 0, 0, 0, 0, 1])
            .fragment(0, false, 9);
        vec![arrives(packet.frame(), Malformed)]
    })
    .v6(),
];
