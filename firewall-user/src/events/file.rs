//! `flows: {file}`: records as lines of a file, which is put away when it is large or old.
//!
//! A thread of its own writes. A full disk costs lines, which are counted, and nothing else: the agent
//! goes on, and so do the lines once there is room.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use firewall_common::event::pick::picked;

use super::hub::Seen;
use crate::agent::clock;

/// What is written where, and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// The file.
    pub path: PathBuf,
    /// One record in so many.
    pub one_in: u32,
    /// Bytes of all files together.
    pub max_size: u64,
    /// Age of the oldest.
    pub max_age: Duration,
}

/// Lines that may wait to be written.
const QUEUE: usize = 8192;
/// Files that the allowed size is divided among.
const PARTS: u64 = 8;

/// Takes records for the file.
#[derive(Debug)]
pub struct Sink {
    queue: mpsc::SyncSender<Arc<Seen>>,
    options: FileOptions,
    failed: Arc<AtomicU64>,
}

impl Sink {
    /// Starts the thread. That the file cannot be opened yet is no error: it may be possible later.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(options: &FileOptions) -> io::Result<Self> {
        let (queue, records) = mpsc::sync_channel::<Arc<Seen>>(QUEUE);
        let failed = Arc::new(AtomicU64::new(0));
        let mut lines = Lines::new(options);
        let count = Arc::clone(&failed);
        std::thread::Builder::new()
            .name("flow-file".to_owned())
            .spawn(move || {
                while let Ok(seen) = records.recv() {
                    if lines.write(&seen).is_err() {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })?;
        let options = options.clone();
        Ok(Self {
            queue,
            options,
            failed,
        })
    }

    /// What it was started with.
    #[must_use]
    pub const fn options(&self) -> &FileOptions {
        &self.options
    }

    /// Lines that could not be written.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Takes a record if there is room for it, and if it is one of those that are wanted.
    #[must_use]
    pub fn offer(&self, seen: &Arc<Seen>) -> bool {
        let low = seen.uuid.as_u128() as u64;
        !picked(low, self.options.one_in) || self.queue.try_send(Arc::clone(seen)).is_ok()
    }
}

/// The file and its predecessors.
struct Lines {
    options: FileOptions,
    open: Option<(File, u64, SystemTime)>,
}

impl Lines {
    fn new(options: &FileOptions) -> Self {
        let options = options.clone();
        Self {
            options,
            open: None,
        }
    }

    fn write(&mut self, seen: &Seen) -> io::Result<()> {
        let mut line = serde_json::to_vec(&seen.flow())?;
        line.push(b'\n');
        self.rotate(line.len() as u64)?;
        let (file, size, _) = match &mut self.open {
            Some(open) => open,
            closed => closed.insert(open(&self.options.path)?),
        };
        if let Err(error) = file.write_all(&line) {
            // No half line stays, so that every line is a record.
            let _ = file.set_len(*size);
            self.open = None;
            return Err(error);
        }
        *size += line.len() as u64;
        Ok(())
    }

    /// Puts the file away if the line would make it too large, or if it has grown old.
    fn rotate(&mut self, more: u64) -> io::Result<()> {
        let Some((_, size, since)) = &self.open else {
            return Ok(());
        };
        let most = (self.options.max_size / PARTS).max(1);
        let age = since.elapsed().unwrap_or_default();
        if *size == 0 || (size + more <= most && age < self.options.max_age / PARTS as u32) {
            return Ok(());
        }
        self.open = None;
        let path = &self.options.path;
        let stamp = clock::wall().as_nanosecond();
        fs::rename(path, with_suffix(path, &stamp.to_string()))?;
        self.forget()
    }

    /// Deletes the oldest of the files put away, as long as there is too much or they are too old.
    fn forget(&self) -> io::Result<()> {
        let mut away = put_away(&self.options.path)?;
        away.sort();
        let mut total: u64 = away.iter().map(|(_, _, size)| size).sum();
        let room = self.options.max_size
            - (self.options.max_size / PARTS)
                .max(1)
                .min(self.options.max_size);
        let now = clock::wall().as_nanosecond();
        let oldest = now - i128::try_from(self.options.max_age.as_nanos()).unwrap_or(i128::MAX);
        for (stamp, path, size) in away {
            if total <= room && stamp >= oldest {
                break;
            }
            fs::remove_file(path)?;
            total -= size;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64, SystemTime)> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)?;
    let meta = file.metadata()?;
    Ok((file, meta.len(), SystemTime::now()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Files that were put away: when, where, how large. Only names that [`Lines::rotate`] gives are among them.
fn put_away(path: &Path) -> io::Result<Vec<(i128, PathBuf, u64)>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let name = name.to_string_lossy();
    let mut found = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let other = entry.file_name();
        let stamp = other.to_str().and_then(|other| other.strip_prefix(&*name));
        let stamp = stamp.and_then(|rest| rest.strip_prefix('.'));
        let digits = stamp.filter(|stamp| stamp.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(stamp) = digits.and_then(|digits| digits.parse().ok()) {
            found.push((stamp, entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::hub::{Hub, What};
    use firewall_common::event::decode::Event;
    use firewall_common::event::layout::Refused;

    fn seen() -> Seen {
        let hub = Hub::default();
        let refused = Refused {
            reason: 1,
            verdict: 1,
            ..Refused::default()
        };
        hub.tell(&[Event::Drop(refused)]);
        let (kept, _) = hub.follow(jiff::Timestamp::MIN);
        let seen = (*kept[0]).clone();
        assert!(matches!(seen.what, What::Told(_)));
        seen
    }

    fn options(directory: &Path, max_size: u64) -> FileOptions {
        FileOptions {
            path: directory.join("flows.ndjson"),
            one_in: 1,
            max_size,
            max_age: Duration::from_secs(3600),
        }
    }

    #[test]
    fn all_files_together_stay_within_the_size_and_others_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let most = 40_000;
        let mut lines = Lines::new(&options(directory.path(), most));
        let other = directory.path().join("flows.ndjson.old");
        fs::write(&other, "mine").unwrap();
        let seen = seen();
        for _ in 0..500 {
            lines.write(&seen).unwrap();
        }
        let all = fs::read_dir(directory.path()).unwrap();
        let sizes = all.map(|entry| entry.unwrap().metadata().unwrap().len());
        let total: u64 = sizes.sum();
        assert!(total <= most + 4 && total > most / 2, "{total}");
        assert_eq!(fs::read_to_string(other).unwrap(), "mine");
        let text = fs::read_to_string(directory.path().join("flows.ndjson")).unwrap();
        for line in text.lines() {
            let flow: crate::events::Flow = serde_json::from_str(line).unwrap();
            assert_eq!(flow.reason.as_deref(), Some("rule-deny"));
        }
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let options = FileOptions {
            path: "/dev/full".into(),
            ..options(Path::new("/dev"), 1 << 20)
        };
        let sink = Sink::start(&options).unwrap();
        let seen = Arc::new(seen());
        for _ in 0..10 {
            assert!(sink.offer(&seen));
        }
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while sink.failed() < 10 {
            assert!(std::time::Instant::now() < deadline, "{}", sink.failed());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
