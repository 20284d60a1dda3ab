//! Random policies: small worlds of prefixes and ports, so that conditions meet and overlap.

use std::collections::BTreeSet;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::{SignedDuration, Timestamp};

use super::dice::Dice;
use crate::policy::model::{
    Action, AddressSet, Addresses, Block, Dynamic, Ends, Essentials, Mode, OnChange, Policy,
    RoutedAction, Rule, Service, SourceCheck, Span, Unmatched, Zone,
};

/// The interfaces of the host.
pub const INTERFACES: [&str; 5] = ["eth0", "eth1", "wg0", "lan7", "veth9"];
const PATTERNS: [&str; 7] = ["eth0", "eth1", "eth*", "wg*", "lan?", "*", "none0"];
/// Of these no two can match one interface.
const APART: [&str; 4] = ["eth0", "eth1", "wg*", "lan?"];

/// A random prefix out of a few neighbourhoods, at lengths where mistakes live.
pub(super) fn prefix(dice: &mut Dice) -> IpNet {
    if dice.chance(60) {
        let bases = [
            0x0a00_0000_u32,
            0x0a01_0000,
            0xc000_0200,
            0xcb00_7100,
            0x6440_0000,
        ];
        let address = *dice.pick(&bases) | (dice.next() as u32 & *dice.pick(&[0, 0xf, 0xffff]));
        let length = *dice.pick(&[0, 7, 8, 9, 15, 16, 23, 24, 25, 30, 31, 32, 32]);
        let net = Ipv4Net::new(address.into(), length).unwrap();
        return net.trunc().into();
    }
    let bases = [
        0xfd00_u128 << 112,
        0x2001_0db8 << 96,
        0xfe80 << 112,
        0,
        0xff02 << 112,
    ];
    let low = u128::from(dice.next()) & *dice.pick(&[0, 0xff, 0xffff_ffff_ffff_ffff]);
    let middle = (u128::from(dice.next()) & 0xff) << *dice.pick(&[64, 72, 80]);
    let length = *dice.pick(&[0, 1, 3, 10, 32, 47, 48, 56, 64, 65, 80, 95, 127, 128, 128]);
    let address = *dice.pick(&bases) | middle | low;
    Ipv6Net::new(address.into(), length).unwrap().trunc().into()
}

/// When it is, and within how many seconds no rule expires.
type Now = (Timestamp, i64);

pub(super) fn policy(dice: &mut Dice, now: Timestamp, margin: i64) -> Policy {
    let now = (now, margin);
    let sets = dice.several(0, 4, set);
    let zones = zones(dice);
    let (set_count, zone_count) = (sets.len(), zones.len());
    let mut number = 0;
    let blocks = dice.several(1, 5, |dice| {
        number += 1;
        block(dice, number, set_count, zone_count, now)
    });
    Policy {
        files: Vec::new(),
        name: "random".into(),
        revision: 1,
        owner: None,
        description: None,
        digest: String::new(),
        mode: if dice.chance(8) {
            Mode::Monitor
        } else {
            Mode::Enforce
        },
        hosts: None,
        unmatched: unmatched(dice),
        essentials: Essentials {
            ra: dice.chance(80),
            dhcp: dice.chance(80),
            dhcpv6: dice.chance(80),
            igmp: dice.chance(80),
            mld: dice.chance(80),
            link: true,
        },
        sets,
        services: Vec::new(),
        zones,
        blocks,
        tests: Vec::new(),
        assertions: Vec::new(),
    }
}

fn set(dice: &mut Dice) -> AddressSet {
    let name = format!("set{}", dice.next());
    let dynamic = dice.maybe(35, |_| Dynamic {
        max: 100,
        default_for: None,
    });
    let members = if dynamic.is_some() || dice.chance(25) {
        Vec::new()
    } else {
        dice.several(1, 6, prefix)
    };
    AddressSet {
        name,
        span: Span::default(),
        file: None,
        dynamic,
        members,
    }
}

fn action(dice: &mut Dice) -> Action {
    *dice.pick(&[
        Action::Allow,
        Action::Allow,
        Action::Allow,
        Action::Deny,
        Action::Reject,
    ])
}

fn unmatched(dice: &mut Dice) -> Unmatched {
    let routed = if dice.chance(30) {
        RoutedAction::Pass
    } else {
        RoutedAction::Action(action(dice))
    };
    Unmatched {
        inbound: action(dice),
        outbound: action(dice),
        routed,
    }
}

/// What may be said of sources.
const CHECKS: [Option<SourceCheck>; 4] = [
    None,
    Some(SourceCheck::Strict),
    Some(SourceCheck::Loose),
    Some(SourceCheck::Off),
];

