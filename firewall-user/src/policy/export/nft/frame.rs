//! What stands around the rules: where packets come in, what no packet can be, essentials and failsafe.

use std::collections::HashSet;

use ipnet::IpNet;
use nftables::expr::{Expression, Exthdr, Fib, FibFlag, FibResult, MetaKey, NamedExpression};
use nftables::types::{NfChainPolicy, NfHook};

use super::Builder;
use super::rules::service;
use super::say::{
    Say, Value, accept, count, family, field, flags, ip, is, is_not, jump, number, one_of, prefix,
    protocol, range, word,
};
use super::sessions::{self, loopback};
use crate::agent::config::FailsafeRule;
use crate::policy::model::Service;
use crate::policy::services::{ICMP, ICMPV6};

const FRAMING: &str = "framing";
const ESSENTIALS: [&str; 2] = ["essentials-in", "essentials-out"];
/// The hook for what arrives here, for what leaves, and for what is routed.
pub(super) const INPUT: &str = "input";
pub(super) const OUTPUT: &str = "output";
pub(super) const FORWARD: &str = "forward";

/// Before connections are looked up, and behind the reassembly of fragments.
const RAW: i32 = -300;
const FILTER: i32 = 0;
const IGMP: u8 = 2;

/// The hooks up to where the rules begin.
pub(super) fn base(builder: &mut Builder<'_>, failsafe: &[FailsafeRule]) {
    let closed = if builder.monitors() {
        NfChainPolicy::Accept
    } else {
        NfChainPolicy::Drop
    };
    builder.hook(FRAMING, NfHook::Prerouting, RAW, NfChainPolicy::Accept);
    builder.hook(INPUT, NfHook::Input, FILTER, closed);
    builder.hook(OUTPUT, NfHook::Output, FILTER, closed);
    builder.hook(FORWARD, NfHook::Forward, FILTER, closed);
    framing(builder);
    for (chain, essentials) in [(INPUT, 0), (FORWARD, 0), (OUTPUT, 1)] {
        let interface = if essentials == 0 {
            MetaKey::Iifname
        } else {
            MetaKey::Oifname
        };
        builder.rule(chain, vec![loopback(interface), accept()]);
        builder.rule(chain, vec![jump(ESSENTIALS[essentials])]);
        if chain != FORWARD {
            self::failsafe(builder, failsafe, chain == OUTPUT);
        }
        sessions::live(builder, chain);
    }
    for (leaving, chain) in [(false, ESSENTIALS[0]), (true, ESSENTIALS[1])] {
        builder.chain(chain);
        self::essentials(builder, chain, leaving);
    }
}

fn net(text: &str) -> Value {
    text.parse::<IpNet>()
        .map_or_else(|_| word(text), |net| prefix(&net))
}

fn nets(all: &[&str]) -> Value {
    one_of(all.iter().map(|text| net(text)).collect())
}

/// RFC 9293: combinations that a sender of good faith uses, PSH, ECE and CWR aside.
const FLAGS: u8 = 0x37;
const PLAUSIBLE: [u8; 9] = [0x02, 0x04, 0x10, 0x22, 0x12, 0x14, 0x11, 0x31, 0x30];

/// Sources and destinations that no packet on a wire can have, and headers that none should.
fn framing(builder: &mut Builder<'_>) {
    builder.rule(FRAMING, vec![loopback(MetaKey::Iifname), accept()]);
    for excused in unspecified() {
        builder.rule(FRAMING, [excused, vec![accept()]].concat());
    }
    let mut never = vec![
        vec![is(
            field("ip", "saddr"),
            nets(&["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"]),
        )],
        vec![is(field("ip", "daddr"), net("127.0.0.0/8"))],
        vec![is(
            field("ip6", "saddr"),
            nets(&["::/127", "::ffff:0:0/96", "ff00::/8"]),
        )],
        vec![is(field("ip6", "daddr"), nets(&["::1", "::ffff:0:0/96"]))],
        vec![is(
            fib(FibFlag::Saddr),
            one_of(vec![word("local"), word("broadcast"), word("multicast")]),
        )],
        vec![family(false), protocol(&[ICMPV6])],
        vec![family(true), protocol(&[ICMP])],
        vec![is_not(
            flags(FLAGS),
            one_of(PLAUSIBLE.map(|bits| number(bits.into())).into()),
        )],
        vec![is(routing_header(), number(0))],
    ];
    for conditions in &mut never {
        conditions.extend([count(), builder.drop()]);
    }
    never
        .into_iter()
        .for_each(|rule| builder.rule(FRAMING, rule));
}

