//! The agent's part in marks (see `firewall_common::marks`): it clears bits that nobody needs any more, and says whether
//! packets may go by them.
//!
//! Bits of sessions are cleared by filling a set anew, while packets go by the other one. Why no live session is missing
//! from it, whatever packets do meanwhile:
//!
//! - Programs set a session's bit in both sets, and only then put it into a table. Where that bit is set after the
//!   clearing, it stays.
//! - Where it was set before, the program may still be on its way to the table. So the agent waits until all packets
//!   that were under way are done. After that the session is in a table, where the agent finds it; it looks through
//!   the half-open ones first, and who moves on from there is put among the verified ones before it is taken out.
//!
//! An agent does not know what ran before it: maybe programs that set no bits. So the first thing it does is to say that
//! none hold, and only after every hook has its programs it fills a set. It may die at any time: bits are then only
//! set, never cleared, by programs that go on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use firewall_common::addr::Addr;
use firewall_common::config::{InterfaceEntry, InterfaceKey, LocalEntry, SLOTS};
use firewall_common::flow::FlowKey;
use firewall_common::marks::{
    ADDRESSES_HOLD, INTERFACE_PLACES, Mark, OWN_PLACES, SESSION_WORDS, SESSIONS_HOLD, WORDS,
    address_word, interface, interface_word, of_address, of_interface, of_session, own_word,
    session_word,
};

use super::error::Result;
use super::maps::grace;
use super::room;
use super::window::Window;

/// Sweeps from one filling to the next.
const EVERY: u32 = 8;

/// The marks.
#[derive(Debug)]
pub(super) struct Marks(Window<u64>);

impl Marks {
    pub(super) fn open(directory: &Path) -> Result<Self> {
        room::window(directory, "MARKS", WORDS).map(Self)
    }

    /// Nothing here holds: packets look into the tables.
    pub(super) fn distrust(&self) {
        self.put(SESSIONS_HOLD, 0);
        self.put(ADDRESSES_HOLD, 0);
        for slot in 0..=SLOTS {
            self.forget_interfaces(slot);
        }
    }

    /// Marks a session, before it is put into a table.
    pub(super) fn note(&self, key: &FlowKey) {
        let mark = of_session(key);
        for set in [1, 2] {
            self.set(session_word(set, mark.word), mark);
        }
    }

    /// Were they told the machine's own addresses?
    pub(super) fn know_addresses(&self) -> bool {
        self.read(ADDRESSES_HOLD) != 0
    }

    /// Tells the machine's own addresses while `change` puts them into their table.
    ///
    /// Packets ask the table meanwhile: what is written here is read by nobody, since all packets that were under way
    /// before are done, and those that come after it is said to hold see all of it.
    pub(super) fn addresses(
        &self,
        all: &BTreeMap<Addr, LocalEntry>,
        change: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.put(ADDRESSES_HOLD, 0);
        change()?;
        grace()?;
        let first = address_word(0);
        (first..own_word(OWN_PLACES)).for_each(|place| self.put(place, 0));
        for (address, entry) in all {
            let mark = of_address(address);
            self.set(address_word(mark.word), mark);
            let place = own_word(mark.word);
            if self.read(place + 2) == 0 {
                let words = [address.hi, address.lo, entry.kind.into()];
                (place..)
                    .zip(words)
                    .for_each(|(place, word)| self.put(place, word));
            }
        }
        grace()?;
        self.put(ADDRESSES_HOLD, 1);
        Ok(())
    }

    /// Tells what the generation in a slot knows of an interface. One word: it may be in force.
    pub(super) fn tell_interface(&self, key: &InterfaceKey, entry: InterfaceEntry) {
        let place = interface_word(key.slot, key.index);
        let held = self.read(place);
        if held == 0 || of_interface(held, key.index).is_some() {
            self.put(place, interface(key.index, entry));
        }
    }

    /// An interface is gone.
    pub(super) fn forget_interface(&self, key: &InterfaceKey) {
        let place = interface_word(key.slot, key.index);
        if of_interface(self.read(place), key.index).is_some() {
            self.put(place, 0);
        }
    }

    /// So are all of a slot.
    pub(super) fn forget_interfaces(&self, slot: u32) {
        let first = interface_word(slot, 0);
        (first..first + INTERFACE_PLACES).for_each(|place| self.put(place, 0));
    }

    fn read(&self, place: u32) -> u64 {
        let word = self.0.atomic(place as usize);
        word.map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn put(&self, place: u32, value: u64) {
        if let Some(word) = self.0.atomic(place as usize) {
            word.store(value, Ordering::Release);
        }
    }

    fn set(&self, place: u32, mark: Mark) {
        if let Some(word) = self.0.atomic(place as usize) {
            word.fetch_or(mark.bit, Ordering::AcqRel);
        }
    }
}

/// A set that is being filled.
#[must_use = "who has filled it says so"]
pub(super) struct Filling(u32);

impl Filling {
    /// Clears the set that packets do not go by. To be followed by marking all sessions there are, half-open ones first.
    fn begin(marks: &Marks) -> Result<Self> {
        let set = if marks.read(SESSIONS_HOLD) == 1 { 2 } else { 1 };
        (0..SESSION_WORDS).for_each(|word| marks.put(session_word(set, word), 0));
        grace()?;
        Ok(Self(set))
    }

    /// All sessions are marked: packets go by it.
    pub(super) fn done(self, marks: &Marks) {
        marks.put(SESSIONS_HOLD, u64::from(self.0));
    }
}

/// When the next filling is due.
#[derive(Debug, Default)]
pub(super) struct Turns(u32);

impl Turns {
    /// To be called before each sweep.
    pub(super) fn next(&mut self, marks: &Marks) -> Result<Option<Filling>> {
        let due = self.0 == 0;
        self.0 = (self.0 + 1) % EVERY;
        due.then(|| Filling::begin(marks)).transpose()
    }
}
