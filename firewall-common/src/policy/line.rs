//! The layout of classifiers: arrays of lines of 64 bytes, which a processor fetches at once.
//!
//! A line is a node of a tree, a part of a leaf, a record of bits, or one of the roots. How they hang together
//! is told in `docs/classifier.md`; `firewall-user`'s compiler writes them, [`super::walk`] and
//! [`super::lookup`] read them.

/// Sixteen words, as two halves: a node has seven comparisons in the first and eight children in the second.
#[repr(C, align(8))]
#[cfg_attr(feature = "user", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Line {
    /// The words.
    pub halves: [[u32; 8]; 2],
}

const _: () = assert!(size_of::<Line>() == 64);

/// Set in a reference that is no line of nodes but a leaf.
pub const LEAF: u32 = 1 << 31;
/// A leaf without anything.
pub const EMPTY: u32 = LEAF;
/// A walk visits at most this many lines: 48 comparisons. The compiler refuses what would be deeper.
pub const MAX_LINES: u32 = 16;
/// Entries of one leaf; the compiler refuses what would need more.
pub const MAX_ENTRIES: u32 = 31;
/// Trees that are asked for one packet; the compiler refuses what would need more.
pub const MAX_TREES: u32 = 6;

/// Fields of a packet that nodes compare: source address, four words of 32 bits, the highest first. IPv4
/// addresses are in the last.
pub const SOURCE: u32 = 0;
/// Destination address, as [`SOURCE`].
pub const DESTINATION: u32 = 4;
/// Protocol, shifted left by sixteen, and destination port (of ICMP: type and code).
pub const SERVICE: u32 = 8;
/// Source port.
pub const SOURCE_PORT: u32 = 9;

/// The fields of a packet, of 32 bits at most each. They are kept in words of 64, of which the compiler cannot know
/// that their upper half is zero: so it leaves subtractions as they are written, where it would make branches of
/// them, which a processor guesses wrong every other time.
pub type Fields = [u64; 16];

/// Lines that hold the table of roots: a half word for each pair of zones.
pub const ROOT_LINES: u32 = (64 * 64 * 2) / 64;

/// Bits of a class's record before those of sets: its zones, a byte for each class of interfaces.
pub const SET_BITS: u32 = 128;

impl Line {
    /// A word of the line, below 16.
    #[inline(always)]
    #[must_use]
    pub const fn word(&self, index: u32) -> u32 {
        self.halves[(index >> 3 & 1) as usize][(index & 7) as usize]
    }

    /// Of a node: where to go on. Three comparisons, each with a field of its own. `base` is added to the
    /// numbers of fields, so that one tree can be asked about sources and destinations.
    #[inline(always)]
    #[must_use]
    pub fn next(&self, fields: &Fields, base: u32) -> u32 {
        let [tests, children] = &self.halves;
        let dims = tests[0];
        let first = reaches(fields, base + dims, tests[1]);
        let place = 2 + first;
        let second = reaches(
            fields,
            base + (dims >> (first * 4 + 4)),
            tests[place as usize & 7],
        );
        // Opaque to the compiler, so that it keeps the masks of both indexes: the verifier of Linux 6.1 forgets the bounds
        // of two numbers that are put together, and would refuse an index without a mask.
        let half = core::hint::black_box(first * 2 + second);
        let third = reaches(
            fields,
            base + (dims >> (half * 4 + 12)),
            tests[(half + 4) as usize & 7],
        );
        let child = core::hint::black_box(half * 2 + third);
        children[child as usize & 7]
    }
}

/// 1 where the field has at least this value, else 0.
#[inline(always)]
fn reaches(fields: &Fields, dim: u32, value: u32) -> u32 {
    let field = fields[dim as usize & 15];
    let below = field.wrapping_sub(u64::from(value)) >> 63;
    (below ^ 1) as u32
}

/// A leaf of a tree over rules: so many entries from a place on.
#[inline(always)]
#[must_use]
pub const fn leaf(first: u32, count: u32) -> u32 {
    LEAF | first << 5 | count
}

/// The first entry of a leaf. Entries of IPv4 are half a line, those of IPv6 a whole one.
#[inline(always)]
#[must_use]
pub const fn first(leaf: u32) -> u32 {
    (leaf & !LEAF) >> 5
}

/// The number of entries of a leaf.
#[inline(always)]
#[must_use]
pub const fn count(leaf: u32) -> u32 {
    leaf & MAX_ENTRIES
}

