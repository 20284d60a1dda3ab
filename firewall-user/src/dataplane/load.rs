//! The programs: loaded from the object that this binary carries, and kept by pins.

use std::fs;
use std::path::Path;

use aya::maps::Map;
use aya::programs::{Program, ProgramError, ProgramInfo, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use aya_log::EbpfLogger;
use aya_obj::programs::XdpAttachType;

use super::Options;
use super::attach::{Ingress, Set};
use super::error::{Error, Result};
use super::made::Made;
use super::maps::make_slots;
use super::migrate::Carrier;
use super::pin::{Paths, shapes};
use super::table::Table;

pub(super) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ringwall"));

/// The programs.
#[derive(Debug)]
pub(super) struct Programs {
    pub ingress: SchedClassifier,
    pub egress: SchedClassifier,
    pub explain_ingress: SchedClassifier,
    pub explain_egress: SchedClassifier,
    /// For devices without an Ethernet header; loaded when the first of them is guarded.
    pub bare: Option<Bare>,
    /// For what is judged at XDP; loaded when the first interface is.
    pub early: Option<Early>,
    /// This is an agent's, which loads what it needs.
    loads: bool,
}

/// The programs at TC of devices without an Ethernet header.
#[derive(Debug)]
pub(super) struct Bare {
    pub ingress: SchedClassifier,
    pub egress: SchedClassifier,
}

/// The programs at XDP.
#[derive(Debug)]
pub(super) struct Early {
    pub xdp: Xdp,
    pub explain: Xdp,
}

/// What the programs say of themselves when something is wrong that cannot be.
pub(super) struct KernelLog(pub(super) Option<EbpfLogger<&'static dyn log::Log>>);

impl KernelLog {
    /// Hands on what was said since the last time.
    pub(super) fn flush(&mut self) {
        if let Some(logger) = &mut self.0 {
            logger.flush();
        }
    }
}

impl std::fmt::Debug for KernelLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KernelLog({})", self.0.is_some())
    }
}

/// How often a program is tried, as libbpf does.
const ATTEMPTS: u32 = 5;

const NAMES: [&str; 4] = [
    "ringwall_ingress",
    "ringwall_egress",
    "ringwall_explain_ingress",
    "ringwall_explain_egress",
];

const BARE: [&str; 2] = ["ringwall_bare_ingress", "ringwall_bare_egress"];
const EARLY: [&str; 2] = ["ringwall_xdp", "ringwall_explain_xdp"];

impl Programs {
    /// Loads the programs over the pinned tables, making those that are missing, and pins the programs
    /// in the place of an earlier agent's; or takes up its own, where they are the same. What is attached to
    /// interfaces is not touched.
    pub(super) fn load(options: &Options, paths: &Paths) -> Result<(Self, KernelLog)> {
        let mut object = ready(options, paths, &NAMES)?;
        let log = KernelLog(EbpfLogger::init(&mut object).ok());
        let programs = Self::open(paths)?;
        Ok((
            Self {
                loads: true,
                ..programs
            },
            log,
        ))
    }

    /// The programs for devices without an Ethernet header, loaded at the first call of this agent. Most
    /// hosts have no such device, and need not wait for the verifier then.
    pub(super) fn bare(&mut self, options: &Options, paths: &Paths) -> Result<Set<'_>> {
        if self.bare.is_none() {
            ready(options, paths, &BARE)?;
            let [ingress, egress] = BARE.map(|name| from_pin(paths, name));
            self.bare = Some(Bare {
                ingress: ingress?,
                egress: egress?,
            });
        }
        let bare = self.bare.as_mut().ok_or(Error::NoProgram(BARE[0]))?;
        Ok(Set {
            ingress: &mut bare.ingress,
            egress: &mut bare.egress,
            xdp: Err("XDP sees Ethernet frames only".to_owned()),
        })
    }

    /// The programs for devices with an Ethernet header. Where those for XDP are asked for and do not load, TC
    /// does their work.
    pub(super) fn ethernet(
        &mut self,
        ingress: Ingress,
        options: &Options,
        paths: &Paths,
    ) -> Set<'_> {
        let failed = match ingress {
            Ingress::Tc => None,
            _ => self.early(options, paths).err(),
        };
        let why = failed.map_or_else(|| "not asked for".to_owned(), |error| error.to_string());
        Set {
            ingress: &mut self.ingress,
            egress: &mut self.egress,
            xdp: self.early.as_ref().map(|early| &early.xdp).ok_or(why),
        }
    }

    /// The programs at XDP: those that are pinned where this only looks, else loaded at the first call of
    /// this agent.
    pub(super) fn early(&mut self, options: &Options, paths: &Paths) -> Result<&mut Early> {
        if self.early.is_none() {
            if self.loads {
                ready(options, paths, &EARLY)?;
            }
            let open = |name: &'static str| {
                let pin = paths.programs.join(name);
                Xdp::from_pin(pin, XdpAttachType::Interface).map_err(refused(name))
            };
            let [xdp, explain] = EARLY.map(open);
            self.early = Some(Early {
                xdp: xdp?,
                explain: explain?,
            });
        }
        self.early.as_mut().ok_or(Error::NoProgram(EARLY[0]))
    }

    /// Opens the pins.
    pub(super) fn open(paths: &Paths) -> Result<Self> {
        let open = |name| from_pin(paths, name);
        let [ingress, egress, explain_ingress, explain_egress] = NAMES;
        Ok(Self {
            ingress: open(ingress)?,
            egress: open(egress)?,
            explain_ingress: open(explain_ingress)?,
            explain_egress: open(explain_egress)?,
            bare: None,
            early: None,
            loads: false,
        })
    }

    /// Instructions that the kernel verified to accept each program that is loaded.
    pub(super) fn verified(&self) -> Result<Vec<(&'static str, u32)>> {
        type Info = std::result::Result<ProgramInfo, ProgramError>;
        let tc = [
            &self.ingress,
            &self.egress,
            &self.explain_ingress,
            &self.explain_egress,
        ];
        let bare = self.bare.iter().flat_map(|b| [&b.ingress, &b.egress]);
        let early = self.early.iter().flat_map(|e| [&e.xdp, &e.explain]);
        let tc = NAMES.into_iter().zip(tc.map(SchedClassifier::info));
        let bare = BARE.into_iter().zip(bare.map(SchedClassifier::info));
        let early = EARLY.into_iter().zip(early.map(Xdp::info));
        let count = |(name, info): (&'static str, Info)| {
            let info = info.map_err(refused(name))?;
            Ok((name, info.verified_instruction_count().unwrap_or(0)))
        };
        tc.chain(bare).chain(early).map(count).collect()
    }
}

