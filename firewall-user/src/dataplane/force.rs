//! The policy in force: put there, confirmed, gone back from, and told about.

use std::collections::BTreeMap;
use std::time::Duration;

use firewall_common::config::{Name, SLOTS};
use firewall_common::policy::rule::Rule;

use super::deadman::{self, Pending};
use super::error::{Error, Result};
use super::maps::ONLY;
use super::swap::{self, Applied, Flip, Info};
use super::{Dataplane, InForce, clock};
use crate::policy::compiled::Compiled;

impl Dataplane {
    /// Puts a policy in force. `interfaces` are all of the host's, guarded or not, with their indexes.
    ///
    /// # Errors
    /// Why it could not; then the policy in force is what it was.
    pub fn apply(
        &mut self,
        compiled: &Compiled,
        info: &Info,
        interfaces: &[(String, u32)],
    ) -> Result<Applied> {
        self.apply_within(compiled, info, interfaces, None)
    }

    /// The same, for so long unless [`Self::confirm`] comes in time; after that packets go by what was in
    /// force before, whoever is alive.
    ///
    /// # Errors
    /// Why it could not, or that one waits already; then the policy in force is what it was.
    pub fn apply_within(
        &mut self,
        compiled: &Compiled,
        info: &Info,
        interfaces: &[(String, u32)],
        within: Option<Duration>,
    ) -> Result<Applied> {
        let plan = compiled.interfaces.matcher();
        let all = interfaces.iter();
        let entries: Vec<_> = all
            .map(|(name, index)| (plan.entry(name), *index))
            .collect();
        let pause = self.options.before_flip;
        let flip = Flip { pause, within };
        let applied = swap::apply(&mut self.maps, compiled, info, &entries, flip);
        // Also where it failed: some of its tables may have been pinned by then.
        self.keep.renew(&self.paths)?;
        applied
    }

    /// When the rules of the generation in force stop to match, in nanoseconds since boot, in their order; 0: never.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn expiries(&self) -> Result<Vec<u64>> {
        let Some(now) = self.generation_in_force()? else {
            return Ok(Vec::new());
        };
        let used = now.head.rules as usize;
        let all = |rules: &[Rule]| rules.iter().take(used).map(|rule| rule.expires).collect();
        let held = self.maps.rules.with(now.head.list, all);
        held.ok_or(Error::Missing("RULES"))
    }

    /// The policy that waits to be confirmed, or was not in time.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn pending(&self) -> Result<Option<Pending>> {
        deadman::pending(&self.maps, clock::boot_now())
    }

    /// What waits to be confirmed stays for good; `false` where nothing waits any more.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn confirm(&mut self) -> Result<bool> {
        deadman::confirm(&self.maps, clock::boot_now())
    }

    /// What waits to be confirmed, or was not in time, goes; what was before it is in force.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn revert(&mut self) -> Result<()> {
        deadman::revert(&self.maps)
    }

    pub(super) fn deciding(&self) -> Result<u32> {
        let active = self.maps.active.need(&ONLY)?;
        Ok(active.deciding(clock::boot_now()))
    }

    /// The generation in force; `None` where no policy was ever applied.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn generation_in_force(&self) -> Result<Option<InForce>> {
        if let Some(earlier) = &self.earlier {
            return earlier.in_force();
        }
        let slot = self.deciding()?;
        if slot == 0 || slot > SLOTS {
            return Ok(None);
        }
        let info = self.maps.policy_info.need(&slot)?;
        Ok(Some(InForce {
            slot,
            head: self.maps.generations.need(&slot)?,
            info: Info::of(&info),
        }))
    }

    /// The policies that the slots hold, by the epoch of their generation.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn generations(&self) -> Result<Vec<(u32, Info)>> {
        let filled = self.maps.generations.list()?.into_iter();
        let filled = filled.filter(|(slot, head)| *slot != 0 && head.epoch != 0);
        let named = filled.map(|(slot, head)| {
            let info = self.maps.policy_info.need(&slot)?;
            Ok((head.epoch, Info::of(&info)))
        });
        named.collect()
    }

    /// Names of rules by counter, as far as any kept generation has named them.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn rule_names(&self) -> Result<BTreeMap<u32, String>> {
        let mut all = BTreeMap::new();
        for (first, page) in self.maps.name_pages()? {
            let names = (first..).zip(page.values().iter().copied());
            all.extend(named(names.collect()));
        }
        Ok(all)
    }

    /// Names of zones by number.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn zone_names(&self) -> Result<BTreeMap<u32, String>> {
        Ok(named(self.maps.zone_names.list()?))
    }
}

fn named(names: Vec<(u32, Name)>) -> BTreeMap<u32, String> {
    let names = names.into_iter();
    names
        .map(|(number, name)| (number, name.text().to_owned()))
        .filter(|(_, name)| !name.is_empty())
        .collect()
}