/// Zones that `check` would let pass: no prefix twice, no interface in two interface-only zones.
fn zones(dice: &mut Dice) -> Vec<Zone> {
    let mut used = BTreeSet::new();
    let mut apart: Vec<&str> = APART.to_vec();
    let mut zones = Vec::new();
    for index in 0..2 + dice.below(4) {
        let only_interface = dice.chance(25) && !apart.is_empty();
        let has_cidrs = !only_interface && dice.chance(85);
        let mut cidrs = if has_cidrs {
            dice.several(0, 4, prefix)
        } else {
            Vec::new()
        };
        let cidrs_drawn = cidrs.len();
        cidrs.retain(|net| used.insert(*net));
        let interfaces: Vec<String> = if only_interface {
            vec![apart.remove(dice.below(apart.len())).to_owned()]
        } else if has_cidrs && dice.chance(40) {
            dice.several(0, 2, |dice| (*dice.pick(&PATTERNS)).to_owned())
        } else {
            Vec::new()
        };
        zones.push(Zone {
            name: format!("zone{index}"),
            span: Span::default(),
            default: false,
            cidrs,
            has_cidrs,
            has_interfaces: only_interface || !interfaces.is_empty(),
            interfaces,
            connected: if has_cidrs && dice.chance(20) {
                vec![(*dice.pick(&PATTERNS)).to_owned()]
            } else {
                Vec::new()
            },
            management: false,
            source_check: CHECKS[(index + cidrs_drawn) % CHECKS.len()],
        });
    }
    let chosen = dice.below(zones.len());
    zones[chosen].default = true;
    zones
}

fn ends(dice: &mut Dice, zones: usize, to: bool) -> Ends {
    if dice.chance(25) {
        return Ends::Any;
    }
    Ends::Zones {
        zones: dice
            .several(1, 3, |dice| dice.below(zones))
            .into_iter()
            .collect(),
        multicast: to && dice.chance(20),
    }
}

fn block(dice: &mut Dice, number: usize, sets: usize, zones: usize, now: Now) -> Block {
    let (mut from, mut to) = (ends(dice, zones, false), ends(dice, zones, true));
    match dice.below(10) {
        0..5 => to = Ends::Host,
        5..8 => from = Ends::Host,
        _ => {}
    }
    let mut rule_number = 0;
    Block {
        name: format!("block{number}"),
        span: Span::default(),
        from,
        to,
        mode: if dice.chance(5) {
            Mode::Monitor
        } else {
            Mode::Enforce
        },
        for_this_host: dice.chance(93),
        rules: dice.several(0, 6, |dice| {
            rule_number += 1;
            rule(dice, rule_number, sets, now)
        }),
        default: dice.maybe(25, action),
    }
}

fn addresses(dice: &mut Dice, sets: usize) -> Addresses {
    let only_sets = sets > 0 && dice.chance(40);
    let from = usize::from(!only_sets);
    Addresses {
        prefixes: if only_sets {
            Vec::new()
        } else {
            dice.several(from, 3, prefix)
        },
        sets: if sets == 0 {
            Vec::new()
        } else {
            dice.several(1 - from, 2, |dice| dice.below(sets))
        },
    }
}

fn ports(dice: &mut Dice) -> (u16, u16) {
    let corner = *dice.pick(&[
        0_u16, 1, 22, 53, 67, 80, 443, 1023, 1024, 8000, 8100, 65534, 65535,
    ]);
    let width = *dice.pick(&[0, 0, 0, 1, 3, 100, 65535]);
    (corner, corner.saturating_add(width))
}

fn service(dice: &mut Dice) -> Service {
    let protocol = *dice.pick(&[6, 6, 6, 17, 17, 33, 132, 136]);
    let (low, high) = ports(dice);
    match dice.below(10) {
        0..7 => Service::Ports {
            protocol,
            low,
            high,
        },
        7 | 8 => {
            let v6 = dice.chance(50);
            let kinds: &[u8] = if v6 {
                &[1, 128, 129, 135, 144]
            } else {
                &[0, 3, 8, 9, 13]
            };
            let kind = dice.maybe(85, |dice| *dice.pick(kinds));
            let code = kind.and_then(|_| dice.maybe(40, |dice| *dice.pick(&[0, 1, 4])));
            Service::Icmp { v6, kind, code }
        }
        _ => Service::Protocol(*dice.pick(&[47, 50, 89, 2, 112])),
    }
}

fn rule(dice: &mut Dice, number: usize, sets: usize, (now, margin): Now) -> Rule {
    let later = [-100_000, -margin, margin, 100_000];
    Rule {
        name: format!("rule{number}"),
        span: Span::default(),
        action: action(dice),
        services: dice.maybe(75, |dice| dice.several(1, 4, service)),
        service_words: Vec::new(),
        source_ports: dice.maybe(10, |dice| dice.several(1, 2, ports)),
        sources: dice.maybe(45, |dice| addresses(dice, sets)),
        destinations: dice.maybe(20, |dice| addresses(dice, sets)),
        except_sources: dice.maybe(20, |dice| addresses(dice, sets)),
        except_destinations: dice.maybe(10, |dice| addresses(dice, sets)),
        interfaces: dice.maybe(15, |dice| {
            dice.several(1, 2, |dice| (*dice.pick(&PATTERNS)).to_owned())
        }),
        stateful: dice.chance(88),
        replies: false,
        log: None,
        limit: None,
        max_sessions: None,
        on_change: OnChange::Recheck,
        mode: if dice.chance(5) {
            Mode::Monitor
        } else {
            Mode::Enforce
        },
        enabled: dice.chance(92),
        for_this_host: dice.chance(95),
        owner: None,
        reason: None,
        ticket: None,
        review_by: None,
        expires: dice.maybe(12, |dice| {
            now + SignedDuration::from_secs(*dice.pick(&later))
        }),
    }
}
