//! Sessions: listed, expired, ended.

use std::collections::{BTreeMap, HashMap};

use firewall_common::config::Settings;
use firewall_common::flow::FlowKey;
use firewall_common::policy::limits::LimitKey;
use firewall_common::session::end::Cause;
use firewall_common::session::{Entry, State};
use firewall_common::tables::Table as Which;
use firewall_common::zone::Course;

use super::error::Result;
use super::events;
use super::limits;
use super::maps::{Maps, ONLY};
use super::room::Audit;
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

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Sessions that it took out, each as it was then.
    pub ended: Vec<Session>,
    /// Half-open sessions that are left.
    pub half_open: Vec<Session>,
    /// Sessions of this host's own sockets that have been silent for half of what they may be.
    pub waning: Vec<FlowKey>,
}

/// Deletes sessions that have been silent for too long, and counts them by why they ended.
pub(super) fn expire(maps: &Maps, audit: &mut Audit, now: u64) -> Result<(Swept, Found)> {
    let settings = maps.settings.need(&ONLY)?;
    let (mut swept, mut found) = (Swept::default(), Found::default());
    let of = |table| move |(key, entry)| Session { key, entry, table };
    let (ended, half_open) = sweep(maps, Which::HalfOpen, &settings, now)?;
    found.ended.extend(&ended);
    swept.ended = ended.into_iter().map(of(Which::HalfOpen)).collect();
    let (ended, live) = sweep(maps, Which::Sessions, &settings, now)?;
    found.ended.extend(&ended);
    found.held = limits::held(half_open.iter().chain(&live));
    let sessions = live.iter().chain(&half_open);
    swept.waning = sessions
        .filter(|(_, entry)| wanes(entry, &settings, now))
        .map(|(key, _)| *key)
        .collect();
    audit.look(&maps.counts, &half_open, &live);
    swept.half_open = half_open.into_iter().map(of(Which::HalfOpen)).collect();
    let ended = ended.into_iter().map(of(Which::Sessions));
    swept.ended.extend(ended);
    // Stand-ins and traces are nobody's conversations: they go without a word.
    swept
        .ended
        .retain(|session| session.entry.is_conversation());
    swept
        .half_open
        .retain(|session| session.entry.is_conversation());
    let mut causes: BTreeMap<u32, u64> = BTreeMap::new();
    for session in &swept.ended {
        let cause = Cause::of_silent(&session.entry);
        *causes.entry(cause as u32).or_default() += 1;
    }
    events::add(maps, &causes)?;
    Ok((swept, found))
}

/// What limits need to know of a sweep.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// All that was taken out.
    pub(super) ended: Pairs,
    /// Open sessions by where they count for their rules.
    pub(super) held: HashMap<LimitKey, u64>,
}

/// Could a socket of this host keep it alive, and is it time to look? Not in a handshake, which has a limit of its
/// own, nor once it is over.
fn wanes(entry: &Entry, settings: &Settings, now: u64) -> bool {
    let state = entry.track.state();
    let lasting = matches!(
        state,
        State::Established | State::FinWait | State::Udp | State::UdpStream
    );
    let local = !matches!(entry.course(), Course::Routed) && entry.is_conversation();
    let timeout = settings.timeouts[usize::from(entry.track.state & 15)];
    lasting && local && entry.is_over(now, timeout / 2)
}

fn over(entry: &Entry, settings: &Settings, now: u64) -> bool {
    let timeout = settings.timeouts[usize::from(entry.track.state & 15)];
    entry.is_over(now, timeout)
}

/// The race: a packet may reopen a session between the listing and the deletion. So each is read again,
/// and what is taken out is looked at once more; if it turns out to live, it is put back, unless a
/// packet has already put it there. A packet of it that comes in that instant is judged as
/// without session; nothing that the policy refuses can pass by that.
///
/// Of many that take one key out at once, a packet's program among them, one gets the entry: so each end is
/// told and counted once.
fn sweep(maps: &Maps, which: Which, settings: &Settings, now: u64) -> Result<(Pairs, Pairs)> {
    let table = table(maps, which);
    let (mut gone, mut live) = (Vec::new(), Vec::new());
    for (key, entry) in table.list()? {
        if !over(&entry, settings, now) {
            live.push((key, entry));
            continue;
        }
        if !table
            .get(&key)?
            .is_some_and(|entry| over(&entry, settings, now))
        {
            continue;
        }
        match table.take(&key)? {
            Some(taken) if over(&taken, settings, now) => {
                maps.counts.left(which, &key, &taken);
                gone.push((key, taken));
            }
            // Of one that is not put back a packet has opened the next one, or taken the place: it has ended.
            Some(taken) if !table.put_back(&key, &taken)? => maps.counts.left(which, &key, &taken),
            _ => {}
        }
    }
    Ok((gone, live))
}

type Pairs = Vec<(FlowKey, Entry)>;

/// Ends a session; what was taken out. Its next packet is judged as without session.
///
/// From the half-open table first: a session that is promoted meanwhile is in the other one by then.
pub(super) fn close(maps: &Maps, key: &FlowKey) -> Result<Pairs> {
    let mut ended = Pairs::new();
    for which in [Which::HalfOpen, Which::Sessions] {
        if let Some(entry) = table(maps, which).take(key)? {
            maps.counts.left(which, key, &entry);
            ended.push((*key, entry));
        }
    }
    Ok(ended)
}

fn table(maps: &Maps, which: Which) -> &Table<FlowKey, Entry> {
    match which {
        Which::HalfOpen => &maps.half_open,
        Which::Sessions => &maps.sessions,
    }
}
