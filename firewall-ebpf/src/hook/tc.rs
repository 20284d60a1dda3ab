//! The programs at TC, where every kind of packet can be judged and answered.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated as h;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use aya_log_ebpf::error;
use firewall_common::flow::Hook;
use firewall_common::pipeline::{At, Scratch, decide};
use firewall_common::source::PacketSource;
use firewall_common::verdict::Decision;

use crate::emit::answer;
use crate::maps::{SCRATCH, SETTINGS};
use crate::source::tc::{Bare, Buffer};
use crate::tables::MapTables;

/// On to the next program of the hook and, after the last, to the stack (`TCX_NEXT`). Never 0, which
/// would end the chain and skip others' programs.
const PASS: i32 = -1;
/// Freed here (`TC_ACT_SHOT`).
pub(crate) const DROP: i32 = 2;

/// Judges what arrives.
#[classifier]
pub fn ringwall_ingress(ctx: TcContext) -> i32 {
    guard(&ctx, &buffer(&ctx), Hook::Ingress)
}

/// Judges what leaves.
#[classifier]
pub fn ringwall_egress(ctx: TcContext) -> i32 {
    guard(&ctx, &buffer(&ctx), Hook::Egress)
}

/// Judges what arrives by a device without an Ethernet header.
#[classifier]
pub fn ringwall_bare_ingress(ctx: TcContext) -> i32 {
    guard(&ctx, &Bare(buffer(&ctx)), Hook::Ingress)
}

/// Judges what leaves by a device without an Ethernet header.
#[classifier]
pub fn ringwall_bare_egress(ctx: TcContext) -> i32 {
    guard(&ctx, &Bare(buffer(&ctx)), Hook::Egress)
}

/// Says how a packet would be judged on arrival. Only ever run by `BPF_PROG_TEST_RUN`.
#[classifier]
pub fn ringwall_explain_ingress(ctx: TcContext) -> i32 {
    explain(buffer(&ctx), Hook::Ingress)
}

/// Says how a packet would be judged on leaving. Only ever run by `BPF_PROG_TEST_RUN`.
#[classifier]
pub fn ringwall_explain_egress(ctx: TcContext) -> i32 {
    explain(buffer(&ctx), Hook::Egress)
}

#[inline(always)]
fn buffer(ctx: &TcContext) -> Buffer {
    Buffer(ctx.as_ptr().cast())
}

#[inline(always)]
fn guard<S: PacketSource>(ctx: &TcContext, source: &S, hook: Hook) -> i32 {
    let buffer = buffer(ctx);
    if is_answer(buffer, hook) {
        return PASS;
    }
    let Some(scratch) = scratch(hook as u32) else {
        // Cannot be: the table has a place for each hook. Said aloud, since nothing is counted here.
        error!(ctx, "no working memory at hook {}", hook as u32);
        return DROP;
    };
    let (decision, now) = judge::<false, S>(source, buffer, hook, scratch);
    if decision.passes() {
        return PASS;
    }
    if decision.answer {
        return answer(source, buffer, hook, &scratch.packet, now);
    }
    DROP
}

#[inline(always)]
fn explain(buffer: Buffer, hook: Hook) -> i32 {
    let Some(scratch) = scratch(hook as u32 + 2) else {
        return DROP;
    };
    let (decision, _) = judge::<true, _>(&buffer, buffer, hook, scratch);
    buffer.leave(decision.to_words());
    if decision.passes() { PASS } else { DROP }
}

#[inline(always)]
fn judge<const DRY: bool, S: PacketSource>(
    source: &S,
    buffer: Buffer,
    hook: Hook,
    scratch: &mut Scratch,
) -> (Decision, u64) {
    let came_by = match hook {
        Hook::Ingress => 0,
        Hook::Egress => buffer.came_by(),
    };
    let mut at = At {
        // SAFETY: takes nothing, returns a number.
        now: unsafe { h::bpf_ktime_get_boot_ns() },
        interface: buffer.interface(),
        came_by,
        packets: 0,
        bytes: 0,
        slot: 0,
        hook,
    };
    let decision = decide(source, MapTables::<DRY>::new(buffer), &mut at, scratch);
    (decision, at.now)
}

/// An answer of ours, redirected to the other hook: it bears the mark drawn at load.
#[inline(always)]
fn is_answer(buffer: Buffer, hook: Hook) -> bool {
    let mark = buffer.mark();
    if mark == 0 || SETTINGS.get(0).is_none_or(|settings| settings.mark != mark) {
        return false;
    }
    if matches!(hook, Hook::Ingress) {
        buffer.set_mark(0);
    }
    true
}

/// This CPU's working memory. Nothing else on this CPU uses the same place while a program runs:
/// both hooks run with softirqs off, and a packet that leaves another hook is queued or has left it.
#[inline(always)]
fn scratch(place: u32) -> Option<&'static mut Scratch> {
    let scratch = SCRATCH.get_ptr_mut(place)?;
    // SAFETY: the pointer is to a value of that type that lives as long as the program runs, and
    // nobody else has it, see above.
    Some(unsafe { &mut *scratch })
}
