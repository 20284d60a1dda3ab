//! Writing so that a crash, or a full disk, leaves either the old or the new: a temporary file beside the
//! real one, its bytes on disk, then one rename, then the directory on disk.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Makes a directory that only root may read, parents included.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Writes a file as a whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = beside(path);
    let written = write_synced(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // What is left of a full disk's half a file is in nobody's way but its own.
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    sync_parent(path)
}

/// Writes a file that anyone may read, as a whole or not at all.
pub fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, bytes)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o644))
}

/// Writes a file in a directory that is not in place yet.
pub fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts a finished directory in its place by one rename.
pub fn place_dir(finished: &Path, place: &Path) -> io::Result<()> {
    File::open(finished)?.sync_all()?;
    std::fs::rename(finished, place)?;
    sync_parent(place)
}

/// Reads JSON; `None` where there is no such file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let message = format!("{} is damaged: {error}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads JSON that [`write_with_copy`] has written. Where it is damaged its copy is read, and what became of it is
/// told; with `mend` the copy takes its place, and what is damaged is kept aside. `None` where there is no such file,
/// or both are damaged.
pub fn read_or_copy<T: DeserializeOwned>(
    path: &Path,
    mend: bool,
    told: &mut Vec<String>,
) -> io::Result<Option<T>> {
    let damage = match read_json(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => error,
        other => return other,
    };
    let copy = copy_of(path);
    let found = read_json(&copy).ok().flatten();
    let mut text = match found {
        Some(_) => format!("{damage}; its copy is used"),
        None => format!("{damage}, and there is no good copy: it begins anew"),
    };
    let aside = path.with_extension("damaged");
    if mend && std::fs::copy(path, &aside).is_ok() {
        text.push_str(&format!(
            " (what is damaged is kept as {})",
            aside.display()
        ));
        let good = found.is_some().then(|| std::fs::read(&copy).ok()).flatten();
        if let Some(error) = good.and_then(|bytes| write(path, &bytes).err()) {
            text.push_str(&format!(", and it cannot be mended: {error}"));
        }
    }
    told.push(text);
    Ok(found)
}

/// Writes JSON as a whole or not at all, and then a copy beside it, against damage to the file itself.
pub fn write_with_copy<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write_json(path, value)?;
    if let Err(error) = write_json(&copy_of(path), value) {
        tracing::warn!("no copy of {} could be kept: {error}", path.display());
    }
    Ok(())
}

fn copy_of(path: &Path) -> PathBuf {
    path.with_extension("copy.json")
}

/// Writes JSON as a whole or not at all.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
    bytes.push(b'\n');
    write(path, &bytes)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_json(&path, &1).unwrap();
        write_json(&path, &2).unwrap();
        assert_eq!(read_json::<u32>(&path).unwrap(), Some(2));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_json(&path, &1).unwrap();
        std::fs::create_dir(dir.path().join(".a.json.new")).unwrap();
        assert!(write_json(&path, &2).is_err());
        assert_eq!(read_json::<u32>(&path).unwrap(), Some(1));
    }

    #[test]
    fn a_damaged_file_gives_way_to_its_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let mut told = Vec::new();
        let mut read = || read_or_copy::<u32>(&path, true, &mut told).unwrap();
        assert_eq!(read(), None);
        write_with_copy(&path, &7).unwrap();
        assert_eq!(read(), Some(7));
        std::fs::write(&path, "{").unwrap();
        assert_eq!([read(), read()], [Some(7), Some(7)]);
        std::fs::write(&path, "{").unwrap();
        std::fs::write(dir.path().join("a.copy.json"), "").unwrap();
        assert_eq!(read(), None);
        assert_eq!(told.len(), 2);
        assert!(told[0].contains("a.json is damaged") && told[0].contains("its copy is used"));
        assert!(told[1].contains("begins anew"));
        assert_eq!(std::fs::read(dir.path().join("a.damaged")).unwrap(), b"{");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        std::fs::write(&path, "{").unwrap();
        let error = read_json::<u32>(&path).unwrap_err();
        assert!(error.to_string().contains("a.json is damaged"));
        assert_eq!(read_json::<u32>(&dir.path().join("b.json")).unwrap(), None);
    }
}