/// `::` while an address is not yet assigned (RFC 4861, RFC 3590), 0.0.0.0 in DHCP and IGMP.
fn unspecified() -> Vec<Vec<Say>> {
    let none = || is(field("ip", "saddr"), word("0.0.0.0"));
    let dhcp = |from, to| {
        vec![
            none(),
            is(field("udp", "sport"), number(from)),
            is(field("udp", "dport"), number(to)),
        ]
    };
    let asking = vec![range(number(130), number(133)), number(135), number(143)];
    let asking = is(field("icmpv6", "type"), one_of(asking));
    vec![
        dhcp(67, 68),
        dhcp(68, 67),
        vec![none(), protocol(&[IGMP])],
        vec![is(field("ip6", "saddr"), word("::")), asking],
    ]
}

pub(super) fn fib(flag: FibFlag) -> Value {
    let (result, flags) = (FibResult::Type, HashSet::from([flag]));
    Expression::Named(NamedExpression::Fib(Fib { result, flags }))
}

fn routing_header() -> Value {
    Expression::Named(NamedExpression::Exthdr(Exthdr {
        name: "rt".into(),
        field: Some("type".into()),
        offset: None,
    }))
}

/// Neighbour discovery is believed only from the link (RFC 4861 sections 6.1 and 7.1).
fn essentials(builder: &mut Builder<'_>, chain: &str, leaving: bool) {
    let on = builder.policy.essentials;
    let kinds = |kinds: Vec<Value>| is(field("icmpv6", "type"), one_of(kinds));
    let discovery = || kinds(vec![range(number(133), number(137))]);
    let link_local = || net("fe80::/10");
    let foreign = [
        is_not(field("ip6", "hoplimit"), number(255)),
        is_not(field("icmpv6", "code"), number(0)),
    ];
    for sign in foreign {
        let drop = builder.drop();
        builder.rule(chain, vec![discovery(), sign, count(), drop]);
    }
    let drop = builder.drop();
    let told = kinds(vec![number(134), number(137)]);
    builder.rule(
        chain,
        vec![
            told,
            is_not(field("ip6", "saddr"), link_local()),
            count(),
            drop,
        ],
    );
    let mut passes = vec![(
        "nd",
        true,
        vec![kinds(vec![range(number(135), number(137))])],
    )];
    passes.push(("ra", on.ra, vec![kinds(vec![number(133), number(134)])]));
    let members = kinds(vec![range(number(130), number(132)), number(143)]);
    let near = is(field("ip6", "hoplimit"), number(1));
    let source = is(
        field("ip6", "saddr"),
        one_of(vec![word("::"), link_local()]),
    );
    passes.push(("mld", on.mld, vec![members, near, source]));
    passes.push(("igmp", on.igmp, vec![family(false), protocol(&[IGMP])]));
    for (name, wanted, v6, server, client) in [
        ("dhcp", on.dhcp, false, 67, 68),
        ("dhcpv6", on.dhcpv6, true, 547, 546),
    ] {
        let (from, to) = if leaving {
            (client, server)
        } else {
            (server, client)
        };
        let ports = [
            is(field("udp", "sport"), number(from)),
            is(field("udp", "dport"), number(to)),
        ];
        passes.push((name, wanted, [vec![family(v6)], ports.into()].concat()));
    }
    for (name, _, conditions) in passes.into_iter().filter(|(_, wanted, _)| *wanted) {
        let comment = Some(format!("essentials/{name}"));
        builder.commented(
            chain,
            [conditions, vec![count(), accept()]].concat(),
            comment,
        );
    }
}