/// What an entry demands beside its addresses, service and source port: numbers of bits that must be set,
/// 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Demands {
    /// In the record of the source's class.
    pub source: u16,
    /// In the record of the destination's class.
    pub destination: u16,
    /// In the record of the interface's kind.
    pub interface: u16,
}

/// An entry of a leaf as the compiler knows it: a rule, and the packets that it matches, as one range for each
/// field. A rule with lists is several entries, of which a packet matches one at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Entry {
    /// The source prefix: first address and length, of 32 or of 128 bits.
    pub source: (u128, u32),
    /// The destination prefix.
    pub destination: (u128, u32),
    /// First and last service, as in [`SERVICE`].
    pub service: (u32, u32),
    /// First and last source port.
    pub source_port: (u16, u16),
    /// The rest.
    pub demands: Demands,
    /// Place of the rule in the table of rules.
    pub rule: u32,
}

impl Entry {
    const fn ports(&self) -> u32 {
        (self.source_port.0 as u32) << 16 | self.source_port.1 as u32
    }

    const fn sets(&self) -> u32 {
        self.demands.source as u32 | (self.demands.destination as u32) << 16
    }

    /// Half a line, for IPv4.
    #[must_use]
    pub const fn v4(&self) -> [u32; 8] {
        let shifts = (32 - self.source.1) | (32 - self.destination.1) << 8;
        [
            self.source.0 as u32,
            self.destination.0 as u32,
            self.service.0,
            self.service.1,
            self.ports(),
            shifts | (self.demands.interface as u32) << 16,
            self.sets(),
            self.rule,
        ]
    }

    /// A whole line, for IPv6.
    #[must_use]
    pub fn v6(&self) -> Line {
        let words = |address: u128| [96, 64, 32, 0].map(|shift| (address >> shift) as u32);
        let ([a, b, c, d], [e, f, g, h]) = (words(self.source.0), words(self.destination.0));
        let shifts = shift6(self.source.1) | shift6(self.destination.1) << 16;
        let (low, high) = self.service;
        let interface = u32::from(self.demands.interface);
        let rest = [
            low,
            high,
            self.ports(),
            shifts,
            self.sets(),
            interface,
            self.rule,
            0,
        ];
        Line {
            halves: [[a, b, c, d, e, f, g, h], rest],
        }
    }
}

/// How far the two halves of an address must be shifted right for the bits behind a prefix to go. A shift by
/// 64 is none in the kernel, so it is told as 127: by 63, and by one more.
const fn shift6(length: u32) -> u32 {
    let (high, low) = if length <= 64 {
        (64 - length, 64)
    } else {
        (0, 128 - length)
    };
    code(high) | code(low) << 8
}

const fn code(shift: u32) -> u32 {
    if shift == 64 { 127 } else { shift }
}

/// Is nothing left of what differs, beyond what is shifted out? Not zero where something is.
#[inline(always)]
const fn beyond(differs: u64, code: u32) -> u64 {
    (differs >> (code & 63)) >> (code >> 6 & 1)
}

/// The highest bit is set where a value is outside a range; all of an entry is judged at once.
#[inline(always)]
fn outside(value: u64, low: u32, high: u32) -> u64 {
    value.wrapping_sub(u64::from(low)) | u64::from(high).wrapping_sub(value)
}

/// An entry of IPv4: what it demands where a packet is within its ranges, and its rule.
#[inline(always)]
#[must_use]
pub fn within4(entry: &[u32; 8], fields: &Fields) -> Option<(Demands, u32)> {
    let shifts = entry[5];
    let source = (u64::from(entry[0]) ^ fields[SOURCE as usize + 3]) >> (shifts & 63);
    let destination =
        (u64::from(entry[1]) ^ fields[DESTINATION as usize + 3]) >> (shifts >> 8 & 63);
    let rest = ranges(entry[2], entry[3], entry[4], fields);
    if source | destination | rest != 0 {
        return None;
    }
    Some((demands(entry[6], shifts >> 16), entry[7]))
}

/// As [`within4`], for IPv6.
#[inline(always)]
#[must_use]
pub fn within6(entry: &Line, fields: &Fields) -> Option<(Demands, u32)> {
    let [addresses, rest] = &entry.halves;
    let differs = |i: usize| {
        let high = (u64::from(addresses[i]) ^ fields[i]) << 32;
        high | (u64::from(addresses[i + 1]) ^ fields[i + 1])
    };
    let shifts = rest[3];
    let source = beyond(differs(0), shifts) | beyond(differs(2), shifts >> 8);
    let destination = beyond(differs(4), shifts >> 16) | beyond(differs(6), shifts >> 24);
    if source | destination | ranges(rest[0], rest[1], rest[2], fields) != 0 {
        return None;
    }
    Some((demands(rest[4], rest[5]), rest[6]))
}

