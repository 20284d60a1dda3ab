//! The ordered list: policies in order, rules in the order inside each, each policy's default last of it.

use jiff::Timestamp;

use super::mutation::{self, Mutation};
use crate::policy::model::{Action, Block, Mode, Policy, Rule};

/// A place of the ordered list.
#[derive(Debug, Clone)]
pub struct Place<'p> {
    /// `policy/rule`.
    pub id: String,
    /// The policy it stands in.
    pub block: &'p Block,
    /// The rule; `None` for the policy's default.
    pub rule: Option<&'p Rule>,
    /// What it does.
    pub action: Action,
    /// Its number among the rules that take part; `None` where it does not.
    pub index: Option<u32>,
    /// The number of its counter; 0 before numbers are given out.
    pub counter: u32,
}

impl Place<'_> {
    /// Does it only count?
    #[must_use]
    pub fn monitors(&self) -> bool {
        let rule = self.rule.is_some_and(|rule| rule.mode == Mode::Monitor);
        rule || self.block.mode == Mode::Monitor
    }

    /// When it stops matching.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.rule.and_then(|rule| rule.expires)
    }

    fn active(&self) -> bool {
        self.block.for_this_host && self.rule.is_none_or(Rule::active)
    }
}

/// Every place of the list, those that take no part included.
#[must_use]
pub fn places(policy: &Policy) -> Vec<Place<'_>> {
    let mut places: Vec<Place<'_>> = policy.blocks.iter().flat_map(of_block).collect();
    if mutation::is(Mutation::DefaultEndsTheList) {
        places.sort_by_key(|place| place.rule.is_none());
    }
    let mut next = 0;
    for place in &mut places {
        if place.active() {
            place.index = Some(next);
            next += 1;
        }
    }
    places
}

fn of_block(block: &Block) -> impl Iterator<Item = Place<'_>> {
    let rules = block.rules.iter().map(move |rule| Place {
        id: format!("{}/{}", block.name, rule.name),
        block,
        rule: Some(rule),
        action: rule.action,
        index: None,
        counter: 0,
    });
    let default = block.default.map(|action| Place {
        id: format!("{}/default", block.name),
        block,
        rule: None,
        action,
        index: None,
        counter: 0,
    });
    rules.chain(default)
}