/// The host's own way in, both directions.
fn failsafe(builder: &mut Builder<'_>, rules: &[FailsafeRule], leaving: bool) {
    let chain = if leaving { OUTPUT } else { INPUT };
    let address = if leaving { "daddr" } else { "saddr" };
    for (index, rule) in rules.iter().enumerate() {
        for v6 in [false, true] {
            let own = rule.sources.iter().filter(|net| net.addr().is_ipv6() == v6);
            let own: Vec<Value> = own.map(prefix).collect();
            if own.is_empty() {
                continue;
            }
            let peer = is(field(ip(v6), address), one_of(own));
            for (kind, condition) in rule
                .services
                .iter()
                .flat_map(|wanted| sides(wanted, leaving))
            {
                if kind.is_none_or(|six| six == v6) {
                    let comment = Some(format!("failsafe/{}", index + 1));
                    let all = [vec![peer.clone()], condition, vec![count(), accept()]].concat();
                    builder.commented(chain, all, comment);
                }
            }
        }
    }
}

/// A service as it arrives, or its answers as they leave.
fn sides(wanted: &Service, leaving: bool) -> Vec<(Option<bool>, Vec<Say>)> {
    match wanted {
        Service::Ports {
            protocol,
            low,
            high,
        } if leaving => service(&[*protocol], Some(&[(*low, *high)]), None),
        Service::Icmp {
            v6,
            kind: Some(kind),
            ..
        } if leaving => {
            // Requests and their replies.
            let reply = match (v6, kind) {
                (false, 8) => 0,
                (false, 13) => 14,
                (true, 128) => 129,
                (_, kind) => *kind,
            };
            let word = if *v6 { "icmpv6" } else { "icmp" };
            vec![(
                Some(*v6),
                vec![is(field(word, "type"), number(reply.into()))],
            )]
        }
        wanted => super::rules::services(std::slice::from_ref(wanted), None),
    }
}

/// What is true of every ruleset made here.
pub(super) fn notes(builder: &mut Builder<'_>) {
    builder.differs("sessions", "nftables looks at connections when they begin; Ringwall judges live ones anew when the policy, a set or a zone changes");
    builder.differs("link", "only IP comes to these hooks: ARP, the link's own protocols and unknown EtherTypes are not filtered here");
    builder.differs(
        "fragments",
        "are put together before they are judged; Ringwall judges each by the first of its packet",
    );
    builder.differs("interfaces", "every interface but loopback is filtered; Ringwall leaves those of container engines alone by default");
    for set in builder
        .policy
        .sets
        .iter()
        .filter(|set| set.dynamic.is_some())
    {
        let about = format!("set {}", set.name);
        builder.left_out(
            &about,
            "a dynamic set is empty here: fill nftables' own by `nft add element`",
        );
    }
    builder.differs(
        "source_check",
        "the ways back to sources are not checked here; the kernel's rp_filter does that for IPv4",
    );
    let files = builder.policy.sets.iter().filter(|set| set.file.is_some());
    let files: Vec<String> = files.map(|set| set.name.clone()).collect();
    for name in files {
        builder.differs(&name, "the set has the members that its file has now");
    }
    if builder
        .policy
        .zones
        .iter()
        .any(|zone| !zone.connected.is_empty())
    {
        builder.differs(
            "connected",
            "these zones have the networks that the links have now",
        );
    }
    if !builder.policy.tests.is_empty() || !builder.policy.assertions.is_empty() {
        builder.differs("tests", "tests and assertions stay with the policy");
    }
    let own_mode = if builder.monitors() {
        "nothing is dropped; counters tell what would be"
    } else {
        return;
    };
    builder.differs("mode", own_mode);
}
