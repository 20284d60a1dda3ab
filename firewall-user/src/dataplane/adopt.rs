//! Sessions that began before enforcement did, put into the tables beside those that packets open.

use std::io;

use firewall_common::config::{Settings, Strays};
use firewall_common::flow::FlowKey;
use firewall_common::tables::Table as Which;

use super::error::Result;
use super::maps::{Maps, ONLY};
use super::sessions::Session;

/// Puts sessions into their tables; how many found a place. With `replace` what is there already gives way:
/// where no policy decides nothing keeps it up to date. Else it stays: a packet has opened it since.
pub(super) fn adopt(maps: &Maps, sessions: &[Session], replace: bool) -> Result<usize> {
    let mut placed = 0;
    for session in sessions {
        if !replace && there(maps, &session.key)? {
            continue;
        }
        let table = match session.table {
            Which::HalfOpen => &maps.half_open,
            Which::Sessions => &maps.sessions,
        };
        maps.marks.note(&session.key);
        placed += usize::from(table.offer(&session.key, &session.entry, replace)?);
    }
    Ok(placed)
}

/// Is the session known? Between this and its adoption a packet may open it: then the older view of it is put
/// beside the newer one, and is the one that counts. Both are judged anew; nothing is let in by that.
fn there(maps: &Maps, key: &FlowKey) -> Result<bool> {
    Ok(maps.half_open.get(key)?.is_some() || maps.sessions.get(key)?.is_some())
}

/// Tells what becomes of strays; of each field only what is given.
pub(super) fn set_strays(maps: &Maps, mode: Option<u32>, midstream: Option<u64>) -> Result<()> {
    let settings = maps.settings.need(&ONLY)?;
    let strays = Strays {
        midstream_until: midstream.unwrap_or(settings.strays.midstream_until),
        mode: mode.unwrap_or(settings.strays.mode),
        pad: 0,
    };
    maps.settings.set(&ONLY, &Settings { strays, ..settings })
}

/// A full table is no error: what has no place is not adopted.
pub(super) fn placed(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EEXIST | libc::E2BIG)) => Ok(false),
        Err(error) => Err(error),
    }
}
