//! The packet's way, in the order the language page gives: framing, essentials, failsafe, sessions, the list.
//!
//! Each stage either decides (`Some`) or hands on (`None`). Everything larger than a word lives in
//! [`Scratch`], since the kernel's stack is 512 bytes.

use crate::addr::Addr;
use crate::config::{
    FIRST_FAILSAFE_COUNTER, GENERATION_MONITOR, Generation, KIND_DESTINATION, LOCAL_BROADCAST,
};
use crate::essential::{self, Essential};
use crate::flow::{FlowKey, FragmentKey, Hook, Side, Tuple};
use crate::judge;
use crate::packet::{FIRST, LATER, Packet, Role, protocol};
use crate::parse::{self, quoted};
use crate::policy::lookup::{Answer, Question, Search, lookup};
use crate::reason::{Outcome, Reason};
use crate::session::{self, Entry, GROUP, LEAVING, MONITORED, Step};
use crate::source::PacketSource;
use crate::tables::{Put, Table, Tables};
use crate::verdict::{Decision, Verdict};
use crate::zone::Course;

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
    /// A fragment's key.
    pub fragment: FragmentKey,
    /// What was decided.
    pub decision: Decision,
    /// [`Scratch::tuple`] is that of the packet which an ICMP error quotes.
    pub quoted: bool,
    /// Zero.
    pub pad: [u8; 3],
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
            fragment: FragmentKey::default(),
            decision: Decision::plain(Reason::InternalError),
            quoted: false,
            pad: [0; 3],
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
    // Routed traffic is judged once, where it first crosses a guarded interface.
    if matches!(at.hook, Hook::Egress) && at.came_by != 0 && tables.guarded(at.came_by) {
        return Decision {
            uncounted: true,
            ..Decision::plain(Reason::Session)
        };
    }
    scratch.packet = Packet::default();
    let parsed = parse::parse(source, &mut scratch.packet);
    at.bytes += wire_overhead(at.packets, &scratch.packet);
    at.slot = tables.slot();
    let decision = match tables.generation(at.slot) {
        None => Decision::plain(Reason::NoPolicyLoaded),
        Some(head) => {
            match parsed {
                Err(reason) => scratch.decision = Decision::plain(reason),
                Ok(()) => {
                    scratch.quoted = matches!(scratch.packet.role, Role::Error)
                        && quoted::parse(source, &scratch.packet, &mut scratch.tuple).is_some();
                    run(tables, at, &head, scratch);
                }
            }
            settle(&head, scratch.decision)
        }
    };
    count(tables, at, &decision);
    decision
}

/// A large segment is cut up on the wire, and each piece has headers of its own.
#[inline(always)]
fn wire_overhead(packets: u32, packet: &Packet) -> u32 {
    packets.saturating_sub(1) * (packet.payload & 0x3ff)
}

// Not inlined, so that the kernel gives it a stack frame of its own, in the place of the parsers'.
#[inline(never)]
fn run<T: Tables>(tables: T, at: &At, head: &Generation, scratch: &mut Scratch) {
    scratch.decision = stages(tables, at, head, scratch);
}

#[inline(always)]
fn stages<T: Tables>(tables: T, at: &At, head: &Generation, scratch: &mut Scratch) -> Decision {
    if let Some(decision) = framing(tables, at, &scratch.packet) {
        return decision;
    }
    if let Some(decision) = essentials(tables, at, head, &scratch.packet) {
        return decision;
    }
    if scratch.packet.family == 0 {
        return Decision::plain(Reason::UnsupportedEthertype);
    }
    if scratch.packet.fragment == LATER {
        return later_fragment(tables, at, scratch);
    }
    let decision = whole(tables, at, head, scratch);
    if scratch.packet.fragment == FIRST && (decision.passes() || monitors(head)) {
        fragment_key(&scratch.packet, &mut scratch.fragment);
        tables.remember_fragment(&scratch.fragment, at.now);
    }
    decision
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
            None => list(tables, at, head, scratch),
        },
    }
}

#[inline(always)]
const fn monitors(head: &Generation) -> bool {
    head.flags & GENERATION_MONITOR != 0
}

/// In monitor mode nothing is dropped, whatever the reason, and nothing is answered.
#[inline(always)]
fn settle(head: &Generation, decision: Decision) -> Decision {
    let refused = matches!(decision.verdict, Verdict::Dropped | Verdict::Rejected);
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
    let place = crate::config::packet_counter(verdict, hook, zone, decision.reason as u8);
    tables.count(place, at.packets, at.bytes);
}

