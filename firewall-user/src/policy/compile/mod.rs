//! From the model to tables: the ordered list, and for each field of a packet what it leaves of the list.
//!
//! Each field's table holds full answers: what is found for an address or a port is the vector of all
//! rules that it does not rule out, so that the packet path looks up once and never adds up.

mod addresses;
mod bits;
mod interfaces;
mod listing;
mod mutation;
mod numbers;
mod order;
mod services;
mod zones;

pub use services::prefixes as service_prefixes;

pub use mutation::Mutation;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub use mutation::with as with_mutation;
pub use order::{Place, places};

use firewall_common::config::{
    Fallback, GENERATION_INTERFACES, GENERATION_MONITOR, GENERATION_SOURCE_PORTS, Generation,
    MAX_RULES, MAX_VECTORS,
};
use firewall_common::essential::Essential;
use firewall_common::policy::rule::{Action as Act, DEFAULT, MONITOR, Rule, STATELESS};
use jiff::Timestamp;

use super::compiled::{Clock, Compiled, Numbers};
use super::diagnostic::Diagnostic;
use super::model::{Action, Essentials, Mode, Policy, RoutedAction, Span};
use bits::Vectors;

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
    let places = places(policy);
    let mut errors = Vec::new();
    errors.extend(too_many_rules(&places));
    errors.extend(numbers::give(policy, &places, numbers).err());
    if !errors.is_empty() {
        return Err(errors);
    }
    let active: Vec<&Place<'_>> = places.iter().filter(|p| p.index.is_some()).collect();
    let mut vectors = Vectors::new(active.len());
    let plan = interfaces::plan(policy, &active, &mut vectors).map_err(|error| vec![error])?;
    let addresses = addresses::table(policy, &active, &plan, numbers, &mut vectors);
    let services = services::table(&active, &mut vectors);
    let head = Generation {
        rules: active.len() as u32,
        flags: flags(policy, &active),
        essentials: essentials(&policy.essentials),
        unmatched: unmatched(policy),
        source_zones: zones::sources(policy, &active, numbers, &mut vectors),
        destination_zones: zones::destinations(policy, &active, numbers, &mut vectors),
        any_service: services.any_service,
        any_source_port: services.any_source_port,
        any_interface: plan.table.other.vector,
        default_address: addresses.default,
        revision: policy.revision,
        ..Generation::default()
    };
    Ok(Compiled {
        head,
        rules: active.iter().map(|p| rule(p, numbers, clock)).collect(),
        vectors: vectors.finish().map_err(|count| vec![too_many(count)])?,
        addresses: addresses.entries,
        services: services.entries,
        interfaces: plan.table,
        listing: listing::list(policy, &places, numbers),
        zones: zones::names(policy, numbers),
    })
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

fn too_many(count: usize) -> CompileError {
    let message = format!(
        "the rules overlap in {count} different ways; the tables have room for {MAX_VECTORS}"
    );
    let help = "rules that name the same sets and services need less room than rules with lists of their own";
    CompileError::new(message, help)
}

fn flags(policy: &Policy, active: &[&Place<'_>]) -> u32 {
    let mut flags = 0;
    if policy.mode == Mode::Monitor {
        flags |= GENERATION_MONITOR;
    }
    let mut rules = active.iter().filter_map(|place| place.rule);
    if rules.clone().any(|rule| rule.source_ports.is_some()) {
        flags |= GENERATION_SOURCE_PORTS;
    }
    if rules.any(|rule| rule.interfaces.is_some()) {
        flags |= GENERATION_INTERFACES;
    }
    flags
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

fn rule(place: &Place<'_>, numbers: &Numbers, clock: &Clock) -> Rule {
    let action = match place.action {
        Action::Allow => Act::Allow,
        Action::Deny => Act::Deny,
        Action::Reject => Act::Reject,
    };
    let stateless = place.rule.is_some_and(|rule| !rule.stateful);
    let bits = [
        (stateless, STATELESS),
        (place.monitors(), MONITOR),
        (place.rule.is_none(), DEFAULT),
    ];
    let flags = bits.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum();
    Rule {
        expires: place.expires().map_or(0, |moment| clock.boot_time(moment)),
        counter: numbers.rules.get(&place.id).copied().unwrap_or(0),
        action: action as u8,
        flags,
        log: place
            .rule
            .and_then(|rule| rule.log)
            .map_or(0, |log| log.one_in),
        ..Rule::default()
    }
}

impl Clock {
    /// A moment as nanoseconds since boot; 1 for moments before boot, since 0 means never.
    #[must_use]
    pub fn boot_time(&self, moment: Timestamp) -> u64 {
        let ahead = moment.as_nanosecond() - self.wall.as_nanosecond();
        let since_boot = (i128::from(self.boot) + ahead).max(1);
        u64::try_from(since_boot).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
