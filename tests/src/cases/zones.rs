//! Who is at the other end.

use std::net::IpAddr;

use firewall_common::reason::Reason::*;

use super::policies::{DEFAULTS, INTERFACE_ZONES, WEB};
use crate::case::packet::{syn, udp};
use crate::case::{Case, arrives, leaves};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("a-zone-by-prefix", WEB, |f| {
        vec![
            arrives(syn((f.trusted, 40000), (f.host, 22)).frame(), RuleAllow)
                .by("admin/ssh")
                .zone("trusted"),
            arrives(syn((f.stranger, 40000), (f.host, 22)).frame(), NoPolicy).zone("internet"),
        ]
    }),
    Case::new("beside-the-prefix", WEB, |f| {
        let (inside, outside) = match f.v6 {
            true => ("fd77::ffff:ffff:ffff", "fd77::1:0:0:0"),
            false => ("10.77.0.127", "10.77.0.128"),
        };
        vec![
            arrives(syn((ip(inside), 40000), (f.host, 22)).frame(), RuleAllow).by("admin/ssh"),
            arrives(syn((ip(outside), 40000), (f.host, 22)).frame(), NoPolicy).zone("internet"),
        ]
    }),
    Case::new("the-default-zone-does-not-contain-the-others", WEB, |f| {
        vec![arrives(syn((f.trusted, 40000), (f.host, 443)).frame(), NoPolicy).zone("trusted")]
    }),
    Case::new("any-means-every-zone", DEFAULTS, |f| {
        let web = |from| arrives(syn((from, 40000), (f.host, 443)).frame(), RuleAllow);
        vec![
            web(f.trusted).by("passes-on/web").zone("trusted"),
            web(f.other).by("passes-on/web").zone("partner"),
            web(f.stranger).by("passes-on/web").zone("internet"),
        ]
    }),
    Case::new("zone-of-the-addressee", WEB, |f| {
        vec![
            leaves(syn((f.host, 40000), (f.trusted, 22)).sent(), DefaultAllow).zone("trusted"),
            leaves(syn((f.host, 40000), (f.stranger, 22)).sent(), DefaultAllow).zone("internet"),
        ]
    }),
    Case::new(
        "a-narrower-zone-on-another-interface-does-not-count",
        INTERFACE_ZONES,
        |f| {
            vec![
                arrives(syn((f.stranger, 40000), (f.host, 80)).frame(), RuleAllow)
                    .by("wide/web")
                    .zone("wide"),
                arrives(syn((f.stranger, 40000), (f.host, 81)).frame(), NoPolicy).zone("wide"),
            ]
        },
    ),
    Case::new(
        "a-zone-that-names-only-the-interface",
        INTERFACE_ZONES,
        |f| {
            vec![
                arrives(syn((f.other, 40000), (f.host, 82)).frame(), RuleAllow)
                    .by("link/web")
                    .zone("link"),
            ]
        },
    )
    .v4(),
    Case::new(
        "link-local-addresses-belong-to-the-interface",
        INTERFACE_ZONES,
        |f| {
            vec![
                arrives(
                    syn((ip("fe80::99"), 40000), (f.host, 82)).frame(),
                    RuleAllow,
                )
                .by("link/web")
                .zone("link"),
            ]
        },
    )
    .v6(),
    Case::new(
        "outgoing-multicast-has-its-own-zone",
        INTERFACE_ZONES,
        |f| {
            vec![
                leaves(udp((f.host, 5353), (f.group, 5353), b"x").sent(), RuleAllow)
                    .by("out/groups")
                    .zone("multicast"),
                leaves(udp((f.host, 5353), (f.group, 5354), b"x").sent(), NoPolicy)
                    .zone("multicast"),
            ]
        },
    ),
    Case::new("outgoing-broadcast-too", INTERFACE_ZONES, |f| {
        vec![
            leaves(
                udp((f.host, 5353), (ip("255.255.255.255"), 5353), b"x").sent(),
                RuleAllow,
            )
            .by("out/groups")
            .zone("multicast"),
            leaves(
                udp((f.host, 5354), (ip("10.77.0.255"), 5353), b"x").sent(),
                RuleAllow,
            )
            .by("out/groups")
            .zone("multicast"),
        ]
    })
    .v4(),
    Case::new("arriving-multicast-is-for-this-host", WEB, |f| {
        vec![
            arrives(
                udp((f.stranger, 40000), (f.group, 443), b"x").frame(),
                RuleAllow,
            )
            .by("inbound/web")
            .zone("internet"),
            arrives(
                udp((f.stranger, 40000), (f.group, 444), b"x").frame(),
                NoPolicy,
            ),
        ]
    }),
];