/// Sources and destinations that no packet on a wire can have (RFC 1122 section 3.2.1.3, RFC 4291).
#[inline(always)]
fn framing<T: Tables>(tables: T, at: &At, packet: &Packet) -> Option<Decision> {
    if packet.family == 0 || matches!(at.hook, Hook::Egress) {
        return None;
    }
    let (source, destination) = (&packet.tuple.source, &packet.tuple.destination);
    if source.is_loopback() {
        return Some(Decision::plain(Reason::SpoofedSource));
    }
    let unspecified = source.is_unspecified() && !may_be_unspecified(packet);
    let group = source.is_multicast() || source.is_class_e();
    // An IPv6 packet with a mapped address would be taken for the IPv4 one (ip6_rcv_core of
    // net/ipv6/ip6_input.c drops those too).
    let mapped = packet.family == 6 && (source.is_v4() || destination.is_v4());
    let martian = unspecified || group || mapped || destination.is_loopback();
    if martian || is_broadcast(tables, packet, source) {
        return Some(Decision::plain(Reason::Martian));
    }
    None
}

/// A link's broadcast address is looked up only for packets that cannot be of a session yet.
#[inline(always)]
fn is_broadcast<T: Tables>(tables: T, packet: &Packet, source: &Addr) -> bool {
    packet.family == 4
        && matches!(packet.role, Role::Opens)
        && tables.local(source) == LOCAL_BROADCAST
}

/// `::` while an address is not yet assigned (RFC 4861, RFC 3590), 0.0.0.0 in DHCP and IGMP.
#[inline(always)]
fn may_be_unspecified(packet: &Packet) -> bool {
    let tuple = &packet.tuple;
    match (packet.family, tuple.protocol) {
        (4, protocol::UDP) => {
            matches!(
                (tuple.source_port, tuple.destination_port),
                (67, 68) | (68, 67)
            ) && tuple.source.as_v4() == 0
        }
        (4, protocol::IGMP) => tuple.source.as_v4() == 0,
        (6, protocol::ICMPV6) => matches!(packet.icmp_type(), 130..=133 | 135 | 143),
        _ => false,
    }
}

#[inline(always)]
fn essentials<T: Tables>(
    tables: T,
    at: &At,
    head: &Generation,
    packet: &Packet,
) -> Option<Decision> {
    let found = match essential::find(packet, at.hook) {
        Err(reason) => return Some(Decision::plain(reason)),
        Ok(found) => found?,
    };
    let fixed = matches!(found, Essential::Arp | Essential::Nd);
    if !fixed && head.essentials & found.bit() == 0 {
        return None;
    }
    if packet.family != 0 && judge::own_source(tables, at.hook, &packet.tuple.source) {
        return Some(Decision::plain(Reason::SpoofedSource));
    }
    tables.hit(found.counter(), at.packets, at.bytes, at.now);
    let plain = Decision::plain(Reason::Essential);
    Some(Decision {
        rule: found.counter(),
        ..plain
    })
}

/// The host's own way in: both directions of what its agent file lists, before the policy and any session.
#[inline(always)]
fn failsafe<T: Tables>(tables: T, at: &At, packet: &Packet) -> Option<Decision> {
    if !tables.has_failsafe() || at.came_by != 0 {
        return None;
    }
    let tuple = &packet.tuple;
    let (peer, port) = match at.hook {
        Hook::Ingress => (&tuple.source, tuple.destination_port),
        Hook::Egress => (&tuple.destination, tuple.source_port),
    };
    let port = if packet.is_icmp() {
        failsafe_icmp(packet)
    } else {
        port
    };
    let counter = failsafe_rule(tables, tuple.protocol, peer, port)?;
    if matches!(at.hook, Hook::Ingress) && !comes_here(tables, at, tuple) {
        return None;
    }
    tables.hit(counter, at.packets, at.bytes, at.now);
    let plain = Decision::plain(Reason::Failsafe);
    Some(Decision {
        rule: counter,
        ..plain
    })
}

/// The counter of the first failsafe rule that names a peer and a service of this host.
#[inline(always)]
fn failsafe_rule<T: Tables>(tables: T, protocol: u8, peer: &Addr, port: u16) -> Option<u32> {
    let of_peer = tables.failsafe_address(peer);
    if of_peer == 0 {
        return None;
    }
    let port = port.to_be_bytes();
    let key = [protocol, KIND_DESTINATION, port[0], port[1]];
    let matching = of_peer & tables.failsafe_service(key);
    if matching == 0 {
        return None;
    }
    Some(FIRST_FAILSAFE_COUNTER + (matching.trailing_zeros() & 63))
}

/// From another machine and for this one, by the tables or, on a miss, by the kernel's routing.
#[inline(always)]
fn comes_here<T: Tables>(tables: T, at: &At, tuple: &Tuple) -> bool {
    !judge::own_source(tables, at.hook, &tuple.source)
        && (tables.local(&tuple.destination) != 0 || tables.route(tuple, at.interface).here)
}

