//! How much stack the programs need, counted as the oldest kernel that we support counts it.
//!
//! The frames of a chain of calls may not pass 512 bytes together. Linux 6.1 rounds each frame up to 32 bytes
//! (`check_max_stack_depth` in kernel/bpf/verifier.c), later kernels with the JIT to 16. So a program that the
//! running kernel loads may be refused there; this finds it without booting one.

use std::collections::{BTreeMap, BTreeSet};

use aya_obj::Object;
use aya_obj::generated::bpf_insn;

use super::load::OBJECT;

/// `MAX_BPF_STACK` in include/linux/filter.h, in bytes.
const LIMIT: u32 = 512;
/// What 6.1 rounds a frame up to, in bytes.
const FRAME: u32 = 32;

/// BPF's instructions as far as frames and calls show in them (RFC 9669).
mod code {
    /// The class of an instruction.
    pub(super) const CLASS: u8 = 0x07;
    pub(super) const LDX: u8 = 0x01;
    pub(super) const ST: u8 = 0x02;
    pub(super) const STX: u8 = 0x03;
    /// `dst = src`, 64 bits.
    pub(super) const MOV_REGISTER: u8 = 0xbf;
    /// `dst += imm`, 64 bits.
    pub(super) const ADD_NUMBER: u8 = 0x07;
    pub(super) const CALL: u8 = 0x85;
    /// A call of a function of the same program; elsewhere the source is 0, a helper.
    pub(super) const LOCAL: u8 = 1;
    /// Loads 64 bits; with the source 4 the address of a function (a callback).
    pub(super) const LOAD_WIDE: u8 = 0x18;
    pub(super) const FUNCTION: u8 = 4;
    /// The frame pointer.
    pub(super) const FRAME_POINTER: u8 = 10;
}

/// The function at an instruction that is called, or handed over as a callback, here.
fn called(at: usize, insn: &bpf_insn) -> Option<usize> {
    let reaches = match (insn.code, insn.src_reg()) {
        (code::CALL, code::LOCAL) | (code::LOAD_WIDE, code::FUNCTION) => insn.imm,
        _ => return None,
    };
    usize::try_from(at as i64 + i64::from(reaches) + 1).ok()
}

/// How far below the frame pointer these instructions reach, in bytes.
fn frame(insns: &[bpf_insn]) -> u32 {
    let direct = insns.iter().map(|insn| {
        let base = match insn.code & code::CLASS {
            code::LDX => insn.src_reg(),
            code::ST | code::STX => insn.dst_reg(),
            _ => return 0,
        };
        match base == code::FRAME_POINTER {
            true => i32::from(insn.off),
            false => 0,
        }
    });
    let taken = insns.windows(2).map(|pair| {
        let copied = pair[0].code == code::MOV_REGISTER && pair[0].src_reg() == code::FRAME_POINTER;
        let moved = pair[1].code == code::ADD_NUMBER && pair[1].dst_reg() == pair[0].dst_reg();
        if copied && moved { pair[1].imm } else { 0 }
    });
    direct.chain(taken).min().unwrap_or(0).min(0).unsigned_abs()
}

/// The functions of a linked program: where each begins, its frame, and whom it calls.
fn functions(program: &[bpf_insn]) -> BTreeMap<usize, (u32, BTreeSet<usize>)> {
    let calls = || program.iter().enumerate();
    let mut starts: Vec<_> = calls().filter_map(|(at, i)| called(at, i)).collect();
    starts.extend([0, program.len()]);
    starts.sort_unstable();
    starts.dedup();
    let function = |range: &[usize]| {
        let body = &program[range[0]..range[1]];
        let callees = (range[0]..range[1]).filter_map(|at| called(at, &program[at]));
        (range[0], (frame(body), callees.collect()))
    };
    starts.windows(2).map(function).collect()
}

/// The deepest chain of frames from a function on, and the frames on it.
fn deepest(at: usize, functions: &BTreeMap<usize, (u32, BTreeSet<usize>)>) -> (u32, Vec<u32>) {
    let (own, callees) = &functions[&at];
    let below = callees.iter().map(|&callee| deepest(callee, functions));
    let (depth, mut frames) = below.max().unwrap_or_default();
    frames.insert(0, *own);
    ((*own).max(1).next_multiple_of(FRAME) + depth, frames)
}

#[test]
fn every_program_fits_the_stack_of_the_oldest_kernel() {
    let mut object = Object::parse(OBJECT).unwrap();
    let sections = object.functions.keys().map(|&(section, _)| section);
    object.relocate_calls(&sections.collect()).unwrap();
    for function in object.functions.values() {
        println!("{}: {} bytes", function.name, frame(&function.instructions));
    }
    let mut chains = 0;
    for (name, program) in &object.programs {
        let program = &object.functions[&program.function_key()].instructions;
        let (depth, frames) = deepest(0, &functions(program));
        println!("{name}: {depth} bytes of stack on 6.1, frames {frames:?}");
        assert!(depth <= LIMIT, "{name} needs {depth} bytes: {frames:?}");
        chains += usize::from(frames.len() > 1);
    }
    assert!(
        chains > 0,
        "no program calls a function: are calls still found?"
    );
}
