//! The packet's way, in the order the language page gives: framing, essentials, failsafe, sessions, the list.
//!
//! Each stage is a file of that name. It either decides (`Some`) or hands on (`None`). Everything larger
//! than a word lives in [`Scratch`], since the kernel's stack is 512 bytes.

use crate::answers::{answers, asked};
use crate::config::{GENERATION_MONITOR, Generation, packet_counter};
use crate::essential::essentials;
use crate::event::Happened;
use crate::failsafe::failsafe;
use crate::flow::{FlowKey, FragmentKey, Hook, Tuple};
use crate::fragment::{fragment_key, later_fragment, spoil};
use crate::framing::framing;
use crate::list::list;
use crate::onward::onward;
use crate::packet::{FIRST, LATER, Packet, Role};
use crate::parse::{self, quoted};
use crate::policy::limits::LimitKey;
use crate::policy::lookup::{Question, Search};
use crate::reason::Reason;
use crate::related::related;
use crate::session::Entry;
use crate::session::stage::sessions;
use crate::source::PacketSource;
use crate::tables::Tables;
use crate::verdict::{Decision, Verdict};
use crate::vlan::handed_up;

/// Where and when a packet is judged.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// Nanoseconds since boot.
    pub now: u64,
    /// Interface of the hook.
    pub interface: u32,
    /// On egress, the interface the packet came in by; 0: from this host.
    pub came_by: u32,
    /// Packets on the wire that it stands for.
    pub packets: u32,
    /// Bytes on the wire; set by [`decide`].
    pub bytes: u32,
    /// Slot of the generation it is judged by; set by [`decide`].
    pub slot: u32,
    /// Which hook.
    pub hook: Hook,
}

/// Working memory of one decision; zeroed parts are zeroed by [`decide`].
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Scratch {
    /// The packet.
    pub packet: Packet,
    /// What is asked of the policy.
    pub question: Question,
    /// The search of the policy, and its answer.
    pub search: Search,
    /// A session's tuple.
    pub tuple: Tuple,
    /// A session's key.
    pub key: FlowKey,
    /// A session.
    pub entry: Entry,
    /// The session that the packet ended, where [`Happened::closed`] says so.
    pub ended: Entry,
    /// What the packet did to sessions.
    pub happened: Happened,
    /// The key of a question to a group, and what is known of it.
    pub awaited: FlowKey,
    /// See [`Self::awaited`].
    pub asked: Entry,
    /// A fragment's key.
    pub fragment: FragmentKey,
    /// The bucket that it is charged to.
    pub limit: LimitKey,
    /// What was decided.
    pub decision: Decision,
    /// [`Scratch::tuple`] is that of the packet which an ICMP error quotes.
    pub quoted: bool,
    /// A session was found under the packet's key that it does not belong to.
    pub occupied: bool,
    /// It leaves, and was judged where it came in.
    pub onward: bool,
    /// It opens a session, as far as the list is concerned.
    pub opens: bool,
    /// What the packet did to its session: a [`Step`](crate::session::Step) by number.
    pub step: u8,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            packet: Packet::default(),
            question: Question::default(),
            search: Search::default(),
            tuple: Tuple::default(),
            key: FlowKey::default(),
            entry: Entry::default(),
            ended: Entry::default(),
            happened: Happened::default(),
            awaited: FlowKey::default(),
            asked: Entry::default(),
            fragment: FragmentKey::default(),
            limit: LimitKey::default(),
            decision: Decision::plain(Reason::InternalError),
            quoted: false,
            occupied: false,
            onward: false,
            opens: false,
            step: 0,
        }
    }
}

/// Decides about one packet and counts it.
#[inline(always)]
pub fn decide<S: PacketSource, T: Tables>(
    source: &S,
    tables: T,
    at: &mut At,
    scratch: &mut Scratch,
) -> Decision {
    at.packets = source.segments();
    at.bytes = source.length();
    scratch.happened = Happened::default();
    scratch.onward =
        matches!(at.hook, Hook::Egress) && at.came_by != 0 && tables.guarded(at.came_by);
    scratch.packet = Packet::default();
    let parsed = parse::parse(source, &mut scratch.packet);
    at.packets = cut_into(source.segment_size(), at, &scratch.packet);
    at.bytes += wire_overhead(at.packets, &scratch.packet);
    if let Some(decision) = handed_up(tables, at, &scratch.packet) {
        count(tables, at, &decision);
        return decision;
    }
    at.slot = tables.slot(at.now);
    let decision = match tables.generation(at.slot) {
        None => Decision::plain(Reason::NoPolicyLoaded),
        Some(head) => {
            let refused = match parsed {
                // What could not be read was refused already where it arrived.
                Err(reason) => {
                    let reason = if scratch.onward {
                        Reason::Session
                    } else {
                        reason
                    };
                    scratch.decision = Decision::plain(reason);
                    spoil(tables, &head, scratch);
                    !scratch.decision.passes()
                }
                Ok(()) => {
                    scratch.quoted = matches!(scratch.packet.role, Role::Error)
                        && quoted::parse(source, &mut scratch.packet, &mut scratch.tuple).is_some();
                    run(tables, at, &head, scratch)
                }
            };
            settle(&head, refused, scratch.decision)
        }
    };
    // Routed traffic is judged and counted once, where it first crosses a guarded interface.
    if scratch.onward && decision.passes() {
        return Decision {
            uncounted: true,
            ..decision
        };
    }
    count(tables, at, &decision);
    decision
}

