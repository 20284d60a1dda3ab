//! From the policy's answer to a decision: what opens, what is a stray, and sessions judged anew.

use crate::addr::Addr;
use crate::config::{Fallback, GENERATION_MONITOR, Generation, LOCAL_BROADCAST, LOCAL_UNICAST};
use crate::flow::{Hook, Tuple};
use crate::packet::{Packet, Role};
use crate::pipeline::{At, Scratch};
use crate::policy::dynamic;
use crate::policy::lookup::{Answer, Question, lookup, sooner};
use crate::policy::rule::{Action, DEFAULT, STATELESS, on_change};
use crate::reason::Reason;
use crate::session::{Entry, Permit};
use crate::tables::Tables;
use crate::verdict::{Decision, Verdict};
use crate::zone::Course;

/// Fills in the question that a packet puts to the policy: its tuple, course and interfaces.
#[inline(always)]
pub fn ask<T: Tables>(tables: T, at: &At, packet: &Packet, question: &mut Question) {
    question.tuple = packet.tuple;
    question.now = at.now;
    question.packets = at.packets;
    question.bytes = at.bytes;
    let destination = &packet.tuple.destination;
    let local = tables.local(destination);
    question.group = destination.is_multicast()
        || destination.is_limited_broadcast()
        || local == LOCAL_BROADCAST;
    question.fresh = matches!(at.hook, Hook::Ingress);
    let course = match at.hook {
        Hook::Ingress => arriving(tables, at, question, local),
        Hook::Egress => {
            question.leaving = true;
            question.interface_in = at.came_by;
            question.interface_out = at.interface;
            if at.came_by == 0 {
                Course::Outbound
            } else {
                Course::Routed
            }
        }
    };
    question.course = course as u8;
}

/// To this host by the kernel's routing, multicast and broadcast included; else routed.
#[inline(always)]
fn arriving<T: Tables>(tables: T, at: &At, question: &mut Question, local: u32) -> Course {
    question.leaving = false;
    question.interface_in = at.interface;
    question.interface_out = 0;
    if local != 0 || question.group {
        return Course::Inbound;
    }
    let route = tables.route(&question.tuple, at.interface);
    if route.here {
        return Course::Inbound;
    }
    question.interface_out = route.interface;
    Course::Routed
}

/// The question that an existing session puts again: the opener's tuple, course and interfaces.
#[inline(always)]
pub fn ask_again(tuple: &Tuple, entry: &Entry, now: u64, question: &mut Question) {
    question.tuple = *tuple;
    question.now = now;
    question.packets = 0;
    question.bytes = 0;
    question.course = entry.course;
    question.interface_in = entry.interface_in;
    question.interface_out = entry.interface_out;
    question.leaving = entry.leaving();
    question.group = tuple.destination.is_multicast() || entry.group();
    // It lives: wherever the way to its ends leads by now.
    question.fresh = false;
}

/// Why nobody on the link can have this source: it is one of this machine's own unicast addresses, or a
/// broadcast address of a link of ours. What needs no table is caught by framing.
#[inline(always)]
pub fn false_source<T: Tables>(tables: T, hook: Hook, source: &Addr) -> Option<Reason> {
    if matches!(hook, Hook::Egress) {
        return None;
    }
    match tables.local(source) {
        LOCAL_UNICAST => Some(Reason::SpoofedSource),
        LOCAL_BROADCAST => Some(Reason::Martian),
        _ => None,
    }
}

/// What the list says of a packet without a session, and whether it opens one. The answer it was read
/// from is left in `scratch`. Nothing is counted yet.
#[inline(always)]
pub fn judge<T: Tables>(
    tables: T,
    slot: u32,
    head: &Generation,
    scratch: &mut Scratch,
) -> (Decision, bool) {
    lookup(tables, slot, head, &scratch.question, &mut scratch.search);
    let answer = &scratch.search.answer;
    if answer.martian {
        let decision = Decision {
            source_zone: answer.source_zone,
            destination_zone: answer.destination_zone,
            ..Decision::plain(Reason::Martian)
        };
        let opens = matches!(scratch.packet.role, Role::Opens);
        return (decision, opens && opens_session(head, &decision));
    }
    let mut decision = match scratch.packet.role {
        Role::Opens => of_opening(head, &scratch.question, answer),
        Role::Continues | Role::Error => of_stray(head, &scratch.question, answer),
        Role::Stateless => of_stateless(head, &scratch.question, answer),
    };
    decision.source_zone = answer.source_zone;
    decision.destination_zone = answer.destination_zone;
    if let Some(rule) = answer.rule()
        && decides(scratch.packet.role, decision.reason)
    {
        decision.rule = rule.counter;
        scratch.happened.log = rule.log;
    }
    let opens = matches!(scratch.packet.role, Role::Opens);
    decision.answer = opens && matches!(decision.verdict, Verdict::Rejected);
    let session = opens && opens_session(head, &decision);
    (decision, session)
}

/// Did the rule that matched decide? Not about a stray that its stateful allow does not take.
#[inline(always)]
const fn decides(role: Role, reason: Reason) -> bool {
    let let_by = matches!(role, Role::Continues) && matches!(reason, Reason::DefaultAllow);
    !(let_by || matches!(reason, Reason::NoSession | Reason::Routed))
}

/// Counts for the rule that decided in the end.
#[inline(always)]
pub(crate) fn charge<T: Tables>(tables: T, at: &At, decision: &Decision) {
    if decision.rule != 0 {
        tables.hit(decision.rule, at.packets, at.bytes, at.now);
    }
}

