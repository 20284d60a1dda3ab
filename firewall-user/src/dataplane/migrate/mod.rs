//! A new agent takes over from the tables of an earlier layout.
//!
//! Both layouts have a directory of their own, so the old programs go on judging by the old tables while the new
//! tables are made, filled with the policy and given the sessions. Then every hook is given its new program in
//! one step; no packet passes unjudged, and none is judged twice. Whatever fails before that leaves the old
//! programs as they are and the new directory removed.
//!
//! An agent may die at any time. As long as no interface counts as guarded in the new tables, the switch
//! has not begun, and the next agent begins anew. From then on the next agent finishes it: everything here may be
//! done twice. That `ACTIVE` is gone from the old directory says that it is done, and the rest is only to be
//! put away.

pub(super) mod resize;
mod sessions;
mod v1;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use aya::programs::SchedClassifier;
use firewall_common::config::{Count, Generation, LAYOUT_VERSION, RuleCount};
use firewall_common::flow::FlowKey;
use firewall_common::session::Entry;
use firewall_common::tables::Table as Which;

pub(super) use self::sessions::Carrier;
use self::sessions::Copied;
use super::attach::{self, Ingress, Place, Set, Site};
use super::error::{Error, Result};
use super::load;
use super::maps::{self, Maps};
use super::pin::Paths;
use super::table::Table;
use super::{Dataplane, InForce, bpffs, home, raw, room};

/// What tables of an earlier layout hold, in the terms of today.
pub(super) trait Tables: Debug + Send {
    /// The generation in force, as far as the agent asks for it.
    fn in_force(&self) -> Result<Option<InForce>>;
    /// The highest epoch in any slot.
    fn last_epoch(&self) -> Result<u32>;
    /// Interfaces guarded on ingress.
    fn guarded(&self) -> Result<Vec<u32>>;
    /// All of one table of sessions.
    fn sessions(&self, which: Which) -> Result<Vec<(FlowKey, Entry)>>;
    /// Packet counters that are not zero, by their places of today.
    fn packets(&self) -> Result<Vec<(u32, Count)>>;
    /// Rule counters that are not zero, by number.
    fn rules(&self) -> Result<Vec<(u32, RuleCount)>>;
}

/// The known layouts before today's.
fn open(layout: u32, maps: &Path) -> Result<Option<Box<dyn Tables>>> {
    Ok(match layout {
        1 => Some(Box::new(v1::V1::open(maps)?)),
        _ => None,
    })
}

/// An earlier layout that is in force.
#[derive(Debug)]
pub(super) struct Earlier {
    layout: u32,
    paths: Paths,
    tables: Box<dyn Tables>,
    /// No agent of that layout may start meanwhile.
    _lock: File,
    /// Removed again if it comes to nothing.
    fresh: Option<PathBuf>,
}

impl Drop for Earlier {
    fn drop(&mut self) {
        if let Some(fresh) = &self.fresh {
            let _what_is_left_is_removed_by_the_next_start = fs::remove_dir_all(fresh);
        }
    }
}

/// What was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenOver {
    /// The layout of the tables before.
    pub layout: u32,
    /// Sessions that live on.
    pub sessions: usize,
    /// How long it took from the first copy to the last, in milliseconds.
    pub milliseconds: u128,
}

/// Layouts whose directories are beside ours.
pub(super) fn layouts(paths: &Paths) -> Vec<(u32, Paths)> {
    let Some(namespace) = paths.root.parent() else {
        return Vec::new();
    };
    let entries = fs::read_dir(namespace).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found: Vec<(u32, Paths)> = numbers
        .filter(|layout| *layout != LAYOUT_VERSION)
        .map(|layout| (layout, Paths::below(namespace, layout)))
        .collect();
    found.sort_unstable_by_key(|(layout, _)| *layout);
    found
}

/// Does a directory hold tables that are in force?
pub(super) fn in_use(paths: &Paths) -> bool {
    paths.maps.join("ACTIVE").exists()
}

/// Tables of another layout that enforce here.
pub(super) fn other_in_use(paths: &Paths) -> Option<(u32, PathBuf)> {
    let enforces = |at: &Paths| in_use(at) && home::is_ours(at).unwrap_or(true);
    let mut others = layouts(paths).into_iter();
    others
        .find(|(_, at)| enforces(at))
        .map(|(layout, at)| (layout, at.root))
}

