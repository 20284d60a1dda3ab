//! Which unit a process was in when it called, also where it is gone since.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::agent::processes;
use crate::dataplane::groups;

/// The number of the root group, in which a process is of no unit; so are all where another version is in use.
const ROOT: u64 = 1;
/// Groups are listed no more often than this.
const AGAIN: Duration = Duration::from_secs(1);
/// `PROC_PID_INIT_INO`: the machine's own name space of processes, whose numbers the kernel tells.
const OWN_NUMBERS: u64 = 0xefff_fffc;

/// Units by the numbers of their groups, which are never given again.
#[derive(Debug, Default)]
pub(super) struct Units {
    known: HashMap<u64, Option<String>>,
    listed: Option<Instant>,
}

impl Units {
    /// The unit of a process that was in a group at a time, in nanoseconds since boot.
    pub(super) fn of(&mut self, pid: u32, group: u64, time: u64) -> Option<String> {
        if group <= ROOT {
            return by_number(pid, time);
        }
        if !self.known.contains_key(&group) && self.listed.is_none_or(|at| at.elapsed() > AGAIN) {
            self.list();
        }
        match self.known.get(&group) {
            Some(unit) => unit.clone(),
            None => by_number(pid, time),
        }
    }

    fn list(&mut self) {
        self.listed = Some(Instant::now());
        self.known = groups::all()
            .into_iter()
            .map(|(number, path)| (number, processes::unit_in(&path.to_string_lossy())))
            .collect();
    }
}

/// By what is under this number now, if that was there already.
fn by_number(pid: u32, time: u64) -> Option<String> {
    let numbers = std::fs::metadata("/proc/self/ns/pid").ok()?.ino();
    let own = Path::new("/proc").join(pid.to_string());
    let unit = processes::unit(pid);
    // Looked at last: had it ended before, this would be another's.
    let began = processes::began(&own)?;
    unit.filter(|_| numbers == OWN_NUMBERS && began <= time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::clock;

    #[test]
    fn who_has_come_later_under_the_same_number_is_another() {
        let own = std::process::id();
        let path = Path::new("/proc").join(own.to_string());
        let began = processes::began(&path).unwrap();
        assert!(began > 0 && began < clock::boot_now());
        assert_eq!(by_number(own, began - 20_000_000), None);
    }

    #[test]
    fn groups_are_listed_with_their_numbers() {
        let all = groups::all();
        let known: HashMap<u64, _> = all.iter().cloned().collect();
        assert_eq!(all.len(), known.len());
        assert!(!known.contains_key(&ROOT));
    }
}
