//! Warnings that need no reasoning about packets.

use jiff::{SignedDuration, Timestamp};

use crate::policy::diagnostic::Report;
use crate::policy::hosts::HostContext;
use crate::policy::model::{
    Action, Addresses, Block, Ends, Mode, Policy, RoutedAction, Rule, Service, SourceCheck, Zone,
};
use crate::policy::text::whole_file;

const TCP: u8 = 6;
const SSH: u16 = 22;
/// So long before it expires a rule is spoken of.
const NOTICE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Pairs of rules that are compared to find the way back of stateless ones; past that none is looked for.
const MOST_PAIRS: usize = 200_000_000;

/// Warns about what is legal and probably not meant.
pub fn lint(policy: &Policy, host: &HostContext, now: Timestamp, report: &mut Report<'_>) {
    let rules = || policy.blocks.iter().flat_map(|block| &block.rules);
    let stateless = rules().filter(|rule| !rule.stateful).count();
    let few = stateless.saturating_mul(rules().count()) <= MOST_PAIRS;
    if !few {
        let message =
            format!("{stateless} rules are stateless: too many to look for the way back of each");
        let help = "let rules be stateful, or split the policy by hosts";
        report.warn(whole_file(0), "not-looked-at", message, help);
    }
    for block in &policy.blocks {
        for rule in &block.rules {
            nameless_purpose(block, rule, report);
            dates(block, rule, now, report);
            everything(policy, block, rule, report);
            if few {
                no_return(policy, block, rule, report);
            }
        }
        everything_by_default(policy, block, report);
    }
    policy.zones.iter().for_each(|zone| spoofable(zone, report));
    everything_unmatched(policy, report);
    no_way_in(policy, host, now, report);
}

/// By itself a zone of prefixes is strict where there is another uplink.
fn spoofable(zone: &Zone, report: &mut Report<'_>) {
    let alone = zone.has_cidrs && !zone.has_interfaces;
    if !alone || zone.checks(true) == SourceCheck::Strict {
        return;
    }
    let message = format!(
        "another uplink could claim addresses of the zone `{}`, which names prefixes alone and does not hold them against the way back",
        zone.name
    );
    let help = "say by which `interfaces` they come, or leave `source_check` out where routing is symmetric";
    report.warn(zone.span, "spoofable-zone", message, help);
}

fn id(block: &Block, rule: &Rule) -> String {
    format!("{}/{}", block.name, rule.name)
}

fn nameless_purpose(block: &Block, rule: &Rule, report: &mut Report<'_>) {
    let missing = match (&rule.reason, &rule.owner) {
        (None, None) => "neither `reason` nor `owner`",
        (None, Some(_)) => "no `reason`",
        (Some(_), None) => "no `owner`",
        (Some(_), Some(_)) => return,
    };
    let message = format!("`{}` has {missing}", id(block, rule));
    let help = "say why it exists and who to ask before it goes";
    report.warn(rule.span, "no-purpose", message, help);
}

fn dates(block: &Block, rule: &Rule, now: Timestamp, report: &mut Report<'_>) {
    if !rule.active() {
        return;
    }
    let id = id(block, rule);
    if let Some(end) = rule.review_by.filter(|end| *end <= now) {
        let message = format!("`{id}` was to be reviewed before {end}");
        let help = "is it still needed? then set a new `review_by`";
        report.warn(rule.span, "date-review", message, help);
    }
    match rule.expires {
        Some(end) if end <= now => {
            let message = format!("`{id}` has expired at {end} and matches nothing");
            report.warn(
                rule.span,
                "date-expired",
                message,
                "remove it, or set a new `expires`",
            );
        }
        Some(end) if end.duration_since(now) <= NOTICE => {
            let message = format!("`{id}` expires at {end}");
            let help = "live sessions under it are judged anew then";
            report.warn(rule.span, "date-expires", message, help);
        }
        _ => {}
    }
}

