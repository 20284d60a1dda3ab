//! The hierarchy of control groups (version 2): its root, where calls of all processes are seen, and its directories,
//! whose numbers say which group a process was in.

use std::fs::File;
use std::io;
use std::os::unix::fs::DirEntryExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// No host has more groups than this; of one that has, some are without a name.
const MANY: usize = 20_000;

/// The root of the hierarchy, mounted for nobody else where it is not to be seen (`ip netns exec` hides it).
pub(super) fn root() -> io::Result<File> {
    if let Some(path) = mounted() {
        return File::open(path);
    }
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    let mount = fsmount(&context, flags, MountAttrFlags::empty())?;
    Ok(File::from(mount))
}

/// Where the whole of it is mounted.
fn mounted() -> Option<PathBuf> {
    place_in(&std::fs::read_to_string("/proc/self/mountinfo").ok()?)
}

/// proc_pid_mountinfo(5): number, parent, device, root, place, options and more; behind a `-` the type.
fn place_in(text: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let (what, kind) = line.split_once(" - ")?;
        let mut fields = what.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        let is = kind.starts_with("cgroup2 ") && root == "/" && !place.contains('\\');
        is.then(|| PathBuf::from(place))
    })
}

/// All groups: their numbers, and their paths below the root.
#[must_use]
pub fn all() -> Vec<(u64, PathBuf)> {
    let Some(root) = mounted() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop().filter(|_| found.len() < MANY) {
        for entry in directories(&directory) {
            let path = entry.path();
            let below = path.strip_prefix(&root).unwrap_or(&path).to_owned();
            found.push((entry.ino(), below));
            open.push(path);
        }
    }
    found
}

fn directories(path: &Path) -> impl Iterator<Item = std::fs::DirEntry> + use<> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_hierarchy_is_found_and_no_part_of_it() {
        let part = "31 23 0:26 /part /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n";
        let whole = "32 23 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 none rw\n";
        assert_eq!(place_in(part), None);
        let both = format!("{part}{whole}");
        assert_eq!(
            place_in(&both).as_deref(),
            Some(Path::new("/sys/fs/cgroup/unified"))
        );
        assert_eq!(place_in("not a line\n"), None);
    }
}
