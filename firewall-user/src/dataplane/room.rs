//! How full the session tables are: counts that the programs and the agent keep together, in memory that both have.
//!
//! Whoever puts a session into a table or takes it out says so here, see `firewall_common::session::room`. What an
//! agent did not get to say before it died, and what was copied from other tables, is found by counting.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::Ordering;

use firewall_common::config::{Room, Settings};
use firewall_common::flow::FlowKey;
use firewall_common::session::Entry;
use firewall_common::session::room::{
    self, CAPPED, MANAGED, OF_MANAGEMENT, OF_OTHERS, SEED, SOURCES, TALLIES,
};
use firewall_common::tables::Table as Which;

use super::error::{Error, Result};
use super::maps::{Maps, ONLY};
use super::table::Table;
use super::window::Window;

/// The counts.
#[derive(Debug)]
pub(super) struct Counts {
    tally: Window<u64>,
    sources: Window<u64>,
}

pub(super) fn window(directory: &Path, name: &'static str, places: u32) -> Result<Window<u64>> {
    let table: Table<u32, u64> = Table::open(directory, name)?;
    let window = Window::open(table.map().fd().as_fd(), places as usize);
    window.map_err(|error| Error::Table(name, error))
}

impl Counts {
    pub(super) fn open(directory: &Path) -> Result<Self> {
        Ok(Self {
            tally: window(directory, "TALLY", TALLIES)?,
            sources: window(directory, "SOURCES", SOURCES)?,
        })
    }

    /// Draws the number that sources are spread by, where the tables are new. While sessions are counted by it, it
    /// must not change.
    pub(super) fn settle(&self, drawn: u64) {
        if self.seed() == 0 {
            add(&self.tally, SEED, drawn);
        }
    }

    fn seed(&self) -> u64 {
        read(&self.tally, SEED)
    }

    /// A session was put into the table of verified ones.
    pub(super) fn came(&self, entry: &Entry) {
        add(&self.tally, place_of(entry), 1);
    }

    /// A session was taken out of a table.
    pub(super) fn left(&self, which: Which, key: &FlowKey, entry: &Entry) {
        const ONE_LESS: u64 = u64::MAX;
        match which {
            Which::Sessions => add(&self.tally, place_of(entry), ONE_LESS),
            Which::HalfOpen => {
                for place in places_of(key, entry, self.seed()) {
                    add(&self.sources, place, ONE_LESS);
                }
            }
        }
    }
}

/// The kernel adds to the same words at the same time.
fn add(window: &Window<u64>, place: u32, amount: u64) {
    if let Some(word) = window.atomic(place as usize) {
        word.fetch_add(amount, Ordering::Relaxed);
    }
}

/// One of the counts.
pub(super) fn tally(counts: &Counts, place: u32) -> u64 {
    read(&counts.tally, place)
}

fn read(window: &Window<u64>, place: u32) -> u64 {
    let word = window.atomic(place as usize);
    word.map_or(0, |word| word.load(Ordering::Relaxed))
}

fn place_of(entry: &Entry) -> u32 {
    if entry.counted & MANAGED != 0 {
        OF_MANAGEMENT
    } else {
        OF_OTHERS
    }
}

fn places_of(key: &FlowKey, entry: &Entry, seed: u64) -> impl Iterator<Item = u32> + use<> {
    let capped = entry.counted & CAPPED != 0;
    let places = room::counts_of(room::opener(key, entry), seed);
    places.into_iter().filter(move |_| capped)
}

/// By how much counts are not what was found in the tables, by their place among both kinds.
type Drift = HashMap<(Kind, u32), u64>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Of verified sessions.
    Tally,
    /// Of half-open ones by source.
    Source,
}

/// Finds counts that are wrong.
#[derive(Debug, Default)]
pub(super) struct Audit {
    before: Drift,
}

impl Audit {
    /// Puts right what was wrong by as much at the last look, too. Sessions come and go while the tables are read,
    /// so that one look alone finds differences that are none.
    pub(super) fn look(
        &mut self,
        counts: &Counts,
        half_open: &[(FlowKey, Entry)],
        verified: &[(FlowKey, Entry)],
    ) {
        let found = drift(counts, half_open, verified);
        for (place, amount) in &found {
            if self.before.get(place) == Some(amount) {
                correct(counts, *place, *amount);
            }
        }
        self.before = found;
    }
}

/// Puts all counts right at once: where tables were filled by copying.
pub(super) fn recount(maps: &Maps) -> Result<()> {
    let found = drift(
        &maps.counts,
        &maps.half_open.list()?,
        &maps.sessions.list()?,
    );
    for (place, amount) in found {
        correct(&maps.counts, place, amount);
    }
    Ok(())
}

fn correct(counts: &Counts, (which, place): (Kind, u32), amount: u64) {
    match which {
        Kind::Tally => add(&counts.tally, place, amount),
        Kind::Source => add(&counts.sources, place, amount),
    }
}

fn drift(counts: &Counts, half_open: &[(FlowKey, Entry)], verified: &[(FlowKey, Entry)]) -> Drift {
    let mut wanted: Drift = HashMap::new();
    for (_, entry) in verified {
        *wanted.entry((Kind::Tally, place_of(entry))).or_default() += 1;
    }
    let seed = counts.seed();
    for (key, entry) in half_open {
        for place in places_of(key, entry, seed) {
            *wanted.entry((Kind::Source, place)).or_default() += 1;
        }
    }
    let all = [OF_MANAGEMENT, OF_OTHERS].map(|place| (Kind::Tally, place));
    let all = all
        .into_iter()
        .chain((0..SOURCES).map(|place| (Kind::Source, place)));
    let off = all.filter_map(|(which, place)| {
        let there = match which {
            Kind::Tally => read(&counts.tally, place),
            Kind::Source => read(&counts.sources, place),
        };
        let wanted = wanted.get(&(which, place)).copied().unwrap_or(0);
        let amount = wanted.wrapping_sub(there);
        (amount != 0).then_some(((which, place), amount))
    });
    off.collect()
}

/// Tells how full the tables may get; what is not given stays.
pub(super) fn set(maps: &Maps, change: impl FnOnce(Room) -> Room) -> Result<()> {
    let settings = maps.settings.need(&ONLY)?;
    let room = change(settings.room);
    maps.settings.set(&ONLY, &Settings { room, ..settings })
}
