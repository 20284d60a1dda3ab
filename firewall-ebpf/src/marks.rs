//! Marks, read and set where packets are judged; see [`firewall_common::marks`].

use core::ptr::addr_of;

use firewall_common::addr::Addr;
use firewall_common::config::InterfaceEntry;
use firewall_common::flow::FlowKey;
use firewall_common::marks::{
    ADDRESSES_HOLD, SESSIONS_HOLD, address_word, interface_word, of_address, of_interface,
    of_session, own_word, session_word,
};

use crate::atomics;
use crate::maps::MARKS;

/// May there be a session under a key? `false` is sure.
///
/// The race: another CPU opens it at this moment. It sets the bit before it puts the entry in, and only then its packet goes
/// on, so what answers that packet finds both. Whoever comes before is before the session.
#[inline(always)]
pub(crate) fn may_be_session(key: &FlowKey) -> bool {
    let set = read(SESSIONS_HOLD) as u32;
    let mark = of_session(key);
    set == 0 || read(session_word(set, mark.word)) & mark.bit != 0
}

/// Of which kind an address is, 0 for one that is not this machine's own; `None`: the table must be asked.
#[inline(always)]
pub(crate) fn local(address: &Addr) -> Option<u32> {
    if read(ADDRESSES_HOLD) == 0 {
        return None;
    }
    let mark = of_address(address);
    if read(address_word(mark.word)) & mark.bit == 0 {
        return Some(0);
    }
    let place = own_word(mark.word);
    let same = read(place) == address.hi && read(place + 1) == address.lo;
    let kind = read(place + 2) as u32;
    if same && kind != 0 { Some(kind) } else { None }
}

/// What the generation in a slot knows of an interface; `None`: the table must be asked.
#[inline(always)]
pub(crate) fn interface(slot: u32, index: u32) -> Option<InterfaceEntry> {
    of_interface(read(interface_word(slot, index)), index)
}

/// Marks a session in both sets, before it is put into a table.
#[inline(never)]
pub(crate) fn note(key: &FlowKey) -> u32 {
    let mark = of_session(key);
    set(session_word(1, mark.word), mark.bit);
    set(session_word(2, mark.word), mark.bit);
    0
}

#[inline(always)]
fn set(place: u32, bit: u64) {
    if let Some(word) = MARKS.get_ptr_mut(place) {
        // Without looking whether it is set: each branch is one more way for the verifier of old kernels to go.
        // SAFETY: one aligned word of a map.
        unsafe { atomics::or(word, bit) };
    }
}

/// What cannot be read has all bits.
#[inline(always)]
fn read(place: u32) -> u64 {
    MARKS
        .get_ptr(place)
        // SAFETY: one aligned word of a map, read once.
        .map_or(u64::MAX, |word| unsafe { addr_of!(*word).read_volatile() })
}
