//! From the model to tables: the ordered list, trees that lead from a packet to the rules that may match it, and
//! what is known of addresses.

mod addresses;
mod classifier;
mod conditions;
mod dynamic;
mod fields;
mod interfaces;
mod limits;
mod listing;
mod mutation;
mod numbers;
mod order;
mod prefixes;
mod ranges;
mod view;
mod zones;

pub use classifier::Tuning;
pub(super) use classifier::grow::fewest;
pub use fields::{Entry as AddressEntry, Fields, Rules};
pub use mutation::Mutation;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub use mutation::{tuned, with as with_mutation};
pub use order::{Place, places};
pub use ranges::{ALL_SERVICES, Run, prefixes as service_prefixes, run as service_run};
pub use view::{Around, Cell, FIELDS, Known, Run as AddressRun, View};

use firewall_common::config::{
    Fallback, GENERATION_ADDRESSES, GENERATION_COUNTS, GENERATION_INTERFACES, GENERATION_MONITOR,
    GENERATION_REPLIES, Generation, MAX_RULES,
};
use firewall_common::essential::Essential;
use firewall_common::policy::line::Line;
use firewall_common::policy::rule::{
    Action as Act, DEFAULT, KEEP, MONITOR, REPLIES, RESET, Rule, STATELESS,
};
use jiff::Timestamp;

use super::compiled::{Clock, Compiled, Cost, Numbers};
use super::diagnostic::Diagnostic;
use super::model::{Action, Essentials, Mode, OnChange, Policy, RoutedAction, Span};

/// Why a policy that is right in itself cannot be put into tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// What does not fit, with how many there are and how many there may be.
    pub message: String,
    /// Where, if it is one place.
    pub span: Option<Span>,
    /// What to do about it.
    pub help: Option<String>,
}

impl CompileError {
    fn new(message: String, help: &str) -> Self {
        let (span, help) = (None, Some(help.to_owned()));
        Self {
            message,
            span,
            help,
        }
    }

    /// As an error of the policy's file.
    #[must_use]
    pub fn diagnostic(&self, policy: &Policy) -> Diagnostic {
        let mut error = Diagnostic::error("too-large", self.message.clone());
        error.help.clone_from(&self.help);
        match self.span {
            Some(span) => super::prove::at(policy, span, error),
            None => error,
        }
    }
}

/// Compiles a policy. Numbers are given out to names that have none yet; they are given out also where
/// the policy is refused, which does no harm.
///
/// # Errors
/// Every limit of the tables that the policy goes beyond.
pub fn compile(
    policy: &Policy,
    numbers: &mut Numbers,
    clock: &Clock,
) -> Result<Compiled, Vec<CompileError>> {
    let mut places = places(policy);
    let mut errors = Vec::new();
    errors.extend(too_many_rules(&places));
    errors.extend(numbers::give(policy, &mut places, numbers).err());
    if !errors.is_empty() {
        return Err(errors);
    }
    let active: Vec<&Place<'_>> = places.iter().filter(|p| p.index.is_some()).collect();
    let one = |error| vec![error];
    let plan = interfaces::plan(policy, &active).map_err(one)?;
    let tuning = mutation::tuning();
    let (mut classifier, conditions) =
        classifier::plant(policy, &active, &plan, numbers, &tuning).map_err(one)?;
    let classes = addresses::classes(policy, &conditions.bits, &plan, numbers);
    let addresses = classes.lines().map_err(one)?;
    let mut head = Generation {
        rules: active.len() as u32,
        flags: flags(policy, &active, classes.differ()) | conditions.dynamic.flag(),
        essentials: essentials(&policy.essentials),
        unmatched: unmatched(policy),
        interface_records: classifier.interface_records,
        interface_stride: classifier.interface_stride,
        dynamic: classifier.dynamic,
        revision: policy.revision,
        management: zones::management(policy, numbers),
        ..Generation::default()
    };
    let mut rules: Vec<Rule> = active.iter().map(|p| rule(p, clock)).collect();
    limits::write(&active, &mut rules, &mut classifier.lines).map_err(one)?;
    zones::checks(policy, numbers, &mut head);
    Ok(Compiled {
        head,
        cost: cost(classifier.cost, &rules, &classifier.lines, &addresses),
        rules,
        trees: classifier.lines,
        addresses,
        interfaces: plan.table,
        sets: dynamic::list(policy, &conditions.dynamic, numbers),
        listing: listing::list(policy, &places),
        zones: zones::names(policy, numbers),
    })
}