fn everything(policy: &Policy, block: &Block, rule: &Rule, report: &mut Report<'_>) {
    let wide = rule.action == Action::Allow
        && rule.active()
        && rule.services.is_none()
        && rule.source_ports.is_none()
        && rule.interfaces.is_none()
        && (rule.except_sources.is_none() && rule.except_destinations.is_none())
        && all_addresses(rule.sources.as_ref())
        && all_addresses(rule.destinations.as_ref());
    if wide && from_everywhere(policy, block) {
        let message = format!("`{}` allows everything from everywhere", id(block, rule));
        report.warn(
            rule.span,
            "allow-everything",
            message,
            "name the services or the sources",
        );
    }
}

fn everything_by_default(policy: &Policy, block: &Block, report: &mut Report<'_>) {
    let wide = block.default == Some(Action::Allow) && block.for_this_host;
    if wide && from_everywhere(policy, block) {
        let message = format!("`{}/default` allows everything from everywhere", block.name);
        report.warn(
            block.span,
            "allow-everything",
            message,
            "name what is allowed in rules",
        );
    }
}

/// Whoever lets in what no rule decided, and has no rule that refuses anything.
fn everything_unmatched(policy: &Policy, report: &mut Report<'_>) {
    let refuses = |block: &Block| {
        let refuses = |rule: &Rule| rule.active() && rule.action != Action::Allow;
        let default = block.default.is_some_and(|action| action != Action::Allow);
        block.for_this_host && (default || block.rules.iter().any(refuses))
    };
    if policy.unmatched.inbound == Action::Allow && !policy.blocks.iter().any(refuses) {
        let message = "`unmatched: {inbound: allow}` allows everything from everywhere, and no rule refuses anything";
        let help = "name what is allowed in rules, and deny the rest";
        report.warn(whole_file(0), "allow-everything", message, help);
    }
}

fn all_addresses(addresses: Option<&Addresses>) -> bool {
    addresses.is_none_or(|all| all.prefixes.iter().any(|prefix| prefix.prefix_len() == 0))
}

fn from_everywhere(policy: &Policy, block: &Block) -> bool {
    match &block.from {
        Ends::Any => true,
        Ends::Host => false,
        Ends::Zones { zones, .. } => zones
            .iter()
            .filter_map(|zone| policy.zones.get(*zone))
            .any(|zone| zone.default),
    }
}

fn no_return(policy: &Policy, block: &Block, rule: &Rule, report: &mut Report<'_>) {
    if rule.stateful || rule.action != Action::Allow || !rule.active() || !block.for_this_host {
        return;
    }
    let answered = |part: Option<&Service>| {
        let mut back = policy.blocks.iter().filter(|other| is_return(other, block));
        back.any(|other| returns(other, rule, part)) || returns_unmatched(policy, block, part)
    };
    let complete = match &rule.services {
        None => answered(None),
        Some(parts) => parts.iter().all(|part| answered(Some(part))),
    };
    if !complete {
        let message = format!(
            "`{}` is stateless and no stateless rule allows its answers",
            id(block, rule)
        );
        let help = "a stateless rule opens no session: both directions need a rule (the answers by `source_ports`)";
        report.warn(rule.span, "no-return-rule", message, help);
    }
}

fn is_return(other: &Block, block: &Block) -> bool {
    other.for_this_host && meet(&other.from, &block.to) && meet(&other.to, &block.from)
}

fn meet(a: &Ends, b: &Ends) -> bool {
    match (a, b) {
        (Ends::Host, Ends::Host) => true,
        (Ends::Host, _) | (_, Ends::Host) => false,
        (Ends::Any, _) | (_, Ends::Any) => true,
        (
            Ends::Zones {
                zones: a,
                multicast: x,
            },
            Ends::Zones {
                zones: b,
                multicast: y,
            },
        ) => !a.is_disjoint(b) || (*x && *y),
    }
}

/// Does a block let back what a stateless rule's packets of one service part are answered with?
fn returns(block: &Block, rule: &Rule, part: Option<&Service>) -> bool {
    let allows = |back: &Rule| {
        back.action == Action::Allow
            && back.active()
            && (!back.stateful || opens_alone(part))
            && ports_meet(back.source_ports.as_deref(), part)
            && same_protocol(back, rule, part)
    };
    block.rules.iter().any(allows) || (block.default == Some(Action::Allow) && opens_alone(part))
}

