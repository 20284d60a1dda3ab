//! Classification: the first rule of the ordered list that matches.
//!
//! The zones of both ends say which trees are asked, at most six. A tree leads in a bounded number of steps
//! to a leaf: a few entries, in the order of their rules, of which the first that matches is the tree's answer.
//! Of the trees' answers the first in the ordered list decides. So the number of steps does not depend on the
//! number of rules. What changes with time, expiry and monitor mode, is in the rules and not in the trees: a
//! rule that does not decide is passed over, and the search goes on.

use core::hint::black_box;

use crate::addr::Addr;
use crate::config::{GENERATION_ADDRESSES, GENERATION_COUNTS, GENERATION_INTERFACES, Generation};
use crate::flow::Tuple;
use crate::policy::dynamic::{
    CONDITION, Condition, EVERY, FOR_EVER, MAX_SETS, MemberKey, SET_LINES, lowest,
};
use crate::policy::line::{
    self, DESTINATION, Demands, EMPTY, Fields, LEAF, MAX_ENTRIES, MAX_TREES, ROOT_LINES, SERVICE,
    SET_BITS, SOURCE, SOURCE_PORT,
};
use crate::policy::rule::{Action, MONITOR, Rule};
use crate::policy::walk::walk;
use crate::tables::{Sought, Tables, Work};
use crate::way_back;
use crate::zone::{Course, INTERFACE_CLASSES, ZONES, ZoneId};

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
    /// It has just arrived and belongs to nothing: its source is held against the way back there.
    pub fresh: bool,
    /// Zero.
    pub pad: [u8; 4],
}

/// The answer: the rule that decides, if one does.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answer {
    /// The rule; meaningful where [`Self::found`].
    pub rule: Rule,
    /// Nanoseconds since boot when the first of the members of dynamic sets ends that were found on the way (see
    /// [`crate::policy::dynamic::is_of_member`]); 0: never.
    pub until: u64,
    /// A rule matched.
    pub found: bool,
    /// Zone of the sender.
    pub source_zone: ZoneId,
    /// Zone of the addressee.
    pub destination_zone: ZoneId,
    /// Its source fails the check of its zone; the rules were not asked.
    pub martian: bool,
    /// Zero.
    pub pad: [u8; 4],
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
    search.begin(head, ask);
    classes(tables, head, search);
    let (from, to) = zones(tables, slot, ask, search);
    search.answer.source_zone = from;
    search.answer.destination_zone = to;
    let source = &ask.tuple.source;
    if ask.fresh && way_back::fails(tables, head, from, source, ask.interface_in) {
        search.answer.martian = true;
        return;
    }
    if head.flags & GENERATION_INTERFACES != 0 {
        search.interface = head.interface_records + head.interface_stride * kind(tables, slot, ask);
    }
    roots(tables, search, from, to);
    tables.repeat(STEPS, search);
}

/// The sooner of two times, of which 0 is never.
#[inline(always)]
pub(crate) const fn sooner(one: u64, other: u64) -> u64 {
    let (one, other) = (one.wrapping_sub(1), other.wrapping_sub(1));
    let first = if one < other { one } else { other };
    first.wrapping_add(1)
}

/// Finds the records of what is known of both addresses. Where no zone and no set names any, the first
/// record holds for all.
// Not inlined, so that what it needs of the stack is beside what the steps of the search need.
#[inline(never)]
fn classes<T: Tables>(tables: T, head: &Generation, search: &mut Search) {
    let Some(first) = tables.address_line(search.addresses, 0) else {
        return;
    };
    let (records, stride) = (first.word(2), first.word(3));
    search.source = records;
    search.destination = records;
    if head.flags & GENERATION_ADDRESSES == 0 {
        return;
    }
    // Opaque to the compiler, which knows that a truth is no more than 1; the verifier does not.
    let root = first.word(black_box(u32::from(search.v6)));
    let line = |index| tables.address_line(search.addresses, index);
    let source = walk(line, &search.fields, SOURCE, root);
    let destination = walk(line, &search.fields, DESTINATION, root);
    search.source = records + stride * (source & !LEAF);
    search.destination = records + stride * (destination & !LEAF);
}

