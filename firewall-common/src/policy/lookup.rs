//! Classification: the first rule of the ordered list that matches.
//!
//! Each field of a packet (source, destination, service, source port, interface, two zones) is looked up
//! once and gives a vector: the set of rules that this field does not rule out. Their intersection, in
//! order, is what matches. So the number of look-ups does not depend on the number of rules; the
//! intersection takes a word per 64 rules, which is why the rules are capped.

use crate::config::{
    AddressEntry, GENERATION_INTERFACES, GENERATION_SOURCE_PORTS, Generation, KIND_DESTINATION,
    KIND_SOURCE, MAX_RULES, ServiceKey, VECTOR_ALL, VECTOR_WORDS,
};
use crate::flow::Tuple;
use crate::packet::protocol;
use crate::policy::rule::{Action, MONITOR, Rule};
use crate::tables::{Sought, Tables, Work};
use crate::zone::{Course, INTERFACE_CLASSES, ZoneId};

/// A question to the policy.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Question {
    /// The opener's tuple.
    pub tuple: Tuple,
    /// Interface it arrives by; 0: from this host.
    pub interface_in: u32,
    /// Interface it leaves by; 0: to this host.
    pub interface_out: u32,
    /// Nanoseconds since boot.
    pub now: u64,
    /// Packets to count for rules in monitor mode; 0: judge only, count nothing.
    pub packets: u32,
    /// Bytes to count for rules in monitor mode.
    pub bytes: u32,
    /// [`Course`] by number.
    pub course: u8,
    /// Judged on the way out: rules' `interfaces` mean the one it leaves by.
    pub leaving: bool,
    /// The destination is a multicast or broadcast address.
    pub group: bool,
    /// Zero.
    pub pad: [u8; 5],
}

/// The answer: the rule that decides, if one does.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answer {
    /// The rule; meaningful where [`Self::found`].
    pub rule: Rule,
    /// A rule matched.
    pub found: bool,
    /// Zone of the sender.
    pub source_zone: ZoneId,
    /// Zone of the addressee.
    pub destination_zone: ZoneId,
    /// Zero.
    pub pad: [u8; 5],
}

impl Answer {
    /// The rule that decides.
    #[inline(always)]
    #[must_use]
    pub const fn rule(&self) -> Option<&Rule> {
        if self.found { Some(&self.rule) } else { None }
    }

    /// The action of the rule that decides.
    #[inline(always)]
    #[must_use]
    pub const fn action(&self) -> Option<Action> {
        match self.rule() {
            Some(rule) => Some(Action::from_number(rule.action)),
            None => None,
        }
    }
}

/// Searches the list of the generation in `slot`; the answer is left in `search`.
// Not inlined, and with all that is large in working memory, for the kernel's stack.
#[inline(never)]
pub fn lookup<T: Tables>(
    tables: T,
    slot: u32,
    head: &Generation,
    ask: &Question,
    search: &mut Search,
) {
    let source = tables.address(slot, &ask.tuple.source);
    let source = source.as_deref().unwrap_or(&head.default_address);
    let destination = tables.address(slot, &ask.tuple.destination);
    let destination = destination.as_deref().unwrap_or(&head.default_address);
    let (from, to) = zones(tables, slot, ask, source, destination);
    search.vectors = [
        source.source,
        destination.destination,
        head.source_zones + u32::from(from.0),
        head.destination_zones + u32::from(to.0),
        service(tables, slot, head, &ask.tuple),
        source_port(tables, slot, head, &ask.tuple),
        interface(tables, slot, head, ask),
    ];
    search.answer.source_zone = from;
    search.answer.destination_zone = to;
    search.answer.found = false;
    search.slot = slot;
    search.words = head.rules.div_ceil(64).min(VECTOR_WORDS as u32);
    search.word = 0;
    search.bits = 0;
    search.now = ask.now;
    search.packets = ask.packets;
    search.bytes = ask.bytes;
    tables.repeat(MAX_RULES + VECTOR_WORDS as u32 + 1, search);
}

