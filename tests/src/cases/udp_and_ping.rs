//! UDP and echo: any packet opens, replies follow.

use firewall_common::reason::Reason::*;

use super::policies::{MONITORED_ENFORCED, WEB};
use crate::case::packet::{icmp, ping, pong, udp};
use crate::case::{Case, Step, arrives, leaves};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("a-question-and-its-answer", WEB, |f| {
        vec![
            leaves(
                udp((f.host, 50000), (f.stranger, 53), b"q").sent(),
                DefaultAllow,
            ),
            arrives(
                udp((f.stranger, 53), (f.host, 50000), b"a").frame(),
                Session,
            ),
            arrives(
                udp((f.stranger, 53), (f.host, 50000), b"a").frame(),
                Session,
            ),
        ]
    }),
    Case::new("an-answer-from-elsewhere", WEB, |f| {
        vec![
            leaves(
                udp((f.host, 50000), (f.stranger, 53), b"q").sent(),
                DefaultAllow,
            ),
            arrives(udp((f.other, 53), (f.host, 50000), b"a").frame(), NoPolicy),
            arrives(
                udp((f.stranger, 54), (f.host, 50000), b"a").frame(),
                NoPolicy,
            ),
            arrives(
                udp((f.stranger, 53), (f.host, 50001), b"a").frame(),
                NoPolicy,
            ),
        ]
    }),
    Case::new("a-datagram-to-an-open-port", WEB, |f| {
        vec![
            arrives(
                udp((f.stranger, 40000), (f.host, 443), b"q").frame(),
                RuleAllow,
            )
            .by("inbound/web"),
            leaves(
                udp((f.host, 443), (f.stranger, 40000), b"a").sent(),
                Session,
            )
            .zone("internet"),
            arrives(
                udp((f.stranger, 40000), (f.host, 443), b"q").frame(),
                Session,
            ),
        ]
    }),
    Case::new("a-stateless-rule-opens-nothing", WEB, |f| {
        let packet = udp((f.stranger, 40000), (f.host, 1111), b"x");
        vec![
            arrives(packet.frame(), Stateless).by("inbound/status"),
            arrives(packet.frame(), Stateless).by("inbound/status"),
        ]
    }),
    Case::new("udp-without-an-answer-is-forgotten", WEB, |f| {
        vec![
            leaves(
                udp((f.host, 50000), (f.stranger, 53), b"q").sent(),
                DefaultAllow,
            ),
            Step::Wait(31),
            arrives(
                udp((f.stranger, 53), (f.host, 50000), b"a").frame(),
                NoPolicy,
            ),
        ]
    })
    .needs_time(),
    Case::new("answered-udp-lives-longer", WEB, |f| {
        vec![
            leaves(
                udp((f.host, 50000), (f.stranger, 53), b"q").sent(),
                DefaultAllow,
            ),
            arrives(
                udp((f.stranger, 53), (f.host, 50000), b"a").frame(),
                Session,
            ),
            Step::Wait(100),
            arrives(
                udp((f.stranger, 53), (f.host, 50000), b"a").frame(),
                Session,
            ),
            Step::Wait(121),
            arrives(
                udp((f.stranger, 53), (f.host, 50000), b"a").frame(),
                NoPolicy,
            ),
        ]
    })
    .needs_time(),
    Case::new("ping-from-outside", WEB, |f| {
        vec![
            arrives(ping(f.stranger, f.host, 7).frame(), RuleAllow).by("inbound/ping"),
            leaves(pong(f.host, f.stranger, 7).sent(), Session),
            arrives(ping(f.stranger, f.host, 7).frame(), Session),
        ]
    }),
    Case::new("ping-from-here", WEB, |f| {
        vec![
            leaves(ping(f.host, f.stranger, 9).sent(), DefaultAllow),
            arrives(pong(f.stranger, f.host, 9).frame(), Session),
        ]
    }),
    Case::new("an-echo-reply-that-nobody-asked-for", WEB, |f| {
        vec![
            arrives(pong(f.stranger, f.host, 9).frame(), NoSession).zone("internet"),
            leaves(ping(f.host, f.stranger, 9).sent(), DefaultAllow),
            arrives(pong(f.stranger, f.host, 10).frame(), NoSession),
            arrives(pong(f.other, f.host, 9).frame(), NoSession),
        ]
    }),
    Case::new("a-request-is-not-the-reply-of-a-request", WEB, |f| {
        vec![
            leaves(ping(f.host, f.trusted, 9).sent(), DefaultAllow),
            arrives(ping(f.trusted, f.host, 9).frame(), NoPolicy).zone("trusted"),
        ]
    }),
    Case::new("timestamp-request-and-reply", WEB, |f| {
        let id = 9 << 16;
        vec![
            leaves(
                icmp(f.host, f.stranger, 13, 0, id, &[0; 12]).sent(),
                DefaultAllow,
            ),
            arrives(
                icmp(f.stranger, f.host, 14, 0, id, &[0; 12]).frame(),
                Session,
            ),
            arrives(
                icmp(f.stranger, f.host, 13, 0, id, &[0; 12]).frame(),
                NoPolicy,
            ),
        ]
    })
    .v4(),
    Case::new("ping-is-soon-forgotten", WEB, |f| {
        vec![
            leaves(ping(f.host, f.stranger, 9).sent(), DefaultAllow),
            Step::Wait(31),
            arrives(pong(f.stranger, f.host, 9).frame(), NoSession),
        ]
    })
    .needs_time(),
    Case::new(
        "a-request-is-no-reply-whatever-its-identifier",
        MONITORED_ENFORCED,
        |f| {
            // The identifier that is the number by which sessions know the request's type.
            let id = if f.v6 { 0x8000 } else { 0x0800 };
            vec![
                leaves(ping(f.host, f.stranger, id).sent(), DefaultAllow),
                arrives(ping(f.stranger, f.host, id).frame(), NoPolicy),
                arrives(pong(f.stranger, f.host, id).frame(), Session),
            ]
        },
    ),
];