/// Loads and pins the programs at XDP, unless what is pinned is the same.
pub(super) fn ready_early(options: &Options, paths: &Paths) -> Result<()> {
    ready(options, paths, &EARLY).map(drop)
}

/// The object over the pinned tables, with a group of its programs pinned: as they are, where they were loaded from
/// the same object over the same tables, else loaded anew.
fn ready(options: &Options, paths: &Paths, group: &[&'static str]) -> Result<Ebpf> {
    let mut object = open(options, paths)?;
    let made = Made::of(&shapes(options), paths)?;
    let [first, ..] = group else {
        return Ok(object);
    };
    if !made.is_said(paths, first) {
        verify_all(&mut object, group)?;
        Made::unsay(paths, first)?;
        pin_all(&mut object, group, paths)?;
        made.say(paths, first)?;
    }
    Ok(object)
}

/// The object over the pinned tables; makes those that are missing. No program is loaded yet.
fn open(options: &Options, paths: &Paths) -> Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    for shape in shapes(options) {
        shape.check(&paths.maps)?;
        loader.map_max_entries(shape.name, shape.places);
        loader.map_pin_path(shape.name, shape.pin(&paths.maps));
    }
    make_slots(paths)?;
    Ok(loader.load(OBJECT)?)
}

/// All must load before the first takes the place of its predecessor.
fn verify_all(object: &mut Ebpf, names: &[&'static str]) -> Result<()> {
    for name in names {
        let program = object.program_mut(name).ok_or(Error::NoProgram(name))?;
        verify(program).map_err(refused(name))?;
    }
    Ok(())
}

fn pin_all(object: &mut Ebpf, names: &[&'static str], paths: &Paths) -> Result<()> {
    for name in names {
        let program = object.program_mut(name).ok_or(Error::NoProgram(name))?;
        pin(program, name, &paths.programs)?;
    }
    Ok(())
}

/// The program that adds to sessions, loaded for the time of a takeover.
pub(super) fn carrier(options: &Options, paths: &Paths) -> Result<Carrier> {
    const NAME: &str = "ringwall_carry";
    let mut object = open(options, paths)?;
    verify_all(&mut object, &[NAME])?;
    pin_all(&mut object, &[NAME], paths)?;
    let program = from_pin(paths, NAME)?;
    let _only_this_agent_uses_it = fs::remove_file(paths.programs.join(NAME));
    let failed = |error| Error::Table("CARRY", std::io::Error::other(error));
    let table = match object.take_map("CARRY") {
        Some(Map::Array(map)) => Table::from_map(map, "CARRY")?,
        _ => return Err(failed("it is not in the object")),
    };
    Ok(Carrier { program, table })
}

fn from_pin(paths: &Paths, name: &'static str) -> Result<SchedClassifier> {
    SchedClassifier::from_pin(paths.programs.join(name)).map_err(refused(name))
}

/// Loads a program. The verifier stops where a signal comes in, and then says: again.
fn verify(program: &mut Program) -> std::result::Result<(), ProgramError> {
    for _ in 1..ATTEMPTS {
        match load(program) {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.raw_os_error() == Some(libc::EAGAIN) => {}
            outcome => return outcome,
        }
    }
    load(program)
}

fn load(program: &mut Program) -> std::result::Result<(), ProgramError> {
    match program {
        Program::SchedClassifier(program) => program.load(),
        Program::Xdp(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

fn refused(name: &'static str) -> impl Fn(ProgramError) -> Error {
    move |error| Error::Program(name, Box::new(error))
}

/// Pins beside and renames, so that the name is always there.
fn pin(program: &mut Program, name: &'static str, directory: &Path) -> Result<()> {
    let failed = |error| Error::Directory(directory.to_owned(), error);
    let fresh = directory.join(format!("{name}_new"));
    let _left_by_a_crash = fs::remove_file(&fresh);
    program
        .pin(&fresh)
        .map_err(|error| failed(std::io::Error::other(error)))?;
    fs::rename(&fresh, directory.join(name)).map_err(failed)
}