#[inline(always)]
fn zones<T: Tables>(
    tables: T,
    slot: u32,
    ask: &Question,
    source: &AddressEntry,
    destination: &AddressEntry,
) -> (ZoneId, ZoneId) {
    let course = Course::from_number(ask.course);
    let from = match course {
        Course::Outbound => ZoneId::HOST,
        _ => zone_at(tables, slot, source, ask.interface_in),
    };
    let to = match course {
        Course::Inbound => ZoneId::HOST,
        _ if ask.group => ZoneId::MULTICAST,
        _ => zone_at(tables, slot, destination, ask.interface_out),
    };
    (from, to)
}

/// The zone of an address at an interface.
#[inline(always)]
pub fn zone_at<T: Tables>(tables: T, slot: u32, entry: &AddressEntry, index: u32) -> ZoneId {
    let class = tables
        .interface(slot, index)
        .map_or(0, |interface| interface.class);
    ZoneId(entry.zones[class as usize & (INTERFACE_CLASSES - 1)])
}

#[inline(always)]
fn service<T: Tables>(tables: T, slot: u32, head: &Generation, tuple: &Tuple) -> u32 {
    let port = tuple.destination_port.to_be_bytes();
    let key: ServiceKey = [tuple.protocol, KIND_DESTINATION, port[0], port[1]];
    tables.service(slot, key).unwrap_or(head.any_service)
}

#[inline(always)]
fn source_port<T: Tables>(tables: T, slot: u32, head: &Generation, tuple: &Tuple) -> u32 {
    if head.flags & GENERATION_SOURCE_PORTS == 0 {
        return VECTOR_ALL;
    }
    if !protocol::has_ports(tuple.protocol) {
        return head.any_source_port;
    }
    let port = tuple.source_port.to_be_bytes();
    let key: ServiceKey = [0, KIND_SOURCE, port[0], port[1]];
    tables.service(slot, key).unwrap_or(head.any_source_port)
}

#[inline(always)]
fn interface<T: Tables>(tables: T, slot: u32, head: &Generation, ask: &Question) -> u32 {
    if head.flags & GENERATION_INTERFACES == 0 {
        return VECTOR_ALL;
    }
    let index = if ask.leaving {
        ask.interface_out
    } else {
        ask.interface_in
    };
    tables
        .interface(slot, index)
        .map_or(head.any_interface, |entry| entry.vector)
}

/// The intersection of the vectors, walked from the first rule on.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Search {
    /// What was found.
    pub answer: Answer,
    now: u64,
    /// Rules of the current word that are still to be looked at.
    bits: u64,
    vectors: [u32; 7],
    slot: u32,
    words: u32,
    word: u32,
    packets: u32,
    bytes: u32,
}

impl Search {
    #[inline(always)]
    fn next_word<T: Tables>(&mut self, tables: T) -> Sought {
        if self.word >= self.words {
            return Sought::Done;
        }
        let mut bits = u64::MAX;
        for vector in self.vectors {
            if vector != VECTOR_ALL {
                bits &= tables.vector_word(self.slot, vector, self.word);
            }
        }
        self.bits = bits;
        self.word += 1;
        Sought::Further
    }

    /// Looks at the lowest rule left. One that has expired or only monitors does not decide.
    #[inline(always)]
    fn next_rule<T: Tables>(&mut self, tables: T) -> Sought {
        let index = (self.word - 1) * 64 + self.bits.trailing_zeros();
        self.bits &= self.bits - 1;
        let Some(rule) = tables.rule(self.slot, index) else {
            return Sought::Further;
        };
        if rule.expires != 0 && self.now >= rule.expires {
            return Sought::Further;
        }
        if rule.flags & MONITOR != 0 {
            if self.packets != 0 {
                tables.would_hit(rule.counter, self.packets, self.bytes, self.now);
            }
            return Sought::Further;
        }
        self.answer.rule = rule;
        self.answer.found = true;
        Sought::Done
    }
}

impl<T: Tables> Work<T> for Search {
    #[inline(always)]
    fn go(&mut self, tables: T) -> Sought {
        if self.bits == 0 {
            self.next_word(tables)
        } else {
            self.next_rule(tables)
        }
    }
}
