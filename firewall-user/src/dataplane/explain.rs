//! Running the loaded programs on a frame of ours (`BPF_PROG_TEST_RUN`).

use std::time::Duration;

use aya::TestRunResult;
use aya::programs::{TestRun, TestRunOptions};
use firewall_common::flow::Hook;
use firewall_common::verdict::Decision;

use super::error::{Error, Result};
use super::load::{Early, Programs};

/// A packet to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'f> {
    /// The frame from its Ethernet header on.
    pub frame: &'f [u8],
    /// The hook it is seen at.
    pub hook: Hook,
    /// Interface of the hook, by index.
    pub interface: u32,
    /// On egress, the interface it came in by; 0: from this host.
    pub came_by: u32,
    /// Packets on the wire that it stands for; 0 and 1: one.
    pub segments: u32,
    /// How often to run it.
    pub repeat: u32,
    /// On ingress, judged at XDP and not at TC.
    pub xdp: bool,
}

impl<'f> Trial<'f> {
    /// One packet at a hook.
    #[must_use]
    pub const fn new(frame: &'f [u8], hook: Hook, interface: u32) -> Self {
        Self {
            frame,
            hook,
            interface,
            came_by: 0,
            segments: 0,
            repeat: 1,
            xdp: false,
        }
    }

    pub(super) const fn at_xdp(&self) -> bool {
        self.xdp && matches!(self.hook, Hook::Ingress)
    }
}

/// What a program did with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// On to the stack.
    Passed,
    /// Freed.
    Dropped,
    /// Turned into an answer and sent back.
    Answered,
}

/// What became of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the program said is to be done with it.
    pub fate: Fate,
    /// The frame afterwards.
    pub frame: Vec<u8>,
    /// Mean time of a run.
    pub duration: Duration,
}

/// Bytes of `struct __sk_buff` and the offsets in it, which are the kernel's promise to programs.
const BUFFER: usize = 192;
const INGRESS_IFINDEX: usize = 36;
const IFINDEX: usize = 40;
const CB: usize = 48;
const GSO_SEGS: usize = 164;
/// Bytes of `struct xdp_md`, and the offsets in it.
const FRAME: usize = 24;
const DATA_END: usize = 4;
const XDP_INGRESS_IFINDEX: usize = 12;
/// An answer may be longer than what it answers, and a decision may be left before it.
const GROWTH: usize = 256;
/// Bytes that the explaining program for XDP leaves before the frame.
const DECISION: usize = 16;

/// What came out of a run.
struct Ran<const CONTEXT: usize> {
    code: i32,
    frame: Vec<u8>,
    context: [u8; CONTEXT],
    duration: Duration,
}

fn put(context: &mut [u8], offset: usize, word: u32) {
    for (to, from) in context.iter_mut().skip(offset).zip(word.to_ne_bytes()) {
        *to = from;
    }
}

fn words(bytes: &[u8]) -> [u32; 4] {
    let (parts, _) = bytes.as_chunks::<4>();
    let word = |i| parts.get(i).map_or(0, |part| u32::from_ne_bytes(*part));
    [0, 1, 2, 3].map(word)
}

/// A socket buffer's context. At TC a packet has arrived by the interface, or leaves by it.
fn buffer(trial: &Trial<'_>) -> [u8; BUFFER] {
    let came_by = match trial.hook {
        Hook::Ingress => trial.interface,
        Hook::Egress => trial.came_by,
    };
    let mut context = [0; BUFFER];
    put(&mut context, INGRESS_IFINDEX, came_by);
    put(&mut context, IFINDEX, trial.interface);
    put(&mut context, GSO_SEGS, trial.segments);
    context
}

fn frame(trial: &Trial<'_>) -> [u8; FRAME] {
    let mut context = [0; FRAME];
    put(&mut context, DATA_END, trial.frame.len() as u32);
    put(&mut context, XDP_INGRESS_IFINDEX, trial.interface);
    context
}

fn run<const CONTEXT: usize, P>(
    program: &P,
    name: &'static str,
    trial: &Trial<'_>,
    context_in: &[u8; CONTEXT],
) -> Result<Ran<CONTEXT>>
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = TestRunResult>,
{
    let mut context = [0; CONTEXT];
    let mut frame = vec![0; trial.frame.len() + GROWTH];
    let result = program
        .test_run(TestRunOptions {
            data_in: Some(trial.frame),
            data_out: Some(&mut frame),
            ctx_in: Some(context_in),
            ctx_out: Some(&mut context),
            repeat: trial.repeat,
            ..TestRunOptions::default()
        })
        .map_err(|error| Error::Program(name, Box::new(error)))?;
    frame.truncate(result.data_size_out as usize);
    Ok(Ran {
        code: result.return_value.cast_signed(),
        frame,
        context,
        duration: result.duration,
    })
}

/// Judges a frame by the policy in force without leaving a trace.
pub(super) fn explain(programs: &Programs, trial: &Trial<'_>) -> Result<Decision> {
    let (program, name) = match trial.hook {
        Hook::Ingress => (&programs.explain_ingress, "ringwall_explain_ingress"),
        Hook::Egress => (&programs.explain_egress, "ringwall_explain_egress"),
    };
    let ran = run(program, name, trial, &buffer(trial))?;
    decision(ran.context.get(CB..))
}

/// The same at XDP.
pub(super) fn explain_xdp(programs: &Early, trial: &Trial<'_>) -> Result<Decision> {
    let (program, name) = (&programs.explain, "ringwall_explain_xdp");
    let ran = run(program, name, trial, &frame(trial))?;
    decision(ran.frame.get(..DECISION))
}

fn decision(bytes: Option<&[u8]>) -> Result<Decision> {
    Decision::from_words(words(bytes.unwrap_or_default())).ok_or(Error::NoDecision)
}

/// Judges a frame as if it had come: it counts, and it opens sessions.
pub(super) fn test_run(programs: &Programs, trial: &Trial<'_>) -> Result<Outcome> {
    let (program, name) = match trial.hook {
        Hook::Ingress => (&programs.ingress, "ringwall_ingress"),
        Hook::Egress => (&programs.egress, "ringwall_egress"),
    };
    outcome(run(program, name, trial, &buffer(trial))?, [-1, 2, 7])
}

/// The same at XDP.
pub(super) fn test_run_xdp(programs: &Early, trial: &Trial<'_>) -> Result<Outcome> {
    let (program, name) = (&programs.xdp, "ringwall_xdp");
    outcome(run(program, name, trial, &frame(trial))?, [2, 1, 3])
}

/// `codes` are those of a hook: on, drop, send back.
fn outcome<const CONTEXT: usize>(ran: Ran<CONTEXT>, codes: [i32; 3]) -> Result<Outcome> {
    let fates = [Fate::Passed, Fate::Dropped, Fate::Answered];
    let mut known = codes.into_iter().zip(fates);
    let (_, fate) = known
        .find(|(code, _)| *code == ran.code)
        .ok_or(Error::NoDecision)?;
    Ok(Outcome {
        fate,
        frame: ran.frame,
        duration: ran.duration,
    })
}
