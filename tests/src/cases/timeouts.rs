//! How long a silent session lives, by its state: a moment before the end it is there, a moment behind it is not.

use firewall_common::reason::Reason::*;

use super::policies::WEB;
use super::tcp::{END, PUSH, client, server, then};
use crate::case::packet::{ack, flag, raw, syn, syn_ack, tcp, udp, unreachable};
use crate::case::{Case, Step, arrives, leaves};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("half-open-states-have-their-timeouts", WEB, |f| {
        vec![
            arrives(syn(client(f), server(f)).frame(), RuleAllow).by("inbound/web"),
            Step::Wait(119),
            arrives(syn(client(f), server(f)).frame(), Session),
            leaves(syn_ack(server(f), client(f)).sent(), Session),
            Step::Wait(59),
            leaves(syn_ack(server(f), client(f)).sent(), Session),
            Step::Wait(61),
            arrives(ack(client(f), server(f)).frame(), NoSession),
        ]
    })
    .needs_time(),
    Case::new("closing-states-have-their-timeouts", WEB, |f| {
        let rest = tcp(server(f), client(f), PUSH, 5001, 1002).data(b"x");
        let last = tcp(client(f), server(f), flag::ACK, 1002, 5003);
        then(
            f,
            vec![
                arrives(tcp(client(f), server(f), END, 1001, 5001).frame(), Session),
                Step::Wait(119),
                leaves(rest.sent(), Session),
                Step::Wait(119),
                leaves(tcp(server(f), client(f), END, 5002, 1002).sent(), Session),
                Step::Wait(119),
                arrives(last.frame(), Session),
                Step::Wait(121),
                arrives(last.frame(), NoSession),
            ],
        )
    })
    .needs_time(),
    Case::new("a-reset-leaves-ten-seconds", WEB, |f| {
        let late = tcp(client(f), server(f), PUSH, 1001, 5001).data(b"late");
        then(
            f,
            vec![
                leaves(
                    tcp(server(f), client(f), flag::RST, 5001, 0).sent(),
                    Session,
                ),
                Step::Wait(9),
                arrives(late.frame(), Session),
                Step::Wait(11),
                arrives(late.frame(), NoSession),
            ],
        )
    })
    .needs_time(),
    Case::new("other-protocols-live-for-ten-minutes", WEB, |f| {
        let answer = raw(f.stranger, f.host, 99, vec![0; 20]);
        vec![
            leaves(
                raw(f.host, f.stranger, 99, vec![0; 20]).sent(),
                DefaultAllow,
            ),
            Step::Wait(599),
            arrives(answer.frame(), Session),
            Step::Wait(601),
            arrives(answer.frame(), NoPolicy),
        ]
    })
    .needs_time(),
    Case::new("an-error-keeps-nothing-alive", WEB, |f| {
        let question = udp((f.host, 50000), (f.stranger, 53), b"q");
        vec![
            leaves(question.sent(), DefaultAllow),
            Step::Wait(20),
            arrives(unreachable(f.other, &question).frame(), Related),
            Step::Wait(11),
            arrives(unreachable(f.other, &question).frame(), NoSession),
            arrives(
                udp((f.stranger, 53), (f.host, 50000), b"a").frame(),
                NoPolicy,
            ),
        ]
    })
    .needs_time(),
    Case::new("what-is-out-of-window-keeps-nothing-alive", WEB, |f| {
        let blind = tcp(client(f), server(f), PUSH, 0x4000_0000, 5001).data(b"x");
        then(
            f,
            vec![
                arrives(tcp(client(f), server(f), END, 1001, 5001).frame(), Session),
                Step::Wait(100),
                arrives(blind.frame(), OutOfWindow),
                Step::Wait(21),
                leaves(
                    tcp(server(f), client(f), PUSH, 5001, 1002).sent(),
                    NoSession,
                ),
            ],
        )
    })
    .needs_time(),
];
