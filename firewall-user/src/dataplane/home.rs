//! Whose pins these are. Their directory is named after the number of a network namespace, which the kernel gives
//! to another namespace once this one is gone; its cookie it never gives again.

use std::fs;
use std::os::fd::AsFd as _;

use super::error::{Error, Result};
use super::maps::{Maps, ONLY};
use super::pin::Paths;
use super::raw;
use super::table::Table;

fn cookie() -> Result<u64> {
    let failed = |error| Error::Table("HOME", error);
    raw::namespace_cookie().map_err(failed)
}

/// Notes that tables are this namespace's.
pub(super) fn settle(maps: &Maps) -> Result<()> {
    maps.home.set(&ONLY, &cookie()?)
}

/// Were pins made in this network namespace? Those of the first layout do not say. They are not, if they have
/// links and none of them sits on an interface: devices go with their namespace.
pub(super) fn is_ours(paths: &Paths) -> Result<bool> {
    if paths.maps.join("HOME").exists() {
        let home: Table<u32, u64> = Table::open(&paths.maps, "HOME")?;
        let home = home.need(&ONLY)?;
        // An agent may have died before it noted its own.
        return Ok(home == 0 || home == cookie()?);
    }
    let entries = fs::read_dir(&paths.links).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| raw::open_pin(&entry.path()).ok());
    let mut sitting = links.map(|link| !matches!(raw::interface_of(link.as_fd()), Ok(None)));
    let first = sitting.next();
    Ok(first.is_none_or(|first| first || sitting.any(|sits| sits)))
}

/// Puts away the tables of a namespace that had this one's number before it.
pub(super) fn clear(paths: &Paths, notes: &mut Vec<String>) -> Result<()> {
    if !paths.root.exists() || is_ours(paths)? {
        return Ok(());
    }
    let failed = |error| Error::Directory(paths.root.clone(), error);
    fs::remove_dir_all(&paths.root).map_err(failed)?;
    notes.push(stale(paths));
    Ok(())
}

/// What is said where pins are put away.
pub(super) fn stale(paths: &Paths) -> String {
    format!(
        "{} was left by another network namespace that had this number and is gone: it is removed, nothing in it is used",
        paths.root.display()
    )
}
