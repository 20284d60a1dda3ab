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
mod force;
pub mod groups;
mod home;
mod hooks;
mod host;
mod keep;
mod kernel_types;
mod limits;
mod living;
mod load;
mod made;
mod maps;
mod marks;
mod members;
pub mod memory;
mod migrate;
pub mod neighbours;
pub mod netdev;
mod netlink;
mod open;
mod pin;
mod raw;
mod room;
mod sessions;
mod settle;
#[cfg(test)]
mod stack;
mod swap;
mod table;
pub mod watch;
mod ways;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use firewall_common::addr::Addr;
use firewall_common::config::{Generation, InterfaceKey, Room, RuleCount, VlanKey};
use firewall_common::flow::FlowKey;
use firewall_common::session::end::Cause;
use firewall_common::session::room::{places, reserve};
use firewall_common::verdict::Decision;

pub use attach::{Attached, Ingress, Place};
pub use bpffs::is_bpffs as pins_file_system;
pub(crate) use bpffs::lock_soon;
pub use count::PacketCount;
pub use deadman::Pending;
pub use error::{Error, Result};
pub use events::{EventCounts, Ring, SessionCounts};
pub use explain::{Fate, Outcome, Trial};
pub use host::Failsafe;
pub use limits::{Cookies, LimitUse};
pub use migrate::TakenOver;
pub use neighbours::Neighbour;
pub use sessions::{Session, Swept};
pub use swap::{Applied, Info};
pub use watch::{Watch, WatchPlan};

use self::keep::Keep;
use self::load::{KernelLog, Programs};
use self::maps::Maps;
use self::migrate::Earlier;
use self::pin::Paths;
use crate::policy::compiled::InterfacePlan;

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
    let room = maps.settings.need(&maps::ONLY)?.room;
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
    /// Adds to sessions; loaded when it is first needed.
    carrier: Option<migrate::Carrier>,
    /// What is pinned, where this is an agent's.
    keep: Keep,
    /// Looks whether sessions are counted right.
    audit: room::Audit,
    /// Looks after what rules bound.
    keeper: limits::Keeper,
    /// When marks are made anew.
    turns: marks::Turns,
}

impl Dataplane {
    /// An interface has come up, or has another name now: `plan` is that of the policy in force.
    ///
    /// # Errors
    /// Why it could not be told.
    pub fn interface_seen(&mut self, plan: &InterfacePlan, name: &str, index: u32) -> Result<()> {
        let slot = self.deciding()?;
        let key = InterfaceKey { slot, index };
        let entry = plan.entry(name);
        self.maps.interfaces.set(&key, &entry)?;
        self.maps.marks.tell_interface(&key, entry);
        Ok(())
    }

    /// Forgets interfaces that are gone: all but those of `indexes`.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn keep_interfaces(&mut self, indexes: &BTreeSet<u32>) -> Result<()> {
        for (key, _) in self.maps.interfaces.list()? {
            if !indexes.contains(&key.index) {
                self.maps.marks.forget_interface(&key);
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
        // While programs of an earlier layout judge, nobody marks what they open.
        let filling = match self.earlier {
            Some(_) => None,
            None => self.turns.next(&self.maps.marks)?,
        };
        let (swept, found) = sessions::expire(&self.maps, &mut self.audit, now)?;
        if let Some(filling) = filling {
            filling.done(&self.maps.marks);
        }
        self.release(&found.ended)?;
        self.keeper.sweep(&self.maps, now, &found.held)?;
        Ok(swept)
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

    /// Ends sessions, and counts them by a cause; each as it was then.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn end(&mut self, keys: &[FlowKey], cause: Cause) -> Result<Vec<Session>> {
        let ended = sessions::end(&self.maps, keys, cause)?;
        let pairs: Vec<_> = ended.iter().map(|one| (one.key, one.entry)).collect();
        self.release(&pairs)?;
        Ok(ended)
    }

    /// Ends a session; says whether there was one.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn close_session(&mut self, key: &FlowKey) -> Result<bool> {
        let ended = sessions::close(&self.maps, key)?;
        // Without an agent, the next one counts.
        if self.keep.is_begun() {
            self.release(&ended)?;
        }
        Ok(!ended.is_empty())
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

    /// How full the tables of limits are.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn limit_use(&self) -> Result<LimitUse> {
        limits::used(&self.maps)
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
