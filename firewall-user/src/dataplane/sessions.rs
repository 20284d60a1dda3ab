//! Sessions: listed, expired, ended.

use firewall_common::config::Settings;
use firewall_common::flow::FlowKey;
use firewall_common::session::Entry;
use firewall_common::tables::Table as Which;

use super::error::Result;
use super::maps::{Maps, ONLY};
use super::table::Table;

/// A session as it was when it was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Both ends.
    pub key: FlowKey,
    /// What is kept of it.
    pub entry: Entry,
    /// Which table it is in.
    pub table: Which,
}

/// All sessions. One that is promoted meanwhile may be listed in both tables.
pub(super) fn list(maps: &Maps) -> Result<Vec<Session>> {
    let of = |table: &Table<FlowKey, Entry>, which| -> Result<Vec<Session>> {
        let all = table.list()?.into_iter();
        Ok(all
            .map(|(key, entry)| Session {
                key,
                entry,
                table: which,
            })
            .collect())
    };
    let mut all = of(&maps.half_open, Which::HalfOpen)?;
    all.extend(of(&maps.sessions, Which::Sessions)?);
    Ok(all)
}

/// Deletes sessions that have been silent for too long; how many.
pub(super) fn expire(maps: &Maps, now: u64) -> Result<usize> {
    let settings = maps.settings.need(&ONLY)?;
    Ok(sweep(&maps.half_open, &settings, now)? + sweep(&maps.sessions, &settings, now)?)
}

fn over(entry: &Entry, settings: &Settings, now: u64) -> bool {
    let timeout = settings.timeouts[usize::from(entry.track.state & 15)];
    entry.is_over(now, timeout)
}

/// The race: a packet may reopen a session between the listing and the deletion. So each is read again,
/// and what is taken out is looked at once more; if it turns out to live, it is put back, unless a
/// packet has already put it there. A packet of it that comes in that instant is judged as
/// without session; nothing that the policy refuses can pass by that.
fn sweep(table: &Table<FlowKey, Entry>, settings: &Settings, now: u64) -> Result<usize> {
    let mut gone = 0;
    for (key, entry) in table.list()? {
        if !over(&entry, settings, now) {
            continue;
        }
        if !table
            .get(&key)?
            .is_some_and(|entry| over(&entry, settings, now))
        {
            continue;
        }
        match table.take(&key)? {
            Some(taken) if !over(&taken, settings, now) => table.put_back(&key, &taken)?,
            Some(_) => gone += 1,
            None => {}
        }
    }
    Ok(gone)
}

/// Ends a session; says whether there was one. Its next packet is judged as without session.
///
/// From the half-open table first: a session that is promoted meanwhile is in the other one by then.
pub(super) fn close(maps: &Maps, key: &FlowKey) -> Result<bool> {
    let half_open = maps.half_open.delete(key)?;
    Ok(maps.sessions.delete(key)? || half_open)
}