#[inline(always)]
fn zones<T: Tables>(tables: T, slot: u32, ask: &Question, search: &Search) -> (ZoneId, ZoneId) {
    let course = Course::from_number(ask.course);
    let from = match course {
        Course::Outbound => ZoneId::HOST,
        _ => zone_at(
            tables,
            slot,
            search.addresses,
            search.source,
            ask.interface_in,
        ),
    };
    let to = match course {
        Course::Inbound => ZoneId::HOST,
        _ if ask.group => ZoneId::MULTICAST,
        _ => zone_at(
            tables,
            slot,
            search.addresses,
            search.destination,
            ask.interface_out,
        ),
    };
    (from, to)
}

/// The zone that a record of an address tells, at an interface.
#[inline(always)]
fn zone_at<T: Tables>(tables: T, slot: u32, addresses: u32, record: u32, index: u32) -> ZoneId {
    let class = tables
        .interface(slot, index)
        .map_or(0, |interface| interface.class);
    let class = class & (INTERFACE_CLASSES as u32 - 1);
    let line = tables.address_line(addresses, record);
    ZoneId(line.map_or(0, |line| (line.word(class >> 2) >> ((class & 3) * 8)) as u8))
}

/// The kind of the interface that the packet is judged at.
#[inline(always)]
fn kind<T: Tables>(tables: T, slot: u32, ask: &Question) -> u32 {
    let index = if ask.leaving {
        ask.interface_out
    } else {
        ask.interface_in
    };
    tables.interface(slot, index).map_or(0, |entry| entry.kind)
}

/// The trees that hold the rules between two zones.
#[inline(always)]
fn roots<T: Tables>(tables: T, search: &mut Search, from: ZoneId, to: ZoneId) {
    let zone = |zone: ZoneId| u32::from(zone.0) & (ZONES as u32 - 1);
    let pair = zone(from) * ZONES as u32 + zone(to);
    let Some(line) = tables.tree_line(search.trees, pair >> 5) else {
        return;
    };
    let both = line.word(pair >> 1 & 15);
    let set = both >> ((pair & 1) * 16) & 0xffff;
    let Some(line) = tables.tree_line(search.trees, ROOT_LINES + set) else {
        return;
    };
    let [v4, v6] = &line.halves;
    search.roots = if search.v6 { *v6 } else { *v4 };
    search.count = search.roots[7];
}

/// The search of trees, one after the other.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Search {
    /// What was found.
    pub answer: Answer,
    now: u64,
    fields: Fields,
    /// The trees to be asked; the last word is how many there are.
    roots: [u32; 8],
    count: u32,
    next: u32,
    /// The next entry of the present leaf, and how many are left of it.
    entry: u32,
    left: u32,
    /// Places of the tables of this generation.
    trees: u32,
    list: u32,
    addresses: u32,
    /// First lines of the records of both addresses and of the interface.
    source: u32,
    destination: u32,
    interface: u32,
    /// Place in the list of the rule found, past all where none is.
    order: u32,
    packets: u32,
    bytes: u32,
    /// First line of dynamic sets and their conditions.
    dynamic: u32,
    /// The set to be asked before the present entry can be judged: [`DESTINATION_END`] and its place, or
    /// [`NONE`].
    wanted: u32,
    /// By end: dynamic sets that were asked, and of which its address is a member.
    asked: [u32; 2],
    members: [u32; 2],
    probe: MemberKey,
    v6: bool,
    /// There are rules to be counted that only monitor.
    counts: bool,
    /// They are being counted: what decides is known.
    counting: bool,
    pad: u8,
}

/// Set in [`Search::wanted`]: it is the destination that is asked for.
const DESTINATION_END: u32 = 0x100;
/// No set is to be asked.
const NONE: u32 = u32::MAX;

/// What an entry says of a packet.
enum Match {
    /// It does not match.
    No,
    /// It does, and this is the place of its rule.
    Yes(u32),
    /// A set must be asked first.
    Ask,
}

/// Does a condition hold?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    No,
    Yes,
    Ask,
}

impl Search {
    #[inline(always)]
    fn begin(&mut self, head: &Generation, ask: &Question) {
        let (source, destination) = (&ask.tuple.source, &ask.tuple.destination);
        put(&mut self.fields, SOURCE, source);
        put(&mut self.fields, DESTINATION, destination);
        let tuple = &ask.tuple;
        let service = u32::from(tuple.protocol) << 16 | u32::from(tuple.destination_port);
        self.fields[SERVICE as usize] = u64::from(service);
        self.fields[SOURCE_PORT as usize] = u64::from(tuple.source_port);
        self.v6 = !destination.is_v4();
        self.answer.found = false;
        self.answer.martian = false;
        self.order = u32::MAX;
        self.roots = [EMPTY; 8];
        self.count = 0;
        self.next = 0;
        self.left = 0;
        self.trees = head.trees;
        self.list = head.list;
        self.addresses = head.addresses;
        self.source = 0;
        self.destination = 0;
        self.interface = 0;
        self.now = ask.now;
        self.packets = ask.packets;
        self.bytes = ask.bytes;
        self.dynamic = head.dynamic;
        self.wanted = NONE;
        self.asked = [0; 2];
        self.members = [0; 2];
        self.answer.until = 0;
        self.counts = head.flags & GENERATION_COUNTS != 0 && ask.packets != 0;
        self.counting = false;
    }

