//! Taking the data plane over, or making it: what an agent does first.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use firewall_common::config::Settings;

use super::error::{Error, Result};
use super::keep::Keep;
use super::load::{KernelLog, Programs};
use super::maps::{Maps, ONLY};
use super::migrate::resize::Resize;
use super::migrate::{self, Earlier};
use super::pin::Paths;
use super::{Dataplane, Options, bpffs, features, home, limits, marks, room};

impl Dataplane {
    /// Loads this version's programs over the pinned tables, or over new ones, and gives them to every
    /// interface that is under guard already, each in one step. Where tables of an earlier layout are in force,
    /// the interfaces wait for [`Self::take_over`].
    ///
    /// # Errors
    /// Why it cannot be; then what was enforced before still is.
    pub fn open(options: &Options) -> Result<Self> {
        let kernel = features::check()?;
        bpffs::ensure(&options.bpf_dir)?;
        let paths = Paths::of(&options.bpf_dir)?;
        let mut notes = Vec::new();
        home::clear(&paths, &mut notes)?;
        let mut earlier = migrate::find(&paths, &mut notes)?;
        let waits = match &mut earlier {
            Some(earlier) => earlier.begin(&paths)?,
            None => false,
        };
        paths.make()?;
        let lock = bpffs::hold(&paths.root)?;
        let mut resize = migrate::resize::prepare(options, &paths)?;
        let (programs, log) = Programs::load(options, &paths)?;
        resize.place(&paths)?;
        let maps = Maps::open(&paths)?;
        maps.marks.distrust();
        for (key, entry) in maps.interfaces.list()? {
            maps.marks.tell_interface(&key, entry);
        }
        settle(&maps, options)?;
        home::settle(&maps)?;
        let mut plane = Self {
            options: options.clone(),
            paths,
            programs,
            log,
            maps,
            tcx: kernel.tcx && !options.clsact,
            earlier: None,
            notes,
            carrier: None,
            keep: Keep::default(),
            audit: room::Audit::default(),
            keeper: limits::Keeper::default(),
            turns: marks::Turns::default(),
        };
        plane.begin(earlier, waits, resize)?;
        plane.keep.begin(&plane.paths, lock)?;
        Ok(plane)
    }

    /// What is attached gets these programs, at once or once all is taken over.
    fn begin(&mut self, earlier: Option<Earlier>, waits: bool, resize: Resize) -> Result<()> {
        if resize.is_some() {
            let note = resize.note(&self.maps)?;
            resize.finish(self)?;
            self.notes.push(note);
        }
        match earlier {
            Some(earlier) if waits => {
                earlier.seed(&self.maps)?;
                self.earlier = Some(earlier);
                Ok(())
            }
            Some(earlier) => self.resume(&earlier),
            None => self.renew_all(),
        }
    }

    /// What was noticed on opening, for people.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Opens what an agent left or is running, without loading or changing anything.
    ///
    /// # Errors
    /// [`Error::NotRunning`] where there are no pins.
    pub fn from_pins(bpf_dir: &Path) -> Result<Self> {
        let paths = Paths::of(bpf_dir)?;
        if !migrate::in_use(&paths) || !home::is_ours(&paths)? {
            return Err(match migrate::other_in_use(&paths) {
                Some((layout, root)) => Error::OtherLayout(layout, root),
                None => Error::NotRunning(paths.root),
            });
        }
        Ok(Self {
            options: Options {
                bpf_dir: bpf_dir.to_owned(),
                ..Options::default()
            },
            programs: Programs::open(&paths)?,
            log: KernelLog(None),
            maps: Maps::open(&paths)?,
            paths,
            tcx: true,
            earlier: None,
            notes: Vec::new(),
            carrier: None,
            keep: Keep::default(),
            audit: room::Audit::default(),
            keeper: limits::Keeper::default(),
            turns: marks::Turns::default(),
        })
    }
}

/// Gives new tables the default timeouts, and draws the mark that our answers are known by. An
/// answer that is under way with the former mark is judged like any packet.
fn settle(maps: &Maps, options: &Options) -> Result<()> {
    let found = maps.settings.need(&ONLY)?;
    let timeouts = if found.timeouts == [0; 16] {
        Settings::default().timeouts
    } else {
        found.timeouts
    };
    let mark = draw()?;
    maps.counts
        .settle(u64::from(draw()?) << 32 | u64::from(draw()?));
    maps.settings.set(
        &ONLY,
        &Settings {
            timeouts,
            mark,
            station: station(draw()?, draw()?),
            room: options.room(),
            ..found
        },
    )
}

/// A random Ethernet address that is nobody's: of one station, given out locally (IEEE 802 clause 8.2), its six
/// bytes as they stand in a frame.
fn station(low: u32, high: u32) -> u64 {
    let [first, a, b, c] = low.to_ne_bytes();
    let [d, e, ..] = high.to_ne_bytes();
    u64::from_ne_bytes([first & 0xfc | 2, a, b, c, d, e, 0, 0])
}

/// A random number that is not 0.
fn draw() -> Result<u32> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 4];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| Error::Directory(path.to_owned(), error))?;
    Ok(u32::from_ne_bytes(bytes).max(1))
}
