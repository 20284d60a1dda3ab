//! Conditions with dynamic sets: what the packet path asks of them, see [`firewall_common::policy::dynamic`].

use std::collections::{BTreeSet, HashMap};

use firewall_common::config::GENERATION_DYNAMIC;
use firewall_common::policy::dynamic::{CONDITION, Condition, MAX_SETS, SET_LINES};
use firewall_common::policy::line::Line;

use super::CompileError;
use super::conditions;
use crate::policy::compiled::{DynamicSet, Numbers};
use crate::policy::model::{Addresses, Policy};

/// Dynamic sets by index into [`Policy::sets`]: those that are named, and those that are excepted.
#[derive(Debug, Clone, Default)]
pub(super) struct Sets {
    named: Vec<usize>,
    except: Vec<usize>,
}

/// The dynamic sets of a condition; `None` where it has none.
pub(super) fn sets_of(policy: &Policy, (named, except): conditions::Condition<'_>) -> Option<Sets> {
    let is = |set: &&usize| {
        policy
            .sets
            .get(**set)
            .is_some_and(|set| set.dynamic.is_some())
    };
    let of = |list: Option<&Addresses>| -> Vec<usize> {
        let sets = list.into_iter().flat_map(|list| &list.sets);
        sets.filter(is).copied().collect()
    };
    let (named, except) = (of(named), of(except));
    let any = !(named.is_empty() && except.is_empty());
    any.then_some(Sets { named, except })
}

/// The conditions with dynamic sets of a policy.
#[derive(Debug, Default)]
pub(super) struct Dynamics<'p> {
    /// Indexes into [`Policy::sets`], by place.
    sets: Vec<usize>,
    conditions: Vec<Condition>,
    /// Bits for being in none of a list's own prefixes and sets.
    pub(super) open: HashMap<&'p Addresses, u16>,
}

impl Dynamics<'_> {
    /// What an entry demands for a condition.
    pub(super) fn number(&mut self, sets: &Sets, held: u16, open: u16) -> u16 {
        let condition = Condition {
            named: self.places(&sets.named),
            except: self.places(&sets.except),
            held,
            open,
        };
        let known = self.conditions.iter().position(|one| *one == condition);
        let number = known.unwrap_or_else(|| {
            self.conditions.push(condition);
            self.conditions.len() - 1
        });
        // What has no number is refused when all are counted.
        CONDITION | u16::try_from(number).unwrap_or(!CONDITION) & !CONDITION
    }

    fn places(&mut self, sets: &[usize]) -> u32 {
        let mut bits = 0;
        for set in sets {
            let known = self.sets.iter().position(|one| one == set);
            let place = known.unwrap_or_else(|| {
                self.sets.push(*set);
                self.sets.len() - 1
            });
            bits |= 1_u32.checked_shl(place as u32).unwrap_or(0);
        }
        bits
    }

    pub(super) fn flag(&self) -> u32 {
        if self.sets.is_empty() {
            0
        } else {
            GENERATION_DYNAMIC
        }
    }

    /// # Errors
    /// There are more than there may be.
    pub(super) fn fits(&self) -> Result<(), CompileError> {
        let sets = self.sets.len();
        if sets > MAX_SETS as usize {
            let message = format!("the rules name {sets} dynamic sets; there may be {MAX_SETS}");
            let help = "join sets that the same rules name";
            return Err(CompileError::new(message, help));
        }
        let count = self.conditions.len();
        if count >= usize::from(CONDITION) {
            let message =
                format!("the rules combine dynamic sets in {count} ways; there may be 32767");
            return Err(CompileError::new(
                message,
                "join rules that name the same sets",
            ));
        }
        Ok(())
    }

    /// The numbers of the sets, and then the conditions, four a line.
    pub(super) fn lines(&self, policy: &Policy, numbers: &Numbers) -> Vec<Line> {
        if self.sets.is_empty() {
            return Vec::new();
        }
        let number = |set: &usize| {
            let name = policy.sets.get(*set).map(|set| set.name.as_str());
            name.and_then(|name| numbers.sets.get(name))
                .copied()
                .unwrap_or(0)
        };
        let mut words: Vec<u32> = self.sets.iter().map(number).collect();
        words.resize(SET_LINES as usize * 16, 0);
        words.extend(self.conditions.iter().flat_map(Condition::words));
        let line = |words: &[u32]| {
            let mut line = Line::default();
            let places = line.halves.iter_mut().flatten();
            places.zip(words).for_each(|(place, word)| *place = *word);
            line
        };
        words.chunks(16).map(line).collect()
    }
}

/// The dynamic sets of a policy, for who fills them.
pub(super) fn list(policy: &Policy, named: &Dynamics<'_>, numbers: &Numbers) -> Vec<DynamicSet> {
    let named: BTreeSet<usize> = named.sets.iter().copied().collect();
    let all = policy.sets.iter().enumerate();
    let all = all.filter_map(|(index, set)| {
        let dynamic = set.dynamic?;
        Some(DynamicSet {
            name: set.name.clone(),
            number: numbers.sets.get(&set.name).copied()?,
            max: dynamic.max,
            default_for: dynamic.default_for,
            named: named.contains(&index),
        })
    });
    all.collect()
}
