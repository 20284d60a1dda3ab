//! The ordered list: a chain for each policy, and for each rule as many lines as its conditions need.

use ipnet::IpNet;
use nftables::expr::{Expression, FibFlag, MetaKey, NamedExpression, NgMode, Numgen};
use nftables::stmt::{Log, Statement};

use super::Builder;
use super::frame::{FORWARD, INPUT, OUTPUT, fib};
use super::say::{
    Say, Value, accept, count, family, field, goto, ip, is, is_not, jump, meta, number, numbers,
    one_of, prefix, protocol, word,
};
use super::sessions::{ADMIT, REFUSE, Unmatched, unmatched};
use super::zones::{End, Zones, sayable};
use crate::policy::model::{
    Action, Addresses, Block, Ends, Mode, OnChange, RoutedAction, Rule, Service,
};
use crate::policy::services::{ICMP, ICMPV6};

/// Conditions, and the family that they belong to if they belong to one.
pub(super) type Case = (Option<bool>, Vec<Say>);

/// Protocols with ports, by number, as nft names them.
const PORTS: [(u8, &str); 5] = [
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (132, "sctp"),
    (136, "udplite"),
];

/// All policies in order, and what none of them decides.
pub(super) fn list(builder: &mut Builder<'_>, zones: &Zones) {
    let policy = builder.policy;
    for block in policy.blocks.iter().filter(|block| block.for_this_host) {
        let chain = format!("policy-{}", block.name);
        let hook = match (&block.from, &block.to) {
            (_, Ends::Host) => INPUT,
            (Ends::Host, _) => OUTPUT,
            _ => FORWARD,
        };
        builder.chain(&chain);
        for conditions in ends(builder, zones, block) {
            builder.rule(hook, [conditions, vec![jump(&chain)]].concat());
        }
        block
            .rules
            .iter()
            .for_each(|rule| one(builder, block, rule, &chain, hook));
        default(builder, block, &chain);
    }
    let of = |action| match action {
        Action::Allow => Unmatched::Admit,
        Action::Deny => Unmatched::Drop,
        Action::Reject => Unmatched::Refuse,
    };
    unmatched(builder, INPUT, of(policy.unmatched.inbound));
    unmatched(builder, OUTPUT, of(policy.unmatched.outbound));
    let routed = match policy.unmatched.routed {
        RoutedAction::Pass => Unmatched::Pass,
        RoutedAction::Action(action) => of(action),
    };
    unmatched(builder, FORWARD, routed);
}

/// Each way in which a packet can be between the block's ends.
fn ends(builder: &mut Builder<'_>, zones: &Zones, block: &Block) -> Vec<Vec<Say>> {
    let sources = end(builder, zones, &block.from, End::Source);
    let destinations = end(builder, zones, &block.to, End::Destination);
    let pairs = sources
        .iter()
        .flat_map(|from| destinations.iter().map(move |to| (from, to)));
    let meet = pairs.filter(|(from, to)| fits(from.0, to.0));
    meet.map(|(from, to)| [&from.1[..], &to.1].concat())
        .collect()
}

/// Can a packet be of both families, where each is named at all?
fn fits(one: Option<bool>, other: Option<bool>) -> bool {
    one.is_none() || other.is_none() || one == other
}

fn end(builder: &mut Builder<'_>, zones: &Zones, ends: &Ends, end: End) -> Vec<Case> {
    let Ends::Zones {
        zones: named,
        multicast,
    } = ends
    else {
        return vec![(None, Vec::new())];
    };
    let group = || one_of(vec![word("multicast"), word("broadcast")]);
    let mut all = zones.conditions(builder, named, end);
    if end == End::Destination {
        let single = || is_not(fib(FibFlag::Daddr), group());
        all.iter_mut()
            .for_each(|(_, conditions)| conditions.push(single()));
    }
    if *multicast {
        all.push((None, vec![is(fib(FibFlag::Daddr), group())]));
    }
    all
}

fn default(builder: &mut Builder<'_>, block: &Block, chain: &str) {
    let Some(action) = block.default else {
        return;
    };
    let end = decides(builder, block, None, action, true);
    let would = match end.is_empty() {
        true => format!(" would-{}", action_word(action)),
        false => String::new(),
    };
    let comment = format!("{}/default{would}", block.name);
    builder.commented(chain, [vec![count()], end].concat(), Some(comment));
}

/// What a rule does; nothing where it only monitors.
fn decides(
    builder: &Builder<'_>,
    block: &Block,
    rule: Option<&Rule>,
    action: Action,
    stateful: bool,
) -> Vec<Say> {
    let monitors =
        block.mode == Mode::Monitor || rule.is_some_and(|rule| rule.mode == Mode::Monitor);
    if monitors {
        return Vec::new();
    }
    vec![match (action, stateful) {
        (Action::Allow, true) => goto(ADMIT),
        (Action::Allow, false) => accept(),
        (Action::Deny, _) => builder.drop(),
        (Action::Reject, _) => goto(REFUSE),
    }]
}

