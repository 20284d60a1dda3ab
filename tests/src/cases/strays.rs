//! Packets that open nothing and belong to nothing walk the list, too.

use firewall_common::reason::Reason::*;

use super::policies::{DEFAULTS, REJECT_UNMATCHED, WEB};
use crate::case::packet::{ack, flag, icmp, pong, syn_ack, tcp};
use crate::case::{Case, arrives, leaves};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("a-deny-decides-with-its-own-reason", WEB, |f| {
        vec![arrives(ack((f.stranger, 40000), (f.host, 23)).frame(), RuleDeny).by("inbound/telnet")]
    }),
    Case::new("a-reject-decides-and-answers-nothing", WEB, |f| {
        vec![
            arrives(ack((f.stranger, 40000), (f.host, 113)).frame(), RuleReject)
                .by("inbound/ident"),
        ]
    }),
    Case::new("a-default-deny-decides", DEFAULTS, |f| {
        vec![
            arrives(ack((f.stranger, 40000), (f.host, 22)).frame(), DefaultDeny)
                .by("others/default"),
        ]
    }),
    Case::new("a-stateful-allow-does-not-take-it", WEB, |f| {
        vec![arrives(ack((f.stranger, 40000), (f.host, 443)).frame(), NoSession).zone("internet")]
    }),
    Case::new("a-stateful-default-allow-does-not-either", DEFAULTS, |f| {
        vec![arrives(ack((f.trusted, 40000), (f.host, 22)).frame(), NoSession).zone("trusted")]
    }),
    Case::new("the-end-of-the-list", WEB, |f| {
        vec![
            arrives(ack((f.stranger, 40000), (f.host, 8080)).frame(), NoSession).zone("internet"),
            leaves(
                syn_ack((f.host, 8080), (f.stranger, 40000)).sent(),
                NoSession,
            )
            .zone("internet"),
        ]
    }),
    Case::new("the-end-of-a-list-that-rejects", REJECT_UNMATCHED, |f| {
        vec![arrives(
            ack((f.stranger, 40000), (f.host, 8080)).frame(),
            NoSession,
        )]
    }),
    Case::new("a-fin-out-of-nowhere", WEB, |f| {
        let packet = tcp(
            (f.stranger, 40000),
            (f.host, 443),
            flag::FIN | flag::ACK,
            9,
            9,
        );
        vec![arrives(packet.frame(), NoSession)]
    }),
    Case::new("an-echo-reply-under-a-default-deny", DEFAULTS, |f| {
        vec![arrives(pong(f.stranger, f.host, 4).frame(), DefaultDeny).by("others/default")]
    }),
    Case::new("icmp-without-sessions-by-nature", WEB, |f| {
        let kind = if f.v6 { 139 } else { 10 };
        vec![arrives(
            icmp(f.stranger, f.host, kind, 0, 0, &[0; 8]).frame(),
            NoSession,
        )]
    }),
];