    /// Looks at the next entry of a leaf. Of a packet's matches in one leaf the first that decides ends the
    /// search of it.
    #[inline(always)]
    fn next_entry<T: Tables>(&mut self, tables: T) {
        let found = self.matching(tables, self.entry);
        if matches!(found, Match::Ask) {
            return;
        }
        self.entry += 1;
        self.left -= 1;
        if let Match::Yes(rule) = found
            && matches!(self.judge(tables, rule), Sought::Done)
        {
            self.left = 0;
        }
    }

    /// Asks a dynamic set for an address, once for each packet.
    #[inline(always)]
    fn ask<T: Tables>(&mut self, tables: T) {
        let (place, destination) = (self.wanted & 31, self.wanted & DESTINATION_END != 0);
        self.wanted = NONE;
        let first = if destination { DESTINATION } else { SOURCE };
        let end = usize::from(destination);
        self.asked[end & 1] |= 1 << place;
        let Some(line) = tables.tree_line(self.trees, self.dynamic + (place >> 4)) else {
            return;
        };
        let address = take(&self.fields, first);
        self.probe.ask(line.word(place & 15), self.v6, &address);
        let until = tables.member(&self.probe);
        if until <= self.now {
            return;
        }
        self.members[end & 1] |= 1 << place;
        if until != FOR_EVER {
            self.answer.until = sooner(self.answer.until, until);
        }
    }

    /// Goes down the next tree to its leaf.
    #[inline(always)]
    fn next_tree<T: Tables>(&mut self, tables: T) -> Sought {
        if self.next >= self.count {
            return self.next_round();
        }
        let root = self.roots[self.next as usize & 7];
        self.next += 1;
        let trees = self.trees;
        let leaf = walk(
            |index| tables.tree_line(trees, index),
            &self.fields,
            0,
            root,
        );
        self.entry = line::first(leaf);
        self.left = line::count(leaf);
        Sought::Further
    }

    /// Is there nothing left to be looked at? Each step is a call, so none is made only to find this out.
    #[inline(always)]
    fn is_over(&self) -> Sought {
        let more = self.left != 0 || self.next < self.count || self.counts || self.wanted != NONE;
        if more { Sought::Further } else { Sought::Done }
    }

    /// When all trees are asked, and rules that monitor are to be counted, all are asked again: only now it is
    /// known which of those stand before the rule that decides.
    #[inline(always)]
    fn next_round(&mut self) -> Sought {
        if self.counting || !self.counts {
            return Sought::Done;
        }
        self.counting = true;
        self.next = 0;
        Sought::Further
    }

    /// The place of an entry's rule, where the packet is all that the entry demands.
    #[inline(always)]
    fn matching<T: Tables>(&mut self, tables: T, entry: u32) -> Match {
        let Some((demands, rule)) = self.within(tables, entry) else {
            return Match::No;
        };
        match self.has(tables, demands) {
            Holds::Yes => Match::Yes(rule),
            Holds::No => Match::No,
            Holds::Ask => Match::Ask,
        }
    }

    /// What an entry demands, and the place of its rule, where the packet is within its ranges.
    #[inline(always)]
    fn within<T: Tables>(&self, tables: T, entry: u32) -> Option<(Demands, u32)> {
        if self.v6 {
            let line = tables.tree_line(self.trees, entry)?;
            line::within6(&line, &self.fields)
        } else {
            let line = tables.tree_line(self.trees, entry >> 1)?;
            line::within4(&line.halves[(entry & 1) as usize], &self.fields)
        }
    }

    #[inline(always)]
    fn has<T: Tables>(&mut self, tables: T, demands: Demands) -> Holds {
        let kind = demands.interface == 0 || {
            let record = self.interface + u32::from(demands.interface >> 9);
            let line = tables.tree_line(self.trees, record);
            line.is_some_and(|line| is_set(&line, demands.interface))
        };
        if !kind {
            return Holds::No;
        }
        match self.end(tables, 0, self.source, demands.source) {
            Holds::Yes => self.end(tables, 1, self.destination, demands.destination),
            other => other,
        }
    }

