//! TCP sessions by handshake state.

use firewall_common::reason::Reason::*;

use super::policies::WEB;
use crate::case::packet::{ack, flag, syn, syn_ack, tcp};
use crate::case::{Case, Family, Step, arrives, leaves};

pub(super) const PUSH: u8 = flag::PSH | flag::ACK;
pub(super) const END: u8 = flag::FIN | flag::ACK;

pub(super) fn client(f: &Family) -> (std::net::IpAddr, u16) {
    (f.stranger, 40000)
}

pub(super) fn server(f: &Family) -> (std::net::IpAddr, u16) {
    (f.host, 443)
}

/// The three steps of a handshake that a stranger begins.
pub(super) fn established(f: &Family) -> Vec<Step> {
    vec![
        arrives(syn(client(f), server(f)).frame(), RuleAllow)
            .by("inbound/web")
            .zone("internet"),
        leaves(syn_ack(server(f), client(f)).sent(), Session).zone("internet"),
        arrives(ack(client(f), server(f)).frame(), Session).zone("internet"),
    ]
}

/// The handshake, then more.
pub(super) fn then(f: &Family, more: Vec<Step>) -> Vec<Step> {
    [established(f), more].concat()
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("handshake-and-data", WEB, |f| {
        let request = tcp(client(f), server(f), PUSH, 1001, 5001).data(b"hello");
        let answer = tcp(server(f), client(f), PUSH, 5001, 1006).data(b"there");
        then(
            f,
            vec![
                arrives(request.frame(), Session),
                leaves(answer.sent(), Session),
            ],
        )
    }),
    Case::new("handshake-from-this-host", WEB, |f| {
        let (own, peer) = ((f.host, 50000), (f.stranger, 8443));
        vec![
            leaves(syn(own, peer).sent(), DefaultAllow).zone("internet"),
            arrives(syn_ack(peer, own).frame(), Session).zone("internet"),
            leaves(ack(own, peer).sent(), Session),
            arrives(
                tcp(peer, own, PUSH, 5001, 1001).data(b"banner").frame(),
                Session,
            ),
        ]
    }),
    Case::new("syn-again", WEB, |f| {
        vec![
            arrives(syn(client(f), server(f)).frame(), RuleAllow).by("inbound/web"),
            arrives(syn(client(f), server(f)).frame(), Session),
            leaves(syn_ack(server(f), client(f)).sent(), Session),
            leaves(syn_ack(server(f), client(f)).sent(), Session),
            arrives(ack(client(f), server(f)).frame(), Session),
        ]
    }),
    Case::new("syn-with-ecn-and-data", WEB, |f| {
        let packet = tcp(client(f), server(f), flag::SYN | 0xc0, 1000, 0).data(b"cookie");
        let answer = tcp(server(f), client(f), flag::SYN | flag::ACK, 5000, 1007);
        vec![
            arrives(packet.frame(), RuleAllow).by("inbound/web"),
            leaves(answer.sent(), Session),
            arrives(
                tcp(client(f), server(f), flag::ACK, 1007, 5001).frame(),
                Session,
            ),
        ]
    }),
    Case::new("another-port-is-another-session", WEB, |f| {
        let other = ((f.stranger, 40001), server(f));
        then(f, vec![arrives(ack(other.0, other.1).frame(), NoSession)])
    }),
    Case::new("an-answer-that-nobody-asked-for", WEB, |f| {
        vec![
            arrives(
                syn_ack((f.stranger, 443), (f.host, 50000)).frame(),
                NoSession,
            )
            .zone("internet"),
        ]
    }),
    Case::new("an-ack-does-not-open", WEB, |f| {
        vec![
            arrives(ack(client(f), server(f)).frame(), NoSession),
            leaves(syn_ack(server(f), client(f)).sent(), NoSession),
        ]
    }),
    Case::new("a-reset-for-nothing", WEB, |f| {
        let packet = tcp(client(f), server(f), flag::RST, 1, 0);
        vec![arrives(packet.frame(), NoSession)]
    }),
    Case::new("an-ack-before-the-answer-is-a-stray", WEB, |f| {
        vec![
            arrives(syn(client(f), server(f)).frame(), RuleAllow).by("inbound/web"),
            arrives(ack(client(f), server(f)).frame(), NoSession),
        ]
    }),
    Case::new("both-sides-finish", WEB, |f| {
        then(
            f,
            vec![
                arrives(tcp(client(f), server(f), END, 1001, 5001).frame(), Session),
                leaves(tcp(server(f), client(f), END, 5001, 1002).sent(), Session),
                arrives(
                    tcp(client(f), server(f), flag::ACK, 1002, 5002).frame(),
                    Session,
                ),
            ],
        )
    }),
    Case::new("half-closed-goes-on", WEB, |f| {
        then(
            f,
            vec![
                arrives(tcp(client(f), server(f), END, 1001, 5001).frame(), Session),
                leaves(
                    tcp(server(f), client(f), PUSH, 5001, 1002)
                        .data(b"rest")
                        .sent(),
                    Session,
                ),
                arrives(
                    tcp(client(f), server(f), flag::ACK, 1002, 5005).frame(),
                    Session,
                ),
            ],
        )
    }),
    Case::new("a-syn-after-the-end-opens-anew", WEB, |f| {
        then(
            f,
            vec![
                arrives(tcp(client(f), server(f), END, 1001, 5001).frame(), Session),
                leaves(tcp(server(f), client(f), END, 5001, 1002).sent(), Session),
                arrives(
                    tcp(client(f), server(f), flag::SYN, 9000, 0).frame(),
                    RuleAllow,
                )
                .by("inbound/web"),
                leaves(
                    tcp(server(f), client(f), flag::SYN | flag::ACK, 7000, 9001).sent(),
                    Session,
                ),
            ],
        )
    }),
    Case::new(
        "a-syn-inside-a-session-passes-and-changes-nothing",
        WEB,
        |f| {
            then(
                f,
                vec![
                    arrives(tcp(client(f), server(f), flag::SYN, 77, 0).frame(), Session),
                    leaves(
                        tcp(server(f), client(f), flag::ACK, 5001, 1001).sent(),
                        Session,
                    ),
                    arrives(
                        tcp(client(f), server(f), PUSH, 1001, 5001)
                            .data(b"x")
                            .frame(),
                        Session,
                    ),
                ],
            )
        },
    ),
    Case::new("a-blind-reset-does-not-close", WEB, |f| {
        then(
            f,
            vec![
                arrives(
                    tcp(client(f), server(f), flag::RST, 99_999, 0).frame(),
                    OutOfWindow,
                ),
                // In window, so the host challenges it.
                arrives(
                    tcp(client(f), server(f), flag::RST, 1500, 0).frame(),
                    Session,
                ),
                leaves(
                    tcp(server(f), client(f), flag::ACK, 5001, 1001).sent(),
                    Session,
                ),
                arrives(
                    tcp(client(f), server(f), PUSH, 1001, 5001)
                        .data(b"x")
                        .frame(),
                    Session,
                ),
                arrives(tcp(client(f), server(f), flag::SYN, 77, 0).frame(), Session),
            ],
        )
    }),
    Case::new("a-true-reset-closes", WEB, |f| {
        then(
            f,
            vec![
                leaves(
                    tcp(server(f), client(f), flag::RST, 5001, 0).sent(),
                    Session,
                ),
                arrives(
                    tcp(client(f), server(f), flag::SYN, 77, 0).frame(),
                    RuleAllow,
                )
                .by("inbound/web"),
            ],
        )
    }),
    Case::new("refused-by-the-peer", WEB, |f| {
        let (own, peer) = ((f.host, 50000), (f.stranger, 81));
        let refusal = tcp(peer, own, flag::RST | flag::ACK, 0, 1001);
        vec![
            leaves(syn(own, peer).sent(), DefaultAllow),
            arrives(refusal.frame(), Session),
            leaves(tcp(own, peer, flag::SYN, 4000, 0).sent(), DefaultAllow),
        ]
    }),
    Case::new("an-opening-with-a-lower-number", WEB, |f| {
        let open = |sequence| tcp(client(f), server(f), flag::SYN, sequence, 0);
        vec![
            arrives(open(900_000).frame(), RuleAllow).by("inbound/web"),
            // Given up, and begun again behind it: the same half-open session.
            arrives(open(1000).frame(), Session),
            leaves(syn_ack(server(f), client(f)).sent(), Session),
            arrives(ack(client(f), server(f)).frame(), Session),
        ]
    }),
    Case::new("simultaneous-open", WEB, |f| {
        let (own, peer) = ((f.host, 50000), (f.stranger, 50001));
        vec![
            leaves(syn(own, peer).sent(), DefaultAllow),
            arrives(tcp(peer, own, flag::SYN, 5000, 0).frame(), Session),
            leaves(
                tcp(own, peer, flag::SYN | flag::ACK, 1000, 5001).sent(),
                Session,
            ),
            arrives(
                tcp(peer, own, flag::SYN | flag::ACK, 5000, 1001).frame(),
                Session,
            ),
            leaves(ack(own, peer).sent(), Session),
        ]
    }),
    Case::new("a-stale-answer-is-let-through-to-be-reset", WEB, |f| {
        let (own, peer) = ((f.host, 50000), (f.stranger, 8443));
        vec![
            leaves(syn(own, peer).sent(), DefaultAllow),
            arrives(
                tcp(peer, own, flag::SYN | flag::ACK, 5000, 777).frame(),
                Session,
            ),
            leaves(tcp(own, peer, flag::RST, 777, 0).sent(), Session),
            arrives(syn_ack(peer, own).frame(), Session),
        ]
    }),
    Case::new("a-session-in-our-name-from-outside", WEB, |f| {
        let spoofed = tcp(server(f), client(f), flag::RST, 5001, 0);
        then(
            f,
            vec![
                arrives(spoofed.frame(), SpoofedSource),
                arrives(
                    tcp(client(f), server(f), PUSH, 1001, 5001)
                        .data(b"x")
                        .frame(),
                    Session,
                ),
            ],
        )
    }),
    Case::new("a-half-open-session-is-soon-forgotten", WEB, |f| {
        vec![
            arrives(syn(client(f), server(f)).frame(), RuleAllow).by("inbound/web"),
            Step::Wait(121),
            leaves(syn_ack(server(f), client(f)).sent(), NoSession),
        ]
    })
    .needs_time(),
    Case::new("an-idle-session-lives-for-days", WEB, |f| {
        then(
            f,
            vec![
                Step::Wait(4 * 24 * 3600),
                leaves(
                    tcp(server(f), client(f), PUSH, 5001, 1001)
                        .data(b"x")
                        .sent(),
                    Session,
                ),
            ],
        )
    })
    .needs_time(),
    Case::new("but-not-for-ever", WEB, |f| {
        then(
            f,
            vec![
                Step::Wait(5 * 24 * 3600 + 1),
                leaves(
                    tcp(server(f), client(f), PUSH, 5001, 1001).sent(),
                    NoSession,
                ),
            ],
        )
    })
    .needs_time(),
    Case::new("a-peer-that-still-has-the-old-connection", WEB, |f| {
        let (client, server) = ((f.host, 50000), (f.stranger, 443));
        vec![
            leaves(syn(client, server).sent(), DefaultAllow),
            // It acknowledges what it had; we reset that (RFC 9293 section 3.5.1) and try again.
            arrives(
                tcp(server, client, flag::ACK, 90_000, 70_000).frame(),
                Session,
            ),
            leaves(tcp(client, server, flag::RST, 70_000, 0).sent(), Session),
            leaves(syn(client, server).sent(), Session),
            arrives(syn_ack(server, client).frame(), Session),
        ]
    }),
];
