//! Limits and corners of the compiler; that it decides right is shown against the interpreter.

use std::time::Instant;

use firewall_common::config::MAX_RULES;
use firewall_common::policy::line::{LEAF, ROOT_LINES};
use firewall_common::zone::ZoneId;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{CompileError, Fields, compile};
use crate::policy::compiled::{Clock, Compiled, Numbers};
use crate::policy::model::{AddressSet, Policy, Rule, Service, Span};
use crate::policy::testing::{HEAD, clock, policy};

fn compiled(policy: &Policy) -> Result<Compiled, Vec<CompileError>> {
    compile(policy, &mut Numbers::default(), &clock())
}

fn with(rules: &str) -> Policy {
    policy(&format!("{HEAD}policies:\n{rules}"))
}

fn block(rules: &str) -> Policy {
    with(&format!(
        "  - {{name: in, from: internet, to: host, rules: [{rules}]}}\n"
    ))
}

#[test]
fn one_rule_more_than_there_may_be_is_refused_with_the_count() {
    let mut policy = block("{name: r, action: allow, services: [tcp/80]}");
    let rule = policy.blocks[0].rules[0].clone();
    let rules = |count: u32| {
        (0..count).map(|n| Rule {
            name: format!("r{n}"),
            services: Some(vec![Service::Protocol((n % 250) as u8)]),
            source_ports: None,
            ..rule.clone()
        })
    };
    policy.blocks[0].rules = rules(MAX_RULES).collect();
    assert_eq!(compiled(&policy).unwrap().rules.len(), 131_072);
    policy.blocks[0].rules = rules(MAX_RULES + 1).collect();
    let refused = compiled(&policy).unwrap_err();
    assert!(refused[0].message.contains("131073") && refused[0].message.contains("131072"));
}

#[test]
fn sixty_one_zones_fit_and_one_more_is_refused() {
    let zones = |count: usize| {
        let mut policy = block("");
        let zone = policy.zones[0].clone();
        policy.zones = (0..count)
            .map(|n| crate::policy::model::Zone {
                name: format!("z{n}"),
                cidrs: vec![format!("10.{n}.0.0/16").parse().unwrap()],
                default: n == 0,
                ..zone.clone()
            })
            .collect();
        policy.blocks.clear();
        policy
    };
    let last = compiled(&zones(61)).unwrap().zones.last().unwrap().0;
    assert_eq!(last, ZoneId(63));
    assert!(compiled(&zones(62)).unwrap_err()[0].message.contains("62"));
}

#[test]
fn too_many_kinds_of_interfaces_are_refused() {
    let mut policy = block("{name: a, action: allow}");
    let zone = policy.zones[0].clone();
    policy.zones.truncate(0);
    for n in 0..17 {
        policy.zones.push(crate::policy::model::Zone {
            name: format!("z{n}"),
            cidrs: Vec::new(),
            has_cidrs: false,
            has_interfaces: true,
            connected: Vec::new(),
            interfaces: vec![format!("eth{n}")],
            default: n == 0,
            ..zone.clone()
        });
    }
    policy.blocks.clear();
    assert!(
        compiled(&policy).unwrap_err()[0]
            .message
            .contains("18 kinds")
    );
    policy.zones.truncate(15);
    assert_eq!(compiled(&policy).unwrap().interfaces.entries.len(), 16);
}

#[test]
fn parked_rules_are_listed_and_take_no_place() {
    let policy = block("{name: a, action: allow, enabled: false}, {name: b, action: deny}");
    let compiled = compiled(&policy).unwrap();
    let indexes: Vec<Option<u32>> = compiled.listing.iter().map(|l| l.index).collect();
    assert_eq!(indexes, [None, Some(0)]);
    assert_eq!((compiled.rules.len(), compiled.head.rules), (1, 1));
}

