//! The programs at XDP: the same decision before the kernel makes a socket buffer, for what arrives.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::error;
use firewall_common::flow::Hook;

use super::{judge, room};
use crate::emit::tc::is_generic;
use crate::emit::xdp::answer;
use crate::flood::hand_over;
use crate::maps::{GUARDED, SETTINGS};
use crate::source::Context as _;
use crate::source::xdp::Frame;

/// Judges what arrives. It takes frames of several buffers, else a driver would refuse it at a large MTU.
#[xdp(frags)]
pub fn ringwall_xdp(ctx: XdpContext) -> u32 {
    let frame = Frame(ctx.as_ptr().cast());
    if is_answer(frame) {
        return XDP_PASS;
    }
    let Some(room) = room(Hook::Ingress as u32) else {
        // Cannot be: the table has a place for each hook. Said aloud, since nothing is counted here.
        error!(&ctx, "no working memory at XDP");
        return XDP_DROP;
    };
    let decision = judge::<_, false>(frame, Hook::Ingress, room);
    // A SYN that passes may be answered, too: with a cookie.
    if decision.answer {
        return answer(frame, &room.scratch.packet, room.at.now);
    }
    if decision.passes() {
        hand_over(frame);
        XDP_PASS
    } else {
        XDP_DROP
    }
}

/// An answer of ours to a local sender, which the other hook sent here: it seems to come from an address
/// drawn at load. Only XDP in the stack can see one.
#[inline(always)]
fn is_answer(frame: Frame) -> bool {
    let Some(source) = frame.source() else {
        return false;
    };
    if source == 0
        || SETTINGS
            .get(0)
            .is_none_or(|settings| settings.station != source)
    {
        return false;
    }
    GUARDED.get_ptr(frame.interface()).is_some_and(is_generic)
}

/// Says how a packet would be judged on arrival. Only ever run by `BPF_PROG_TEST_RUN`.
#[xdp(frags)]
pub fn ringwall_explain_xdp(ctx: XdpContext) -> u32 {
    let frame = Frame(ctx.as_ptr().cast());
    let Some(room) = room(Hook::Ingress as u32 + 2) else {
        return XDP_DROP;
    };
    let decision = judge::<_, true>(frame, Hook::Ingress, room);
    frame.leave(decision.to_words());
    if decision.passes() {
        XDP_PASS
    } else {
        XDP_DROP
    }
}
