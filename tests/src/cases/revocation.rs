//! A changed policy reaches live sessions at their next packet.

use std::net::IpAddr;

use firewall_common::reason::Reason::*;
use firewall_common::verdict::Verdict;

use super::policies::{ENDING, WEB, WEB_CLOSED, WEB_LASTING, WEB_RENAMED};
use super::tcp::established;
use crate::case::packet::{ack, flag, syn, syn_ack, tcp, udp};
use crate::case::{Case, Step, arrives, leaves};

const PUSH: u8 = flag::PSH | flag::ACK;

/// The three steps of a handshake that a rule lets in.
fn handshake(client: (IpAddr, u16), server: (IpAddr, u16), rule: &'static str) -> Vec<Step> {
    vec![
        arrives(syn(client, server).frame(), RuleAllow).by(rule),
        leaves(syn_ack(server, client).sent(), Session),
        arrives(ack(client, server).frame(), Session),
    ]
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("withdrawn-access-is-cut-at-the-next-packet", WEB, |f| {
        let (client, server) = ((f.stranger, 40000), (f.host, 443));
        let mut steps = established(f);
        steps.push(Step::Apply(WEB_CLOSED));
        steps
            .push(arrives(tcp(client, server, PUSH, 1001, 5001).frame(), Revoked).zone("internet"));
        steps.push(arrives(
            tcp(client, server, PUSH, 1001, 5001).frame(),
            NoSession,
        ));
        steps.push(leaves(
            tcp(server, client, PUSH, 5001, 1001).sent(),
            NoSession,
        ));
        steps
    }),
    Case::new("also-when-the-answer-is-the-next-packet", WEB, |f| {
        let (client, server) = ((f.stranger, 40000), (f.host, 443));
        let mut steps = established(f);
        steps.push(Step::Apply(WEB_CLOSED));
        steps.push(leaves(
            tcp(server, client, PUSH, 5001, 1001).sent(),
            Revoked,
        ));
        steps
    }),
    Case::new("what-another-rule-still-allows-goes-on", WEB, |f| {
        let (client, server) = ((f.stranger, 40000), (f.host, 443));
        let mut steps = established(f);
        steps.push(Step::Apply(WEB_RENAMED));
        steps.push(arrives(
            tcp(client, server, PUSH, 1001, 5001).data(b"x").frame(),
            Session,
        ));
        steps.push(leaves(
            tcp(server, client, PUSH, 5001, 1002).data(b"y").sent(),
            Session,
        ));
        steps
    }),
    Case::new("what-is-to-be-kept-survives-changes", WEB_LASTING, |f| {
        let (client, server) = ((f.stranger, 40000), (f.host, 443));
        let more = |at| tcp(client, server, PUSH, at, 5001).data(b"x").frame();
        let mut steps = handshake(client, server, "inbound/kept");
        let asks = udp((f.stranger, 40000), (f.host, 443), b"q").frame();
        steps.push(arrives(asks, RuleAllow).by("inbound/kept"));
        steps.push(Step::Apply(WEB_CLOSED));
        steps.push(arrives(more(1001), Session));
        steps.push(leaves(
            udp((f.host, 443), (f.stranger, 40000), b"a").sent(),
            Session,
        ));
        // A new one is not let in.
        steps.push(arrives(syn((f.stranger, 40001), server).frame(), NoPolicy));
        // A rule that allows it says from then on what a change does to it.
        steps.push(Step::Apply(WEB));
        steps.push(arrives(more(1002), Session));
        steps.push(Step::Apply(WEB_CLOSED));
        steps.push(arrives(more(1003), Revoked));
        steps
    }),
    Case::new("what-is-to-be-told-is-reset", WEB_LASTING, |f| {
        let (client, server) = ((f.stranger, 40000), (f.host, 80));
        let mut steps = handshake(client, server, "inbound/told");
        let asks = || udp((f.stranger, 40000), (f.host, 80), b"q").frame();
        steps.push(arrives(asks(), RuleAllow).by("inbound/told"));
        steps.push(Step::Apply(WEB_CLOSED));
        let told = |step: Step| step.verdict(Verdict::Rejected).answered();
        steps.push(told(arrives(
            tcp(client, server, PUSH, 1001, 5001).data(b"x").frame(),
            Revoked,
        )));
        // Whoever questions the reset is told again.
        steps.push(told(leaves(
            tcp(server, client, flag::ACK, 5001, 1001).sent(),
            Revoked,
        )));
        steps.push(told(arrives(
            tcp(client, server, flag::ACK, 1001, 5001).frame(),
            Revoked,
        )));
        // Nobody is told of UDP.
        steps.push(arrives(asks(), Revoked));
        steps.push(Step::Apply(WEB_LASTING));
        steps.push(arrives(syn(client, server).frame(), RuleAllow).by("inbound/told"));
        steps
    }),
    Case::new("udp-is-cut-too", WEB, |f| {
        vec![
            arrives(
                udp((f.stranger, 40000), (f.host, 443), b"q").frame(),
                RuleAllow,
            )
            .by("inbound/web"),
            leaves(
                udp((f.host, 443), (f.stranger, 40000), b"a").sent(),
                Session,
            ),
            Step::Apply(WEB_CLOSED),
            leaves(
                udp((f.host, 443), (f.stranger, 40000), b"a").sent(),
                Revoked,
            ),
            arrives(
                udp((f.stranger, 40000), (f.host, 443), b"q").frame(),
                NoPolicy,
            ),
        ]
    }),
    Case::new("own-sessions-under-unmatched-are-cut-too", WEB, |f| {
        vec![
            leaves(
                udp((f.host, 50000), (f.stranger, 53), b"q").sent(),
                DefaultAllow,
            ),
            Step::Apply(WEB_RENAMED),
            arrives(
                udp((f.stranger, 53), (f.host, 50000), b"a").frame(),
                Revoked,
            ),
        ]
    }),
    Case::new("at-its-end-a-rule-and-its-sessions-stop", ENDING, |f| {
        let (client, server) = ((f.stranger, 40000), (f.host, 443));
        let (other, open) = ((f.stranger, 40001), (f.host, 80));
        vec![
            arrives(syn(client, server).frame(), RuleAllow).by("guests/for-a-minute"),
            arrives(syn(other, open).frame(), RuleAllow).by("guests/for-ever"),
            Step::Wait(58),
            arrives(syn(client, server).frame(), Session),
            Step::Wait(2),
            arrives(syn(client, server).frame(), RuleExpired),
            arrives(syn(client, server).frame(), NoPolicy),
            arrives(syn(other, open).frame(), Session),
        ]
    })
    .needs_time(),
];
