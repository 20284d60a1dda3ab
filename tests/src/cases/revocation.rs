//! A changed policy reaches live sessions at their next packet.

use firewall_common::reason::Reason::*;

use super::policies::{WEB, WEB_CLOSED, WEB_RENAMED};
use super::tcp::established;
use crate::case::packet::{flag, tcp, udp};
use crate::case::{Case, Step, arrives, leaves};

const PUSH: u8 = flag::PSH | flag::ACK;

/// The cases.
pub const CASES: &[Case] = &[
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
];
