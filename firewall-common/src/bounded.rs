//! What a rule that allows still bounds: how often, and how many sessions at a time.

use crate::config::Generation;
use crate::packet::Role;
use crate::pipeline::{At, Scratch};
use crate::policy::limits::{LimitKey, Limits, has_limits};
use crate::policy::lookup::Answer;
use crate::policy::rule::STATELESS;
use crate::reason::Reason;
use crate::session::room::{HELD_BY_RULE, HELD_BY_SOURCE};
use crate::tables::Tables;
use crate::verdict::{Decision, Verdict};

/// The decision about a packet that the list allows, now that it is asked whether that is not too often.
///
/// Strays are charged to no limit, nor is what is judged without being counted.
#[inline(always)]
pub(crate) fn bounded<T: Tables>(
    tables: T,
    at: &At,
    head: &Generation,
    scratch: &mut Scratch,
    decision: Decision,
) -> Decision {
    let allowed = matches!(
        decision.reason,
        Reason::RuleAllow | Reason::DefaultAllow | Reason::Stateless
    );
    let counts = matches!(scratch.packet.role, Role::Opens | Role::Stateless);
    let limited = scratch.search.answer.rule().is_some_and(has_limits);
    if !(limited && allowed && counts) || within(tables, at, head, scratch) {
        return decision;
    }
    Decision {
        verdict: Verdict::Dropped,
        reason: Reason::RateLimited,
        answer: false,
        ..decision
    }
}

/// Takes what the packet costs from its bucket, if there is as much.
// Not inlined, for the kernel's stack.
#[inline(never)]
fn within<T: Tables>(tables: T, at: &At, head: &Generation, scratch: &mut Scratch) -> bool {
    let Some(limits) = of(tables, head, &scratch.search.answer) else {
        return true;
    };
    if limits.cost == 0 {
        return true;
    }
    let source = &scratch.question.tuple.source;
    scratch.limit = LimitKey {
        source: limits.per.of(source),
        rule: scratch.search.answer.rule.counter,
        pad: 0,
    };
    // A stateless rule counts packets, any other openings, and an opening is one however it is cut.
    let stateless = scratch.search.answer.rule.flags & STATELESS != 0;
    let packets = if stateless { at.packets } else { 1 };
    let price = limits.price(packets, at.bytes);
    let whole = limits.per.is_rule();
    tables.take(&scratch.limit, whole, at.now, price, limits.tolerance)
}

#[inline(always)]
fn of<T: Tables>(tables: T, head: &Generation, answer: &Answer) -> Option<Limits> {
    let rule = answer.rule()?;
    let line = tables.tree_line(head.trees, rule.limits)?;
    Some(Limits::from_line(&line))
}

/// Notes in the entry of a session that it counts for its rule's `max_sessions`; how many there may be, 0 for any
/// number.
#[inline(always)]
pub(crate) fn holds<T: Tables>(tables: T, head: &Generation, scratch: &mut Scratch) -> u32 {
    if !scratch.search.answer.rule().is_some_and(has_limits) {
        return 0;
    }
    let Some(limits) = of(tables, head, &scratch.search.answer) else {
        return 0;
    };
    if limits.sessions != 0 {
        scratch.entry.held = scratch.search.answer.rule.counter;
        scratch.entry.counted |= if limits.sessions_per_source {
            HELD_BY_SOURCE
        } else {
            HELD_BY_RULE
        };
    }
    limits.sessions
}
