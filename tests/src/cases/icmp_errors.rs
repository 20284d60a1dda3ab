//! ICMP errors pass only about live sessions, in the right direction, to the right host.

use firewall_common::reason::Reason::*;

use super::policies::{DEFAULTS, WEB};
use crate::case::packet::{flag, icmp, ping, raw, syn, tcp, too_big, udp, unreachable};
use crate::case::{Case, arrives, leaves};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("unreachable-about-our-own-packet", WEB, |f| {
        let question = udp((f.host, 50000), (f.stranger, 53), b"q");
        vec![
            leaves(question.sent(), DefaultAllow),
            arrives(unreachable(f.stranger, &question).frame(), Related).zone("internet"),
        ]
    }),
    Case::new("too-big-from-a-router-on-the-way", WEB, |f| {
        let question = syn((f.host, 50000), (f.stranger, 443));
        vec![
            leaves(question.sent(), DefaultAllow),
            arrives(too_big(f.other, f.host, &question).frame(), Related),
        ]
    }),
    Case::new("an-error-about-nothing", WEB, |f| {
        let question = udp((f.host, 50000), (f.stranger, 53), b"q");
        vec![arrives(
            unreachable(f.stranger, &question).frame(),
            NoSession,
        )]
    }),
    Case::new(
        "an-error-about-nothing-whatever-the-rules-say",
        DEFAULTS,
        |f| {
            let question = udp((f.host, 50000), (f.trusted, 53), b"q");
            vec![arrives(
                unreachable(f.trusted, &question).frame(),
                NoSession,
            )]
        },
    ),
    Case::new("an-error-about-another-port", WEB, |f| {
        let question = udp((f.host, 50000), (f.stranger, 53), b"q");
        let other = udp((f.host, 50001), (f.stranger, 53), b"q");
        vec![
            leaves(question.sent(), DefaultAllow),
            arrives(unreachable(f.stranger, &other).frame(), NoSession),
        ]
    }),
    Case::new("an-error-to-someone-else", WEB, |f| {
        let question = udp((f.host, 50000), (f.stranger, 53), b"q");
        let to = if f.v6 { "fd77::66" } else { "10.77.0.66" }
            .parse()
            .expect("an address");
        vec![
            leaves(question.sent(), DefaultAllow),
            arrives(too_big(f.other, to, &question).frame(), NoSession),
        ]
    }),
    Case::new("an-error-that-quotes-what-arrived", WEB, |f| {
        let question = udp((f.stranger, 40000), (f.host, 443), b"q");
        vec![
            arrives(question.frame(), RuleAllow).by("inbound/web"),
            arrives(too_big(f.other, f.stranger, &question).frame(), NoSession),
        ]
    }),
    Case::new("our-own-error-about-what-arrived", WEB, |f| {
        let question = udp((f.stranger, 40000), (f.host, 443), b"q");
        vec![
            arrives(question.frame(), RuleAllow).by("inbound/web"),
            leaves(unreachable(f.host, &question).sent(), Related),
        ]
    }),
    Case::new("our-own-error-about-nothing", WEB, |f| {
        let question = udp((f.stranger, 40000), (f.host, 443), b"q");
        vec![leaves(unreachable(f.host, &question).sent(), NoSession)]
    }),
    Case::new("an-error-about-a-ping", WEB, |f| {
        let question = ping(f.host, f.stranger, 9);
        vec![
            leaves(question.sent(), DefaultAllow),
            arrives(unreachable(f.other, &question).frame(), Related),
            arrives(
                unreachable(f.other, &ping(f.host, f.stranger, 10)).frame(),
                NoSession,
            ),
        ]
    }),
    // Its session has no ports; the datagram before it has.
    Case::new("an-error-about-a-tunnel", WEB, |f| {
        let tunnelled = raw(f.host, f.stranger, 47, vec![0, 0, 8, 0, 1, 2, 3, 4]);
        let question = udp((f.stranger, 40000), (f.host, 443), b"q");
        vec![
            leaves(tunnelled.sent(), DefaultAllow),
            arrives(question.frame(), RuleAllow).by("inbound/web"),
            arrives(too_big(f.other, f.host, &tunnelled).frame(), Related),
        ]
    }),
    Case::new("an-error-changes-nothing", WEB, |f| {
        let question = syn((f.host, 50000), (f.stranger, 443));
        let answer = tcp(
            (f.stranger, 443),
            (f.host, 50000),
            flag::SYN | flag::ACK,
            5000,
            1001,
        );
        vec![
            leaves(question.sent(), DefaultAllow),
            arrives(unreachable(f.other, &question).frame(), Related),
            arrives(answer.frame(), Session),
        ]
    }),
    Case::new("an-error-with-too-little-in-it", WEB, |f| {
        let question = udp((f.host, 50000), (f.stranger, 53), b"q");
        let (kind, code) = if f.v6 { (1, 4) } else { (3, 3) };
        let short = icmp(f.stranger, f.host, kind, code, 0, &question.quote()[..12]);
        vec![
            leaves(question.sent(), DefaultAllow),
            arrives(short.frame(), NoSession),
        ]
    }),
    Case::new("time-exceeded", WEB, |f| {
        let question = udp((f.host, 50000), (f.stranger, 33434), b"q");
        let (kind, code) = if f.v6 { (3, 0) } else { (11, 0) };
        let error = icmp(f.other, f.host, kind, code, 0, &question.quote());
        vec![
            leaves(question.sent(), DefaultAllow),
            arrives(error.frame(), Related),
        ]
    }),
    Case::new("an-error-in-our-own-name", WEB, |f| {
        let question = udp((f.host, 50000), (f.stranger, 53), b"q");
        vec![
            arrives(too_big(f.host, f.host, &question).frame(), SpoofedSource),
            leaves(question.sent(), DefaultAllow),
            arrives(too_big(f.host, f.host, &question).frame(), SpoofedSource),
        ]
    }),
    Case::new("an-error-about-a-protocol-without-ports", WEB, |f| {
        let question = raw(f.host, f.stranger, 47, vec![0; 40]);
        vec![
            leaves(question.sent(), DefaultAllow),
            // Whose ports must not be taken for those of what is quoted next.
            arrives(
                udp((f.stranger, 40000), (f.host, 443), b"q").frame(),
                RuleAllow,
            )
            .by("inbound/web"),
            arrives(too_big(f.other, f.host, &question).frame(), Related),
        ]
    }),
];
