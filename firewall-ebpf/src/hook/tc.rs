//! The programs at TC, where every kind of packet can be judged and answered.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use aya_log_ebpf::error;
use firewall_common::event::BOTH;
use firewall_common::flow::Hook;

use super::{judge, room};
use crate::emit::tc::{UNLIMITED, answer, tell_receiver};
use crate::flood::was_judged;
use crate::maps::SETTINGS;
use crate::source::Context;
use crate::source::tc::{Bare, Buffer};

/// On to the next program of the hook and, after the last, to the stack (`TCX_NEXT`). Never 0, which
/// would end the chain and skip others' programs.
const PASS: i32 = -1;
/// Freed here (`TC_ACT_SHOT`).
pub(crate) const DROP: i32 = 2;

/// Judges what arrives.
#[classifier]
pub fn ringwall_ingress(ctx: TcContext) -> i32 {
    guard(&ctx, buffer(&ctx), Hook::Ingress)
}

/// Judges what leaves.
#[classifier]
pub fn ringwall_egress(ctx: TcContext) -> i32 {
    guard(&ctx, buffer(&ctx), Hook::Egress)
}

/// Judges what arrives by a device without an Ethernet header.
#[classifier]
pub fn ringwall_bare_ingress(ctx: TcContext) -> i32 {
    guard(&ctx, Bare(buffer(&ctx)), Hook::Ingress)
}

/// Judges what leaves by a device without an Ethernet header.
#[classifier]
pub fn ringwall_bare_egress(ctx: TcContext) -> i32 {
    guard(&ctx, Bare(buffer(&ctx)), Hook::Egress)
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
fn guard<C: Context>(ctx: &TcContext, packet: C, hook: Hook) -> i32 {
    let buffer = buffer(ctx);
    if is_answer(buffer, hook) || (matches!(hook, Hook::Ingress) && was_judged(buffer)) {
        return PASS;
    }
    let Some(room) = room(hook as u32) else {
        // Cannot be: the table has a place for each hook. Said aloud, since nothing is counted here.
        error!(ctx, "no working memory at hook {}", hook as u32);
        return DROP;
    };
    let decision = judge::<_, false>(packet, hook, room);
    if decision.answer && room.scratch.happened.told == BOTH {
        tell_receiver(packet, buffer, hook, &mut room.scratch.packet);
        return answer(packet, buffer, hook, &room.scratch.packet, UNLIMITED);
    }
    if decision.answer {
        return answer(packet, buffer, hook, &room.scratch.packet, room.at.now);
    }
    if decision.passes() { PASS } else { DROP }
}

#[inline(always)]
fn explain(buffer: Buffer, hook: Hook) -> i32 {
    let Some(room) = room(hook as u32 + 2) else {
        return DROP;
    };
    let decision = judge::<_, true>(buffer, hook, room);
    buffer.leave(decision.to_words());
    if decision.passes() { PASS } else { DROP }
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
