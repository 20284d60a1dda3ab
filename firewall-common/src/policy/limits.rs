//! What an allow rule bounds: how often it lets in, and how many sessions are open at a time.
//!
//! It stands in a line beside the trees, which [`super::rule::Rule::limits`] names, so that it comes into force and
//! goes with its generation. What has been used of it is kept by the rule's counter, which stays with the rule's
//! id across revisions.

use crate::addr::Addr;
use crate::policy::line::Line;
use crate::policy::rule::Rule;

/// Rules of a generation that may have limits.
pub const MAX_LIMITED: u32 = 8192;

/// Parts of a nanosecond that the cost of a byte is told in: ten gigabits a second are eight of them to a tenth of
/// a per cent.
pub const PER_NANOSECOND: u64 = 1024;

/// Bits a second that a rate has at least.
pub const SLOWEST: u64 = 100;

/// Whom a limit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Per {
    /// Bits of an IPv4 address that make a source; with both 0 it is for the rule as a whole.
    pub v4: u8,
    /// The same of IPv6.
    pub v6: u8,
}

impl Per {
    /// All that the rule lets in together.
    pub const RULE: Self = Self { v4: 0, v6: 0 };
    /// A host: of IPv6 a network of 64 bits, since a host may have any address of its network.
    pub const SOURCE: Self = Self { v4: 32, v6: 64 };

    /// Is it for the rule as a whole?
    #[inline(always)]
    #[must_use]
    pub const fn is_rule(self) -> bool {
        self.v4 == 0 && self.v6 == 0
    }

    /// The part of an address that it is for.
    #[inline(always)]
    #[must_use]
    pub const fn of(self, address: &Addr) -> Addr {
        if self.is_rule() {
            return Addr::UNSPECIFIED;
        }
        if address.is_v4() {
            let mask = high_bits(32 + self.v4);
            let lo = address.lo & mask;
            return Addr { hi: 0, lo };
        }
        let (high, low) = if self.v6 < 64 {
            (self.v6, 0)
        } else {
            (64, self.v6 - 64)
        };
        let (hi, lo) = (address.hi & high_bits(high), address.lo & high_bits(low));
        Addr { hi, lo }
    }
}

/// A word whose first bits are set.
#[inline(always)]
const fn high_bits(count: u8) -> u64 {
    match count {
        0 => 0,
        64.. => u64::MAX,
        _ => u64::MAX << ((64 - count) & 63),
    }
}

/// The limits of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Nanoseconds that an opening or a packet costs, or of a byte in parts of [`PER_NANOSECOND`]; 0: no such limit.
    pub cost: u64,
    /// Nanoseconds that a bucket holds.
    pub tolerance: u64,
    /// The cost is that of a byte.
    pub bytes: bool,
    /// Whom the rate is for.
    pub per: Per,
    /// Sessions that may be open at a time; 0: any number.
    pub sessions: u32,
    /// Those of one source, else of the rule.
    pub sessions_per_source: bool,
}

const BYTES: u32 = 1 << 16;
const PER_SOURCE: u32 = 1 << 17;

impl Limits {
    /// As a line.
    #[must_use]
    pub const fn to_line(&self) -> Line {
        let per = self.per.v4 as u32 | (self.per.v6 as u32) << 8;
        let flags = if self.bytes { BYTES } else { 0 }
            | if self.sessions_per_source {
                PER_SOURCE
            } else {
                0
            };
        let first = [
            self.cost as u32,
            (self.cost >> 32) as u32,
            self.tolerance as u32,
            (self.tolerance >> 32) as u32,
            per | flags,
            self.sessions,
            0,
            0,
        ];
        Line {
            halves: [first, [0; 8]],
        }
    }

    /// From a line.
    #[inline(always)]
    #[must_use]
    pub const fn from_line(line: &Line) -> Self {
        let [
            cost,
            cost_high,
            tolerance,
            tolerance_high,
            words,
            sessions,
            ..,
        ] = line.halves[0];
        Self {
            cost: cost as u64 | (cost_high as u64) << 32,
            tolerance: tolerance as u64 | (tolerance_high as u64) << 32,
            bytes: words & BYTES != 0,
            per: Per {
                v4: words as u8,
                v6: (words >> 8) as u8,
            },
            sessions,
            sessions_per_source: words & PER_SOURCE != 0,
        }
    }

    /// What so many packets of so many bytes cost, in nanoseconds. It cannot overflow: rates are an opening an hour and
    /// [`SLOWEST`] at least, and no buffer stands for more than 65,535 packets or a megabyte.
    #[inline(always)]
    #[must_use]
    pub const fn price(&self, packets: u32, bytes: u32) -> u64 {
        if self.bytes {
            self.cost.wrapping_mul((bytes & 0xf_ffff) as u64) / PER_NANOSECOND
        } else {
            self.cost.wrapping_mul((packets & 0xffff) as u64)
        }
    }
}

/// Whose bucket, or whose count.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct LimitKey {
    /// The source, as far as the limit tells sources apart.
    pub source: Addr,
    /// The rule's counter.
    pub rule: u32,
    /// Zero.
    pub pad: u32,
}

/// Key of the table of buckets of rules as a whole: with `shared` the one bucket for all sources that found no place for
/// one of their own.
#[inline(always)]
#[must_use]
pub const fn rule_key(rule: u32, shared: bool) -> u32 {
    rule << 1 | shared as u32
}

/// Has the rule limits?
#[inline(always)]
#[must_use]
pub const fn has_limits(rule: &Rule) -> bool {
    rule.limits != 0
}

const _: () = assert!(size_of::<LimitKey>() == 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_go_into_a_line_and_back() {
        let limits = Limits {
            cost: 36_000_000_000,
            tolerance: u64::MAX / 3,
            bytes: true,
            per: Per { v4: 24, v6: 56 },
            sessions: 100,
            sessions_per_source: true,
        };
        assert_eq!(Limits::from_line(&limits.to_line()), limits);
        assert_eq!(Limits::from_line(&Line::default()), Limits::default());
    }

    #[test]
    fn a_source_is_as_much_of_the_address_as_the_rule_says() {
        let v4 = Addr::v4(0xc000_02ff);
        assert_eq!(Per { v4: 24, v6: 56 }.of(&v4), Addr::v4(0xc000_0200));
        assert_eq!(Per::SOURCE.of(&v4), v4);
        assert_eq!(Per { v4: 0, v6: 64 }.of(&v4), Addr::v4(0));
        assert_eq!(Per::RULE.of(&v4), Addr::UNSPECIFIED);
        let v6 = Addr {
            hi: 0x2001_0db8_aabb_ccdd,
            lo: 7,
        };
        assert_eq!(Per::SOURCE.of(&v6), Addr { hi: v6.hi, lo: 0 });
        let wide = Addr {
            hi: 0x2001_0db8_aabb_cc00,
            lo: 0,
        };
        assert_eq!(Per { v4: 24, v6: 56 }.of(&v6), wide);
        assert_eq!(Per { v4: 32, v6: 128 }.of(&v6), v6);
    }

    #[test]
    fn bytes_cost_parts_of_nanoseconds() {
        let limits = Limits {
            cost: 4000 * PER_NANOSECOND,
            bytes: true,
            ..Limits::default()
        };
        assert_eq!(limits.price(44, 1500), 6_000_000);
        let limits = Limits {
            cost: 1000,
            ..Limits::default()
        };
        assert_eq!(limits.price(3, 1500), 3000);
    }
}
