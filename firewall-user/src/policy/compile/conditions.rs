//! What rules demand of addresses. Short lists become prefixes in the trees. Long ones, and those with sets that
//! change without the policy, become one bit each in what is known of an address.

use std::collections::HashMap;
use std::rc::Rc;

use firewall_common::policy::dynamic::EVERY;
use firewall_common::policy::line::SET_BITS;

use super::dynamic::{self, Dynamics};
use super::mutation::{self, Mutation};
use super::prefixes::Families;
use crate::policy::model::{Addresses, Policy};

/// What a rule demands of one end's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Demand {
    /// Nothing.
    Any,
    /// To be in one of these prefixes.
    Within(Rc<Families>),
    /// That this bit is set in the record of its class.
    Bit(u16),
}

/// A list (`None`: every address), and what is taken from it.
pub(super) type Condition<'p> = (Option<&'p Addresses>, Option<&'p Addresses>);

/// The different conditions of a policy.
pub(super) struct Conditions<'p> {
    policy: &'p Policy,
    most: usize,
    for_proof: bool,
    known: HashMap<Condition<'p>, Demand>,
    /// Those that are bits, in the order of their bits.
    pub(super) bits: Vec<Condition<'p>>,
    /// Those with dynamic sets.
    pub(super) dynamic: Dynamics<'p>,
}

impl<'p> Conditions<'p> {
    /// Lists of more prefixes than `most` become bits.
    pub(super) fn new(policy: &'p Policy, most: usize) -> Self {
        let (known, bits) = (HashMap::new(), Vec::new());
        Self {
            policy,
            most,
            for_proof: false,
            known,
            bits,
            dynamic: Dynamics::default(),
        }
    }

    /// For proofs: dynamic sets are read as empty.
    pub(super) fn for_proof(policy: &'p Policy, most: usize) -> Self {
        Self {
            for_proof: true,
            ..Self::new(policy, most)
        }
    }

    /// The most prefixes that a list may demand.
    pub(super) fn longest(&self) -> usize {
        self.most.max(1)
    }

    /// What a list and its exceptions demand.
    pub(super) fn demand(
        &mut self,
        named: Option<&'p Addresses>,
        except: Option<&'p Addresses>,
    ) -> Demand {
        let nothing = |list: &Addresses| {
            let mut sets = list
                .sets
                .iter()
                .filter_map(|set| self.policy.sets.get(*set));
            list.prefixes.is_empty() && sets.all(|set| set.members.is_empty())
        };
        let forgotten = mutation::is(Mutation::EmptySetIsAll);
        let named = named.filter(|list| !(forgotten && nothing(list)));
        if named.is_none() && except.is_none() {
            return Demand::Any;
        }
        if let (Some(list), None) = (named, except)
            && let Some(families) = self.alone(list)
        {
            return Demand::Within(Rc::new(families));
        }
        if let Some(known) = self.known.get(&(named, except)) {
            return known.clone();
        }
        let demand = self.work_out((named, except));
        self.known.insert((named, except), demand.clone());
        demand
    }

    /// One prefix, as most lists are, is worked out sooner than found among those that are known.
    fn alone(&self, list: &Addresses) -> Option<Families> {
        let [net] = list.prefixes.as_slice() else {
            return None;
        };
        let plain = list.sets.is_empty() && self.most > 0;
        (plain && !mutation::is(Mutation::V6CoversV4)).then(|| Families::one(*net))
    }

    fn work_out(&mut self, condition: Condition<'p>) -> Demand {
        if let Some(sets) = dynamic::sets_of(self.policy, condition).filter(|_| !self.for_proof) {
            return self.with_sets(condition, &sets);
        }
        if !self.moves(condition) && self.most > 0 {
            let families = Families::of(self.policy, condition.0, condition.1);
            if families == Families::all() {
                return Demand::Any;
            }
            if families.len() <= self.most {
                return Demand::Within(Rc::new(families));
            }
        }
        Demand::Bit(self.bit(condition))
    }

    /// Gives a condition a bit. A dynamic set has no members here, so of one that names it only the rest counts.
    fn bit(&mut self, condition: Condition<'p>) -> u16 {
        let bit = SET_BITS as usize + self.bits.len();
        self.bits.push(condition);
        // What has no number is refused when all are counted.
        u16::try_from(bit).unwrap_or(u16::MAX)
    }

    fn with_sets(&mut self, condition: Condition<'p>, sets: &dynamic::Sets) -> Demand {
        let open = condition.1.map(|except| {
            let known = self.dynamic.open.get(except).copied();
            known.unwrap_or_else(|| {
                let bit = self.bit((None, Some(except)));
                self.dynamic.open.insert(except, bit);
                bit
            })
        });
        let open = open.unwrap_or(EVERY);
        let held = match condition.0 {
            None => open,
            Some(_) => self.bit(condition),
        };
        Demand::Bit(self.dynamic.number(sets, held, open))
    }

    /// Has a condition sets whose members change without the policy?
    fn moves(&self, (named, except): Condition<'p>) -> bool {
        let lists = named.into_iter().chain(except);
        let mut sets = lists.flat_map(|list| &list.sets);
        sets.any(|set| {
            self.policy
                .sets
                .get(*set)
                .is_some_and(|set| set.file.is_some())
        })
    }
}
