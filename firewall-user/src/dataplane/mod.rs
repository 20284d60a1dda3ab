//! The data plane: programs and tables in the kernel. The only place that uses aya.
//!
//! What is pinned outlives the agent: links, tables, programs. Ordinary exit, a crash or a kill leaves
//! the policy enforcing; [`Dataplane::open`] takes it over again without a gap, and only
//! [`Dataplane::detach_all`] ends it.

mod adopt;
mod attach;
mod bpffs;
pub mod clock;
mod count;
mod deadman;
pub mod device;
mod error;
mod events;
mod explain;
pub mod features;
mod home;
mod host;
mod load;
mod maps;
pub mod memory;
mod migrate;
pub mod neighbours;
mod netlink;
mod pin;
mod raw;
mod room;
mod sessions;
mod swap;
mod table;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firewall_common::addr::Addr;
use firewall_common::config::{
    Generation, InterfaceKey, Name, Room, RuleCount, SLOTS, Settings, VlanKey,
};
use firewall_common::flow::FlowKey;
use firewall_common::session::room::{places, reserve};
use firewall_common::verdict::Decision;

pub use attach::{Attached, Ingress, Neighbour, Place};
pub use bpffs::is_bpffs as pins_file_system;
pub(crate) use bpffs::lock_soon;
pub use count::PacketCount;
pub use deadman::Pending;
pub use error::{Error, Result};
pub use events::{EventCounts, Ring, SessionCounts};
pub use explain::{Fate, Outcome, Trial};
pub use host::Failsafe;
pub use migrate::TakenOver;
pub use sessions::{Session, Swept};
pub use swap::{Applied, Info};

use self::attach::Site;
use self::load::{Early, KernelLog, Programs};
use self::maps::{Maps, ONLY};
use self::migrate::Earlier;
use self::migrate::resize::Resize;
use self::pin::Paths;
use self::swap::Flip;
use crate::policy::compiled::{Compiled, InterfacePlan};

/// How the data plane is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where pins go, in a directory for each network namespace and layout.
    pub bpf_dir: PathBuf,
    /// Places for verified sessions.
    pub sessions_max: u32,
    /// Places for half-open sessions.
    pub half_open_max: u32,
    /// Verified sessions that are kept for management zones.
    pub reserve: u32,
    /// Half-open sessions that one source may have.
    pub half_open_per_source: u32,
    /// Use the clsact qdisc even where the kernel has TCX.
    pub clsact: bool,
    /// Wait between the last write of an apply and its flip, and between a takeover's switch and its last look;
    /// for tests.
    pub before_flip: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bpf_dir: PathBuf::from("/sys/fs/bpf/ringwall"),
            sessions_max: 262_144,
            half_open_max: 65_536,
            reserve: 1024,
            half_open_per_source: 128,
            clsact: false,
            before_flip: None,
        }
    }
}

impl Options {
    /// Places of the table of verified sessions.
    fn session_places(&self) -> u32 {
        places(self.sessions_max, self.half_open_max)
    }

    fn room(&self) -> Room {
        Room {
            max: self.sessions_max,
            reserve: reserve(self.reserve, self.sessions_max),
            half_open_max: self.half_open_max,
            half_open_per_source: self.half_open_per_source,
        }
    }
}

/// A generation, as the tables say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Its slot.
    pub slot: u32,
    /// Its head, with its epoch.
    pub head: Generation,
    /// Which policy it is.
    pub info: Info,
}

/// How full the session tables can get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Places for verified sessions.
    pub sessions: u32,
    /// Of those, how many are kept for management zones.
    pub reserve: u32,
    /// Places for half-open sessions.
    pub half_open: u32,
}

fn sizes(maps: &Maps) -> Result<Sizes> {
    let room = maps.settings.need(&ONLY)?.room;
    Ok(Sizes {
        sessions: room.max,
        reserve: room.reserve,
        half_open: room.half_open_max,
    })
}

