//! Members on disk: a file for each set, written at its end.
//!
//! A line is one change, and the last line of a command closes it; what follows the last closing line was never
//! finished, and does not count. Times are of the wall clock, so that they mean something after a reboot, and of the
//! clock since boot, which counts as long as the machine has not been started anew: nobody sets that one.
//!
//! ```text
//! + 203.0.113.9/32 1767225600000 3600000000001     until when: milliseconds since 1970, nanoseconds since boot
//! + 2001:db8::/32 - -                              for ever
//! - 203.0.113.9/32
//! f                                                all of them
//! = 12 1767222000000 7c9e6679-7425-40de-944b-e07fc1f90ae7     generation, when, in which boot
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use firewall_common::policy::dynamic::FOR_EVER;
use ipnet::IpNet;

use super::members::{Prefix, is_for_ever, net_of, prefix_of};
use crate::agent::store;
use crate::policy::compiled::Clock;

/// A change of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A member until a time, in nanoseconds since boot.
    Add(Prefix, u64),
    /// No member any more.
    Remove(Prefix),
    /// None is.
    Flush,
}

/// Which version of a set it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Version {
    /// Rises with every change.
    pub generation: u64,
    /// Milliseconds since 1970 of the last change; 0: never.
    pub changed: i64,
}

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Members that last, until when, in nanoseconds since boot.
    pub members: BTreeMap<Prefix, u64>,
    /// Which version it is.
    pub version: Version,
    /// Changes in the file.
    pub lines: usize,
    /// Lines that could not be read, and were left out.
    pub damaged: usize,
    /// Its times by the two clocks are not of the same moment any more: the wall clock was set since.
    pub askew: bool,
}

/// Where a set's members are.
#[must_use]
pub fn path_of(state: &Path, name: &str) -> PathBuf {
    state.join("sets").join(format!("{name}.log"))
}

/// The word for this boot.
#[must_use]
pub fn this_boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    text.map_or_else(|_| "-".to_owned(), |text| text.trim().to_owned())
}

/// Adds a command's changes to the file.
///
/// # Errors
/// They are not on disk; what was there before is.
pub fn append(path: &Path, steps: &[Step], version: Version, clock: &Clock) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        store::make_private_dir(directory)?;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    let before = file.metadata()?.len();
    let text = text_of(steps, version, clock);
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_data());
    if written.is_err() {
        // A part of it would be in the way of what comes after.
        file.set_len(before)?;
    }
    written
}

/// Writes the file anew, with nothing in it but what is.
///
/// # Errors
/// The old one stays.
pub fn rewrite(
    path: &Path,
    members: impl Iterator<Item = (Prefix, u64)>,
    version: Version,
    clock: &Clock,
) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        store::make_private_dir(directory)?;
    }
    let steps: Vec<Step> = members
        .map(|(prefix, until)| Step::Add(prefix, until))
        .collect();
    store::write(path, text_of(&steps, version, clock).as_bytes())
}

fn text_of(steps: &[Step], version: Version, clock: &Clock) -> String {
    let mut text = String::with_capacity(steps.len() * 48 + 64);
    for step in steps {
        // Writing into a string cannot fail.
        let _ = match step {
            Step::Add(prefix, until) if is_for_ever(*until) => {
                writeln!(text, "+ {} - -", net_of(*prefix))
            }
            Step::Add(prefix, until) => {
                let wall = wall_of(*until, clock);
                writeln!(text, "+ {} {wall} {until}", net_of(*prefix))
            }
            Step::Remove(prefix) => writeln!(text, "- {}", net_of(*prefix)),
            Step::Flush => writeln!(text, "f"),
        };
    }
    let Version {
        generation,
        changed,
    } = version;
    let _ = writeln!(text, "= {generation} {changed} {}", this_boot());
    text
}

/// Milliseconds since 1970 of a time since boot.
#[must_use]
pub fn wall_of(until: u64, clock: &Clock) -> i64 {
    let ahead = i128::from(until) - i128::from(clock.boot);
    let nanoseconds = clock.wall.as_nanosecond() + ahead;
    i64::try_from(nanoseconds / 1_000_000).unwrap_or(i64::MAX)
}

