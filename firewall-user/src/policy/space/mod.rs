//! The space of all packets, cut where a compiled policy makes a difference.
//!
//! Inside a piece (an address class for each end, a service class, a source port class, an interface
//! class) every packet meets the same rules, so looking at one packet of each piece is looking at all.
//! Pieces that leave the same rules are joined on the way, which keeps their number small.

#[cfg(any(test, feature = "testing"))]
mod cases;
mod names;
#[cfg(any(test, feature = "testing"))]
mod services;
mod settings;

use std::collections::HashMap;
use std::net::IpAddr;

use firewall_common::addr::Addr;
use firewall_common::config::InterfaceEntry;
use ipnet::IpNet;

use super::compile::{AddressEntry, Fields};
use super::compiled::Compiled;
use super::model::Policy;
#[cfg(any(test, feature = "testing"))]
pub use cases::Case;
pub use settings::{Query, Target};
pub(super) use settings::{Setting, exists, never};

/// Addresses that examples are best made of: documentation ranges (RFC 5737, RFC 3849).
const NICE: [&str; 6] = [
    "203.0.113.9",
    "198.51.100.7",
    "192.0.2.9",
    "10.0.0.9",
    "2001:db8::9",
    "fd00::9",
];

/// A run of addresses, both ends included, of which the table says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    first: u128,
    last: u128,
    entry: AddressEntry,
}

/// All addresses of one family of which the table says the same; one of them stands for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// Of IPv6.
    pub v6: bool,
    /// What the table says.
    pub entry: AddressEntry,
    /// An example.
    pub example: IpAddr,
    /// Another one; the same where there is none.
    pub other: IpAddr,
}

/// A run of addresses, both ends included.
pub(super) type Range = (u128, u128);

/// A compiled policy's view of all packets.
#[derive(Debug)]
pub struct Space<'c> {
    /// The policy.
    pub compiled: &'c Compiled,
    /// What each field of a packet leaves of its list.
    pub fields: Fields,
    regions: Vec<Region>,
    /// Names of interfaces, one for each kind that there can be; that of no pattern first.
    pub interfaces: Vec<(String, InterfaceEntry)>,
    unicast: Vec<Class>,
}

const fn host_bits(length: u32) -> u128 {
    match length {
        0 => u128::MAX,
        1..128 => (1 << (128 - length)) - 1,
        _ => 0,
    }
}

const MAPPED: Range = (0xffff_0000_0000, 0xffff_ffff_ffff);

const fn is_v6(address: u128) -> bool {
    address < MAPPED.0 || address > MAPPED.1
}

pub(super) fn address(bits: u128) -> IpAddr {
    if is_v6(bits) {
        IpAddr::V6(bits.into())
    } else {
        IpAddr::V4((bits as u32).into())
    }
}

pub(super) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => MAPPED.0 | u128::from(u32::from(v4)),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The addresses of a prefix.
pub(super) fn range(net: &IpNet) -> Range {
    (bits(net.network()), bits(net.broadcast()))
}

const fn v4_net(a: u8, length: u32) -> Range {
    let first = MAPPED.0 | (a as u128) << 24;
    (first, first | host_bits(96 + length))
}

const MULTICAST: [Range; 2] = [v4_net(224, 4), (0xff << 120, u128::MAX)];
const LIMITED_BROADCAST: Range = (MAPPED.1, MAPPED.1);

/// Whom a packet on a wire can be addressed to, groups aside: neither loopback nor unspecified.
pub(super) fn unicast() -> Vec<Range> {
    let never = [
        (0, 1),
        v4_net(0, 8),
        v4_net(127, 8),
        v4_net(224, 3),
        MULTICAST[1],
    ];
    without(&never)
}

/// The runs between others, which are in order.
pub(super) fn without(never: &[Range]) -> Vec<Range> {
    let mut next = Some(0);
    let mut ranges = Vec::new();
    for (first, last) in never {
        if let Some(start) = next.filter(|start| start < first) {
            ranges.push((start, first - 1));
        }
        next = last.checked_add(1);
    }
    ranges.extend(next.map(|start| (start, u128::MAX)));
    ranges
}

impl<'c> Space<'c> {
    /// What is known of addresses and interfaces.
    #[must_use]
    pub fn new(policy: &Policy, compiled: &'c Compiled) -> Self {
        Self::cut(compiled, Fields::without_rules(policy, compiled))
    }

    /// With what each field leaves of the list, for [`Self::cases`]: as large as the list for every address that it
    /// tells apart.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn whole(policy: &Policy, compiled: &'c Compiled) -> Self {
        Self::cut(compiled, Fields::of(policy, compiled))
    }

    fn cut(compiled: &'c Compiled, fields: Fields) -> Self {
        let regions = regions(&fields);
        let unicast = distinct(&regions, &unicast());
        Self {
            compiled,
            fields,
            interfaces: names::examples(&compiled.interfaces),
            unicast,
            regions,
        }
    }

    /// Classes of unicast addresses.
    #[must_use]
    pub fn unicast(&self) -> &[Class] {
        &self.unicast
    }

    /// Some address of a family.
    #[must_use]
    pub fn unicast_example(&self, v6: bool) -> Option<IpAddr> {
        let mut classes = self.unicast.iter();
        classes
            .find(|class| class.v6 == v6)
            .map(|class| class.example)
    }

    /// The classes of the addresses of a prefix that a packet can have.
    #[must_use]
    pub fn within(&self, net: &IpNet) -> Vec<Class> {
        let groups = groups();
        let mut classes = distinct(&self.regions, &clipped(&without(&groups), range(net)));
        classes.extend(distinct(&self.regions, &clipped(&groups, range(net))));
        classes
    }
}

