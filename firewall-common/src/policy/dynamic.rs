//! Dynamic sets: lists of addresses that change without the policy, each member until a time of its own.
//!
//! They are not part of what is known of addresses: a member that comes or goes changes no tree and no class. A
//! rule that names one demands a **condition**, which says what must hold of an address:
//!
//! > (the lists of the policy hold it, or one of these sets does) and no excepted list or set holds it.
//!
//! What the policy's own lists say are two bits of the address's class. Only where those leave it open are sets
//! asked, each once for an address and packet, in one table for all sets: the longest prefix of a set that covers
//! the address says until when it is a member. Where prefixes of a set cover each other, the agent sees to it that
//! the longer one lives at least as long.

use crate::addr::Addr;
use crate::policy::line::Line;

/// Dynamic sets that the rules of one policy may name.
pub const MAX_SETS: u32 = 32;
/// Members of all sets together.
pub const MAX_MEMBERS: u32 = 2_097_152;

/// Set in a demand of an entry: the rest is the number of a condition.
pub const CONDITION: u16 = 0x8000;
/// In place of a bit: every address has it.
pub const EVERY: u16 = 0xffff;

/// Lines before those of conditions: the numbers of the sets, by their place in the policy.
pub const SET_LINES: u32 = MAX_SETS / 16;

/// What is demanded of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Condition {
    /// Sets, by their place in the policy, of which it may be a member.
    pub named: u32,
    /// Sets of which it must not be.
    pub except: u32,
    /// The bit of its class that says: named by the policy's own lists, and not excepted by them.
    pub held: u16,
    /// The bit of its class that says: not excepted by the policy's own lists; [`EVERY`] where there are none.
    pub open: u16,
}

impl Condition {
    /// Four words.
    #[must_use]
    pub const fn words(&self) -> [u32; 4] {
        let bits = self.held as u32 | (self.open as u32) << 16;
        [self.named, self.except, bits, 0]
    }

    /// The condition at a place of a line, of which there are four.
    #[inline(always)]
    #[must_use]
    pub const fn at(line: &Line, place: u32) -> Self {
        let first = (place & 3) * 4;
        let bits = line.word(first + 2);
        Self {
            named: line.word(first),
            except: line.word(first + 1),
            held: bits as u16,
            open: (bits >> 16) as u16,
        }
    }
}

/// The key of the table of members, for longest-prefix match.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemberKey {
    /// Bits that count: 64 of the set, then those of the address.
    pub length: u32,
    /// Twice the set's number, and one more for IPv6, highest byte first: a prefix such as `::/0` holds no IPv4
    /// address.
    pub set: [u8; 8],
    /// The address, 16 bytes.
    pub address: [u8; 16],
}

/// Bits of a key before those of the address.
pub const SET_LENGTH: u32 = 64;

impl MemberKey {
    /// The key of a prefix of a set: its length of 128 bits, and its first address.
    #[inline(always)]
    #[must_use]
    pub const fn new(set: u32, v6: bool, length: u32, address: [u8; 16]) -> Self {
        Self {
            length: SET_LENGTH + length,
            set: ((set as u64) << 1 | v6 as u64).to_be_bytes(),
            address,
        }
    }

    /// Asks for an address.
    #[inline(always)]
    pub fn ask(&mut self, set: u32, v6: bool, address: &Addr) {
        self.length = SET_LENGTH + 128;
        self.set = (u64::from(set) << 1 | u64::from(v6)).to_be_bytes();
        self.address = address.to_bytes();
    }
}

/// Until when a member is one that never ends.
pub const FOR_EVER: u64 = u64::MAX;

/// Times until when something is allowed are even where a rule's `expires` says so, and odd where a member's
/// time does: so a session knows which of them ended it.
#[inline(always)]
#[must_use]
pub const fn is_of_member(time: u64) -> bool {
    time & 1 != 0
}

/// The number of the lowest bit that is set.
#[inline(always)]
pub(crate) fn lowest(bits: u32) -> u32 {
    let one = bits & bits.wrapping_neg();
    let half = |mask: u32| u32::from(one & mask != 0);
    half(0xaaaa_aaaa)
        | half(0xcccc_cccc) << 1
        | half(0xf0f0_f0f0) << 2
        | half(0xff00_ff00) << 3
        | half(0xffff_0000) << 4
}

const _: () = assert!(size_of::<MemberKey>() == 28);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bit_is_found() {
        for place in 0..32 {
            assert_eq!(lowest(1 << place), place);
            assert_eq!(lowest(u32::MAX << place), place);
        }
    }

    #[test]
    fn conditions_stand_four_in_a_line() {
        let condition = Condition {
            named: 5,
            except: 1 << 31,
            held: 130,
            open: EVERY,
        };
        let mut line = Line::default();
        line.halves[1][4..].copy_from_slice(&condition.words());
        assert_eq!(Condition::at(&line, 7), condition);
    }
}
