//! Traffic that this host only routes is judged once, where it arrives, by policies without `host`.

use firewall_common::reason::Reason::*;

use super::policies::{ROUTER, WEB};
use crate::case::packet::{ack, syn, udp};
use crate::case::{Case, arrives};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("routed-by-a-rule-between-zones", ROUTER, |f| {
        vec![
            arrives(syn((f.stranger, 40000), (f.behind, 80)).frame(), RuleAllow)
                .by("through/web")
                .zone("internet"),
        ]
    }),
    Case::new("routed-and-refused", ROUTER, |f| {
        vec![
            arrives(syn((f.stranger, 40000), (f.behind, 23)).frame(), RuleReject)
                .by("through/telnet")
                .answered(),
        ]
    }),
    Case::new("rules-to-host-are-not-for-routed-traffic", ROUTER, |f| {
        vec![
            arrives(syn((f.stranger, 40000), (f.behind, 443)).frame(), NoPolicy).zone("internet"),
            arrives(syn((f.stranger, 40000), (f.host, 443)).frame(), RuleAllow)
                .by("any-to-host/https"),
        ]
    }),
    Case::new("rules-between-zones-are-not-for-the-host", ROUTER, |f| {
        vec![arrives(syn((f.stranger, 40000), (f.host, 80)).frame(), NoPolicy).zone("internet")]
    }),
    // The kernel does not forward it, so it is judged as for the host, and dropped by the stack.
    Case::new("link-local-is-never-routed", ROUTER, |f| {
        let neighbour = "fe80::9".parse().expect("an address");
        vec![
            arrives(syn((neighbour, 40000), (f.behind, 443)).frame(), RuleAllow)
                .by("any-to-host/https"),
        ]
    })
    .v6(),
    Case::new("unmatched-routed-pass", WEB, |f| {
        vec![
            arrives(syn((f.stranger, 40000), (f.behind, 23)).frame(), Routed).zone("internet"),
            arrives(
                udp((f.stranger, 40000), (f.behind, 9), b"x").frame(),
                Routed,
            ),
        ]
    }),
    Case::new("unmatched-routed-pass-takes-strays", WEB, |f| {
        vec![arrives(ack((f.stranger, 40000), (f.behind, 23)).frame(), Routed).zone("internet")]
    }),
    Case::new("unmatched-routed-deny-takes-no-strays", ROUTER, |f| {
        vec![arrives(
            ack((f.stranger, 40000), (f.behind, 9)).frame(),
            NoSession,
        )]
    }),
];
