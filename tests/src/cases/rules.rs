//! The ordered list: first match decides; defaults; `unmatched`; every field of a rule.

use std::net::IpAddr;

use firewall_common::reason::Reason::*;
use firewall_common::verdict::Verdict;

use super::policies::{DEFAULTS, FIELDS, REJECT_UNMATCHED, WEB};
use crate::case::packet::{ping, syn, udp};
use crate::case::{Case, Step, arrives, leaves};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn to_port(from: IpAddr, host: IpAddr, port: u16, reason: firewall_common::reason::Reason) -> Step {
    arrives(syn((from, 40000), (host, port)).frame(), reason)
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("allow-and-deny", WEB, |f| {
        vec![
            to_port(f.stranger, f.host, 443, RuleAllow).by("inbound/web"),
            to_port(f.stranger, f.host, 80, RuleAllow).by("inbound/web"),
            to_port(f.stranger, f.host, 23, RuleDeny).by("inbound/telnet"),
        ]
    }),
    Case::new("what-no-rule-decides-inbound", WEB, |f| {
        vec![to_port(f.stranger, f.host, 8080, NoPolicy).zone("internet")]
    }),
    Case::new("what-no-rule-decides-outbound", WEB, |f| {
        vec![
            leaves(
                syn((f.host, 40000), (f.stranger, 8080)).sent(),
                DefaultAllow,
            )
            .zone("internet"),
        ]
    }),
    Case::new("unmatched-outbound-deny", DEFAULTS, |f| {
        vec![leaves(syn((f.host, 40000), (f.stranger, 8080)).sent(), NoPolicy).zone("internet")]
    }),
    Case::new("unmatched-inbound-reject", REJECT_UNMATCHED, |f| {
        vec![
            to_port(f.stranger, f.host, 8080, NoPolicy)
                .verdict(Verdict::Rejected)
                .answered()
                .zone("internet"),
        ]
    }),
    Case::new("default-allow", DEFAULTS, |f| {
        vec![
            to_port(f.trusted, f.host, 25, RuleDeny).by("friends/no-mail"),
            to_port(f.trusted, f.host, 22, DefaultAllow)
                .by("friends/default")
                .zone("trusted"),
        ]
    }),
    Case::new("default-deny", DEFAULTS, |f| {
        vec![
            arrives(ping(f.stranger, f.host, 5).frame(), RuleAllow).by("others/ping"),
            to_port(f.stranger, f.host, 22, DefaultDeny)
                .by("others/default")
                .zone("internet"),
        ]
    }),
    Case::new("default-reject", DEFAULTS, |f| {
        vec![
            to_port(f.other, f.host, 8443, RuleAllow).by("partners/api"),
            to_port(f.other, f.host, 22, DefaultReject)
                .by("partners/default")
                .zone("partner")
                .answered(),
        ]
    }),
    Case::new("a-policy-without-default-hands-on", DEFAULTS, |f| {
        vec![
            to_port(f.trusted, f.host, 443, RuleAllow).by("passes-on/web"),
            to_port(f.trusted, f.host, 444, DefaultAllow).by("friends/default"),
        ]
    }),
    Case::new("sources-by-set-and-exceptions", FIELDS, |f| {
        let (inside, except, outside) = match f.v6 {
            true => ("2001:db8:9::9", "2001:db8:9::10", "2001:db8:9::1:0"),
            false => ("203.0.113.9", "203.0.113.10", "203.0.113.16"),
        };
        vec![
            to_port(ip(inside), f.host, 22, RuleAllow).by("fields/office"),
            to_port(ip(except), f.host, 22, RuleDeny).by("fields/second"),
            to_port(ip(outside), f.host, 22, RuleDeny).by("fields/second"),
        ]
    }),
    Case::new("a-set-without-this-address", FIELDS, |f| {
        vec![to_port(f.stranger, f.host, 23, RuleDeny).by("fields/second")]
    }),
    Case::new("an-address-range", FIELDS, |f| {
        let ends = match f.v6 {
            true => [
                "2001:db8:9::4",
                "2001:db8:9::5",
                "2001:db8:9::9",
                "2001:db8:9::a",
            ],
            false => ["203.0.113.4", "203.0.113.5", "203.0.113.9", "203.0.113.10"],
        };
        let [below, first, last, above] = ends.map(ip);
        vec![
            to_port(below, f.host, 9006, RuleDeny).by("fields/second"),
            to_port(first, f.host, 9006, RuleAllow).by("fields/range"),
            to_port(last, f.host, 9006, RuleAllow).by("fields/range"),
            to_port(above, f.host, 9006, RuleDeny).by("fields/second"),
        ]
    }),
    Case::new("a-port-range-has-both-its-ends", FIELDS, |f| {
        vec![
            to_port(f.stranger, f.host, 7999, RuleDeny).by("fields/second"),
            to_port(f.stranger, f.host, 8000, RuleAllow).by("fields/app"),
            to_port(f.stranger, f.host, 8064, RuleAllow).by("fields/app"),
            to_port(f.stranger, f.host, 8100, RuleAllow).by("fields/app"),
            to_port(f.stranger, f.host, 8101, RuleDeny).by("fields/second"),
        ]
    }),
    Case::new("a-service-made-of-services", FIELDS, |f| {
        let to = |port| udp((f.stranger, 40000), (f.host, port), b"x").frame();
        vec![
            arrives(to(8000), RuleAllow).by("fields/app"),
            arrives(to(8001), NoPolicy),
        ]
    }),
    Case::new("a-source-port", FIELDS, |f| {
        let from = |port| udp((f.stranger, port), (f.host, 500), b"x").frame();
        vec![
            arrives(from(500), RuleAllow).by("fields/old-client"),
            arrives(from(501), NoPolicy),
        ]
    }),
    Case::new("destinations-and-exceptions", FIELDS, |f| {
        vec![
            to_port(f.stranger, f.host, 9000, RuleAllow).by("fields/this-address"),
            to_port(f.stranger, f.host, 9001, RuleDeny).by("fields/second"),
        ]
    }),
    Case::new("interfaces-by-name-and-glob", FIELDS, |f| {
        vec![
            to_port(f.stranger, f.host, 9002, RuleAllow).by("fields/this-link"),
            to_port(f.stranger, f.host, 9003, RuleDeny).by("fields/second"),
        ]
    }),
    Case::new("parked-and-expired-rules-do-not-match", FIELDS, |f| {
        vec![
            to_port(f.stranger, f.host, 9004, RuleDeny).by("fields/second"),
            to_port(f.stranger, f.host, 9005, RuleDeny).by("fields/second"),
        ]
    }),
    Case::new("the-first-match-decides", FIELDS, |f| {
        vec![to_port(f.stranger, f.host, 9007, RuleAllow).by("fields/first")]
    }),
    Case::new("tcp-star-is-not-udp", FIELDS, |f| {
        vec![
            to_port(f.stranger, f.host, 65535, RuleDeny).by("fields/second"),
            arrives(
                udp((f.stranger, 40000), (f.host, 65535), b"x").frame(),
                NoPolicy,
            ),
        ]
    }),
];