/// Reads a file; `None` where there is none.
///
/// # Errors
/// It cannot be read.
pub fn load(path: &Path, clock: &Clock) -> io::Result<Option<Loaded>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(read(&text, clock, &this_boot()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A time as a line has it: by both clocks.
#[derive(Debug, Clone, Copy)]
struct Until {
    wall: i64,
    boot: u64,
}

fn read(text: &str, clock: &Clock, this_boot: &str) -> Loaded {
    let mut loaded = Loaded::default();
    let mut open: Vec<(Prefix, Option<Option<Until>>)> = Vec::new();
    let mut flushed = false;
    for line in text.lines() {
        match parse(line) {
            Some(Line::Add(prefix, until)) => open.push((prefix, Some(until))),
            Some(Line::Remove(prefix)) => open.push((prefix, None)),
            Some(Line::Flush) => {
                open.clear();
                flushed = true;
            }
            Some(Line::Close(version, boot)) => {
                loaded.lines += open.len() + 1;
                if std::mem::take(&mut flushed) {
                    loaded.members.clear();
                }
                let same_boot = boot == this_boot;
                for (prefix, until) in open.drain(..) {
                    loaded.askew |= same_boot && until.flatten().is_some_and(|u| u.askew(clock));
                    loaded.take(
                        prefix,
                        until.map(|until| since_boot(until, same_boot, clock)),
                    );
                }
                loaded.version = version;
            }
            None => loaded.damaged += 1,
        }
    }
    let now = clock.boot;
    loaded.members.retain(|_, until| *until > now);
    loaded
}

impl Until {
    /// Written by a clock that was set since, by more than two looks at both clocks differ.
    fn askew(self, clock: &Clock) -> bool {
        wall_of(self.boot, clock).abs_diff(self.wall) > 2000
    }
}

impl Loaded {
    fn take(&mut self, prefix: Prefix, until: Option<u64>) {
        match until {
            Some(until) => self.members.insert(prefix, until),
            None => self.members.remove(&prefix),
        };
    }
}

/// In this boot the clock since boot counts, in another one the wall clock. A time before this boot is over.
fn since_boot(until: Option<Until>, same_boot: bool, clock: &Clock) -> u64 {
    let Some(until) = until else { return FOR_EVER };
    if same_boot {
        return until.boot | 1;
    }
    let ahead = i128::from(until.wall) * 1_000_000 - clock.wall.as_nanosecond();
    let since = i128::from(clock.boot) + ahead;
    u64::try_from(since.max(1)).unwrap_or(FOR_EVER) | 1
}

enum Line<'t> {
    Add(Prefix, Option<Until>),
    Remove(Prefix),
    Flush,
    Close(Version, &'t str),
}

fn parse(line: &str) -> Option<Line<'_>> {
    let words: Vec<&str> = line.split(' ').collect();
    let prefix = |word: &str| word.parse::<IpNet>().ok().map(|net| prefix_of(&net));
    Some(match words.as_slice() {
        ["+", net, "-", "-"] => Line::Add(prefix(net)?, None),
        ["+", net, wall, boot] => {
            let (wall, boot) = (wall.parse().ok()?, boot.parse().ok()?);
            Line::Add(prefix(net)?, Some(Until { wall, boot }))
        }
        ["-", net] => Line::Remove(prefix(net)?),
        ["f"] => Line::Flush,
        ["=", generation, changed, boot] => {
            let (generation, changed) = (generation.parse().ok()?, changed.parse().ok()?);
            Line::Close(
                Version {
                    generation,
                    changed,
                },
                boot,
            )
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    const SECOND: u64 = 1_000_000_000;

    fn clock(boot_s: u64, wall_s: i64) -> Clock {
        Clock {
            boot: boot_s * SECOND,
            wall: Timestamp::from_second(wall_s).unwrap(),
        }
    }

    fn net(text: &str) -> Prefix {
        prefix_of(&text.parse().unwrap())
    }

    fn version(generation: u64) -> Version {
        Version {
            generation,
            changed: 5,
        }
    }

    #[test]
    fn what_is_added_and_taken_out_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_of(dir.path(), "banned");
        let now = clock(100, 1_000_000);
        let (a, b) = (net("203.0.113.9/32"), net("2001:db8::/32"));
        let until = (200 * SECOND) | 1;
        append(
            &path,
            &[Step::Add(a, until), Step::Add(b, FOR_EVER)],
            version(1),
            &now,
        )
        .unwrap();
        append(&path, &[Step::Remove(b)], version(2), &now).unwrap();
        let loaded = load(&path, &now).unwrap().unwrap();
        assert_eq!(loaded.members, BTreeMap::from([(a, until)]));
        assert_eq!(
            (loaded.version, loaded.lines, loaded.damaged),
            (version(2), 5, 0)
        );
        append(&path, &[Step::Flush], version(3), &now).unwrap();
        assert!(load(&path, &now).unwrap().unwrap().members.is_empty());
        rewrite(&path, [(b, FOR_EVER)].into_iter(), version(4), &now).unwrap();
        let loaded = load(&path, &now).unwrap().unwrap();
        assert_eq!(loaded.members, BTreeMap::from([(b, FOR_EVER)]));
        assert!(load(&dir.path().join("none"), &now).unwrap().is_none());
    }

    #[test]
    fn what_was_not_finished_or_is_damaged_does_not_count() {
        let now = clock(100, 1_000_000);
        let text = "+ 10.0.0.1/32 - -\n= 1 5 b\n+ 10.0.0.2/32 - -\nrubbish\n+ 10.0.0.3/32 1 1 1\n= 2 6 b\n+ 10.0.0.4/32 - -\n- 10.0.0.1/32";
        let loaded = read(text, &now, "b");
        let members: Vec<Prefix> = loaded.members.keys().copied().collect();
        assert_eq!(members, [net("10.0.0.1/32"), net("10.0.0.2/32")]);
        assert_eq!((loaded.version.generation, loaded.damaged), (2, 2));
    }

    #[test]
    fn after_a_reboot_the_wall_clock_counts_and_in_the_same_boot_nobody_s_clock_does() {
        let then = clock(100, 1_000_000);
        let until = (160 * SECOND) | 1;
        let text = text_of(&[Step::Add(net("10.0.0.1/32"), until)], version(1), &then);
        let left = |now: &Clock, boot: &str| {
            let loaded = read(&text, now, boot);
            let until = loaded.members.values().next().copied();
            until.map(|until| (until - now.boot) / SECOND)
        };
        let here = this_boot();
        // The clock was set by a year, forth and back.
        for wall in [1_000_000 + 31_536_000, 1_000_000 - 900_000] {
            assert_eq!(left(&clock(110, wall), &here), Some(50));
            assert!(read(&text, &clock(110, wall), &here).askew);
        }
        assert!(!read(&text, &clock(110, 1_000_010), &here).askew);
        // Twenty seconds later, ten seconds after another boot; and long after it.
        assert_eq!(left(&clock(10, 1_000_020), "other"), Some(40));
        assert_eq!(left(&clock(10, 1_000_100), "other"), None);
    }
}
