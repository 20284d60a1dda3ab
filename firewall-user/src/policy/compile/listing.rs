//! The list for people: each place with its conditions in the language's own words.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::Place;
use crate::policy::compiled::Listed;
use crate::policy::model::{
    Action, Addresses, Ends, Limit, Log, OnChange, Per, Policy, Rule, Unit,
};

/// The whole list, those places included that take no part.
pub(super) fn list(policy: &Policy, places: &[Place<'_>]) -> Vec<Listed> {
    let mut listed = Vec::with_capacity(places.len());
    let of_one = |one: &Place<'_>, other: &Place<'_>| std::ptr::eq(one.block, other.block);
    for of_block in places.chunk_by(of_one) {
        let block = of_block.first().map(|place| place.block);
        let word = |ends: Option<&Ends>| ends.map_or_else(Arc::default, |e| self::ends(policy, e));
        let (from, to) = (
            word(block.map(|block| &block.from)),
            word(block.map(|block| &block.to)),
        );
        let one = |place| self::listed(policy, place, (&from, &to));
        listed.extend(of_block.iter().map(one));
    }
    listed
}

fn listed(policy: &Policy, place: &Place<'_>, (from, to): (&Arc<str>, &Arc<str>)) -> Listed {
    let rule = place.rule;
    Listed {
        id: place.id.clone(),
        counter: place.counter,
        action: action_word(place.action).into(),
        conditions: rule.map_or_else(String::new, |rule| conditions(policy, rule)),
        from: Arc::clone(from),
        to: Arc::clone(to),
        sets: rule.map_or_else(Vec::new, |rule| sets(policy, rule)),
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

/// The sets with generations of their own that a rule names.
fn sets(policy: &Policy, rule: &Rule) -> Vec<String> {
    let fields = [
        &rule.sources,
        &rule.except_sources,
        &rule.destinations,
        &rule.except_destinations,
    ];
    let named = fields.into_iter().flatten().flat_map(|list| &list.sets);
    let named = named.filter_map(|set| policy.sets.get(*set));
    let own = named.filter(|set| set.dynamic.is_some() || set.file.is_some());
    let mut names: Vec<String> = own.map(|set| set.name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The word for an action.
pub(super) const fn action_word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Reject => "reject",
    }
}

fn ends(policy: &Policy, ends: &Ends) -> Arc<str> {
    match ends {
        Ends::Host => "host".into(),
        Ends::Any => "any".into(),
        Ends::Zones { zones, multicast } => {
            let own = zones.iter().filter_map(|index| policy.zones.get(*index));
            let names = own.map(|zone| zone.name.as_str());
            let built_in = multicast.then_some("multicast");
            let all: Vec<&str> = names.chain(built_in).collect();
            all.join(", ").into()
        }
    }
}

/// Conditions in words, each behind the one before.
struct Words(String);

impl Words {
    fn begin(&mut self) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
    }

    fn add(&mut self, word: fmt::Arguments<'_>) {
        self.begin();
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(word);
    }

    fn list<W: fmt::Display>(&mut self, name: &str, words: impl IntoIterator<Item = W>) {
        self.add(format_args!("{name}: ["));
        for (number, word) in words.into_iter().enumerate() {
            let between = if number == 0 { "" } else { ", " };
            let _ = write!(self.0, "{between}{word}");
        }
        self.0.push(']');
    }

    fn addresses(&mut self, policy: &Policy, name: &str, field: &Option<Addresses>) {
        let Some(list) = field else { return };
        let sets = list.sets.iter().filter_map(|set| policy.sets.get(*set));
        let names = sets.map(|set| &set.name as &dyn fmt::Display);
        let prefixes = list.prefixes.iter().map(|net| net as &dyn fmt::Display);
        self.list(name, names.chain(prefixes));
    }
}

fn conditions(policy: &Policy, rule: &Rule) -> String {
    let mut all = Words(String::new());
    if rule.services.is_some() {
        all.list("services", &rule.service_words);
    }
    if let Some(ports) = &rule.source_ports {
        all.list("source_ports", ports.iter().map(range));
    }
    all.addresses(policy, "sources", &rule.sources);
    all.addresses(policy, "except_sources", &rule.except_sources);
    all.addresses(policy, "destinations", &rule.destinations);
    all.addresses(policy, "except_destinations", &rule.except_destinations);
    if let Some(interfaces) = &rule.interfaces {
        all.list("interfaces", interfaces);
    }
    if !rule.stateful {
        all.add(format_args!("stateful: false"));
    }
    bounds(rule, &mut all);
    if rule.replies {
        all.add(format_args!("replies: any"));
    }
    match rule.log {
        Some(Log { one_in: 1 }) => all.add(format_args!("log: true")),
        Some(Log { one_in }) => all.add(format_args!("log: {{sample: 1/{one_in}}}")),
        None => {}
    }
    if rule.on_change != OnChange::Recheck {
        all.add(format_args!("on_change: {}", rule.on_change.word()));
    }
    // It is kept for as long as the policy.
    all.0.shrink_to_fit();
    all.0
}

fn bounds(rule: &Rule, all: &mut Words) {
    if let Some(limit) = &rule.limit {
        all.add(format_args!("limit: {{{}}}", limit_words(limit)));
    }
    if let Some(most) = &rule.max_sessions {
        let per = if most.per_source { "source" } else { "rule" };
        all.add(format_args!(
            "max_sessions: {{count: {}, per: {per}}}",
            most.count
        ));
    }
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

fn range((low, high): &(u16, u16)) -> String {
    if low == high {
        low.to_string()
    } else {
        format!("{low}-{high}")
    }
}
