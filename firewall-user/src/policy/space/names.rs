//! Interface names that stand for every kind of interface a policy can tell apart.

use std::collections::BTreeMap;

use firewall_common::config::InterfaceEntry;

use crate::policy::compiled::{InterfacePlan, is_glob, pattern_matches};

/// A name that policies hardly use; where no pattern matches it, it stands for all others.
const OTHER: &str = "if0";
/// What a `*` may stand for, besides what other patterns have.
const FILLINGS: [&str; 4] = ["0", "", "7", "x"];
/// Names are shorter than this (IFNAMSIZ of linux/if.h).
const LENGTH: usize = 16;
/// Names tried at most.
const TRIED: usize = 20_000;

/// One name for each different entry of the plan that a name can have. What no pattern matches first.
pub(super) fn examples(plan: &InterfacePlan) -> Vec<(String, InterfaceEntry)> {
    let matcher = plan.matcher();
    let plain = plan.patterns.iter().filter(|p| !is_glob(p)).cloned();
    let globs: Vec<&String> = plan.patterns.iter().filter(|p| is_glob(p)).collect();
    let pieces = plan
        .patterns
        .iter()
        .flat_map(|p| p.split(['*', '?', '[', ']']));
    let mut fillings: Vec<&str> = FILLINGS.iter().copied().chain(pieces).collect();
    fillings.sort_unstable();
    fillings.dedup();
    let filled = globs.iter().flat_map(|glob| instances(glob, &fillings));
    let others = [OTHER, "unnamed0", "q"].map(str::to_owned);
    let tried = others.into_iter().chain(plain).chain(filled).take(TRIED);
    let mut known: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    let mut names = Vec::new();
    for name in tried.filter(|name| !name.is_empty() && name.len() < LENGTH) {
        let entry = matcher.entry(&name);
        known.entry((entry.class, entry.kind)).or_insert_with(|| {
            names.push((name, entry));
            names.len()
        });
    }
    names
}

/// Names that a glob matches.
fn instances(glob: &str, fillings: &[&str]) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut rest = glob.chars();
    while let Some(c) = rest.next() {
        let choices: Vec<String> = match c {
            '*' => fillings.iter().map(|f| (*f).to_owned()).collect(),
            '?' => ["0", "1", "a"].map(str::to_owned).into(),
            '[' => class(&mut rest),
            c => vec![c.to_string()],
        };
        let longer = names
            .iter()
            .flat_map(|name| choices.iter().map(move |choice| format!("{name}{choice}")));
        names = longer
            .filter(|name| name.len() < LENGTH)
            .take(TRIED / 10)
            .collect();
    }
    names
}

/// Every character of a class that names are made of.
fn class(rest: &mut std::str::Chars<'_>) -> Vec<String> {
    let inner: String = rest.by_ref().take_while(|c| *c != ']').collect();
    let pattern = format!("[{inner}]");
    let letters = ('0'..='9').chain('a'..='z');
    letters
        .map(|c| c.to_string())
        .filter(|c| pattern_matches(&pattern, c))
        .collect()
}
