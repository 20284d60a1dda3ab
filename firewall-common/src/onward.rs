//! Traffic that was judged where it came in, seen once more where it leaves.
//!
//! It is not judged or counted a second time. But what lies between the two hooks may have translated
//! it: a router that masquerades, a container engine that publishes a port. Then the packet leaves under
//! other addresses, of which no session speaks, and its replies come back to those. So the opening that
//! leaves under a new tuple gets a session of its own for that tuple, a **stand-in**. It is never judged:
//! what its opener sends was judged before it came here, and what comes back passes the judgement of
//! the first session, on its way out, under the old addresses again.
//!
//! ```text
//!   client -> lan0: client:p -> server:q   judged, counted, opens the session
//!             wan0: router:r -> server:q   opens the stand-in; passes
//!   server -> wan0: server:q -> router:r   found: the stand-in; passes, counted
//!             lan0: server:q -> client:p   found: the session; moved on, judged anew if stale; passes
//! ```
//!
//! Each direction of a session is moved on where it is first seen: on arrival, or, where its packets
//! arrive under other addresses, on leaving ([`Entry::seen_on_arrival`]).
//!
//! A refusal here is counted like any other, although the packet was counted as passed where it arrived:
//! a drop that no counter shows would be worse than one packet in two of them. It comes about only where
//! a session has ended that still has its stand-in.

use crate::config::{Generation, LOCAL_SHARED, LOCAL_UNICAST};
use crate::judge;
use crate::list::{self, Begins};
use crate::packet::{Role, protocol};
use crate::pipeline::{At, Scratch};
use crate::policy::lookup::{Answer, lookup};
use crate::policy::rule::{Action, STATELESS};
use crate::reason::Reason;
use crate::session::{Entry, Permit};
use crate::tables::{Bounds, Tables};
use crate::verdict::Decision;

/// A packet that is judged already and has no session under the addresses it leaves by.
///
/// An opening was translated, unless a rule without state let it in. Else it may be a stray that was let
/// by, and then the list says so again; or a reply whose session has ended, and then the list refuses it.
#[inline(always)]
pub(crate) fn onward<T: Tables>(
    tables: T,
    at: &At,
    head: &Generation,
    scratch: &mut Scratch,
) -> Decision {
    judge::ask(tables, at, &scratch.packet, &mut scratch.question);
    // Rules in monitor mode counted it where it arrived.
    scratch.question.packets = 0;
    lookup(
        tables,
        at.slot,
        head,
        &scratch.question,
        &mut scratch.search,
    );
    let answer = &scratch.search.answer;
    let stateless = answer.rule().is_some_and(|rule| {
        rule.flags & STATELESS != 0 && matches!(Action::from_number(rule.action), Action::Allow)
    });
    match scratch.packet.role {
        Role::Opens if !stateless => stand_in(tables, at, head, Begins::StandIn, scratch),
        Role::Continues if is_taken_up(tables, at, scratch) => {
            stand_in(tables, at, head, Begins::MidstreamStandIn, scratch)
        }
        Role::Continues => stray(head, scratch),
        _ => Decision::plain(Reason::Session),
    }
}

/// In the time after enforcement has begun conversations are taken up from their middle (see
/// [`crate::stray`]). One that leaves in this host's own name is masqueraded, and needs its stand-in.
#[inline(always)]
fn is_taken_up<T: Tables>(tables: T, at: &At, scratch: &Scratch) -> bool {
    let tuple = &scratch.packet.tuple;
    tuple.protocol == protocol::TCP
        && at.now < tables.strays().midstream_until
        && matches!(tables.local(&tuple.source), LOCAL_UNICAST | LOCAL_SHARED)
}

/// One that the list lets by was let by where it arrived. What it refuses belongs to nothing any more.
#[inline(always)]
fn stray(head: &Generation, scratch: &Scratch) -> Decision {
    let answer = &scratch.search.answer;
    let reason = if judge::of_stray(head, &scratch.question, answer).passes() {
        Reason::Session
    } else {
        Reason::NoSession
    };
    between(answer, reason)
}

#[inline(always)]
fn between(answer: &Answer, reason: Reason) -> Decision {
    Decision {
        source_zone: answer.source_zone,
        destination_zone: answer.destination_zone,
        ..Decision::plain(reason)
    }
}

/// Opens a session for the tuple that the packet was given on its way.
#[inline(always)]
fn stand_in<T: Tables>(
    tables: T,
    at: &At,
    head: &Generation,
    begins: Begins,
    scratch: &mut Scratch,
) -> Decision {
    let decision = between(&scratch.search.answer, Reason::Session);
    if scratch.occupied {
        scratch.ended = scratch.entry;
    }
    scratch.entry = Entry::default();
    scratch.entry.permit = Permit {
        epoch: head.epoch,
        ..Permit::default()
    };
    scratch.decision = decision;
    let put = list::open(tables, at, begins, Bounds::default(), scratch);
    // The conversation was recorded where it opened.
    scratch.happened.opened = false;
    match list::no_room(put, &scratch.entry) {
        None => decision,
        Some(reason) => between(&scratch.search.answer, reason),
    }
}