    /// Is the address of one end what is demanded of it?
    #[inline(always)]
    fn end<T: Tables>(&mut self, tables: T, end: usize, record: u32, demand: u16) -> Holds {
        if demand & CONDITION != 0 {
            self.condition(tables, end, record, demand)
        } else if self.in_class(tables, record, demand) {
            Holds::Yes
        } else {
            Holds::No
        }
    }

    /// Has the class of an address a bit? 0 is no demand.
    #[inline(always)]
    fn in_class<T: Tables>(&self, tables: T, record: u32, bit: u16) -> bool {
        bit == 0 || {
            let line = tables.address_line(self.addresses, record + u32::from(bit >> 9));
            line.is_some_and(|line| is_set(&line, bit))
        }
    }

    /// See [`crate::policy::dynamic`].
    #[inline(always)]
    fn condition<T: Tables>(&mut self, tables: T, end: usize, record: u32, demand: u16) -> Holds {
        let number = u32::from(demand & !CONDITION);
        let line = self.dynamic + SET_LINES + (number >> 2);
        let Some(line) = tables.tree_line(self.trees, line) else {
            return Holds::No;
        };
        let condition = Condition::at(&line, number);
        let open = condition.open == EVERY || self.in_class(tables, record, condition.open);
        if !open {
            return Holds::No;
        }
        let held = condition.held == EVERY || self.in_class(tables, record, condition.held);
        let named = if held { 0 } else { condition.named };
        let missing = (named | condition.except) & !self.asked[end & 1];
        if missing != 0 {
            self.wanted = (end as u32) << 8 | lowest(missing);
            return Holds::Ask;
        }
        let members = self.members[end & 1];
        if members & condition.except == 0 && (held || members & named != 0) {
            Holds::Yes
        } else {
            Holds::No
        }
    }

    /// A rule that matches. One that has expired or only monitors does not decide; nor one behind what
    /// another tree has found.
    #[inline(always)]
    fn judge<T: Tables>(&mut self, tables: T, place: u32) -> Sought {
        let Some(rule) = tables.rule(self.list, place) else {
            return Sought::Further;
        };
        if rule.order >= self.order {
            return Sought::Done;
        }
        if rule.expires != 0 && self.now >= rule.expires {
            return Sought::Further;
        }
        if self.counting || rule.flags & MONITOR != 0 {
            if self.counting && rule.flags & MONITOR != 0 {
                tables.would_hit(rule.counter, self.packets, self.bytes, self.now);
            }
            return Sought::Further;
        }
        self.order = rule.order;
        self.answer.rule = rule;
        self.answer.found = true;
        Sought::Done
    }
}

#[inline(always)]
fn put(fields: &mut Fields, first: u32, address: &Addr) {
    let first = first as usize;
    fields[first] = address.hi >> 32;
    fields[first + 1] = address.hi & LOW;
    fields[first + 2] = address.lo >> 32;
    fields[first + 3] = address.lo & LOW;
}

#[inline(always)]
fn take(fields: &Fields, first: u32) -> Addr {
    let word = |place: u32| fields[(first + place) as usize & 15];
    Addr {
        hi: word(0) << 32 | word(1),
        lo: word(2) << 32 | word(3),
    }
}

/// The lower half of a word.
const LOW: u64 = 0xffff_ffff;

#[inline(always)]
fn is_set(line: &line::Line, bit: u16) -> bool {
    line.word(u32::from(bit) >> 5 & 15) >> (bit & 31) & 1 != 0
}

const _: () = assert!(SET_BITS as usize == INTERFACE_CLASSES * 8);

impl<T: Tables> Work<T> for Search {
    #[inline(always)]
    fn go(&mut self, tables: T) -> Sought {
        if self.wanted != NONE {
            self.ask(tables);
            return Sought::Further;
        }
        if self.left == 0 && matches!(self.next_tree(tables), Sought::Done) {
            return Sought::Done;
        }
        if self.left != 0 {
            self.next_entry(tables);
        }
        self.is_over()
    }
}

/// Steps of a search: every entry of every tree, and each tree once, twice over, and the end of each round; and an
/// entry is looked at once more for each set that is asked for an end of the packet.
const STEPS: u32 = 2 * (MAX_TREES * (MAX_ENTRIES + 1) + 1) + 2 * 2 * MAX_SETS;
