//! When what a flip has left may be written again: once every packet that was under way has been judged.
//!
//! To wait for that takes the kernel some milliseconds. It is begun right after a flip, beside whatever else there is
//! to do, so that the next one finds it done. It counts only if nobody has changed [`Active`] since: else packets
//! may be judged by what has been left later, and there is another wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use firewall_common::config::{Active, Generation, SLOTS};

use super::error::Result;
use super::maps::{Maps, grace};

/// Changes of [`Active`] by this process, and the wait that was begun after one of them.
#[derive(Debug, Default)]
pub(super) struct Settling {
    changes: AtomicU64,
    begun: Option<(u64, JoinHandle<Result<()>>)>,
}

impl Settling {
    /// [`Active`] is another one now.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Begins to wait for the packets that are under way now.
    pub(super) fn begin(&mut self) {
        let changes = self.changes.load(Ordering::Relaxed);
        self.begun = Some((changes, std::thread::spawn(grace)));
    }

    /// Returns only after every packet that was under way at the last change has been judged; at once where that is
    /// long ago.
    fn finish(&mut self) -> Result<()> {
        let changes = self.changes.load(Ordering::Relaxed);
        let begun = self.begun.take().filter(|(at, _)| *at == changes);
        match begun.map(|(_, waits)| waits.join()) {
            Some(Ok(Ok(()))) => Ok(()),
            _ => grace(),
        }
    }
}

/// Makes sure that nobody reads what stands in slots that nothing refers to, and takes their tables from them: those
/// may be filled again.
///
/// A packet reads [`Active`] once. One that was led to such a slot was under way when [`Active`] changed, or before;
/// so after the wait there is none.
pub(super) fn settle(maps: &mut Maps, active: &Active) -> Result<()> {
    maps.settling.finish()?;
    for slot in (1..=SLOTS).filter(|slot| !refers(active, *slot)) {
        let head = maps.generations.need(&slot)?;
        let bare = Generation {
            trees: 0,
            list: 0,
            addresses: 0,
            ..head
        };
        if bare != head {
            maps.generations.set(&slot, &bare)?;
        }
    }
    Ok(())
}

/// May a packet be led to a slot?
pub(super) fn refers(active: &Active, slot: u32) -> bool {
    [active.slot, active.candidate, active.fallback].contains(&slot)
}