#[inline(always)]
fn ranges(low: u32, high: u32, ports: u32, fields: &Fields) -> u64 {
    let service = outside(fields[SERVICE as usize], low, high);
    let port = outside(fields[SOURCE_PORT as usize], ports >> 16, ports & 0xffff);
    (service | port) >> 63
}

#[inline(always)]
const fn demands(sets: u32, interface: u32) -> Demands {
    Demands {
        source: sets as u16,
        destination: (sets >> 16) as u16,
        interface: interface as u16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(source: u128, destination: u128, service: u32, port: u16) -> Fields {
        let mut fields = Fields::default();
        for (word, shift) in (0..4).zip([96, 64, 32, 0]) {
            fields[word] = (source >> shift) as u32 as u64;
            fields[4 + word] = (destination >> shift) as u32 as u64;
        }
        fields[SERVICE as usize] = service.into();
        fields[SOURCE_PORT as usize] = port.into();
        fields
    }

    fn holds((first, length): (u128, u32), bits: u32, address: u128) -> bool {
        length == 0 || (first ^ address) >> (bits - length) == 0
    }

    proptest! {
        #[test]
        fn entries_match_what_their_ranges_say(
            bits in prop::sample::select(&[32_u32, 128][..]),
            lengths in (0_u32..=128, 0_u32..=128),
            base in any::<(u128, u128)>(),
            flips in prop::collection::vec((0_u32..128, any::<bool>()), 0..3),
            service in (0_u32..0x0100_0000, 0_u32..0x1_0000),
            ports in any::<(u16, u16)>(),
            asked in (0_u32..0x0100_0000, any::<u16>(), any::<bool>()),
        ) {
            let mask = if bits == 32 { u128::from(u32::MAX) } else { u128::MAX };
            let cut = |address: u128, length: u32| {
                let keep = if length == 0 { 0 } else { mask << (bits - length) & mask };
                address & keep
            };
            let lengths = (lengths.0.min(bits), lengths.1.min(bits));
            let entry = Entry {
                source: (cut(base.0, lengths.0), lengths.0),
                destination: (cut(base.1, lengths.1), lengths.1),
                service: (service.0, (service.0 + service.1).min(0x00ff_ffff)),
                source_port: (ports.0.min(ports.1), ports.0.max(ports.1)),
                rule: 7,
                ..Entry::default()
            };
            let (mut from, mut to) = (base.0 & mask, base.1 & mask);
            for (bit, source) in flips {
                let flipped = if source { &mut from } else { &mut to };
                *flipped ^= 1 << (bit % bits);
            }
            let service = if asked.2 { entry.service.1 } else { asked.0 };
            let fields = fields(from, to, service, asked.1);
            let wanted = holds(entry.source, bits, from)
                && holds(entry.destination, bits, to)
                && (entry.service.0..=entry.service.1).contains(&service)
                && (entry.source_port.0..=entry.source_port.1).contains(&asked.1);
            let found = if bits == 32 { within4(&entry.v4(), &fields) } else { within6(&entry.v6(), &fields) };
            prop_assert_eq!(found.is_some(), wanted);
            prop_assert!(found.is_none_or(|(demands, rule)| demands == Demands::default() && rule == 7));
        }
    }

    #[test]
    fn a_node_goes_to_the_child_that_its_comparisons_say() {
        let mut node = Line::default();
        // Source port at 100; then below: service at 5 and 3, above: last source word at 9.
        let dims = [
            SOURCE_PORT,
            SERVICE,
            SOURCE + 3,
            SERVICE,
            SERVICE,
            SOURCE + 3,
            SOURCE + 3,
        ];
        node.halves[0][0] = dims.iter().rev().fold(0, |all, dim| all << 4 | dim);
        node.halves[0][1..].copy_from_slice(&[100, 5, 9, 3, 7, 4, 20]);
        node.halves[1] = [10, 11, 12, 13, 14, 15, 16, 17];
        let next = |port, service, source| node.next(&fields(source, 0, service, port), 0);
        assert_eq!(
            [
                next(99, 2, 0),
                next(99, 3, 0),
                next(99, 5, 0),
                next(0, 7, 99)
            ],
            [10, 11, 12, 13]
        );
        assert_eq!(
            [
                next(100, 0, 3),
                next(100, 0, 4),
                next(999, 9, 9),
                next(100, 0, 20)
            ],
            [14, 15, 16, 17]
        );
    }
}