/// Ends the enforcement of tables of other layouts, whether they are known or not; says whether there were any.
pub(super) fn detach(paths: &Paths) -> Result<bool> {
    let mut there = false;
    for (_, at) in layouts(paths) {
        if !in_use(&at) {
            continue;
        }
        let _lock = bpffs::hold(&at.root)?;
        // In every layout this table is of interfaces, for clsact alone tells of its filters.
        let guarded: Table<u32, u32> = Table::open(&at.maps, "GUARDED")?;
        let mut without_link: BTreeSet<u32> = guarded.list()?.into_iter().map(|(i, _)| i).collect();
        for entry in fs::read_dir(&at.links).into_iter().flatten().flatten() {
            if let Ok(link) = raw::open_pin(&entry.path()) {
                let _severed_already = raw::detach(link.as_fd());
            }
            let name = entry.file_name();
            let index = name.to_str().and_then(|name| name.split_once('-'));
            // An XDP link says nothing of where the programs at TC are.
            let index = index.filter(|(_, word)| !word.starts_with("xdp"));
            let index = index.and_then(|(index, _)| index.parse().ok());
            index.map(|index| without_link.remove(&index));
        }
        without_link.into_iter().for_each(attach::unfilter);
        remove(&at)?;
        there = true;
    }
    Ok(there)
}

/// Finds what is to be taken over, and puts away what nobody needs.
pub(super) fn find(paths: &Paths, notes: &mut Vec<String>) -> Result<Option<Earlier>> {
    let mut found = None;
    for (layout, at) in layouts(paths) {
        if !in_use(&at) {
            remove(&at)?;
            continue;
        }
        let lock = bpffs::hold(&at.root)?;
        if !home::is_ours(&at)? {
            notes.push(home::stale(&at));
            remove(&at)?;
            continue;
        }
        if layout > LAYOUT_VERSION {
            return Err(Error::Newer(layout, at.root));
        }
        let tables = open(layout, &at.maps)?;
        let tables = tables.ok_or_else(|| Error::UnknownLayout(layout, at.root.clone()))?;
        if found.is_some() {
            return Err(Error::UnknownLayout(layout, at.root));
        }
        found = Some(Earlier {
            layout,
            tables,
            _lock: lock,
            fresh: None,
            paths: at,
        });
    }
    Ok(found)
}

/// `ACTIVE` first: whatever comes in between, nobody takes the rest for more than what is left. Links that the
/// new directory has pinned, too, stay.
fn remove(paths: &Paths) -> Result<()> {
    let failed = |error| Error::Directory(paths.root.clone(), error);
    let active = paths.maps.join("ACTIVE");
    if active.exists() {
        fs::remove_file(active).map_err(failed)?;
    }
    fs::remove_dir_all(&paths.root).map_err(failed)
}

impl Earlier {
    /// Ours is a new directory, or what an agent left that died before the switch: it is emptied. `false` where
    /// the switch has begun.
    pub(super) fn begin(&mut self, ours: &Paths) -> Result<bool> {
        let begun =
            Maps::open(ours).is_ok_and(|maps| maps.guarded.list().is_ok_and(|all| !all.is_empty()));
        if begun {
            return Ok(false);
        }
        if ours.root.exists() {
            let failed = |error| Error::Directory(ours.root.clone(), error);
            fs::remove_dir_all(&ours.root).map_err(failed)?;
        }
        self.fresh = Some(ours.root.clone());
        Ok(true)
    }

    /// What it enforces.
    pub(super) fn in_force(&self) -> Result<Option<InForce>> {
        self.tables.in_force()
    }

    /// Epochs go on from where they were: a session of the old tables never bears one that is given out anew.
    pub(super) fn seed(&self, maps: &Maps) -> Result<()> {
        let epoch = self.tables.last_epoch()?;
        // No generation is ever in slot 0, and nothing reads its head but who looks for the last epoch.
        let head = Generation {
            epoch,
            ..Generation::default()
        };
        maps.generations.set(&0, &head)
    }

    fn guarded(&self, maps: &Maps) -> Result<()> {
        for index in self.tables.guarded()? {
            maps.guarded.set(&index, &1)?;
        }
        Ok(())
    }

