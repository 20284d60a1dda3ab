//! What is pinned is held by descriptors, too.
//!
//! A pin may go without us: somebody unmounts the file system, or removes files there. A link without pin or descriptor
//! leaves its hook, and nothing is filtered any more. So the agent holds all that it has pinned: packets do not notice,
//! sessions and counters stay, and the agent puts the pins back, so that this outlives it again.
//!
//! One thread owns the data plane. Whoever changes pins calls [`Keep::renew`] behind it, so what is missing at any other
//! time was taken by somebody else.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::bpffs;
use super::error::{Error, Result};
use super::pin::Paths;
use super::raw;

/// What an agent has pinned; nothing where pins are only looked at.
#[derive(Debug, Default)]
pub(super) struct Keep(RefCell<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    /// Held by the one agent of a namespace.
    lock: File,
    /// By their places below the root: the number of the pin, and what is pinned.
    pins: BTreeMap<PathBuf, (u64, OwnedFd)>,
    /// Directories that say something by their names.
    words: BTreeSet<PathBuf>,
    /// How many pins were put back since somebody asked.
    restored: usize,
}

impl Keep {
    /// From now on all pins below the root are held; `lock` is that of the root.
    pub(super) fn begin(&self, paths: &Paths, lock: File) -> Result<()> {
        *self.0.borrow_mut() = Some(Kept {
            lock,
            pins: BTreeMap::new(),
            words: BTreeSet::new(),
            restored: 0,
        });
        self.renew(paths)
    }

    /// Is this an agent's?
    pub(super) fn is_begun(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// We have changed pins.
    pub(super) fn renew(&self, paths: &Paths) -> Result<()> {
        match self.0.borrow_mut().as_mut() {
            Some(kept) => kept.renew(paths),
            None => Ok(()),
        }
    }

    /// Puts back what somebody took away.
    pub(super) fn mend(&self, bpf_dir: &Path, paths: &Paths) -> Result<()> {
        match self.0.borrow_mut().as_mut() {
            Some(kept) => kept.mend(bpf_dir, paths),
            None => Ok(()),
        }
    }

    /// How many pins were put back since the last time.
    pub(super) fn restored(&self) -> usize {
        let mut kept = self.0.borrow_mut();
        kept.as_mut()
            .map_or(0, |kept| std::mem::take(&mut kept.restored))
    }
}

impl Kept {
    fn renew(&mut self, paths: &Paths) -> Result<()> {
        let mut before = std::mem::take(&mut self.pins);
        self.words.clear();
        for directory in [&paths.maps, &paths.programs, &paths.links] {
            let failed = |error| Error::Directory(directory.clone(), error);
            for entry in fs::read_dir(directory).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let (path, about) = (entry.path(), entry.metadata().map_err(failed)?);
                let place = below(&path, paths);
                if about.is_dir() {
                    self.words.insert(place);
                    continue;
                }
                let known = before.remove(&place);
                let known = known.filter(|(number, _)| *number == about.ino());
                let held = match known {
                    Some((_, held)) => held,
                    None => raw::open_pin(&path).map_err(failed)?,
                };
                self.pins.insert(place, (about.ino(), held));
            }
        }
        Ok(())
    }

    fn mend(&mut self, bpf_dir: &Path, paths: &Paths) -> Result<()> {
        let is_there = |place: &&PathBuf| paths.root.join(place).exists();
        let lost = self.pins.keys().filter(|place| !is_there(place)).count();
        if lost == 0 {
            return Ok(());
        }
        bpffs::ensure(bpf_dir)?;
        if paths.root.exists() {
            self.put_into(paths)?;
        } else {
            self.put_anew(paths)?;
        }
        self.restored += lost;
        self.renew(paths)
    }

    /// Makes the whole directory beside its place, so that an agent which finds one finds all of it, whenever we die.
    fn put_anew(&mut self, paths: &Paths) -> Result<()> {
        let root = &paths.root;
        let failed = |error| Error::Directory(root.clone(), error);
        // bpffs takes no dot in a name.
        let mut name = root.file_name().unwrap_or_default().to_owned();
        name.push("-new");
        let fresh = Paths::at(root.with_file_name(name));
        match fs::remove_dir_all(&fresh.root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        fresh.make()?;
        self.put_into(&fresh)?;
        fs::rename(&fresh.root, root).map_err(failed)
    }

    fn put_into(&mut self, paths: &Paths) -> Result<()> {
        let failed = |error| Error::Directory(paths.root.clone(), error);
        paths.make()?;
        if !is_of(&self.lock, &paths.root).map_err(failed)? {
            // The former one was of a directory that nobody finds any more.
            self.lock = bpffs::hold(&paths.root)?;
        }
        for (place, (_, held)) in &self.pins {
            let path = paths.root.join(place);
            if !path.exists() {
                raw::pin(held.as_fd(), &path).map_err(failed)?;
            }
        }
        let mut words = self.words.iter();
        words.try_for_each(|word| bpffs::make(&paths.root.join(word)).map_err(failed))
    }
}

fn below(path: &Path, paths: &Paths) -> PathBuf {
    path.strip_prefix(&paths.root).unwrap_or(path).to_owned()
}

fn is_of(lock: &File, directory: &Path) -> io::Result<bool> {
    let (one, other) = (lock.metadata()?, fs::metadata(directory)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}
