//! Running the loaded programs on a frame of ours (`BPF_PROG_TEST_RUN`).

use std::time::Duration;

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use firewall_common::flow::Hook;
use firewall_common::verdict::Decision;

use super::error::{Error, Result};
use super::load::Programs;

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
        }
    }
}

/// What became of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The program's return value: -1 on, 2 dropped, 7 answered.
    pub code: i32,
    /// The frame afterwards.
    pub frame: Vec<u8>,
    /// Mean time of a run.
    pub duration: Duration,
}

/// Bytes of `struct __sk_buff` and the offsets in it, which are the kernel's promise to programs.
const CONTEXT: usize = 192;
const INGRESS_IFINDEX: usize = 36;
const IFINDEX: usize = 40;
const CB: usize = 48;
const GSO_SEGS: usize = 164;
/// An answer may be longer than what it answers.
const GROWTH: usize = 256;

fn context(trial: &Trial<'_>) -> [u8; CONTEXT] {
    let mut context = [0; CONTEXT];
    let mut put = |offset: usize, word: u32| {
        for (to, from) in context.iter_mut().skip(offset).zip(word.to_ne_bytes()) {
            *to = from;
        }
    };
    let came_by = match trial.hook {
        Hook::Ingress => trial.interface,
        Hook::Egress => trial.came_by,
    };
    put(INGRESS_IFINDEX, came_by);
    put(IFINDEX, trial.interface);
    put(GSO_SEGS, trial.segments);
    context
}

fn word(context: &[u8; CONTEXT], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    for (to, from) in bytes.iter_mut().zip(context.iter().skip(offset)) {
        *to = *from;
    }
    u32::from_ne_bytes(bytes)
}

fn run(
    program: &SchedClassifier,
    name: &'static str,
    trial: &Trial<'_>,
) -> Result<(Outcome, [u8; CONTEXT])> {
    let context_in = context(trial);
    let mut context_out = [0; CONTEXT];
    let mut frame = vec![0; trial.frame.len() + GROWTH];
    let result = program
        .test_run(TestRunOptions {
            data_in: Some(trial.frame),
            data_out: Some(&mut frame),
            ctx_in: Some(&context_in),
            ctx_out: Some(&mut context_out),
            repeat: trial.repeat,
            ..TestRunOptions::default()
        })
        .map_err(|error| Error::Program(name, Box::new(error)))?;
    frame.truncate(result.data_size_out as usize);
    let outcome = Outcome {
        code: result.return_value.cast_signed(),
        frame,
        duration: result.duration,
    };
    Ok((outcome, context_out))
}

/// Judges a frame by the policy in force without leaving a trace.
pub(super) fn explain(programs: &Programs, trial: &Trial<'_>) -> Result<Decision> {
    let (program, name) = match trial.hook {
        Hook::Ingress => (&programs.explain_ingress, "ringwall_explain_ingress"),
        Hook::Egress => (&programs.explain_egress, "ringwall_explain_egress"),
    };
    let (_, context) = run(program, name, trial)?;
    let words = [0, 1, 2, 3].map(|i| word(&context, CB + 4 * i));
    Decision::from_words(words).ok_or(Error::NoDecision)
}

/// Judges a frame as if it had come: it counts, and it opens sessions.
pub(super) fn test_run(programs: &Programs, trial: &Trial<'_>) -> Result<Outcome> {
    let (program, name) = match trial.hook {
        Hook::Ingress => (&programs.ingress, "ringwall_ingress"),
        Hook::Egress => (&programs.egress, "ringwall_egress"),
    };
    Ok(run(program, name, trial)?.0)
}