fn returns_unmatched(policy: &Policy, block: &Block, part: Option<&Service>) -> bool {
    let verdict = match (&block.from, &block.to) {
        (Ends::Host, _) => policy.unmatched.inbound == Action::Allow,
        (_, Ends::Host) => policy.unmatched.outbound == Action::Allow,
        _ => matches!(
            policy.unmatched.routed,
            RoutedAction::Pass | RoutedAction::Action(Action::Allow)
        ),
    };
    verdict && opens_alone(part)
}

/// Are answers of this kind let out by a stateful rule, because any packet of it opens a session?
fn opens_alone(part: Option<&Service>) -> bool {
    match part {
        Some(Service::Ports { protocol, .. }) => *protocol == 17 || *protocol == 136,
        Some(Service::Protocol(_)) => true,
        Some(Service::Icmp { .. }) | None => false,
    }
}

fn ports_meet(ports: Option<&[(u16, u16)]>, part: Option<&Service>) -> bool {
    match (ports, part) {
        (Some(ports), Some(Service::Ports { low, high, .. })) => {
            ports.iter().any(|(from, to)| from <= high && low <= to)
        }
        _ => true,
    }
}

fn same_protocol(back: &Rule, rule: &Rule, part: Option<&Service>) -> bool {
    let (Some(parts), Some(part)) = (&back.services, part) else {
        return true;
    };
    parts.iter().any(|other| match (other, part) {
        (
            Service::Ports {
                protocol: a,
                low,
                high,
            },
            Service::Ports { protocol: b, .. },
        ) => {
            let into = Service::Ports {
                protocol: *a,
                low: *low,
                high: *high,
            };
            a == b && ports_meet(rule.source_ports.as_deref(), Some(&into))
        }
        (Service::Icmp { v6: a, .. }, Service::Icmp { v6: b, .. }) => a == b,
        (Service::Protocol(a), Service::Protocol(b)) => a == b,
        _ => false,
    })
}

fn no_way_in(policy: &Policy, host: &HostContext, now: Timestamp, report: &mut Report<'_>) {
    let lets_in = |block: &Block| lets_ssh_in(policy, block, now);
    let open = policy.unmatched.inbound == Action::Allow || policy.blocks.iter().any(lets_in);
    if open || !host.failsafe.is_empty() || policy.mode == Mode::Monitor {
        return;
    }
    let message = "nothing lets SSH in, and this host's agent file has no failsafe rule";
    let help = "allow `ssh` from a management zone, or add `failsafe: [{sources: [10.1.0.0/24], services: [ssh]}]` to the agent file";
    report.warn(whole_file(0), "no-way-in", message, help);
}

fn lets_ssh_in(policy: &Policy, block: &Block, now: Timestamp) -> bool {
    let here = block.to == Ends::Host && block.for_this_host && block.mode == Mode::Enforce;
    let allows = |rule: &Rule| allows_ssh(policy, rule, now);
    here && (block.default == Some(Action::Allow) || block.rules.iter().any(allows))
}

fn allows_ssh(policy: &Policy, rule: &Rule, now: Timestamp) -> bool {
    let covers = |part: &Service| matches!(part, Service::Ports { protocol: TCP, low, high } if (*low..=*high).contains(&SSH));
    let named = rule.service_words.iter().any(|word| word == "ssh");
    let covered = match &rule.services {
        None => true,
        Some(parts) => named || parts.iter().any(covers),
    };
    let holds = rule.active() && rule.expires.is_none_or(|end| end > now);
    let decides = holds && rule.action == Action::Allow && rule.mode == Mode::Enforce;
    covered && decides && !names_nobody(policy, rule.sources.as_ref())
}

/// Does a list name only sets that have no members now?
fn names_nobody(policy: &Policy, list: Option<&Addresses>) -> bool {
    list.is_some_and(|list| {
        let mut sets = list.sets.iter().filter_map(|set| policy.sets.get(*set));
        list.prefixes.is_empty() && sets.all(|set| set.members.is_empty())
    })
}
