//! The file system that pins live on.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock, statfs};
use rustix::mount::{MountFlags, mount};

use super::error::{Error, Result};

/// `BPF_FS_MAGIC`.
const MAGIC: u64 = 0xcafe_4a11;
/// `SYSFS_MAGIC`: there directories cannot be made, but its empty `fs/bpf` is there to be mounted on.
const SYSFS: u64 = 0x6265_6572;
const PRIVATE: u32 = 0o700;

/// Makes sure that `directory` exists, is for its owner only, and is on a bpffs: mounts one where it is not.
pub(super) fn ensure(directory: &Path) -> Result<()> {
    let failed = |error| Error::Directory(directory.to_owned(), error);
    if let Some(parent) = directory.parent()
        && !directory.exists()
        && kind(parent).is_ok_and(|kind| kind == SYSFS)
    {
        mount_on(parent).map_err(failed)?;
    }
    make(directory).map_err(failed)?;
    if kind(directory).map_err(failed)? != MAGIC {
        mount_on(directory).map_err(failed)?;
    }
    fs::set_permissions(directory, Permissions::from_mode(PRIVATE)).map_err(failed)
}

/// Is a path on a bpffs?
///
/// # Errors
/// It cannot be looked at.
pub fn is_bpffs(path: &Path) -> io::Result<bool> {
    Ok(kind(path)? == MAGIC)
}

fn kind(path: &Path) -> io::Result<u64> {
    Ok(u64::from_ne_bytes(statfs(path)?.f_type.to_ne_bytes()))
}

fn mount_on(path: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("bpf", path, "bpf", flags, Some(c"mode=0700"))?;
    Ok(())
}

/// Makes a directory, and those above it, for their owner only.
pub(super) fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(directory)
}

/// The number of this thread's network namespace.
pub(super) fn namespace() -> Result<u64> {
    let path = "/proc/thread-self/ns/net";
    let metadata = fs::metadata(path);
    let metadata = metadata.map_err(|error| Error::Directory(PathBuf::from(path), error))?;
    Ok(metadata.ino())
}

/// Locks a file unless another holds it for longer than a moment: a program that a former holder was just
/// starting has a copy of the lock until it runs.
pub(crate) fn lock_soon(file: &File) -> rustix::io::Result<()> {
    for _ in 0..20 {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)),
            other => return other,
        }
    }
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

/// Keeps a directory to ourselves for as long as the file is open.
pub(super) fn hold(directory: &Path) -> Result<File> {
    let failed = |error| Error::Directory(directory.to_owned(), error);
    let file = File::open(directory).map_err(failed)?;
    match lock_soon(&file) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Held(directory.to_owned())),
        Err(error) => Err(failed(error.into())),
    }
}
