//! Marks: bits that say for sure that a table does not hold a key, without a look at the table.
//!
//! A flood comes from sources that nobody has seen, and asks for a session of each. Every look-up of such a key is a hash
//! of forty bytes and a line of memory that no cache holds. So whoever puts an entry in sets a bit first, and who finds the
//! bit unset need not look. A bit that is set says nothing: another key may share it, or the entry may be gone.
//!
//! Nobody unsets a bit of a session that ends, since others may share it. So there are two sets of them. Both get every
//! bit; packets go by the one that [`SESSIONS_HOLD`] names, while the agent clears the other, fills it from the tables
//! and then names that one (marks.rs of the data plane argues its races). Until it has done so once, none is named, and
//! packets look into the tables.
//!
//! Beside the bits are short forms of two tables that every packet without a session asks: this machine's own addresses,
//! and the interfaces of each generation. What has no place here, since another has it, is in those tables.

use crate::addr::Addr;
use crate::config::{InterfaceEntry, SLOTS};
use crate::flow::FlowKey;

/// Which set of marks of sessions holds: 1 or 2; 0: none.
pub const SESSIONS_HOLD: u32 = 0;
/// Does what is said here of this machine's addresses hold? 0 or 1.
pub const ADDRESSES_HOLD: u32 = 1;

/// Where the first set begins: at a line of its own in the processor's cache.
const FIRST: u32 = 8;
/// Words of one set of marks of sessions.
pub const SESSION_WORDS: u32 = 1 << 13;
/// Words of marks of this machine's addresses.
pub const ADDRESS_WORDS: u32 = 1 << 10;
/// Places for this machine's own addresses, of three words each: the address, and its kind (0: nobody's place).
pub const OWN_PLACES: u32 = ADDRESS_WORDS;
/// Places for interfaces of one generation, of one word each.
pub const INTERFACE_PLACES: u32 = 1 << 8;
const FIRST_OWN: u32 = FIRST + 2 * SESSION_WORDS + ADDRESS_WORDS;
const FIRST_INTERFACE: u32 = FIRST_OWN + 3 * OWN_PLACES;
/// Words in all.
pub const WORDS: u32 = FIRST_INTERFACE + (SLOTS + 1) * INTERFACE_PLACES;

/// Where a key's bit is: a word, counted from the beginning of its set, and the bit in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The word.
    pub word: u32,
    /// Its bit.
    pub bit: u64,
}

/// The bit of a session. It goes by protocol and ports only: of a thousand clients at one port many share a bit, and
/// so a million sessions leave most bits unset. One flood goes to few ports of which no session knows.
#[inline(always)]
#[must_use]
pub const fn of_session(key: &FlowKey) -> Mark {
    // Of ports that are the same the order says nothing, and the key's goes by addresses, too.
    let (low, high) = (key.low_port as u64, key.high_port as u64);
    let (less, more) = if low < high { (low, high) } else { (high, low) };
    spread(
        less << 16 | more | (key.protocol as u64) << 32,
        SESSION_WORDS,
    )
}

/// The bit of an address.
#[inline(always)]
#[must_use]
pub const fn of_address(address: &Addr) -> Mark {
    spread(address.hi.rotate_left(29) ^ address.lo, ADDRESS_WORDS)
}

/// Multiplicative hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4): the highest bits of a product
/// with an odd number, 2^64 divided by the golden ratio.
#[inline(always)]
const fn spread(word: u64, words: u32) -> Mark {
    let mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Mark {
        word: (mixed >> 48) as u32 & (words - 1),
        bit: 1 << (mixed >> 42 & 63),
    }
}

/// Place of a word of a set of marks of sessions.
#[inline(always)]
#[must_use]
pub const fn session_word(set: u32, word: u32) -> u32 {
    FIRST + set.wrapping_sub(1).wrapping_mul(SESSION_WORDS) + word
}

/// Place of a word of the marks of addresses.
#[inline(always)]
#[must_use]
pub const fn address_word(word: u32) -> u32 {
    FIRST + 2 * SESSION_WORDS + word
}

/// Place of the first of an own address's words; `place` is the word of its mark.
#[inline(always)]
#[must_use]
pub const fn own_word(place: u32) -> u32 {
    FIRST_OWN + 3 * place
}

/// Place of the word of an interface in a slot.
#[inline(always)]
#[must_use]
pub const fn interface_word(slot: u32, index: u32) -> u32 {
    FIRST_INTERFACE + slot * INTERFACE_PLACES + (index & (INTERFACE_PLACES - 1))
}

/// What a generation knows of an interface, in one word: so it can be changed while packets read it. 0 where it does not
/// fit.
#[must_use]
pub const fn interface(index: u32, entry: InterfaceEntry) -> u64 {
    if entry.class > 0xff || entry.kind > 0xff_ffff {
        return 0;
    }
    (index as u64) << 32 | (entry.class as u64) << 24 | entry.kind as u64
}

/// What such a word says of an interface; `None` where it is another's.
#[inline(always)]
#[must_use]
pub const fn of_interface(word: u64, index: u32) -> Option<InterfaceEntry> {
    if word >> 32 != index as u64 || word == 0 {
        return None;
    }
    Some(InterfaceEntry {
        class: (word >> 24) as u32 & 0xff,
        kind: word as u32 & 0xff_ffff,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(low_port: u16, high_port: u16) -> FlowKey {
        FlowKey {
            low: Addr::v4(0x0a00_0001),
            high: Addr::v4(0x0a00_0002),
            low_port,
            high_port,
            protocol: 6,
            pad: [0; 3],
        }
    }

    #[test]
    fn one_flood_does_not_meet_the_marks_of_a_busy_port() {
        let place = |near: u16, far: u16| {
            let mark = of_session(&key(near, far));
            (mark.word, mark.bit)
        };
        let busy: std::collections::HashSet<_> =
            (1024..=u16::MAX).map(|far| place(443, far)).collect();
        let met = (1024..=u16::MAX).filter(|far| busy.contains(&place(9, *far)));
        let met = met.count();
        assert!(met < 13_000, "{met} of 64512 look into the tables");
    }

    #[test]
    fn both_orders_of_the_ports_have_one_mark() {
        assert_eq!(of_session(&key(443, 9)), of_session(&key(9, 443)));
    }

    #[test]
    fn places_are_within_the_array_and_apart() {
        assert_eq!(session_word(1, 0), FIRST);
        assert_eq!(session_word(2, 0), session_word(1, SESSION_WORDS - 1) + 1);
        assert_eq!(address_word(0), session_word(2, SESSION_WORDS - 1) + 1);
        assert_eq!(address_word(ADDRESS_WORDS - 1) + 1, own_word(0));
        assert_eq!(own_word(OWN_PLACES), interface_word(0, 0));
        assert_eq!(interface_word(SLOTS, INTERFACE_PLACES - 1) + 1, WORDS);
    }

    #[test]
    fn an_interface_is_told_from_others_in_its_place() {
        let entry = InterfaceEntry {
            class: 15,
            kind: 70_000,
        };
        let word = interface(300, entry);
        assert_eq!(of_interface(word, 300), Some(entry));
        assert_eq!(of_interface(word, 300 + INTERFACE_PLACES), None);
        assert_eq!(of_interface(0, 0), None);
        let vast = InterfaceEntry {
            class: 0,
            kind: 1 << 24,
        };
        assert_eq!(interface(1, vast), 0);
    }
}