fn one(builder: &mut Builder<'_>, block: &Block, rule: &Rule, chain: &str, hook: &str) {
    let id = format!("{}/{}", block.name, rule.name);
    let over = rule.expires.is_some_and(|end| builder.now >= end);
    if !rule.active() || over {
        return;
    }
    if let Some(end) = rule.expires {
        builder.differs(&id, format!("expires at {end}: take it out by then"));
    }
    if rule.replies {
        builder.left_out(&id, "replies: any: nftables passes answers only from who was asked; the ruleset lets in less");
    }
    match rule.on_change {
        OnChange::Recheck => {}
        OnChange::Keep => {
            builder.differs(&id, "on_change: keep is what nftables does with every rule")
        }
        OnChange::Reset => {
            builder.differs(&id, "on_change: reset: nftables resets no live connections")
        }
    }
    let Some(interfaces) = interfaces(rule, hook) else {
        let effect = if rule.action == Action::Allow {
            "lets in less"
        } else {
            "LETS IN MORE"
        };
        builder.left_out(&id, format!("its interfaces need globs that nftables cannot match; without it the ruleset {effect}"));
        return;
    };
    let end = decides(builder, block, Some(rule), rule.action, rule.stateful);
    let comment = if end.is_empty() {
        format!("{id} would-{}", action_word(rule.action))
    } else {
        id.clone()
    };
    let conditions = conditions(builder, rule);
    let pairs = interfaces
        .iter()
        .flat_map(|at| conditions.iter().map(move |rest| (at, rest)));
    for (at, rest) in pairs {
        let conditions = [&at[..], rest].concat();
        log(builder, rule, chain, &conditions, &id);
        let all = [conditions, vec![count()], end.clone()].concat();
        builder.commented(chain, all, Some(comment.clone()));
    }
}

const fn action_word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Reject => "reject",
    }
}

/// Longest prefix that the kernel's log takes.
const LOG_PREFIX: usize = 126;

fn log(builder: &mut Builder<'_>, rule: &Rule, chain: &str, conditions: &[Say], id: &str) {
    let Some(wanted) = rule.log else {
        return;
    };
    let mut all = conditions.to_vec();
    if wanted.one_in > 1 {
        let (mode, ng_mod) = (NgMode::Random, wanted.one_in);
        let numgen = Numgen {
            mode,
            ng_mod,
            offset: None,
        };
        let numgen = Expression::Named(NamedExpression::Numgen(numgen));
        all.push(is(numgen, number(0)));
    }
    let mut prefix = id.to_owned();
    prefix.truncate(LOG_PREFIX);
    let prefix = Some((prefix + " ").into());
    all.push(Statement::Log(Some(Log {
        prefix,
        ..Log::new(None)
    })));
    builder.rule(chain, all);
}

/// Each way in which the interface can be one that the rule names; `None` where nftables cannot match them.
fn interfaces(rule: &Rule, hook: &str) -> Option<Vec<Vec<Say>>> {
    let Some(patterns) = &rule.interfaces else {
        return Some(vec![Vec::new()]);
    };
    let key = if hook == OUTPUT {
        MetaKey::Oifname
    } else {
        MetaKey::Iifname
    };
    let all = patterns.iter().all(|pattern| sayable(pattern));
    let each = || {
        patterns
            .iter()
            .map(|pattern| vec![is(meta(key), word(pattern))])
    };
    all.then(|| each().collect())
}

/// Each way in which the rule's conditions can hold.
fn conditions(builder: &mut Builder<'_>, rule: &Rule) -> Vec<Vec<Say>> {
    let services = match &rule.services {
        None => any_service(rule.source_ports.as_deref()),
        Some(wanted) => services(wanted, rule.source_ports.as_deref()),
    };
    let mut all = Vec::new();
    for (v6, addresses) in addresses(builder, rule) {
        let fits = services
            .iter()
            .filter(|(own, _)| own.is_none() || v6.is_none() || *own == v6);
        all.extend(fits.map(|(_, service)| [&addresses[..], service].concat()));
    }
    all
}

fn any_service(source_ports: Option<&[(u16, u16)]>) -> Vec<Case> {
    match source_ports {
        None => vec![(None, Vec::new())],
        Some(ports) => service(&PORTS.map(|(number, _)| number), Some(ports), None),
    }
}

