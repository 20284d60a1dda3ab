//! The list for people: each place with its conditions in the language's own words.

use super::Place;
use crate::policy::compiled::{Listed, Numbers};
use crate::policy::model::{
    Action, Addresses, Ends, Limit, Log, OnChange, Per, Policy, Rule, Unit,
};

/// The whole list, those places included that take no part.
pub(super) fn list(policy: &Policy, places: &[Place<'_>], numbers: &Numbers) -> Vec<Listed> {
    let one = |place| listed(policy, place, numbers);
    places.iter().map(one).collect()
}

fn listed(policy: &Policy, place: &Place<'_>, numbers: &Numbers) -> Listed {
    let rule = place.rule;
    Listed {
        id: place.id.clone(),
        counter: numbers.rules.get(&place.id).copied().unwrap_or(0),
        action: action_word(place.action).to_owned(),
        conditions: rule.map_or_else(String::new, |rule| conditions(policy, rule)),
        from: ends(policy, &place.block.from),
        to: ends(policy, &place.block.to),
        monitor: place.monitors(),
        index: place.index,
        owner: rule.and_then(|rule| rule.owner.clone()),
        reason: rule.and_then(|rule| rule.reason.clone()),
        ticket: rule.and_then(|rule| rule.ticket.clone()),
        review_by: rule
            .and_then(|rule| rule.review_by)
            .map(|at| at.to_string()),
        expires: rule.and_then(|rule| rule.expires).map(|at| at.to_string()),
    }
}

/// The word for an action.
pub(super) const fn action_word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Reject => "reject",
    }
}

fn ends(policy: &Policy, ends: &Ends) -> String {
    match ends {
        Ends::Host => "host".to_owned(),
        Ends::Any => "any".to_owned(),
        Ends::Zones { zones, multicast } => {
            let own = zones.iter().filter_map(|index| policy.zones.get(*index));
            let names = own.map(|zone| zone.name.as_str());
            let built_in = multicast.then_some("multicast");
            names.chain(built_in).collect::<Vec<_>>().join(", ")
        }
    }
}

fn conditions(policy: &Policy, rule: &Rule) -> String {
    let addresses = |field: &Option<Addresses>| field.as_ref().map(|a| words(policy, a));
    let ports = rule
        .source_ports
        .as_ref()
        .map(|ports| ports.iter().map(range).collect());
    let services = rule.services.as_ref().map(|_| rule.service_words.clone());
    let lists = [
        ("services", services),
        ("source_ports", ports),
        ("sources", addresses(&rule.sources)),
        ("except_sources", addresses(&rule.except_sources)),
        ("destinations", addresses(&rule.destinations)),
        ("except_destinations", addresses(&rule.except_destinations)),
        ("interfaces", rule.interfaces.clone()),
    ];
    let lists = lists.into_iter();
    let mut all: Vec<String> = lists
        .filter_map(|(word, list)| Some(format!("{word}: [{}]", list?.join(", "))))
        .collect();
    if !rule.stateful {
        all.push("stateful: false".to_owned());
    }
    all.extend(
        rule.limit
            .map(|limit| format!("limit: {{{}}}", limit_words(&limit))),
    );
    all.extend(rule.max_sessions.map(|most| {
        let per = if most.per_source { "source" } else { "rule" };
        format!("max_sessions: {{count: {}, per: {per}}}", most.count)
    }));
    if rule.replies {
        all.push("replies: any".to_owned());
    }
    match rule.log {
        Some(Log { one_in: 1 }) => all.push("log: true".to_owned()),
        Some(Log { one_in }) => all.push(format!("log: {{sample: 1/{one_in}}}")),
        None => {}
    }
    if rule.on_change != OnChange::Recheck {
        all.push(format!("on_change: {}", rule.on_change.word()));
    }
    all.join(" ")
}

fn limit_words(limit: &Limit) -> String {
    let bit = |count: u64| {
        let units = [(1_000_000_000, "Gbit"), (1_000_000, "Mbit"), (1000, "kbit")];
        let mut units = units.into_iter();
        let fits = units.find(|(size, _)| count.is_multiple_of(*size));
        let (size, word) = fits.unwrap_or((1, "bit"));
        format!("{}{word}", count / size)
    };
    let amount = |count: u64| match limit.unit {
        Unit::Each => count.to_string(),
        Unit::Bits => bit(count),
    };
    let period = match limit.period {
        60 => "min",
        3600 => "h",
        _ => "s",
    };
    let per = match limit.per {
        Per::Rule => "rule".to_owned(),
        Per::SOURCE => "source".to_owned(),
        Per::Prefix { v4, v6 } => format!("{{v4: {v4}, v6: {v6}}}"),
    };
    let (rate, burst) = (amount(limit.count), amount(limit.burst));
    format!("rate: {rate}/{period}, burst: {burst}, per: {per}")
}

fn words(policy: &Policy, addresses: &Addresses) -> Vec<String> {
    let sets = addresses
        .sets
        .iter()
        .filter_map(|set| policy.sets.get(*set));
    let names = sets.map(|set| set.name.clone());
    let prefixes = addresses.prefixes.iter().map(ToString::to_string);
    names.chain(prefixes).collect()
}

fn range((low, high): &(u16, u16)) -> String {
    if low == high {
        low.to_string()
    } else {
        format!("{low}-{high}")
    }
}