/// Packets on the wire, where only the size of their payloads is known.
#[inline(always)]
fn cut_into(size: u32, at: &At, packet: &Packet) -> u32 {
    let payload = packet.length.saturating_sub(packet.payload);
    match (payload + size).saturating_sub(1).checked_div(size) {
        Some(pieces) if pieces > 1 => pieces,
        _ => at.packets,
    }
}

/// A large segment is cut up on the wire, and each piece has headers of its own.
#[inline(always)]
fn wire_overhead(packets: u32, packet: &Packet) -> u32 {
    packets.saturating_sub(1) * (packet.payload & 0x3ff)
}

/// Judges; is it refused?
// Not inlined, so that the kernel gives it a stack frame of its own, in the place of the parsers'. It
// returns a number that is made use of: else whatever was in that register last would be returned, and
// where that is an address the kernel takes the program for one that gives it away.
#[inline(never)]
fn run<T: Tables>(tables: T, at: &At, head: &Generation, scratch: &mut Scratch) -> bool {
    scratch.decision = stages(tables, at, head, scratch);
    if scratch.happened.told != 0 {
        scratch.decision.verdict = Verdict::Rejected;
        scratch.decision.answer = true;
    }
    if scratch.happened.asks != 0 {
        asked(tables, at.now, scratch);
    }
    spoil(tables, head, scratch);
    !scratch.decision.passes()
}

#[inline(always)]
fn stages<T: Tables>(tables: T, at: &At, head: &Generation, scratch: &mut Scratch) -> Decision {
    let early = if scratch.onward {
        judged_before(&scratch.packet)
    } else {
        before(tables, at, head, scratch)
    };
    // In one place for both, since the kernel verifies each of its copies.
    let decision = match early {
        Some(decision) => decision,
        None => whole(tables, at, head, scratch),
    };
    let first = scratch.packet.fragment == FIRST && !scratch.onward;
    if first && (decision.passes() || monitors(head)) {
        fragment_key(&scratch.packet, &mut scratch.fragment);
        tables.remember_fragment(&scratch.fragment, at.now);
    }
    decision
}

/// What is decided before sessions and rules are asked.
#[inline(always)]
fn before<T: Tables>(
    tables: T,
    at: &At,
    head: &Generation,
    scratch: &mut Scratch,
) -> Option<Decision> {
    if let Some(decision) = framing(at, &scratch.packet) {
        return Some(decision);
    }
    if let Some(decision) = essentials(tables, at, head, &scratch.packet) {
        return Some(decision);
    }
    if scratch.packet.family == 0 {
        return Some(Decision::plain(Reason::UnsupportedEthertype));
    }
    if scratch.packet.fragment == LATER {
        return Some(later_fragment(tables, at, scratch));
    }
    None
}

/// What was judged where it came in: only its session is looked after. Without one, or without ports, it
/// goes its way.
#[inline(always)]
fn judged_before(packet: &Packet) -> Option<Decision> {
    let talks = matches!(packet.role, Role::Opens | Role::Continues);
    if packet.family == 0 || packet.fragment == LATER || !talks {
        return Some(Decision::plain(Reason::Session));
    }
    None
}

/// A packet with its transport header: the host's own way in, then sessions, then the list.
#[inline(always)]
fn whole<T: Tables>(tables: T, at: &At, head: &Generation, scratch: &mut Scratch) -> Decision {
    if let Some(decision) = failsafe(tables, at, &scratch.packet) {
        return decision;
    }
    match scratch.packet.role {
        Role::Error => related(tables, at, scratch),
        _ => match sessions(tables, at, head, scratch) {
            Some(decision) => decision,
            None if scratch.onward => onward(tables, at, head, scratch),
            None => match answers(tables, at, head, scratch) {
                Some(decision) => decision,
                None => list(tables, at, head, scratch),
            },
        },
    }
}

#[inline(always)]
pub(crate) const fn monitors(head: &Generation) -> bool {
    head.flags & GENERATION_MONITOR != 0
}

/// In monitor mode nothing is dropped, whatever the reason, and nothing is answered.
#[inline(always)]
fn settle(head: &Generation, refused: bool, decision: Decision) -> Decision {
    if refused && monitors(head) {
        return Decision {
            verdict: Verdict::Audit,
            answer: false,
            ..decision
        };
    }
    decision
}

#[inline(always)]
fn count<T: Tables>(tables: T, at: &At, decision: &Decision) {
    let (verdict, hook) = (decision.verdict as u8, at.hook as u8);
    let zone = decision.peer(at.hook).0;
    let place = packet_counter(verdict, hook, zone, decision.reason as u8);
    tables.count(place, at.packets, at.bytes);
}
