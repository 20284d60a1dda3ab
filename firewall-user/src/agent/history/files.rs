//! A revision's files, as they were read.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::History;
use crate::agent::store;
use crate::policy::Checked;
use crate::policy::source::{MAX_BYTES, read_regular};

/// Files to be kept with a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredFiles {
    /// Policy files: their own names and bytes.
    pub policy: Vec<(PathBuf, Vec<u8>)>,
    /// List files: path below the policy's directory, and bytes.
    pub lists: Vec<(PathBuf, Vec<u8>)>,
    /// List files: where they are to where the copy is.
    pub places: BTreeMap<PathBuf, PathBuf>,
}

impl History {
    /// Lists that are what they were under an earlier record keep their time, which says when their members last
    /// changed.
    pub fn keep_times(&self, id: u64, before: u64) {
        let lists = |id| self.record(id).map(|record| record.lists.clone());
        let earlier = lists(before).unwrap_or_default();
        for (path, copy) in lists(id).unwrap_or_default() {
            let Some(old) = earlier.get(&path) else {
                continue;
            };
            let (new, old) = (
                self.directory_of(id).join(copy),
                self.directory_of(before).join(old),
            );
            // Without it they look younger than they are, and nothing else is wrong.
            let _ = keep_time(&new, &old);
        }
    }
}

fn keep_time(new: &Path, old: &Path) -> io::Result<()> {
    let was = std::fs::metadata(old)?;
    let same_length = std::fs::metadata(new)?.len() == was.len();
    if same_length && std::fs::read(new)? == std::fs::read(old)? {
        let file = std::fs::File::options().write(true).open(new)?;
        file.set_modified(was.modified()?)?;
    }
    Ok(())
}

impl StoredFiles {
    /// Takes the files of a policy that was just read. A list file that changed meanwhile is kept as it is
    /// now: its members are outside the revision.
    #[must_use]
    pub fn of(checked: &Checked) -> Self {
        let mut stored = Self::default();
        for (path, bytes) in &checked.sources {
            let name = path.file_name().unwrap_or_default();
            stored.policy.push((PathBuf::from(name), bytes.clone()));
        }
        for set in &checked.policy.sets {
            let Some(list) = &set.file else { continue };
            let naming = checked.sources.get(set.span.file).map(|(path, _)| path);
            let base = naming.and_then(|path| path.parent());
            let Some(relative) = base.and_then(|base| list.strip_prefix(base).ok()) else {
                continue;
            };
            let Ok(bytes) = read_regular(list, MAX_BYTES) else {
                continue;
            };
            stored.lists.push((relative.to_owned(), bytes));
            stored.places.insert(list.clone(), relative.to_owned());
        }
        stored
    }

    /// Writes them below a directory that comes into being complete.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let temporary = directory.with_extension("new");
        let _ = std::fs::remove_dir_all(&temporary);
        let _ = std::fs::remove_dir_all(directory);
        let written = self
            .write_below(&temporary)
            .and_then(|()| store::place_dir(&temporary, directory));
        if written.is_err() {
            let _ = std::fs::remove_dir_all(&temporary);
        }
        written
    }

    fn write_below(&self, directory: &Path) -> io::Result<()> {
        store::make_private_dir(directory)?;
        for (relative, bytes) in self.policy.iter().chain(&self.lists) {
            let path = directory.join(relative);
            if let Some(parent) = path.parent() {
                store::make_private_dir(parent)?;
            }
            store::write_synced(&path, bytes)?;
        }
        Ok(())
    }

    /// The policy files of a record's directory, as [`crate::policy::read_sources`] takes them.
    pub fn read_policy(directory: &Path, files: &[PathBuf]) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let read = |file: &PathBuf| {
            let path = directory.join(file.file_name().unwrap_or_default());
            std::fs::read(&path).map(|bytes| (path, bytes))
        };
        files.iter().map(read).collect()
    }
}
