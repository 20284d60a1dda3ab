//! Classification: the first rule of the ordered list that matches.
//!
//! The zones of both ends say which trees are asked, at most six. A tree leads in a bounded number of steps
//! to a leaf: a few entries, in the order of their rules, of which the first that matches is the tree's answer.
//! Of the trees' answers the first in the ordered list decides. So the number of steps does not depend on the
//! number of rules. What changes with time, expiry and monitor mode, is in the rules and not in the trees: a
//! rule that does not decide is passed over, and the search goes on.

use crate::addr::Addr;
use crate::config::{GENERATION_ADDRESSES, GENERATION_COUNTS, GENERATION_INTERFACES, Generation};
use crate::flow::Tuple;
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

/// Finds the records of what is known of both addresses. Where no zone and no set names any, the first
/// record holds for all.
#[inline(always)]
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
    let root = first.word(u32::from(search.v6));
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
    v6: bool,
    /// There are rules to be counted that only monitor.
    counts: bool,
    /// They are being counted: what decides is known.
    counting: bool,
    pad: u8,
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
        self.counts = head.flags & GENERATION_COUNTS != 0 && ask.packets != 0;
        self.counting = false;
    }

    /// Looks at the next entry of a leaf. Of a packet's matches in one leaf the first that decides ends the
    /// search of it.
    #[inline(always)]
    fn next_entry<T: Tables>(&mut self, tables: T) {
        let entry = self.entry;
        self.entry += 1;
        self.left -= 1;
        if let Some(rule) = self.matching(tables, entry)
            && matches!(self.judge(tables, rule), Sought::Done)
        {
            self.left = 0;
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
    fn matching<T: Tables>(&self, tables: T, entry: u32) -> Option<u32> {
        let (demands, rule) = if self.v6 {
            let line = tables.tree_line(self.trees, entry)?;
            line::within6(&line, &self.fields)?
        } else {
            let line = tables.tree_line(self.trees, entry >> 1)?;
            line::within4(&line.halves[(entry & 1) as usize], &self.fields)?
        };
        self.has(tables, demands).then_some(rule)
    }

    #[inline(always)]
    fn has<T: Tables>(&self, tables: T, demands: Demands) -> bool {
        let address = |record: u32, bit: u16| {
            bit == 0 || {
                let line = tables.address_line(self.addresses, record + u32::from(bit >> 9));
                line.is_some_and(|line| is_set(&line, bit))
            }
        };
        let kind = demands.interface == 0 || {
            let record = self.interface + u32::from(demands.interface >> 9);
            let line = tables.tree_line(self.trees, record);
            line.is_some_and(|line| is_set(&line, demands.interface))
        };
        kind && address(self.source, demands.source)
            && address(self.destination, demands.destination)
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
        if self.left == 0 {
            return self.next_tree(tables);
        }
        self.next_entry(tables);
        Sought::Further
    }
}

/// Steps of a search: every entry of every tree, and each tree once, twice over, and the end of each round.
const STEPS: u32 = 2 * (MAX_TREES * (MAX_ENTRIES + 1) + 1);
