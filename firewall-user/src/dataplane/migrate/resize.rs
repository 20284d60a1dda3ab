//! Session tables of another size: `agent.yaml` says another `sessions: {max}` than the pinned tables have.
//!
//! A table has its size for good. So a new one is made beside it (`SESSIONS_new`), this agent's programs are loaded
//! over that one, the two change places (the old one is `SESSIONS_old` then), sessions are copied, hooks get
//! the new programs, and what came meanwhile is added. An agent that dies in between leaves `SESSIONS_old`, and
//! the next one finishes.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use firewall_common::flow::FlowKey;
use firewall_common::session::Entry;
use firewall_common::tables::Table as Which;

use super::sessions::{self, Copied};
use crate::dataplane::error::{Error, Result};
use crate::dataplane::maps::{self, Maps};
use crate::dataplane::pin::{Paths, shapes};
use crate::dataplane::table::Table;
use crate::dataplane::{Dataplane, Options, Sizes, load, raw, room, sizes};

const TABLES: [(Which, &str, &str); 2] = [
    (Which::Sessions, "SESSIONS", "max"),
    (Which::HalfOpen, "HALF_OPEN", "half_open_max"),
];

/// Tables that others take the place of.
#[derive(Debug, Default)]
pub(in crate::dataplane) struct Resize {
    olds: Vec<(Which, &'static str, Table<FlowKey, Entry>)>,
    /// New ones that are not in their places yet.
    waiting: Vec<PathBuf>,
    /// An earlier agent began it.
    begun: bool,
}

impl Drop for Resize {
    fn drop(&mut self) {
        for new in &self.waiting {
            let _what_is_left_is_removed_by_the_next_start = fs::remove_file(new);
        }
    }
}

fn beside(paths: &Paths, name: &str, word: &str) -> PathBuf {
    paths.maps.join(format!("{name}_{word}"))
}

/// Makes the tables that are wanted in another size; refuses where the sessions there are would not fit.
pub(in crate::dataplane) fn prepare(options: &Options, paths: &Paths) -> Result<Resize> {
    let mut resize = Resize::default();
    for (which, name, key) in TABLES {
        let (new, old) = (beside(paths, name, "new"), beside(paths, name, "old"));
        let _left_by_a_crash = fs::remove_file(&new);
        if old.exists() {
            let old = Table::open_at(&old, name)?;
            resize.olds.push((which, name, old));
            resize.begun = true;
            continue;
        }
        let all = shapes(options);
        let Some(shape) = all.iter().find(|shape| shape.name == name) else {
            continue;
        };
        if !shape.is_resized(&paths.maps)? {
            continue;
        }
        let table: Table<FlowKey, Entry> = Table::open(&paths.maps, name)?;
        let places = match which {
            Which::Sessions => options.sessions_max,
            Which::HalfOpen => options.half_open_max,
        };
        let live = table.list()?.len();
        if live > places as usize {
            return Err(Error::NoRoom { key, live, places });
        }
        let made = raw::create(shape.like()).and_then(|map| raw::pin(map.as_fd(), &new));
        made.map_err(|error| Error::Table(name, error))?;
        resize.waiting.push(new);
        resize.olds.push((which, name, table));
    }
    renew_ring(options, paths)?;
    Ok(resize)
}

/// The ring of half-open sessions has as many places as their table. In a new one the present ones have no
/// place: they are not asked to give way, and are answered or over soon.
fn renew_ring(options: &Options, paths: &Paths) -> Result<()> {
    let all = shapes(options);
    let Some(ring) = all.iter().find(|shape| shape.name == "OPENINGS") else {
        return Ok(());
    };
    if ring.is_resized(&paths.maps)? {
        let pin = paths.maps.join(ring.name);
        fs::remove_file(&pin).map_err(|error| Error::Directory(pin, error))?;
    }
    Ok(())
}

impl Resize {
    /// Are there any?
    pub(in crate::dataplane) fn is_some(&self) -> bool {
        !self.olds.is_empty()
    }

    /// What is said of it.
    pub(in crate::dataplane) fn note(&self, maps: &Maps) -> Result<String> {
        let Sizes {
            sessions,
            half_open,
            ..
        } = sizes(maps)?;
        Ok(format!(
            "the session tables have another size now ({sessions} places, half-open {half_open}); their sessions live on"
        ))
    }

    /// Programs are loaded over the new tables: they take the places of the old ones.
    pub(in crate::dataplane) fn place(&mut self, paths: &Paths) -> Result<()> {
        if self.begun {
            return Ok(());
        }
        for (_, name, table) in &self.olds {
            let failed = |error| Error::Table(name, error);
            let (new, old) = (beside(paths, name, "new"), beside(paths, name, "old"));
            raw::pin(table.map().fd().as_fd(), &old).map_err(failed)?;
            fs::rename(new, paths.maps.join(name)).map_err(failed)?;
        }
        self.waiting.clear();
        Ok(())
    }

    fn list(&self, wanted: Which) -> Result<Vec<(FlowKey, Entry)>> {
        match self.olds.iter().find(|(which, ..)| *which == wanted) {
            Some((_, _, table)) => table.list(),
            None => Ok(Vec::new()),
        }
    }

    /// Sessions go over, and every hook gets the programs that use the new tables.
    pub(in crate::dataplane) fn finish(self, plane: &mut Dataplane) -> Result<()> {
        let carrier = load::carrier(&plane.options, &plane.paths)?;
        let list = |which| self.list(which);
        let mut copied = Copied::default();
        if !self.begun {
            copied.catch_up(&list, &plane.maps)?;
        }
        plane.renew_all()?;
        maps::grace()?;
        if self.begun {
            sessions::resume(&list, &plane.maps, &carrier)?;
        } else {
            copied.last(&list, &plane.maps, &carrier)?;
        }
        room::recount(&plane.maps)?;
        for (_, name, _) in &self.olds {
            let old = beside(&plane.paths, name, "old");
            fs::remove_file(old).map_err(|error| Error::Table(name, error))?;
        }
        Ok(())
    }
}