/// Programs and tables in the kernel.
#[derive(Debug)]
pub struct Dataplane {
    options: Options,
    paths: Paths,
    programs: Programs,
    log: KernelLog,
    maps: Maps,
    /// New interfaces get TCX links; else filters in the clsact qdisc.
    tcx: bool,
    /// What waits to be taken over.
    earlier: Option<Earlier>,
    /// What was noticed on opening, for people.
    notes: Vec<String>,
    /// Held by the one agent of a namespace; nobody's where pins are only looked at.
    _lock: Option<File>,
    /// Looks whether sessions are counted right.
    audit: room::Audit,
}

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
            _lock: Some(lock),
            audit: room::Audit::default(),
        };
        plane.begin(earlier, waits, resize)?;
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
            log: KernelLog(Vec::new()),
            maps: Maps::open(&paths)?,
            paths,
            tcx: true,
            earlier: None,
            notes: Vec::new(),
            _lock: None,
            audit: room::Audit::default(),
        })
    }

    fn renew_all(&mut self) -> Result<()> {
        for old in self.attached()? {
            self.renew(&old)?;
        }
        Ok(())
    }

    fn renew(&mut self, old: &Attached) -> Result<Attached> {
        let ingress = match old.hook {
            Place::Tcx | Place::Clsact => Ingress::Tc,
            Place::Xdp => Ingress::Xdp,
            Place::XdpGeneric => Ingress::XdpGeneric,
        };
        let tcx = self.site().uses_tcx(old.index);
        self.put(&old.interface, ingress, tcx)
    }

    fn site(&self) -> Site<'_> {
        Site {
            maps: &self.maps,
            paths: &self.paths,
            tcx: self.tcx,
        }
    }

    /// Puts the programs that suit the device on its hooks.
    fn put(&mut self, interface: &str, ingress: Ingress, tcx: bool) -> Result<Attached> {
        let (options, paths, log) = (&self.options, &self.paths, &mut self.log);
        let set = if attach::has_ethernet_header(interface)? {
            self.programs.ethernet(ingress, options, paths, log)
        } else {
            self.programs.bare(options, paths, log)?
        };
        let maps = &self.maps;
        let site = Site { maps, paths, tcx };
        attach::attach(set, &site, interface, ingress)
    }

    fn early(&mut self) -> Result<&mut Early> {
        let (options, paths) = (&self.options, &self.paths);
        self.programs.early(options, paths, &mut self.log)
    }

    /// Guards an interface in both directions, at TC.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn attach(&mut self, interface: &str) -> Result<Attached> {
        self.attach_at(interface, Ingress::Tc)
    }

    /// The same, with what arrives judged at a hook of choice, or at TC where that cannot be.
    ///
    /// # Errors
    /// Why it cannot be guarded at all.
    pub fn attach_at(&mut self, interface: &str, ingress: Ingress) -> Result<Attached> {
        self.put(interface, ingress, self.tcx)
    }

    /// Is what arrives by an interface judged at XDP?
    #[must_use]
    pub fn at_xdp(&self, index: u32) -> bool {
        matches!(self.site().place_of(index), Place::Xdp | Place::XdpGeneric)
    }

    /// Stops guarding one interface.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn detach(&mut self, index: u32) -> Result<()> {
        self.site().detach(index)
    }

    /// Every guarded interface. What is left of interfaces that are gone is put away.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn attached(&self) -> Result<Vec<Attached>> {
        self.site().attached()
    }

    /// Of guarded interfaces that are still there, those that have lost a program of ours: somebody took it off.
    #[must_use]
    pub fn displaced(&self, guarded: &[u32]) -> Vec<u32> {
        self.site().displaced(guarded)
    }

    /// Does every program that guards an interface sit there?
    #[must_use]
    pub fn is_whole(&self, index: u32) -> bool {
        self.site().is_whole(index)
    }

    /// Programs of other owners on an interface, in the order in which packets come to them.
    #[must_use]
    pub fn neighbours(&self, index: u32) -> Vec<Neighbour> {
        self.site().neighbours(index)
    }

    /// Ends enforcement: takes the programs from all interfaces and removes all pins. Nothing else does.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn detach_all(self) -> Result<()> {
        for attached in self.attached()? {
            self.site().detach(attached.index)?;
        }
        let root = &self.paths.root;
        fs::remove_dir_all(root).map_err(|error| Error::Directory(root.clone(), error))?;
        // Only if no other layout's directory is in it.
        let _others_may_be_there = root.parent().map(fs::remove_dir);
        Ok(())
    }

    /// Ends the enforcement of what agents of other versions left under other layouts; says whether there was any.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn detach_others(bpf_dir: &Path) -> Result<bool> {
        migrate::detach(&Paths::of(bpf_dir)?)
    }

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
        swap::apply(&mut self.maps, compiled, info, &entries, flip)
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

    fn deciding(&self) -> Result<u32> {
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

    /// An interface has come up, or has another name now: `plan` is that of the policy in force.
    ///
    /// # Errors
    /// Why it could not be told.
    pub fn interface_seen(&mut self, plan: &InterfacePlan, name: &str, index: u32) -> Result<()> {
        let slot = self.deciding()?;
        let key = InterfaceKey { slot, index };
        self.maps.interfaces.set(&key, &plan.entry(name))
    }

    /// Forgets interfaces that are gone: all but those of `indexes`.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn keep_interfaces(&mut self, indexes: &BTreeSet<u32>) -> Result<()> {
        for (key, _) in self.maps.interfaces.list()? {
            if !indexes.contains(&key.index) {
                self.maps.interfaces.delete(&key)?;
            }
        }
        Ok(())
    }

    /// Tells which VLAN devices are set up: where, by which tag, and their indexes.
    ///
    /// # Errors
    /// Why it could not be told.
    pub fn set_vlans(&mut self, vlans: &BTreeMap<VlanKey, u32>) -> Result<()> {
        host::set_vlans(&self.maps, vlans)
    }

    /// Tells which addresses are this machine's: each with `LOCAL_UNICAST` or `LOCAL_BROADCAST`.
    ///
    /// # Errors
    /// Why it could not be told.
    pub fn set_locals(&mut self, locals: &[(Addr, u32)]) -> Result<()> {
        host::set_locals(&self.maps, locals)
    }

    /// Tells the host's session timeouts, in nanoseconds by state.
    ///
    /// # Errors
    /// Why it could not be told.
    pub fn set_timeouts(&mut self, timeouts: [u64; 16]) -> Result<()> {
        host::set_timeouts(&self.maps, timeouts)
    }

    /// Tells the host's failsafe rules.
    ///
    /// # Errors
    /// Why it could not be told.
    pub fn set_failsafe(&mut self, failsafe: &Failsafe) -> Result<()> {
        host::set_failsafe(&self.maps, failsafe)
    }

    /// Packet counters that are not zero.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn packet_counts(&self) -> Result<Vec<PacketCount>> {
        count::packets(&self.maps)
    }

    /// Rule counters that are not zero, by number.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn rule_counts(&self) -> Result<Vec<(u32, RuleCount)>> {
        count::rules(&self.maps)
    }

    /// Sessions opened and ended.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn session_counts(&self) -> Result<SessionCounts> {
        events::sessions(&self.maps)
    }

    /// What became of records, by kind.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn event_counts(&self) -> Result<EventCounts> {
        events::records(&self.maps)
    }

    /// Adds to the agent's own counters, by place (see [`firewall_common::config::AGENT_COUNTERS`]).
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn add_counts(&self, amounts: &BTreeMap<u32, u64>) -> Result<()> {
        events::add(&self.maps, amounts)
    }

    /// The ring that records come by. One reader may have it at a time.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn ring(&self) -> Result<Ring> {
        Ring::open(&self.paths)
    }

    /// All sessions.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn sessions(&self) -> Result<Vec<Session>> {
        sessions::list(&self.maps)
    }

    /// Deletes sessions that have been silent for too long at `now` (see [`clock::boot_now`]).
    /// Being called every second or so, it also hands on what the programs had to say.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn expire(&mut self, now: u64) -> Result<Swept> {
        self.log.flush();
        sessions::expire(&self.maps, &mut self.audit, now)
    }

    /// Puts sessions that live already into the tables; how many found a place. With `replace` what is there
    /// gives way, else it stays.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn adopt(&mut self, sessions: &[Session], replace: bool) -> Result<usize> {
        let placed = adopt::adopt(&self.maps, sessions, replace)?;
        room::recount(&self.maps)?;
        Ok(placed)
    }

    /// Tells what becomes of strays: a mode (`STRAY_…`), and until when routed ones are taken up, in
    /// nanoseconds since boot. What is not given stays.
    ///
    /// # Errors
    /// Why it could not be told.
    pub fn set_strays(&mut self, mode: Option<u32>, midstream_until: Option<u64>) -> Result<()> {
        adopt::set_strays(&self.maps, mode, midstream_until)
    }

    /// Ends a session; says whether there was one.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn close_session(&mut self, key: &FlowKey) -> Result<bool> {
        sessions::close(&self.maps, key)
    }

    /// How the loaded program judges a frame, leaving no trace in counters or sessions.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn explain(&mut self, trial: &Trial<'_>) -> Result<Decision> {
        if trial.at_xdp() {
            return explain::explain_xdp(self.early()?, trial);
        }
        explain::explain(&self.programs, trial)
    }

    /// Runs a frame through the loaded program as if it had come.
    ///
    /// # Errors
    /// Why it could not be run.
    pub fn test_run(&mut self, trial: &Trial<'_>) -> Result<Outcome> {
        if trial.at_xdp() {
            return explain::test_run_xdp(self.early()?, trial);
        }
        explain::test_run(&self.programs, trial)
    }

    /// Sizes of the session tables.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn table_sizes(&self) -> Result<Sizes> {
        sizes(&self.maps)
    }

    /// Tells how many sessions are kept for management zones, and how many half-open ones a source may have.
    ///
    /// # Errors
    /// Why it could not be told.
    pub fn set_room(&mut self, kept: u32, half_open_per_source: u32) -> Result<()> {
        room::set(&self.maps, |room| Room {
            reserve: reserve(kept, room.max),
            half_open_per_source,
            ..room
        })
    }

    /// Instructions that the kernel verified to accept each of our programs.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn verified_instructions(&self) -> Result<Vec<(&'static str, u32)>> {
        self.programs.verified()
    }
}

fn named(names: Vec<(u32, Name)>) -> BTreeMap<u32, String> {
    let names = names.into_iter();
    names
        .map(|(number, name)| (number, name.text().to_owned()))
        .filter(|(_, name)| !name.is_empty())
        .collect()
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
