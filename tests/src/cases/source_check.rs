//! `source_check`: does the way back to a source lead where its packet came from? Everything arrives by `eth0`.

use std::net::IpAddr;

use firewall_common::reason::Reason::*;

use super::policies::WEB;
use crate::case::packet::{ack, syn, udp};
use crate::case::{Case, Family, Step, arrives, leaves};

/// Zones with every word and without, all of prefixes whose way back leads by `eth1`; those of the default zone
/// include a prefix that none leads to.
const CHECKS: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: pass}
zones:
  strict: {cidrs: [10.78.0.0/26, 10.78.0.248/29, "fd78::/80", 169.254.0.0/16], source_check: strict}
  suited: {cidrs: [10.78.0.64/26, "fd78:0:0:0:1::/80"]}
  loose: {cidrs: [10.78.0.128/26, "fd78:0:0:0:2::/80"], source_check: loose}
  none: {cidrs: [192.0.2.128/25, "2001:db8:bad:1::/64"], source_check: off}
  internet: {default: true}
policies:
  - name: in
    from: any
    to: host
    rules:
      - {name: web, action: allow, services: [tcp/80], reason: site, owner: web}
      - {name: no-mail, action: reject, services: [tcp/25], reason: never, owner: web}
"#;

/// The same, only watching.
const WATCHED: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 2}
mode: monitor
unmatched: {inbound: deny, outbound: allow, routed: pass}
zones:
  internet: {default: true}
policies: []
"#;

fn of(f: &Family, v4: &str, v6: &str) -> IpAddr {
    let text = if f.v6 { v6 } else { v4 };
    text.parse().expect("an address")
}

/// It comes from a prefix that no way leads to.
fn lost(f: &Family) -> IpAddr {
    of(f, "192.0.2.9", "2001:db8:bad::9")
}

fn opens(f: &Family, from: IpAddr, reason: firewall_common::reason::Reason) -> Step {
    arrives(syn((from, 40000), (f.host, 80)).frame(), reason)
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "strict-refuses-who-comes-by-another-interface",
        CHECKS,
        |f| {
            let from = of(f, "10.78.0.9", "fd78::9");
            vec![
                opens(f, from, Martian).zone("strict"),
                // Before the rules, so no rule answers, and what opens nothing is no stray.
                arrives(syn((from, 40000), (f.host, 25)).frame(), Martian).zone("strict"),
                arrives(ack((from, 40000), (f.host, 80)).frame(), Martian).zone("strict"),
                arrives(udp((from, 40000), (f.host, 9), b"x").frame(), Martian).zone("strict"),
            ]
        },
    ),
    Case::new("strict-takes-any-of-several-next-hops", CHECKS, |f| {
        vec![opens(f, of(f, "10.78.0.249", "fd78::9"), RuleAllow).by("in/web")]
    })
    .v4(),
    Case::new("zones-of-prefixes-are-strict-by-themselves", CHECKS, |f| {
        let from = of(f, "10.78.0.65", "fd78::1:0:0:9");
        vec![opens(f, from, Martian).zone("suited")]
    }),
    Case::new("loose-asks-for-any-way-back", CHECKS, |f| {
        let from = of(f, "10.78.0.129", "fd78::2:0:0:9");
        vec![
            opens(f, from, RuleAllow).by("in/web").zone("loose"),
            opens(f, f.stranger, RuleAllow)
                .by("in/web")
                .zone("internet"),
            opens(f, lost(f), Martian).zone("internet"),
        ]
    }),
    Case::new("off-asks-for-nothing", CHECKS, |f| {
        let from = of(f, "192.0.2.129", "2001:db8:bad:1::9");
        vec![opens(f, from, RuleAllow).by("in/web").zone("none")]
    }),
    Case::new("routed-traffic-is-held-against-it-too", CHECKS, |f| {
        vec![
            arrives(syn((lost(f), 40000), (f.other, 443)).frame(), Martian).zone("internet"),
            arrives(ack((lost(f), 40000), (f.other, 443)).frame(), Martian).zone("internet"),
        ]
    }),
    Case::new("a-live-session-is-not", CHECKS, |f| {
        let far = of(f, "10.78.0.9", "fd78::9");
        let (ask, answer) = (
            udp((f.host, 40000), (far, 53), b"x"),
            udp((far, 53), (f.host, 40000), b"y"),
        );
        vec![
            leaves(ask.sent(), DefaultAllow).zone("strict"),
            arrives(answer.frame(), Session).zone("strict"),
            arrives(udp((far, 54), (f.host, 40000), b"y").frame(), Martian).zone("strict"),
        ]
    }),
    Case::new("link-local-sources-are-on-no-route", CHECKS, |f| {
        let from = of(f, "169.254.7.7", "fe80::7");
        vec![opens(f, from, RuleAllow).by("in/web")]
    }),
    Case::new(
        "watching-it-drops-nothing-and-what-follows-is-no-stray",
        WATCHED,
        |f| {
            let (client, server) = ((lost(f), 40000), (f.host, 9));
            let from = |port| udp((lost(f), port), (f.host, 9), b"x").frame();
            vec![
                arrives(from(40000), Martian).audited(),
                leaves(udp(server, client, b"x").sent(), Session),
                arrives(from(40000), Session),
                arrives(from(40001), Martian).audited(),
                arrives(ack(client, server).frame(), Martian).audited(),
            ]
        },
    ),
    Case::new("what-is-for-all-is-held-against-it-too", WEB, |f| {
        let from = lost(f);
        vec![arrives(
            udp((from, 40000), (f.group, 443), b"x").frame(),
            Martian,
        )]
    }),
];
