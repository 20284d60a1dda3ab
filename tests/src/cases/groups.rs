//! Multicast and broadcast, and who may answer what was asked of a group.

use firewall_common::reason::Reason::*;

use super::policies::{ASKING, ASKING_CLOSED, WEB};
use crate::case::packet::{Packet, icmp, syn_ack, udp};
use crate::case::{Case, Family, Step, arrives, leaves};

/// A question of this host to a group, and an answer from anywhere.
fn asks(f: &Family, port: u16) -> Packet {
    udp((f.host, 50_000), (f.group, port), b"who")
}

fn answers(from: std::net::IpAddr, port: u16, f: &Family) -> Packet {
    udp((from, port), (f.host, 50_000), b"I")
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("anyone-may-answer-a-question-to-a-group", ASKING, |f| {
        vec![
            arrives(answers(f.stranger, 1900, f).frame(), NoPolicy),
            leaves(asks(f, 1900).sent(), RuleAllow)
                .by("out/find")
                .zone("multicast"),
            arrives(answers(f.stranger, 1900, f).frame(), Session),
            arrives(answers(f.stranger, 1900, f).frame(), Session),
            arrives(answers(f.other, 40_001, f).frame(), Session),
            leaves(asks(f, 1900).sent(), Session),
            arrives(answers(f.trusted, 1900, f).frame(), Session),
        ]
    }),
    Case::new(
        "answers-to-a-group-come-to-the-port-that-asked",
        ASKING,
        |f| {
            let elsewhere = udp((f.stranger, 1900), (f.host, 50_001), b"I");
            let about = icmp(f.stranger, f.host, if f.v6 { 128 } else { 8 }, 0, 0, b"x");
            vec![
                leaves(asks(f, 1900).sent(), RuleAllow).by("out/find"),
                arrives(elsewhere.frame(), NoPolicy),
                arrives(
                    syn_ack((f.stranger, 1900), (f.host, 50_000)).frame(),
                    NoSession,
                ),
                arrives(about.frame(), NoPolicy),
                arrives(answers(f.host, 1900, f).frame(), SpoofedSource),
                arrives(answers(f.group, 1900, f).frame(), Martian),
            ]
        },
    ),
    Case::new(
        "without-replies-any-nobody-may-answer-a-group",
        ASKING,
        |f| {
            vec![
                leaves(asks(f, 5353).sent(), RuleAllow).by("out/plain"),
                arrives(answers(f.stranger, 5353, f).frame(), NoPolicy),
            ]
        },
    ),
    Case::new(
        "replies-any-says-nothing-of-questions-to-one",
        ASKING,
        |f| {
            let question = udp((f.host, 50_000), (f.stranger, 1900), b"you");
            vec![
                leaves(question.sent(), RuleAllow).by("out/find"),
                arrives(answers(f.stranger, 1900, f).frame(), Session),
                arrives(answers(f.other, 1900, f).frame(), NoPolicy),
            ]
        },
    ),
    Case::new("anyone-may-answer-a-broadcast", ASKING, |f| {
        let link = "10.77.0.255".parse().expect("an address");
        let all = "255.255.255.255".parse().expect("an address");
        let ask = |port, to| udp((f.host, port), (to, 1900), b"who");
        let answer = |port| udp((f.other, 7), (f.host, port), b"I");
        vec![
            leaves(ask(50_010, link).sent(), RuleAllow).by("out/find"),
            arrives(answer(50_010).frame(), Session),
            leaves(ask(50_011, all).sent(), RuleAllow).by("out/find"),
            arrives(answer(50_011).frame(), Session),
        ]
    })
    .v4(),
    Case::new("answers-to-a-group-end-with-the-policy", ASKING, |f| {
        vec![
            leaves(asks(f, 1900).sent(), RuleAllow).by("out/find"),
            arrives(answers(f.stranger, 1900, f).frame(), Session),
            Step::Apply(ASKING_CLOSED),
            arrives(answers(f.stranger, 1900, f).frame(), NoPolicy),
            leaves(asks(f, 1900).sent(), Revoked),
            arrives(answers(f.stranger, 1900, f).frame(), NoPolicy),
        ]
    }),
    Case::new("answers-to-a-group-come-within-ten-seconds", ASKING, |f| {
        vec![
            leaves(asks(f, 1900).sent(), RuleAllow).by("out/find"),
            Step::Wait(9),
            arrives(answers(f.stranger, 1900, f).frame(), Session),
            Step::Wait(2),
            arrives(answers(f.stranger, 1900, f).frame(), NoPolicy),
            leaves(asks(f, 1900).sent(), Session),
            Step::Wait(9),
            arrives(answers(f.stranger, 1900, f).frame(), Session),
            Step::Wait(60),
            leaves(asks(f, 1900).sent(), RuleAllow).by("out/find"),
            arrives(answers(f.stranger, 1900, f).frame(), Session),
        ]
    })
    .needs_time(),
    Case::new("multicast-that-arrives-is-for-the-host", WEB, |f| {
        let packet = |port| udp((f.stranger, 40_000), (f.group, port), b"x");
        vec![
            arrives(packet(443).frame(), RuleAllow)
                .by("inbound/web")
                .zone("internet"),
            arrives(packet(9).frame(), NoPolicy).zone("internet"),
        ]
    }),
    Case::new("broadcast-that-arrives-is-for-the-host", WEB, |f| {
        let link = "10.77.0.255".parse().expect("an address");
        let all = "255.255.255.255".parse().expect("an address");
        let packet = |to, port| udp((f.stranger, 40_000), (to, port), b"x");
        vec![
            arrives(packet(link, 443).frame(), RuleAllow).by("inbound/web"),
            arrives(packet(link, 9).frame(), NoPolicy),
            arrives(packet(all, 9).frame(), NoPolicy),
        ]
    })
    .v4(),
    Case::new(
        "what-leaves-for-a-group-is-in-the-zone-multicast",
        WEB,
        |f| {
            let packet = udp((f.host, 40_000), (f.group, 9), b"x");
            vec![leaves(packet.sent(), DefaultAllow).zone("multicast")]
        },
    ),
];