/// Is the quoted packet, which went the other way, one that a failsafe rule lets through? Then errors
/// about it pass, so that path MTU discovery works there too.
#[inline(always)]
fn about_failsafe<T: Tables>(tables: T, at: &At, quoted: &Tuple) -> bool {
    if !tables.has_failsafe() || !protocol::has_ports(quoted.protocol) {
        return false;
    }
    let (peer, port) = match at.hook {
        Hook::Ingress => (&quoted.destination, quoted.source_port),
        Hook::Egress => (&quoted.source, quoted.destination_port),
    };
    failsafe_rule(tables, quoted.protocol, peer, port).is_some()
}

/// Requests and their replies are known by the request's type.
#[inline(always)]
fn failsafe_icmp(packet: &Packet) -> u16 {
    let (from, to) = crate::packet::query_ports(packet.family, packet.icmp_type(), 0);
    if from == 0 { to } else { from }
}

#[inline(always)]
fn fragment_key(packet: &Packet, key: &mut FragmentKey) {
    key.source = packet.tuple.source;
    key.destination = packet.tuple.destination;
    key.id = packet.fragment_id;
    key.protocol = if packet.family == 4 {
        u32::from(packet.tuple.protocol)
    } else {
        0
    };
}

/// A later fragment passes where its first one did; it has no ports of its own.
#[inline(always)]
fn later_fragment<T: Tables>(tables: T, at: &At, scratch: &mut Scratch) -> Decision {
    fragment_key(&scratch.packet, &mut scratch.fragment);
    if tables.knows_fragment(&scratch.fragment, at.now) {
        return Decision::plain(Reason::Session);
    }
    Decision::plain(Reason::FragmentWithoutFirst)
}

/// An ICMP error passes only if it quotes a packet of a live session that went the other way, and goes
/// to that packet's sender (RFC 5927). It changes nothing about the session.
#[inline(always)]
fn related<T: Tables>(tables: T, at: &At, scratch: &mut Scratch) -> Decision {
    let stray = Decision::plain(Reason::NoSession);
    if !scratch.quoted || scratch.packet.tuple.destination != scratch.tuple.source {
        return stray;
    }
    let side = scratch.tuple.key(&mut scratch.key);
    let Some((handle, _)) = tables.find(&scratch.key) else {
        if about_failsafe(tables, at, &scratch.tuple) {
            return Decision::plain(Reason::Related);
        }
        return stray;
    };
    tables.read(handle, &mut scratch.entry);
    let entry = &scratch.entry;
    if entry.is_over(at.now, tables.timeout(entry.track.state)) {
        return stray;
    }
    // The quoted packet must have crossed here in the direction opposite to the error's.
    let quoted_hook = if entry.is_opener(side) == opener_arrives(entry) {
        Hook::Ingress
    } else {
        Hook::Egress
    };
    if !matches!(entry.course(), Course::Routed) && quoted_hook as u8 == at.hook as u8 {
        return stray;
    }
    if judge::own_source(tables, at.hook, &scratch.packet.tuple.source) {
        return Decision::plain(Reason::SpoofedSource);
    }
    in_session(Reason::Related, &scratch.entry)
}

/// Do the opener's packets arrive (rather than leave)?
#[inline(always)]
fn opener_arrives(entry: &Entry) -> bool {
    matches!(entry.course(), Course::Inbound)
}

#[inline(always)]
fn in_session(reason: Reason, entry: &Entry) -> Decision {
    let (source_zone, destination_zone) = entry.zones();
    let plain = Decision::plain(reason);
    Decision {
        source_zone,
        destination_zone,
        rule: entry.permit.rule,
        ..plain
    }
}

#[inline(always)]
fn sessions<T: Tables>(
    tables: T,
    at: &At,
    head: &Generation,
    scratch: &mut Scratch,
) -> Option<Decision> {
    let Scratch {
        packet,
        tuple,
        key,
        entry,
        question,
        search,
        ..
    } = scratch;
    packet.session_tuple(tuple);
    let side = tuple.key(key);
    let (handle, table) = tables.find(key)?;
    tables.read(handle, entry);
    if entry.is_over(at.now, tables.timeout(entry.track.state)) || !crosses(at, entry, side) {
        return None;
    }
    let from_opener = entry.is_opener(side);
    match session::step(&mut entry.track, from_opener, packet) {
        Step::Foreign | Step::Reopens => return None,
        Step::Idle => (),
        Step::Live => entry.last_seen = at.now,
    }
    if stale(head, entry, at.now) {
        key.tuple(entry.opener_side(), tuple);
        judge::ask_again(tuple, entry, at.now, question);
        lookup(tables, at.slot, head, question, search);
        if let Some(refusal) = renew(tables, head, key, handle, at.now, &search.answer, entry) {
            return Some(refusal);
        }
    }
    if matches!(table, Table::HalfOpen) && entry.track.is_verified() {
        return Some(verified(tables, at, key, from_opener, entry));
    }
    tables.write(handle, &entry.track, entry.last_seen);
    tables.account(handle, !from_opener, at.packets, at.bytes);
    Some(in_session(Reason::Session, entry))
}

