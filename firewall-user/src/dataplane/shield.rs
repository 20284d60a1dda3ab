//! What the agent's shield goes by: how much is refused where it arrives, by interface, and which interfaces are judged at
//! XDP because of a flood. Both are pinned, so that an agent that comes back goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::JoinHandle;

use firewall_common::config::{SETTINGS_COUNTS_REFUSED, Settings};

use super::error::Result;
use super::maps::{Maps, ONLY};
use super::{Dataplane, load};

impl Dataplane {
    /// Has what these interfaces refuse on arrival counted, and that of no others. Counts that are there go on.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn count_refused(&mut self, interfaces: &BTreeSet<u32>) -> Result<()> {
        let counted: BTreeSet<u32> = self.refused()?.into_keys().collect();
        for index in interfaces.difference(&counted) {
            self.maps.refused.start(*index)?;
        }
        for index in counted.difference(interfaces) {
            self.maps.refused.end(*index)?;
        }
        flag(&self.maps, SETTINGS_COUNTS_REFUSED, !interfaces.is_empty())
    }

    /// Packets refused on arrival since they are counted, by interface.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn refused(&self) -> Result<BTreeMap<u32, u64>> {
        let mut all = BTreeMap::new();
        self.maps.refused.list(|index, cpus| {
            all.insert(index, cpus.iter().sum());
        })?;
        Ok(all)
    }

    /// Since when interfaces are judged at XDP because of a flood, in nanoseconds since boot.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn shields(&self) -> Result<BTreeMap<u32, u64>> {
        Ok(self.maps.shields.list()?.into_iter().collect())
    }

    /// Notes since when an interface is judged at XDP because of a flood, or that it is no longer.
    ///
    /// # Errors
    /// Why it could not be noted.
    pub fn set_shield(&mut self, index: u32, since: Option<u64>) -> Result<()> {
        match since {
            Some(since) => self.maps.shields.set(&index, &since),
            None => self.maps.shields.delete(&index).map(drop),
        }
    }

    /// Has the programs at XDP loaded beside all else, so that an interface can change to them at once; says whether they
    /// are there. Verifying them takes seconds, in which nothing else would be done.
    ///
    /// # Errors
    /// Why they could not be loaded.
    pub fn ready_early(&mut self) -> Result<bool> {
        if self.programs.early.is_some() {
            return Ok(true);
        }
        let loading = self.loading.get_or_insert_with(|| {
            let (options, paths) = (self.options.clone(), self.paths.clone());
            std::thread::spawn(move || load::ready_early(&options, &paths))
        });
        if !loading.is_finished() {
            return Ok(false);
        }
        self.wait_for_early()?;
        self.early().map(|_| true)
    }

    /// Waits until they are loaded, where that goes on: what is loaded twice at a time would not be taken up.
    pub(super) fn wait_for_early(&mut self) -> Result<()> {
        let loading = self.loading.take().map(JoinHandle::join);
        match loading {
            Some(Ok(loaded)) => loaded.and_then(|()| self.keep.renew(&self.paths)),
            // It can only have panicked; who needs them loads them then, and says what is wrong.
            Some(Err(_)) | None => Ok(()),
        }
    }
}

/// Sets or unsets one of the flags of the settings.
pub(super) fn flag(maps: &Maps, flag: u32, on: bool) -> Result<()> {
    let settings = maps.settings.need(&ONLY)?;
    let flags = if on {
        settings.flags | flag
    } else {
        settings.flags & !flag
    };
    if flags == settings.flags {
        return Ok(());
    }
    maps.settings.set(&ONLY, &Settings { flags, ..settings })
}
