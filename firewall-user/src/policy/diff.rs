//! What changed between two ordered lists, rule by rule. By meaning it is `policy diff` that compares.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::compiled::Listed;

/// Rules by id that one list has and the other has not, or has otherwise or elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Only in the new list.
    pub added: Vec<String>,
    /// Only in the old list.
    pub removed: Vec<String>,
    /// In both, with other actions or conditions.
    pub changed: Vec<String>,
    /// In both, in another order among the rules that stayed.
    pub moved: Vec<String>,
}

impl Summary {
    /// Is there no difference?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares two lists.
#[must_use]
pub fn summary(old: &[Listed], new: &[Listed]) -> Summary {
    let before: BTreeMap<&str, &Listed> = old.iter().map(|l| (l.id.as_str(), l)).collect();
    let after: BTreeMap<&str, &Listed> = new.iter().map(|l| (l.id.as_str(), l)).collect();
    let missing = |list: &[Listed], other: &BTreeMap<&str, &Listed>| {
        let missing = list.iter().filter(|l| !other.contains_key(l.id.as_str()));
        missing.map(|l| l.id.clone()).collect()
    };
    let changed = new
        .iter()
        .filter(|l| before.get(l.id.as_str()).is_some_and(|old| differ(old, l)));
    Summary {
        added: missing(new, &before),
        removed: missing(old, &after),
        changed: changed.map(|l| l.id.clone()).collect(),
        moved: moved(old, new, &after),
    }
}

/// Does a rule decide otherwise than it did? Who owns it and why is no difference.
fn differ(old: &Listed, new: &Listed) -> bool {
    fn what(l: &Listed) -> impl PartialEq + '_ {
        let ends = (&l.from, &l.to);
        let condition = (&l.conditions, &l.expires);
        (&l.action, ends, condition, l.monitor, l.index.is_some())
    }
    what(old) != what(new)
}

/// The rules outside the longest run that kept its order: the fewest that must have moved.
fn moved(old: &[Listed], new: &[Listed], after: &BTreeMap<&str, &Listed>) -> Vec<String> {
    let kept = old.iter().filter(|l| after.contains_key(l.id.as_str()));
    let places: BTreeMap<&str, usize> = kept.map(|l| l.id.as_str()).zip(0..).collect();
    let order: Vec<(usize, &str)> = new
        .iter()
        .filter_map(|l| Some((*places.get(l.id.as_str())?, l.id.as_str())))
        .collect();
    let staying = longest_rising(&order.iter().map(|(place, _)| *place).collect::<Vec<_>>());
    let moved = order.iter().filter(|(place, _)| !staying.contains(place));
    moved.map(|(_, id)| (*id).to_owned()).collect()
}

/// The longest rising subsequence, by patience sorting.
fn longest_rising(values: &[usize]) -> BTreeSet<usize> {
    let mut tops: Vec<usize> = Vec::new();
    let mut previous: BTreeMap<usize, Option<usize>> = BTreeMap::new();
    for value in values {
        let pile = tops.partition_point(|top| top < value);
        let before = pile.checked_sub(1).and_then(|left| tops.get(left)).copied();
        previous.insert(*value, before);
        match tops.get_mut(pile) {
            Some(top) => *top = *value,
            None => tops.push(*value),
        }
    }
    let mut rising = BTreeSet::new();
    let mut next = tops.last().copied();
    while let Some(value) = next {
        rising.insert(value);
        next = previous.get(&value).copied().flatten();
    }
    rising
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, action: &str) -> Listed {
        let text = String::new;
        Listed {
            id: id.into(),
            counter: 0,
            action: action.to_owned().into(),
            conditions: text(),
            sets: Vec::new(),
            from: "".into(),
            to: "".into(),
            monitor: false,
            index: Some(0),
            owner: None,
            reason: None,
            ticket: None,
            review_by: None,
            expires: None,
        }
    }

    fn list(ids: &[&str]) -> Vec<Listed> {
        ids.iter().map(|id| listed(id, "allow")).collect()
    }

    #[test]
    fn added_removed_changed_and_the_fewest_moved() {
        let old = list(&["a", "b", "c", "d", "e"]);
        let mut new = list(&["e", "a", "b", "x", "d"]);
        new[1].action = "deny".into();
        new[2].owner = Some("someone".into());
        let summary = summary(&old, &new);
        assert_eq!(summary.added, ["x"]);
        assert_eq!(summary.removed, ["c"]);
        assert_eq!(summary.changed, ["a"]);
        assert_eq!(summary.moved, ["e"]);
        assert!(super::summary(&old, &old).is_empty());
    }
}
