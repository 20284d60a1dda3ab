//! Traffic that this host only routes is judged once, where it arrives, by policies without `host`.

use firewall_common::reason::Reason::*;

use super::policies::{ALLOWING, PASSING, ROUTER, WEB};
use crate::case::packet::{ack, icmp, syn, too_big, udp};
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
    // Routed strays go by `unmatched.routed`, which refuses here.
    Case::new("unmatched-routed-deny-takes-no-strays", ROUTER, |f| {
        vec![arrives(ack((f.stranger, 40000), (f.behind, 9)).frame(), NoPolicy).zone("internet")]
    }),
    // An allow matched, so it is not for want of a policy.
    Case::new("a-routed-stray-that-an-allow-does-not-take", ROUTER, |f| {
        vec![arrives(ack((f.stranger, 40000), (f.behind, 80)).frame(), NoSession).zone("internet")]
    }),
    Case::new("a-routed-stray-that-a-rule-refuses", ROUTER, |f| {
        vec![
            arrives(ack((f.stranger, 40000), (f.behind, 23)).frame(), RuleReject)
                .by("through/telnet"),
        ]
    }),
    Case::new(
        "unmatched-routed-pass-takes-strays-of-an-allow",
        PASSING,
        |f| {
            vec![
                arrives(ack((f.stranger, 40000), (f.behind, 80)).frame(), Routed).zone("internet"),
                arrives(syn((f.stranger, 40000), (f.behind, 80)).frame(), RuleAllow)
                    .by("through/web"),
                arrives(ack((f.stranger, 40000), (f.behind, 23)).frame(), RuleDeny)
                    .by("through/telnet"),
            ]
        },
    ),
    Case::new("unmatched-routed-allow-takes-strays", ALLOWING, |f| {
        vec![arrives(
            ack((f.stranger, 40000), (f.behind, 80)).frame(),
            DefaultAllow,
        )]
    }),
    // "Errors about nothing live are no-session, whatever the rules say": `pass` is for what the list is
    // asked about, and errors are settled before it.
    Case::new("an-error-about-a-routed-stray", WEB, |f| {
        let stray = ack((f.behind, 40000), (f.stranger, 23));
        vec![arrives(
            too_big(f.other, f.behind, &stray).frame(),
            NoSession,
        )]
    }),
    Case::new("an-error-about-a-routed-session", WEB, |f| {
        let question = udp((f.stranger, 40000), (f.behind, 9), b"x");
        let answer = udp((f.behind, 9), (f.stranger, 40000), b"y");
        vec![
            arrives(question.frame(), Routed),
            arrives(too_big(f.other, f.behind, &answer).frame(), Related),
        ]
    }),
    Case::new("icmp-without-sessions-by-nature-routed", ROUTER, |f| {
        let kind = if f.v6 { 139 } else { 10 };
        let packet = icmp(f.stranger, f.behind, kind, 0, 0, &[0; 8]);
        vec![arrives(packet.frame(), NoPolicy)]
    }),
];