fn cost(found: Cost, rules: &[Rule], trees: &[Line], addresses: &[Line]) -> Cost {
    Cost {
        bytes: (size_of_val(rules) + size_of_val(trees)) as u64,
        address_bytes: size_of_val(addresses) as u64,
        ..found
    }
}

fn too_many_rules(places: &[Place<'_>]) -> Option<CompileError> {
    let count = places.iter().filter(|p| p.index.is_some()).count();
    if count <= MAX_RULES as usize {
        return None;
    }
    let message = format!(
        "{count} rules are in use, each policy's default counted as one; there may be {MAX_RULES}"
    );
    let help = "join rules that differ only in their addresses or services: a set or a service may hold any number";
    Some(CompileError::new(message, help))
}

fn flags(policy: &Policy, active: &[&Place<'_>], addresses_differ: bool) -> u32 {
    let named = |place: &&Place<'_>| place.rule.is_some_and(|rule| rule.interfaces.is_some());
    let welcomes = |place: &&Place<'_>| place.rule.is_some_and(|rule| rule.replies);
    let bits = [
        (policy.mode == Mode::Monitor, GENERATION_MONITOR),
        (addresses_differ, GENERATION_ADDRESSES),
        (active.iter().any(named), GENERATION_INTERFACES),
        (active.iter().any(welcomes), GENERATION_REPLIES),
        (
            active.iter().any(|place| place.monitors()),
            GENERATION_COUNTS,
        ),
    ];
    bits.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum()
}

fn essentials(switches: &Essentials) -> u32 {
    let of = |on: bool, essential: Essential| if on { essential.bit() } else { 0 };
    Essential::Arp.bit()
        | Essential::Nd.bit()
        | of(switches.ra, Essential::Ra)
        | of(switches.dhcp, Essential::Dhcp)
        | of(switches.dhcpv6, Essential::Dhcpv6)
        | of(switches.igmp, Essential::Igmp)
        | of(switches.mld, Essential::Mld)
        | of(switches.link, Essential::Link)
}

/// By [`firewall_common::zone::Course`]: inbound, outbound, routed.
fn unmatched(policy: &Policy) -> [u8; 4] {
    let of = |action: Action| match action {
        Action::Allow => Fallback::Allow,
        Action::Deny => Fallback::Deny,
        Action::Reject => Fallback::Reject,
    };
    let routed = match policy.unmatched.routed {
        RoutedAction::Action(action) => of(action),
        RoutedAction::Pass => Fallback::Pass,
    };
    let (inbound, outbound) = (policy.unmatched.inbound, policy.unmatched.outbound);
    [
        of(inbound) as u8,
        of(outbound) as u8,
        routed as u8,
        Fallback::Deny as u8,
    ]
}

fn rule(place: &Place<'_>, clock: &Clock) -> Rule {
    let action = match place.action {
        Action::Allow => Act::Allow,
        Action::Deny => Act::Deny,
        Action::Reject => Act::Reject,
    };
    let stateless = place.rule.is_some_and(|rule| !rule.stateful);
    let replies = place.rule.is_some_and(|rule| rule.replies);
    let on_change = place.rule.map_or(OnChange::Recheck, |rule| rule.on_change);
    let bits = [
        (stateless, STATELESS),
        (replies, REPLIES),
        (place.monitors(), MONITOR),
        (place.rule.is_none(), DEFAULT),
        (on_change == OnChange::Keep, KEEP),
        (on_change == OnChange::Reset, RESET),
    ];
    let flags = bits.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum();
    Rule {
        expires: place.expires().map_or(0, |moment| clock.boot_time(moment)),
        counter: place.counter,
        action: action as u8,
        flags,
        order: if mutation::is(Mutation::OrderForgotten) {
            0
        } else {
            place.index.unwrap_or(0)
        },
        log: place
            .rule
            .and_then(|rule| rule.log)
            .map_or(0, |log| log.one_in),
        ..Rule::default()
    }
}

impl Clock {
    /// A moment as nanoseconds since boot; 2 for moments before boot, since 0 means never. It is even, since odd
    /// ones are those of members of dynamic sets ([`firewall_common::policy::dynamic::is_of_member`]).
    #[must_use]
    pub fn boot_time(&self, moment: Timestamp) -> u64 {
        let ahead = moment.as_nanosecond() - self.wall.as_nanosecond();
        let since_boot = (i128::from(self.boot) + ahead).max(2);
        u64::try_from(since_boot).unwrap_or(u64::MAX) & !1
    }
}

#[cfg(test)]
mod tests;