/// The addresses of both families that a rule asks for.
fn addresses(builder: &mut Builder<'_>, rule: &Rule) -> Vec<Case> {
    let fields = [
        (&rule.sources, "saddr", true),
        (&rule.except_sources, "saddr", false),
        (&rule.destinations, "daddr", true),
        (&rule.except_destinations, "daddr", false),
    ];
    if fields.iter().all(|(field, ..)| field.is_none()) {
        return vec![(None, Vec::new())];
    }
    let of = |v6: bool| -> Option<Case> {
        let mut all = vec![family(v6)];
        for (wanted, side, among) in fields {
            let Some(wanted) = wanted else { continue };
            let left = field(ip(v6), side);
            match (members(builder, wanted, v6), among) {
                (None, true) => return None,
                (None, false) => {}
                (Some(members), true) => all.push(is(left, members)),
                (Some(members), false) => all.push(is_not(left, members)),
            }
        }
        Some((Some(v6), all))
    };
    [false, true].into_iter().filter_map(of).collect()
}

/// A set by its name where it stands alone, else all prefixes; `None` if this family has none.
fn members(builder: &mut Builder<'_>, wanted: &Addresses, v6: bool) -> Option<Value> {
    let policy = builder.policy;
    let sets = wanted
        .sets
        .iter()
        .filter_map(|index| policy.sets.get(*index));
    let inline = wanted.prefixes.iter();
    let all: Vec<IpNet> = sets
        .clone()
        .flat_map(|set| &set.members)
        .chain(inline)
        .copied()
        .collect();
    let own: Vec<IpNet> = all
        .into_iter()
        .filter(|net| net.addr().is_ipv6() == v6)
        .collect();
    if own.is_empty() {
        return None;
    }
    // None of the pieces may overlap.
    let pieces = || IpNet::aggregate(&own).iter().map(prefix).collect();
    let mut sets = sets;
    match (sets.next(), sets.next(), wanted.prefixes.is_empty()) {
        (Some(only), None, true) => {
            let name = format!("set-{}-{}", only.name, if v6 { 6 } else { 4 });
            builder.set(&name, v6, pieces);
            Some(word(format!("@{name}")))
        }
        _ => Some(one_of(pieces())),
    }
}

/// Each way in which one of these services can be met.
pub(super) fn services(wanted: &[Service], source_ports: Option<&[(u16, u16)]>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, _) in PORTS {
        let ranges = wanted.iter().filter_map(|service| match *service {
            Service::Ports {
                protocol,
                low,
                high,
            } if protocol == number => Some((low, high)),
            _ => None,
        });
        let ranges: Vec<(u16, u16)> = ranges.collect();
        if !ranges.is_empty() {
            cases.extend(service(&[number], source_ports, Some(&ranges)));
        }
    }
    for other in wanted {
        match *other {
            Service::Ports { .. } => {}
            Service::Protocol(number) => match source_ports {
                None => cases.push((None, vec![protocol(&[number])])),
                Some(_) => cases.extend(service(&[number], source_ports, None)),
            },
            Service::Icmp { v6, kind, code } if source_ports.is_none() => {
                cases.push(icmp(v6, kind, code))
            }
            // What has no ports comes from none.
            Service::Icmp { .. } => {}
        }
    }
    cases
}

fn icmp(v6: bool, kind: Option<u8>, code: Option<u8>) -> Case {
    let (name, number_of) = if v6 {
        ("icmpv6", ICMPV6)
    } else {
        ("icmp", ICMP)
    };
    let mut all = match kind {
        None => vec![family(v6), protocol(&[number_of])],
        Some(kind) => vec![is(field(name, "type"), number(kind.into()))],
    };
    all.extend(code.map(|code| is(field(name, "code"), number(code.into()))));
    (Some(v6), all)
}

/// Protocols with ports, from and to some of them; others never match.
pub(super) fn service(
    protocols: &[u8],
    from: Option<&[(u16, u16)]>,
    to: Option<&[(u16, u16)]>,
) -> Vec<Case> {
    let known = PORTS
        .iter()
        .filter(|(number, _)| protocols.contains(number));
    let case = |(number, name): &(u8, &str)| {
        let ports = |side: &str, ranges: Option<&[(u16, u16)]>| {
            let ranges = joined(ranges?)?;
            Some(is(
                field(name, side),
                one_of(ranges.into_iter().map(numbers).collect()),
            ))
        };
        let all: Vec<Say> = ports("sport", from)
            .into_iter()
            .chain(ports("dport", to))
            .collect();
        (
            None,
            if all.is_empty() {
                vec![protocol(&[*number])]
            } else {
                all
            },
        )
    };
    known.map(case).collect()
}

/// Ranges in order, none touching another; `None` for all ports.
fn joined(ranges: &[(u16, u16)]) -> Option<Vec<(u16, u16)>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut all: Vec<(u16, u16)> = Vec::new();
    for (low, high) in sorted {
        match all.last_mut() {
            Some((_, end)) if u32::from(low) <= u32::from(*end) + 1 => *end = high.max(*end),
            _ => all.push((low, high)),
        }
    }
    (all != [(0, u16::MAX)]).then_some(all)
}