/// Must the session be judged anew: another policy is in force, or its rule has expired?
#[inline(always)]
const fn stale(head: &Generation, entry: &Entry, now: u64) -> bool {
    entry.permit.epoch != head.epoch || (entry.permit.expires != 0 && now >= entry.permit.expires)
}

#[inline(always)]
fn renew<T: Tables>(
    tables: T,
    head: &Generation,
    key: &FlowKey,
    handle: T::Handle,
    now: u64,
    answer: &Answer,
    entry: &mut Entry,
) -> Option<Decision> {
    match judge::again(head, answer, entry, now) {
        Ok(permit) => {
            entry.permit = permit;
            tables.permit(handle, &permit);
            None
        }
        Err(reason) => {
            // In monitor mode the session goes on, so that it can be judged again.
            if !monitors(head) {
                tables.close(key);
            }
            Some(in_session(reason, entry))
        }
    }
}

/// The handshake is complete, or the first answer came: the session moves to its own table. Where that
/// is full the packet is refused and the session stays as it was, so that the next one tries again.
#[inline(always)]
fn verified<T: Tables>(
    tables: T,
    at: &At,
    key: &FlowKey,
    from_opener: bool,
    entry: &mut Entry,
) -> Decision {
    let counts = if from_opener {
        &mut entry.counts[0]
    } else {
        &mut entry.counts[1]
    };
    counts.packets += u64::from(at.packets);
    counts.bytes += u64::from(at.bytes);
    match tables.promote(key, entry) {
        Put::There => in_session(Reason::Session, entry),
        Put::Full => in_session(Reason::SessionTableFull, entry),
    }
}

/// Does a packet from `side` belong at this hook? A packet that arrives in the name of this host's own
/// end is none of the session's.
#[inline(always)]
fn crosses(at: &At, entry: &Entry, side: Side) -> bool {
    let ingress = matches!(at.hook, Hook::Ingress);
    match entry.course() {
        Course::Inbound => entry.is_opener(side) == ingress,
        Course::Outbound => entry.is_opener(side) != ingress,
        Course::Routed => true,
    }
}

/// No session: the ordered list decides, and what it allows opens one.
#[inline(always)]
fn list<T: Tables>(tables: T, at: &At, head: &Generation, scratch: &mut Scratch) -> Decision {
    if judge::own_source(tables, at.hook, &scratch.packet.tuple.source) {
        return Decision::plain(Reason::SpoofedSource);
    }
    judge::ask(tables, at, &scratch.packet, &mut scratch.question);
    let (decision, opens) = judge::judge(tables, at.slot, head, scratch);
    let decision = Decision {
        answer: decision.answer && answerable(scratch),
        ..decision
    };
    if !opens {
        return decision;
    }
    scratch.entry = Entry::default();
    scratch.entry.permit = judge::permit(&scratch.search.answer, head.epoch);
    match open(tables, at, &decision, scratch) {
        Put::There => decision,
        Put::Full => Decision {
            verdict: Verdict::Dropped,
            reason: Reason::HalfOpenLimit,
            ..decision
        },
    }
}

/// Never to multicast or broadcast, nor in answer to a frame that was for all (RFC 1122 section 3.2.2).
#[inline(always)]
fn answerable(scratch: &Scratch) -> bool {
    let packet = &scratch.packet;
    !scratch.question.group && !packet.group && packet.fragment != LATER
}

#[inline(always)]
fn open<T: Tables>(tables: T, at: &At, decision: &Decision, scratch: &mut Scratch) -> Put {
    let Scratch {
        packet,
        tuple,
        key,
        entry,
        question,
        ..
    } = scratch;
    packet.session_tuple(tuple);
    let side = tuple.key(key);
    session::begin(packet, &mut entry.track);
    if !matches!(decision.reason.outcome(), Outcome::Pass) {
        entry.track.flags |= MONITORED;
    }
    entry.opened = at.now;
    entry.last_seen = at.now;
    entry.opener = side as u8;
    entry.course = question.course;
    entry.interface_in = question.interface_in;
    entry.interface_out = question.interface_out;
    entry.opening =
        if question.leaving { LEAVING } else { 0 } | if question.group { GROUP } else { 0 };
    entry.source_zone = decision.source_zone.0;
    entry.destination_zone = decision.destination_zone.0;
    entry.counts[0].packets = u64::from(at.packets);
    entry.counts[0].bytes = u64::from(at.bytes);
    // What is left of an older session with this key (expired, or closing and opened anew) goes first.
    tables.close(key);
    tables.open(key, entry)
}