#[test]
fn expiry_becomes_boot_time() {
    let policy = block(
        "{name: a, action: allow, expires: '2027-01-01T00:00:10Z'}, {name: b, action: allow, expires: 2020-01-01}, {name: c, action: allow}",
    );
    let now = clock();
    let expires: Vec<u64> = compiled(&policy)
        .unwrap()
        .rules
        .iter()
        .map(|r| r.expires)
        .collect();
    assert_eq!(expires, [now.boot + 10_000_000_000, 2, 0]);
    let mut compiled = compiled(&policy).unwrap();
    compiled.retime(&Clock { boot: 500, ..now });
    assert_eq!(compiled.rules[0].expires, 10_000_000_500);
}

#[test]
fn interfaces_that_come_later_are_known_by_their_names() {
    let policy = policy(&format!(
        "{}policies:
  - name: in
    from: any
    to: host
    rules:
      - {{name: a, action: allow, interfaces: ['eth*']}}
      - {{name: b, action: allow, interfaces: [eth0, 'wg?']}}
",
        HEAD.replace("internet:", "vpn: {interfaces: ['wg*']}, internet:")
    ));
    let compiled = compiled(&policy).unwrap();
    let fields = Fields::of(&policy, &compiled);
    let rules = |name: &str| {
        let kind = compiled.interfaces.entry(name).kind as usize;
        fields.kinds[kind].iter().map(|rule| 1 << rule).sum::<u32>()
    };
    let class = |name: &str| compiled.interfaces.entry(name).class;
    assert_eq!(
        ["eth0", "eth9", "wg3", "wg33", "lo"].map(rules),
        [0b11, 0b01, 0b10, 0, 0]
    );
    assert_eq!(["eth0", "eth9", "lo"].map(class), [0, 0, 0]);
    assert_eq!(class("wg3"), class("wg33"));
    assert_ne!(class("wg3"), 0);
}

#[test]
fn both_families_have_their_own_root_and_ipv6_does_not_reach_ipv4() {
    let policy = block("{name: a, action: allow, sources: ['::/0']}");
    let compiled = compiled(&policy).unwrap();
    let [v4, v6] = [
        compiled.trees[ROOT_LINES as usize + 1].halves[0],
        compiled.trees[ROOT_LINES as usize + 1].halves[1],
    ];
    assert_eq!((v4[7], v6[7]), (0, 1));
}

fn million() -> Vec<IpNet> {
    let v4 = (0..800_000_u32).map(|n| {
        let net = Ipv4Net::new((n.wrapping_mul(2_654_435_761)).into(), 24 + (n % 9) as u8);
        IpNet::from(net.unwrap().trunc())
    });
    let v6 = (0..200_000_u128).map(|n| {
        let net = Ipv6Net::new(((0x2001_u128 << 112) | n << 64).into(), 64);
        IpNet::from(net.unwrap())
    });
    v4.chain(v6).collect()
}

#[test]
fn a_set_of_a_million_prefixes_has_its_place() {
    let mut policy = block(
        "{name: a, action: deny, sources: [office]}, {name: b, action: allow, except_sources: [office]}",
    );
    let set = AddressSet {
        dynamic: None,
        name: "big".into(),
        span: Span::default(),
        file: None,
        members: million(),
    };
    policy.sets[0] = set;
    let start = Instant::now();
    let compiled = compiled(&policy).unwrap();
    let taken = start.elapsed();
    println!("{} lines in {taken:?}", compiled.addresses.len());
    let size = compiled.cost.address_bytes;
    assert!((1 << 23..1 << 26).contains(&size), "{size} bytes");
    assert_eq!(compiled.addresses[0].halves[0][0] & LEAF, 0);
}

#[test]
fn moments_before_boot_are_over_and_never_is_not_among_them() {
    let clock = Clock { boot: 5, ..clock() };
    assert_eq!(clock.boot_time("2020-01-01T00:00:00Z".parse().unwrap()), 2);
    // Odd times are those of members of dynamic sets.
    assert_eq!(clock.boot_time(clock.wall), 4);
}
