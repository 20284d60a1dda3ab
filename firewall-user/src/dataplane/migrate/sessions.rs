//! Sessions go from one pair of tables to another while packets go on changing them.
//!
//! Before the switch nobody uses the new tables: they are brought up to the old ones again and again, until
//! what is left is what changed during one look. Then every hook gets the new programs, and the last packet that
//! the old ones were judging has been judged: the old tables stand still. A last look finds what they came to
//! since the copy, and that is added to what the new tables have come to since: by a program, since only
//! that can add to counts which packets add to at the same time.
//!
//! What may go wrong in between, for as long as the last look takes: a session that was opened after the last
//! pass is not known yet, so its next packet is a stray and dropped, and is sent again.

use std::collections::HashMap;

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use firewall_common::config::Count;
use firewall_common::flow::FlowKey;
use firewall_common::session::{CARRY_ONTO, CARRY_RELEASE, Carry, Entry};
use firewall_common::tables::Table as Which;

use crate::dataplane::error::{Error, Result};
use crate::dataplane::maps::{Maps, ONLY};
use crate::dataplane::table::Table;

/// Both tables, in the order in which a session goes through them.
const BOTH: [Which; 2] = [Which::HalfOpen, Which::Sessions];
/// Passes before the switch at most, and how few changes are few enough.
const PASSES: usize = 6;
const FEW: usize = 32;

/// Where sessions come from: all of one table, in the form of today.
pub(super) type List<'a> = &'a dyn Fn(Which) -> Result<Vec<(FlowKey, Entry)>>;

/// What has been copied.
#[derive(Debug, Default)]
pub(super) struct Copied {
    known: HashMap<FlowKey, (Which, Entry)>,
}

fn table(maps: &Maps, which: Which) -> &Table<FlowKey, Entry> {
    match which {
        Which::HalfOpen => &maps.half_open,
        Which::Sessions => &maps.sessions,
    }
}

/// Refuses what has not enough room for the sessions there are.
pub(super) fn room(list: List<'_>, maps: &Maps) -> Result<()> {
    let room = maps.settings.need(&ONLY)?.room;
    for (which, key, places) in [
        (Which::Sessions, "max", room.max),
        (Which::HalfOpen, "half_open_max", room.half_open_max),
    ] {
        let live = list(which)?.len();
        if live > places as usize {
            return Err(Error::NoRoom { key, live, places });
        }
    }
    Ok(())
}

impl Copied {
    /// Brings the new tables, which nobody uses yet, up to the old ones.
    pub(super) fn catch_up(&mut self, list: List<'_>, maps: &Maps) -> Result<()> {
        for _ in 0..PASSES {
            if self.pass(list, maps)? <= FEW {
                break;
            }
        }
        Ok(())
    }

    /// One look; how many were new or other than at the one before. A session that is promoted during the look
    /// may be listed twice, and then counts as verified; one that is missed is found by the next.
    fn pass(&mut self, list: List<'_>, maps: &Maps) -> Result<usize> {
        let mut now = HashMap::new();
        for which in BOTH {
            let all = list(which)?.into_iter();
            now.extend(all.map(|(key, entry)| (key, (which, entry))));
        }
        let mut changes = 0;
        for (key, (which, _)) in &self.known {
            if now.get(key).is_none_or(|(there, _)| there != which) {
                table(maps, *which).delete(key)?;
                changes += 1;
            }
        }
        for which in BOTH {
            let changed = |(key, found): &(&FlowKey, &(Which, Entry))| {
                found.0 == which && self.known.get(key) != Some(found)
            };
            let fresh = now.iter().filter(changed);
            let (keys, entries): (Vec<_>, Vec<_>) = fresh.map(|(key, (_, e))| (*key, *e)).unzip();
            table(maps, which).fill(&keys, &entries)?;
            changes += keys.len();
        }
        self.known = now;
        Ok(changes)
    }

    /// The last look, after the switch: nothing changes the old tables any more.
    pub(super) fn last(mut self, list: List<'_>, maps: &Maps, carrier: &Carrier) -> Result<()> {
        for which in BOTH {
            for (key, entry) in list(which)? {
                match self.known.remove(&key) {
                    Some(before) if before == (which, entry) => {}
                    Some((Which::HalfOpen, before)) if which == Which::Sessions => {
                        promoted(maps, carrier, &key, &entry, &before)?;
                    }
                    Some((_, before)) => carrier.carry(&key, &since(&entry, &before))?,
                    None => {
                        if !table(maps, which).put_new(&key, &entry)? {
                            carrier.carry(&key, &entry)?;
                        }
                    }
                }
            }
        }
        // What is left ended in the old tables after it was copied.
        for (key, (which, before)) in &self.known {
            let there = table(maps, *which).get(key)?;
            // One that was opened anew since is another session.
            if there.is_some_and(|there| there.opened == before.opened) {
                table(maps, *which).delete(key)?;
            }
        }
        Ok(())
    }
}

/// After an agent died between the switch and the last look: what was copied is not known any more. What is
/// missing is put in; of what is there, nothing is counted that may have been counted already.
pub(super) fn resume(list: List<'_>, maps: &Maps, carrier: &Carrier) -> Result<()> {
    for which in BOTH {
        for (key, entry) in list(which)? {
            if !table(maps, which).put_new(&key, &entry)? {
                let counts = [Count::default(); 2];
                carrier.carry(&key, &Entry { counts, ..entry })?;
            }
        }
    }
    Ok(())
}

/// In before out, as the packet path does it, so that the session is never missed.
fn promoted(
    maps: &Maps,
    carrier: &Carrier,
    key: &FlowKey,
    entry: &Entry,
    before: &Entry,
) -> Result<()> {
    if !maps.sessions.put_new(key, entry)? {
        return carrier.carry(key, &since(entry, before));
    }
    match maps.half_open.take(key)? {
        Some(left) => carrier.carry(key, &since(&left, before)),
        None => Ok(()),
    }
}

/// An entry whose counts are only what came after another.
fn since(entry: &Entry, before: &Entry) -> Entry {
    let mut since = *entry;
    for (count, before) in since.counts.iter_mut().zip(before.counts) {
        count.packets = count.packets.saturating_sub(before.packets);
        count.bytes = count.bytes.saturating_sub(before.bytes);
    }
    since
}

/// The program that adds to a session.
#[derive(Debug)]
pub(in crate::dataplane) struct Carrier {
    pub(in crate::dataplane) program: SchedClassifier,
    pub(in crate::dataplane) table: Table<u32, Carry>,
}

impl Carrier {
    /// Adds what came to a session; nothing, if it has ended meanwhile.
    pub(in crate::dataplane) fn carry(&self, key: &FlowKey, entry: &Entry) -> Result<()> {
        self.run(CARRY_ONTO, key, entry)
    }

    /// A session that was taken out of its table counts for its rule no more.
    pub(in crate::dataplane) fn release(&self, key: &FlowKey, entry: &Entry) -> Result<()> {
        self.run(CARRY_RELEASE, key, entry)
    }

    fn run(&self, what: u64, key: &FlowKey, entry: &Entry) -> Result<()> {
        let (key, entry) = (*key, *entry);
        self.table.set(&ONLY, &Carry { what, key, entry })?;
        // The program does not look at the frame, but a test run must have one.
        let options = TestRunOptions {
            data_in: Some(&[0; 64]),
            ..TestRunOptions::default()
        };
        let ran = self.program.test_run(options);
        ran.map_err(|error| Error::Program("ringwall_carry", Box::new(error)))?;
        Ok(())
    }
}