/// What a session remembers of the answer that let it in.
#[inline(always)]
pub const fn permit(answer: &Answer, epoch: u32, entry: &mut Entry) {
    let (rule, flags, expires) = match answer.rule() {
        Some(rule) => (rule.counter, rule.flags, rule.expires),
        None => (0, 0, 0),
    };
    entry.permit = Permit {
        epoch,
        rule,
        expires: sooner(expires, answer.until),
    };
    entry.on_change = on_change(flags);
}

/// In monitor mode refused openings open too, so that the session can be judged when enforcement begins.
#[inline(always)]
const fn opens_session(head: &Generation, decision: &Decision) -> bool {
    match decision.reason {
        Reason::RuleAllow | Reason::DefaultAllow | Reason::Routed => true,
        Reason::Stateless => false,
        _ => head.flags & GENERATION_MONITOR != 0,
    }
}

/// The reason for a rule's action.
#[inline(always)]
const fn reason_of(action: Action, flags: u8) -> Reason {
    match (action, flags & DEFAULT != 0) {
        (Action::Allow, _) if flags & STATELESS != 0 => Reason::Stateless,
        (Action::Allow, false) => Reason::RuleAllow,
        (Action::Allow, true) => Reason::DefaultAllow,
        (Action::Deny, false) => Reason::RuleDeny,
        (Action::Deny, true) => Reason::DefaultDeny,
        (Action::Reject, false) => Reason::RuleReject,
        (Action::Reject, true) => Reason::DefaultReject,
    }
}

#[inline(always)]
const fn fallback(head: &Generation, course: u8) -> Fallback {
    Fallback::from_number(head.unmatched[(course & 3) as usize])
}

#[inline(always)]
pub(crate) fn of_opening(head: &Generation, question: &Question, answer: &Answer) -> Decision {
    if let Some(rule) = answer.rule() {
        return Decision::plain(reason_of(Action::from_number(rule.action), rule.flags));
    }
    of_end(head, question)
}

/// What nothing decided goes by `unmatched`.
#[inline(always)]
fn of_end(head: &Generation, question: &Question) -> Decision {
    match fallback(head, question.course) {
        Fallback::Allow => Decision::plain(Reason::DefaultAllow),
        Fallback::Pass => Decision::plain(Reason::Routed),
        Fallback::Deny => Decision::plain(Reason::NoPolicy),
        Fallback::Reject => {
            let plain = Decision::plain(Reason::NoPolicy);
            Decision {
                verdict: Verdict::Rejected,
                ..plain
            }
        }
    }
}

/// A stray walks the list too: refusals decide with their own reason, and a stateless allow passes. What
/// a stateful allow or the end of the list makes of it, see [`unclaimed`].
#[inline(always)]
pub(crate) fn of_stray(head: &Generation, question: &Question, answer: &Answer) -> Decision {
    if let Some(rule) = answer.rule() {
        let reason = reason_of(Action::from_number(rule.action), rule.flags);
        return match reason {
            Reason::RuleAllow | Reason::DefaultAllow => unclaimed(head, question),
            other => Decision::plain(other),
        };
    }
    match (fallback(head, question.course), is_routed(question)) {
        (Fallback::Deny | Fallback::Reject, true) => of_end(head, question),
        _ => unclaimed(head, question),
    }
}

/// A stray that nothing refused and nothing stateless took: `no-session`, but a routed one may still be let by.
#[inline(always)]
fn unclaimed(head: &Generation, question: &Question) -> Decision {
    match (fallback(head, question.course), is_routed(question)) {
        (Fallback::Pass, true) => Decision::plain(Reason::Routed),
        (Fallback::Allow, true) => Decision::plain(Reason::DefaultAllow),
        _ => Decision::plain(Reason::NoSession),
    }
}

#[inline(always)]
const fn is_routed(question: &Question) -> bool {
    question.course == Course::Routed as u8
}

/// ICMP messages without sessions: an allow passes whatever it says of state.
#[inline(always)]
fn of_stateless(head: &Generation, question: &Question, answer: &Answer) -> Decision {
    if let Some(rule) = answer.rule() {
        let reason = reason_of(Action::from_number(rule.action), rule.flags);
        return Decision::plain(match reason {
            Reason::RuleAllow => Reason::Stateless,
            other => other,
        });
    }
    match fallback(head, question.course) {
        Fallback::Deny | Fallback::Reject if !is_routed(question) => {
            Decision::plain(Reason::NoSession)
        }
        _ => of_end(head, question),
    }
}

/// Judges a session anew after a change, by the answer to its opener's question. Where it is allowed it has its
/// new permit; else why it is not.
///
/// # Errors
/// `revoked`, or `rule-expired` where the expiry of its rule was the cause.
#[inline(always)]
pub fn again(
    head: &Generation,
    answer: &Answer,
    entry: &mut Entry,
    now: u64,
) -> Result<(), Reason> {
    let allowed = match answer.action() {
        Some(Action::Allow) => true,
        Some(_) => false,
        None => matches!(
            fallback(head, entry.course),
            Fallback::Allow | Fallback::Pass
        ),
    };
    if allowed {
        permit(answer, head.epoch, entry);
        return Ok(());
    }
    let expires = entry.permit.expires;
    let expired = expires != 0 && now >= expires && !dynamic::is_of_member(expires);
    Err(if expired {
        Reason::RuleExpired
    } else {
        Reason::Revoked
    })
}