/// Flattens the table: runs of addresses by their longest prefix, in order.
fn regions(fields: &Fields) -> Vec<Region> {
    let prefix = |(first, length, entry): &(u128, u32, AddressEntry)| Region {
        first: *first,
        last: first | host_bits(*length),
        entry: *entry,
    };
    let mut prefixes: Vec<Region> = fields.addresses.iter().map(prefix).collect();
    prefixes.sort_unstable_by_key(|p| (p.first, std::cmp::Reverse(p.last)));
    let mut sweep = Sweep::default();
    for prefix in prefixes {
        sweep.close_before(prefix.first);
        sweep.until(prefix.first);
        sweep.covering.push(prefix);
    }
    sweep.close_before(u128::MAX);
    sweep.finish()
}

/// The way from the first address to the last, with the prefixes around the present one.
#[derive(Default)]
struct Sweep {
    next: u128,
    covering: Vec<Region>,
    regions: Vec<Region>,
}

impl Sweep {
    /// Leaves the prefixes that end before an address.
    fn close_before(&mut self, address: u128) {
        while let Some(ended) = self.covering.pop_if(|prefix| prefix.last < address) {
            if self.next <= ended.last {
                self.push(ended.last, ended.entry);
                self.next = ended.last + 1;
            }
        }
    }

    /// What is left up to an address belongs to the innermost prefix.
    fn until(&mut self, address: u128) {
        let innermost = self.covering.last().map(|prefix| prefix.entry);
        if let Some(entry) = innermost.filter(|_| self.next < address) {
            self.push(address - 1, entry);
        }
        self.next = self.next.max(address);
    }

    fn push(&mut self, last: u128, entry: AddressEntry) {
        let first = self.next;
        self.regions.push(Region { first, last, entry });
    }

    /// Prefixes that hold the last address: the innermost has it.
    fn finish(mut self) -> Vec<Region> {
        if let Some(entry) = self.covering.last().map(|prefix| prefix.entry) {
            self.push(u128::MAX, entry);
        }
        self.regions
    }
}

/// The part of some ranges that lies within another.
pub(super) fn clipped(ranges: &[Range], within: Range) -> Vec<Range> {
    let both = |(first, last): &Range| ((*first).max(within.0), (*last).min(within.1));
    let parts = ranges.iter().map(both);
    parts.filter(|(first, last)| first <= last).collect()
}

/// The different classes among the regions within some ranges, each with an example.
fn distinct(regions: &[Region], ranges: &[Range]) -> Vec<Class> {
    let mut found = Found::default();
    for range in ranges {
        let start = regions.partition_point(|region| region.last < range.0);
        let rest = regions.get(start..).unwrap_or_default();
        let touching = rest.iter().take_while(|region| region.first <= range.1);
        for region in touching {
            let run = (region.first.max(range.0), region.last.min(range.1));
            found.add(run, region.entry);
        }
    }
    found.classes
}

/// Classes as they are found, each once.
#[derive(Default)]
struct Found {
    classes: Vec<Class>,
    numbers: HashMap<(bool, AddressEntry), usize>,
}

impl Found {
    fn add(&mut self, run: Range, entry: AddressEntry) {
        let v6 = is_v6(run.0);
        let new = self.classes.len();
        let number = *self.numbers.entry((v6, entry)).or_insert(new);
        let example = example(run);
        let Some(known) = self.classes.get_mut(number) else {
            let other = address(if bits(example) == run.0 { run.1 } else { run.0 });
            self.classes.push(Class {
                v6,
                entry,
                example,
                other,
            });
            return;
        };
        if is_nice(example) && !is_nice(known.example) {
            known.other = known.example;
            known.example = example;
        } else if known.other == known.example {
            known.other = example;
        }
    }
}

fn is_nice(address: IpAddr) -> bool {
    NICE.iter().any(|nice| nice.parse() == Ok(address))
}

/// The addresses that examples are best made of.
pub(super) fn nice() -> impl Iterator<Item = IpAddr> {
    NICE.iter().filter_map(|nice| nice.parse().ok())
}

/// Multicast, and the limited broadcast; in order.
pub(super) const fn groups() -> [Range; 3] {
    let [v4, v6] = MULTICAST;
    [v4, LIMITED_BROADCAST, v6]
}

/// All addresses of a family.
pub(super) fn families(v6: bool) -> Vec<Range> {
    if v6 { without(&[MAPPED]) } else { vec![MAPPED] }
}

/// An address of a run, best one of those that documents use.
pub(super) fn example(run: Range) -> IpAddr {
    let mut inside = nice().filter(|nice| (run.0..=run.1).contains(&bits(*nice)));
    let plain = if run.0 < run.1 { run.0 + 1 } else { run.0 };
    inside.next().unwrap_or_else(|| address(plain))
}

/// An address as tables know it.
#[must_use]
pub fn known(address: IpAddr) -> Addr {
    crate::dataplane::memory::mapped(address)
}
