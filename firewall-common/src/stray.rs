//! Strays: packets that open nothing and belong to nothing, and what the host wants done about them.
//!
//! A session that began before enforcement did is not known. Those of this host are adopted by the agent, which
//! can ask the kernel for sockets. Of routed ones nobody knows but their own packets, so for a while
//! after enforcement has begun they are taken up from their middle.

use crate::config::{Generation, STRAY_PASS, STRAY_RESET, Strays};
use crate::cookie;
use crate::judge;
use crate::list::Begins;
use crate::packet::{Role, protocol};
use crate::parse::tcp::RST;
use crate::pipeline::{At, Scratch};
use crate::policy::lookup::lookup;
use crate::reason::Reason;
use crate::tables::{Cookie, Tables};
use crate::verdict::{Decision, Verdict};
use crate::zone::Course;

/// What becomes of a packet that opens no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// What the list said.
    Stays(Decision),
    /// A session is opened by it.
    TakenUp {
        decision: Decision,
        /// How.
        begins: Begins,
    },
}

/// The list has decided about a stray; what the host wants beyond that.
#[inline(always)]
pub(crate) fn stray<T: Tables>(
    tables: T,
    at: &At,
    head: &Generation,
    scratch: &mut Scratch,
    decision: Decision,
) -> Fate {
    let packet = &scratch.packet;
    if !matches!(packet.role, Role::Continues) || packet.is_icmp() {
        return Fate::Stays(decision);
    }
    match cookie::brings(tables, at, scratch) {
        Cookie::Good => {
            if let Some(decision) = as_opening(head, scratch, decision) {
                let begins = Begins::Cookie;
                let reason =
                    judge::of_opening(head, &scratch.question, &scratch.search.answer).reason;
                let decision = Decision { reason, ..decision };
                return Fate::TakenUp { decision, begins };
            }
        }
        Cookie::Bad if matches!(decision.reason, Reason::NoSession) => {
            let plain = Decision::plain(Reason::SynCookieFailed);
            let (source_zone, destination_zone) = (decision.source_zone, decision.destination_zone);
            return Fate::Stays(Decision {
                source_zone,
                destination_zone,
                ..plain
            });
        }
        _ => {}
    }
    let wish = tables.strays();
    let packet = &scratch.packet;
    let tcp = packet.tuple.protocol == protocol::TCP;
    let resets = tcp && packet.tcp_flags & RST != 0;
    let routed = scratch.question.course == Course::Routed as u8;
    let soon = routed && at.now < wish.midstream_until;
    if !resets && (soon || wish.mode == STRAY_PASS) {
        if let Some(decision) = as_opening(head, scratch, decision) {
            return Fate::TakenUp {
                decision,
                begins: Begins::Midstream,
            };
        }
        if soon && tcp {
            turn(scratch);
            lookup(
                tables,
                at.slot,
                head,
                &scratch.question,
                &mut scratch.search,
            );
            if let Some(decision) = as_opening(head, scratch, decision) {
                return Fate::TakenUp {
                    decision,
                    begins: Begins::MidstreamReply,
                };
            }
        }
    }
    Fate::Stays(reset(wish, tcp && !soon, decision))
}

/// What the list would say if the packet opened a session, where it would let it.
#[inline(always)]
fn as_opening(head: &Generation, scratch: &mut Scratch, decision: Decision) -> Option<Decision> {
    let answer = &scratch.search.answer;
    let opening = judge::of_opening(head, &scratch.question, answer);
    if !matches!(
        opening.reason,
        Reason::RuleAllow | Reason::DefaultAllow | Reason::Routed
    ) {
        return None;
    }
    let mut rule = 0;
    if let Some(found) = answer.rule() {
        rule = found.counter;
        scratch.happened.log = found.log;
    }
    Some(Decision {
        rule,
        source_zone: answer.source_zone,
        destination_zone: answer.destination_zone,
        uncounted: decision.uncounted,
        ..Decision::plain(Reason::Midstream)
    })
}

/// Asks for the other direction: it may be an answer that is seen first, and its sender may be waiting for
/// nothing but ours.
#[inline(always)]
fn turn(scratch: &mut Scratch) {
    let question = &mut scratch.question;
    question.tuple = question.tuple.reversed();
    (question.interface_in, question.interface_out) =
        (question.interface_out, question.interface_in);
    // The way back to the source was looked for already.
    question.fresh = false;
    // It would have been counted already.
    question.packets = 0;
    question.bytes = 0;
}

/// While sessions are still being taken up nobody is told that theirs does not exist.
#[inline(always)]
fn reset(wish: Strays, may: bool, decision: Decision) -> Decision {
    let strays = matches!(decision.reason, Reason::NoSession);
    if !(strays && may && wish.mode == STRAY_RESET) {
        return decision;
    }
    Decision {
        verdict: Verdict::Rejected,
        answer: true,
        ..decision
    }
}