    /// Every link of the old directory is pinned in ours, too.
    fn links(&self, ours: &Paths) -> Result<()> {
        let failed = |error| Error::Directory(ours.links.clone(), error);
        for entry in fs::read_dir(&self.paths.links).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let place = ours.links.join(entry.file_name());
            if !place.exists() {
                let link = raw::open_pin(&entry.path()).map_err(failed)?;
                raw::pin(link.as_fd(), &place).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// What the old tables had counted stays with the new ones as it is: nobody counts in the old ones any more.
    fn counts(&self, maps: &Maps) -> Result<()> {
        let (places, counts): (Vec<_>, Vec<_>) = self.tables.packets()?.into_iter().unzip();
        maps.carried_packets.fill(&places, &counts)?;
        let (numbers, counts): (Vec<_>, Vec<_>) = self.tables.rules()?.into_iter().unzip();
        maps.carried_rules.fill(&numbers, &counts)
    }
}

impl Dataplane {
    /// Do tables of an earlier layout enforce, and wait for [`Self::take_over`]?
    #[must_use]
    pub fn takes_over(&self) -> bool {
        self.earlier.is_some()
    }

    /// Takes over from tables of an earlier layout, once the policy has been put into ours: sessions, counters and
    /// every hook. `None` where there are none.
    ///
    /// # Errors
    /// Why it cannot be; the old programs enforce then, and go on.
    pub fn take_over(&mut self) -> Result<Option<TakenOver>> {
        let Some(mut earlier) = self.earlier.take() else {
            return Ok(None);
        };
        let begin = Instant::now();
        let carrier = load::carrier(&self.options, &self.paths)?;
        let mut copied = Copied::default();
        let list = |which| earlier.tables.sessions(which);
        sessions::room(&list, &self.maps)?;
        copied.catch_up(&list, &self.maps)?;
        self.switch(&earlier)?;
        // From here on our programs judge: there is no way back, and what fails is done by the next start.
        earlier.fresh = None;
        if let Some(pause) = self.options.before_flip {
            std::thread::sleep(pause);
        }
        maps::grace()?;
        let list = |which| earlier.tables.sessions(which);
        copied.last(&list, &self.maps, &carrier)?;
        self.finish(&earlier)?;
        self.keep.renew(&self.paths)?;
        Ok(Some(TakenOver {
            layout: earlier.layout,
            sessions: self.sessions()?.len(),
            milliseconds: begin.elapsed().as_millis(),
        }))
    }

    /// An agent died after the switch had begun.
    pub(super) fn resume(&mut self, earlier: &Earlier) -> Result<()> {
        let carrier = load::carrier(&self.options, &self.paths)?;
        self.switch(earlier)?;
        maps::grace()?;
        let list = |which| earlier.tables.sessions(which);
        sessions::resume(&list, &self.maps, &carrier)?;
        self.finish(earlier)
    }

    /// Gives every hook its new program. Between the first and the last, a packet may come by the one kind and
    /// its answer by the other, which does not know it yet, and drops it: it is sent again.
    fn switch(&mut self, earlier: &Earlier) -> Result<()> {
        // First of all, so that a routed packet that was judged on arrival is known as such where it leaves.
        earlier.guarded(&self.maps)?;
        let switched = earlier.links(&self.paths).and_then(|()| self.renew_all());
        if let Err(error) = switched {
            self.back(earlier);
            return Err(error);
        }
        Ok(())
    }

    /// Gives every hook its old program again, as far as that can be.
    fn back(&mut self, earlier: &Earlier) {
        for attached in self.attached().unwrap_or_default() {
            if let Err(error) = give_back(&self.maps, earlier, &attached) {
                tracing::error!(
                    "{} has the new programs and keeps them: {error}",
                    attached.interface
                );
            }
        }
    }

    fn finish(&self, earlier: &Earlier) -> Result<()> {
        earlier.counts(&self.maps)?;
        room::recount(&self.maps)?;
        remove(&earlier.paths)
    }
}

fn give_back(maps: &Maps, earlier: &Earlier, attached: &super::Attached) -> Result<()> {
    let open = |name: &'static str| {
        SchedClassifier::from_pin(earlier.paths.programs.join(name))
            .map_err(|error| Error::Program(name, Box::new(error)))
    };
    let (mut ingress, mut egress) = (open("ringwall_ingress")?, open("ringwall_egress")?);
    let set = Set {
        ingress: &mut ingress,
        egress: &mut egress,
        xdp: Err("not in that layout".to_owned()),
    };
    let site = Site {
        maps,
        paths: &earlier.paths,
        tcx: attached.hook == Place::Tcx,
    };
    attach::attach(set, &site, &attached.interface, Ingress::Tc).map(drop)
}
