//! What the agent's shield needs of the programs: how much is refused where, and a word from XDP to TC while an interface
//! changes from one to the other. Packets pay for it only while a setting asks for it.

use firewall_common::config::{SETTINGS_COUNTS_REFUSED, SETTINGS_HANDS_OVER, judged_mark};
use firewall_common::flow::Hook;
use firewall_common::pipeline::At;
use firewall_common::verdict::{Decision, Verdict};

use crate::maps::{REFUSED, SETTINGS};
use crate::source::Context as _;
use crate::source::tc::Buffer;
use crate::source::xdp::Frame;

/// Counts what is refused where it arrives, if the interface is watched.
#[inline(always)]
#[expect(
    clippy::needless_borrows_for_generic_args,
    reason = "a copy would be on the stack"
)]
pub(crate) fn count(at: &At, decision: &Decision) {
    let refused = matches!(decision.verdict, Verdict::Dropped | Verdict::Rejected);
    if !refused || !matches!(at.hook, Hook::Ingress) || !is_set(SETTINGS_COUNTS_REFUSED) {
        return;
    }
    // The key is where it is, in working memory: there is no stack to spare.
    if let Some(count) = REFUSED.get_ptr_mut(&at.interface) {
        // SAFETY: this CPU's word, which lives as long as the program runs; hooks run with softirqs off.
        unsafe { *count += u64::from(at.packets) };
    }
}

/// Says to TC that a frame which passes here was judged here, while the interface has programs at both.
#[inline(always)]
pub(crate) fn hand_over(frame: Frame) {
    if let Some(settings) = SETTINGS.get(0)
        && settings.flags & SETTINGS_HANDS_OVER != 0
    {
        frame.bear(judged_mark(settings.mark, frame.interface()));
    }
}

/// Was it judged at XDP of this interface? Nobody but the programs knows the mark, which is drawn at load. It is looked
/// for without asking whether an interface is changing its hook: what was judged before a change was over may come here
/// after it. What has nothing before its link header, and that is all there is at other times, is none.
#[inline(always)]
pub(crate) fn was_judged(buffer: Buffer) -> bool {
    let Some(word) = buffer.borne() else {
        return false;
    };
    SETTINGS
        .get(0)
        .is_some_and(|settings| word == judged_mark(settings.mark, buffer.interface()))
}

#[inline(always)]
fn is_set(flag: u32) -> bool {
    SETTINGS
        .get(0)
        .is_some_and(|settings| settings.flags & flag != 0)
}
