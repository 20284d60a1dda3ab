//! The programs: loaded from the object that this binary carries, and kept by pins.

use std::fs;
use std::path::Path;

use aya::programs::{Program, ProgramError, ProgramInfo, SchedClassifier, Xdp};
use aya::{EbpfLoader, include_bytes_aligned};
use aya_log::EbpfLogger;
use aya_obj::programs::XdpAttachType;

use super::Options;
use super::error::{Error, Result};
use super::maps::make_slots;
use super::pin::{Paths, shapes};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ringwall"));

/// The programs at TC and at XDP.
#[derive(Debug)]
pub(super) struct Programs {
    pub ingress: SchedClassifier,
    pub egress: SchedClassifier,
    pub explain_ingress: SchedClassifier,
    pub explain_egress: SchedClassifier,
    pub xdp: Xdp,
    pub explain_xdp: Xdp,
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

const NAMES: [&str; 6] = [
    "ringwall_ingress",
    "ringwall_egress",
    "ringwall_explain_ingress",
    "ringwall_explain_egress",
    "ringwall_xdp",
    "ringwall_explain_xdp",
];

impl Programs {
    /// Loads all programs over the pinned tables, making those that are missing, and pins the programs
    /// in the place of an earlier agent's. What is attached to interfaces is not touched.
    pub(super) fn load(options: &Options, paths: &Paths) -> Result<(Self, KernelLog)> {
        let mut loader = EbpfLoader::new();
        for shape in shapes(options) {
            shape.check(&paths.maps)?;
            loader.map_max_entries(shape.name, shape.places);
            loader.map_pin_path(shape.name, paths.maps.join(shape.name));
        }
        make_slots(paths)?;
        let mut object = loader.load(OBJECT)?;
        // All must load before the first takes the place of its predecessor.
        for name in NAMES {
            let program = object.program_mut(name).ok_or(Error::NoProgram(name))?;
            verify(program).map_err(refused(name))?;
        }
        for name in NAMES {
            let program = object.program_mut(name).ok_or(Error::NoProgram(name))?;
            pin(program, name, &paths.programs)?;
        }
        let log = KernelLog(EbpfLogger::init(&mut object).ok());
        Ok((Self::open(paths)?, log))
    }

    /// Opens the pins.
    pub(super) fn open(paths: &Paths) -> Result<Self> {
        let tc = |name| SchedClassifier::from_pin(paths.programs.join(name)).map_err(refused(name));
        let xdp = |name| {
            let pin = paths.programs.join(name);
            Xdp::from_pin(pin, XdpAttachType::Interface).map_err(refused(name))
        };
        let [
            ingress,
            egress,
            explain_ingress,
            explain_egress,
            early,
            explain_early,
        ] = NAMES;
        Ok(Self {
            ingress: tc(ingress)?,
            egress: tc(egress)?,
            explain_ingress: tc(explain_ingress)?,
            explain_egress: tc(explain_egress)?,
            xdp: xdp(early)?,
            explain_xdp: xdp(explain_early)?,
        })
    }

    /// Instructions that the kernel verified to accept each program.
    pub(super) fn verified(&self) -> Result<Vec<(&'static str, u32)>> {
        let infos = [
            self.ingress.info(),
            self.egress.info(),
            self.explain_ingress.info(),
            self.explain_egress.info(),
            self.xdp.info(),
            self.explain_xdp.info(),
        ];
        let count = |(name, info): (&'static str, std::result::Result<ProgramInfo, _>)| {
            let info = info.map_err(refused(name))?;
            Ok((name, info.verified_instruction_count().unwrap_or(0)))
        };
        NAMES.into_iter().zip(infos).map(count).collect()
    }
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
