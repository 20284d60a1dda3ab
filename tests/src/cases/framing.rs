//! What cannot be parsed, or lies about itself, is dropped with its reason.

use firewall_common::reason::Reason::*;

use super::policies::WEB;
use crate::case::packet::{ack, flag, icmp, ping, syn, tcp, udp};
use crate::case::{Case, arrives, leaves};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("ipv4-header-shorter-than-five-words", WEB, |f| {
        vec![arrives(
            syn((f.stranger, 40000), (f.host, 443))
                .header_words(4)
                .frame(),
            Malformed,
        )]
    })
    .v4(),
    Case::new("wrong-ip-version", WEB, |f| {
        vec![arrives(
            syn((f.stranger, 40000), (f.host, 443)).version(5).frame(),
            Malformed,
        )]
    }),
    Case::new("ipv4-total-length-below-header", WEB, |f| {
        vec![arrives(
            syn((f.stranger, 40000), (f.host, 443))
                .claims_length(19)
                .frame(),
            Malformed,
        )]
    })
    .v4(),
    Case::new("length-beyond-the-frame", WEB, |f| {
        vec![arrives(
            syn((f.stranger, 40000), (f.host, 443))
                .claims_length(900)
                .frame(),
            Truncated,
        )]
    }),
    Case::new("length-below-the-transport-header", WEB, |f| {
        let length = if f.v6 { 12 } else { 32 };
        let packet = syn((f.stranger, 40000), (f.host, 443)).claims_length(length);
        vec![arrives(packet.frame(), Truncated)]
    }),
    Case::new("padding-behind-the-packet-is-not-the-packet", WEB, |f| {
        let packet = syn((f.stranger, 40000), (f.host, 443)).padded(18);
        vec![
            arrives(packet.frame(), RuleAllow)
                .by("inbound/web")
                .zone("internet"),
        ]
    }),
    Case::new("ipv4-options-move-the-ports", WEB, |f| {
        let open =
            syn((f.stranger, 40000), (f.host, 443)).options(&[1, 1, 1, 1, 7, 7, 4, 0, 0, 0, 0]);
        let shut =
            syn((f.stranger, 40001), (f.host, 23)).options(&[1, 1, 1, 1, 7, 7, 4, 0, 0, 0, 0]);
        vec![
            arrives(open.frame(), RuleAllow).by("inbound/web"),
            arrives(shut.frame(), RuleDeny).by("inbound/telnet"),
        ]
    })
    .v4(),
    Case::new("loose-source-route", WEB, |f| {
        let packet = syn((f.stranger, 40000), (f.host, 443)).options(&[131, 7, 4, 10, 0, 0, 1]);
        vec![arrives(packet.frame(), IpOptions)]
    })
    .v4(),
    Case::new("strict-source-route-behind-padding", WEB, |f| {
        let packet =
            syn((f.stranger, 40000), (f.host, 443)).options(&[1, 1, 137, 7, 4, 10, 0, 0, 1]);
        vec![arrives(packet.frame(), IpOptions)]
    })
    .v4(),
    Case::new("an-option-of-no-length", WEB, |f| {
        let packet = syn((f.stranger, 40000), (f.host, 443)).options(&[7, 0, 0, 0]);
        vec![arrives(packet.frame(), Malformed)]
    })
    .v4(),
    Case::new("tcp-header-shorter-than-five-words", WEB, |f| {
        let packet = syn((f.stranger, 40000), (f.host, 443)).with_byte(12, 4 << 4);
        vec![arrives(packet.frame(), Malformed)]
    }),
    Case::new("tcp-header-longer-than-the-packet", WEB, |f| {
        let packet = syn((f.stranger, 40000), (f.host, 443)).with_byte(12, 15 << 4);
        vec![arrives(packet.frame(), Truncated)]
    }),
    Case::new("tcp-header-cut-off", WEB, |f| {
        vec![arrives(
            syn((f.stranger, 40000), (f.host, 443)).cut(13).frame(),
            Truncated,
        )]
    }),
    Case::new("udp-length-beyond-the-packet", WEB, |f| {
        let packet = udp((f.stranger, 40000), (f.host, 443), b"x").with_byte(4, 1);
        vec![arrives(packet.frame(), Truncated)]
    }),
    Case::new("udp-length-below-its-header", WEB, |f| {
        let packet = udp((f.stranger, 40000), (f.host, 443), b"x").with_byte(5, 7);
        vec![arrives(packet.frame(), Malformed)]
    }),
    Case::new("icmp-cut-off", WEB, |f| {
        vec![arrives(
            ping(f.stranger, f.host, 1).cut(6).frame(),
            Truncated,
        )]
    }),
    Case::new("no-tcp-flags-at-all", WEB, |f| {
        vec![arrives(
            tcp((f.stranger, 40000), (f.host, 443), 0, 1, 0).frame(),
            BadTcpFlags,
        )]
    }),
    Case::new("syn-and-fin", WEB, |f| {
        let flags = flag::SYN | flag::FIN;
        vec![arrives(
            tcp((f.stranger, 40000), (f.host, 443), flags, 1, 0).frame(),
            BadTcpFlags,
        )]
    }),
    Case::new("syn-and-rst", WEB, |f| {
        let flags = flag::SYN | flag::RST;
        vec![arrives(
            tcp((f.stranger, 40000), (f.host, 443), flags, 1, 0).frame(),
            BadTcpFlags,
        )]
    }),
    Case::new("fin-alone", WEB, |f| {
        vec![arrives(
            tcp((f.stranger, 40000), (f.host, 443), flag::FIN, 1, 0).frame(),
            BadTcpFlags,
        )]
    }),
    Case::new("all-flags", WEB, |f| {
        vec![arrives(
            tcp((f.stranger, 40000), (f.host, 443), 0x3f, 1, 1).frame(),
            BadTcpFlags,
        )]
    }),
    Case::new("own-address-as-source", WEB, |f| {
        vec![
            arrives(syn((f.host, 40000), (f.host, 443)).frame(), SpoofedSource),
            arrives(
                udp((f.host, 40000), (f.host, 443), b"x").frame(),
                SpoofedSource,
            ),
            arrives(ping(f.host, f.host, 1).frame(), SpoofedSource),
        ]
    }),
    Case::new("loopback-as-source", WEB, |f| {
        let source = if f.v6 { "::1" } else { "127.0.0.1" }
            .parse()
            .expect("an address");
        vec![arrives(
            syn((source, 40000), (f.host, 443)).frame(),
            SpoofedSource,
        )]
    }),
    Case::new("loopback-as-destination", WEB, |f| {
        let to = if f.v6 { "::1" } else { "127.0.0.1" }
            .parse()
            .expect("an address");
        vec![arrives(
            syn((f.stranger, 40000), (to, 443)).frame(),
            Martian,
        )]
    }),
    Case::new("multicast-as-source", WEB, |f| {
        vec![arrives(
            udp((f.group, 40000), (f.host, 443), b"x").frame(),
            Martian,
        )]
    }),
    Case::new("unspecified-as-source", WEB, |f| {
        let source = if f.v6 { "::" } else { "0.0.0.0" }
            .parse()
            .expect("an address");
        vec![arrives(
            syn((source, 40000), (f.host, 443)).frame(),
            Martian,
        )]
    }),
    Case::new("broadcast-as-source", WEB, |f| {
        let limited = "255.255.255.255".parse().expect("an address");
        let of_link = "10.77.0.255".parse().expect("an address");
        vec![
            arrives(udp((limited, 40000), (f.host, 443), b"x").frame(), Martian),
            arrives(udp((of_link, 40000), (f.host, 443), b"x").frame(), Martian),
            arrives(ack((of_link, 40000), (f.host, 443)).frame(), Martian),
            leaves(
                udp((f.host, 40001), (of_link, 443), b"x").sent(),
                DefaultAllow,
            ),
            arrives(udp((of_link, 443), (f.host, 40001), b"x").frame(), Martian),
        ]
    })
    .v4(),
    Case::new("class-e-as-source", WEB, |f| {
        let source = "240.0.0.1".parse().expect("an address");
        vec![arrives(
            syn((source, 40000), (f.host, 443)).frame(),
            Martian,
        )]
    })
    .v4(),
    Case::new("neighbour-discovery-from-beyond-the-link", WEB, |f| {
        let target = [0_u8; 16];
        let packet = icmp(f.stranger, f.host, 135, 0, 0, &target).ttl(254);
        vec![arrives(packet.frame(), NdInvalid)]
    })
    .v6(),
];
