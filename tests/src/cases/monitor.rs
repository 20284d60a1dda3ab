//! Monitor mode: judged and counted, never dropped.

use firewall_common::reason::Reason::*;

use super::policies::{MONITORED, MONITORED_CLOSED, MONITORED_ENFORCED, MONITORED_RULE};
use crate::case::packet::{ack, raw, syn, syn_ack};
use crate::case::{Case, Step, arrives, leaves};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("a-would-be-drop-passes-with-its-reason", MONITORED, |f| {
        vec![
            arrives(syn((f.stranger, 40000), (f.host, 443)).frame(), RuleAllow).by("inbound/web"),
            arrives(syn((f.stranger, 40000), (f.host, 23)).frame(), RuleDeny)
                .by("inbound/telnet")
                .audited(),
            arrives(syn((f.stranger, 40000), (f.host, 8080)).frame(), NoPolicy).audited(),
            arrives(ack((f.stranger, 40001), (f.host, 443)).frame(), NoSession).audited(),
        ]
    }),
    Case::new("no-reset-is-sent", MONITORED, |f| {
        vec![
            arrives(syn((f.stranger, 40000), (f.host, 113)).frame(), RuleReject)
                .by("inbound/ident")
                .audited(),
        ]
    }),
    Case::new(
        "not-even-what-cannot-be-parsed-is-dropped",
        MONITORED,
        |f| {
            vec![
                arrives(
                    syn((f.stranger, 40000), (f.host, 443)).version(5).frame(),
                    Malformed,
                )
                .audited(),
                arrives(
                    raw(f.stranger, f.host, 17, vec![0; 40])
                        .fragment(80, false, 5)
                        .frame(),
                    FragmentWithoutFirst,
                )
                .audited(),
            ]
        },
    ),
    Case::new(
        "what-monitoring-let-in-is-judged-when-enforcement-begins",
        MONITORED,
        |f| {
            let (client, server) = ((f.stranger, 40000), (f.host, 23));
            let (good, web) = ((f.stranger, 40001), (f.host, 443));
            vec![
                arrives(syn(client, server).frame(), RuleDeny)
                    .by("inbound/telnet")
                    .audited(),
                leaves(syn_ack(server, client).sent(), Session),
                arrives(syn(good, web).frame(), RuleAllow).by("inbound/web"),
                Step::Apply(MONITORED_ENFORCED),
                arrives(ack(client, server).frame(), Revoked),
                leaves(syn_ack(web, good).sent(), Session),
            ]
        },
    ),
    Case::new(
        "a-rule-in-monitor-mode-is-counted-and-passed-over",
        MONITORED_RULE,
        |f| {
            vec![
                arrives(syn((f.stranger, 40000), (f.host, 443)).frame(), RuleAllow)
                    .by("inbound/web")
                    .would("trial/no-web")
                    .would("inbound/trial-ban"),
            ]
        },
    ),
    Case::new(
        "a-session-lives-on-while-its-revocation-is-only-monitored",
        MONITORED,
        |f| {
            let (client, server) = ((f.stranger, 40000), (f.host, 443));
            vec![
                arrives(syn(client, server).frame(), RuleAllow).by("inbound/web"),
                leaves(syn_ack(server, client).sent(), Session),
                Step::Apply(MONITORED_CLOSED),
                arrives(ack(client, server).frame(), Revoked).audited(),
                Step::Wait(3600),
                arrives(ack(client, server).frame(), Revoked).audited(),
                Step::Apply(MONITORED_ENFORCED),
                arrives(ack(client, server).frame(), Session),
            ]
        },
    )
    .needs_time(),
];
