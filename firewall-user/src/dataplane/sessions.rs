//! Sessions: listed, expired, ended.

use std::collections::{BTreeMap, HashMap};

use firewall_common::config::Settings;
use firewall_common::flow::FlowKey;
use firewall_common::packet::protocol;
use firewall_common::policy::limits::LimitKey;
use firewall_common::session::end::Cause;
use firewall_common::session::{ENDED, Entry, OnChange, State};
use firewall_common::tables::Table as Which;
use firewall_common::zone::Course;

use super::clock::boot_now;
use super::error::Result;
use super::events;
use super::limits;
use super::maps::{self, Maps, ONLY};
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
        // What a question to a group has left is no session.
        let all = table.list()?.into_iter();
        Ok(all
            .filter(|(_, entry)| !entry.awaits())
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
    /// TCP sessions that were opened a short while ago and have completed their handshake; not all, where there are
    /// many.
    pub completed: Vec<Session>,
    /// Sessions of this host's own sockets that have been silent for half of what they may be.
    pub waning: Vec<FlowKey>,
}

/// Nanoseconds for which a completed handshake is worth telling.
const LATELY: u64 = 60_000_000_000;
/// How many are told.
const TOLD: usize = 8192;

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
    let lately = live.into_iter().filter(|(key, entry)| {
        key.protocol == protocol::TCP && now.saturating_sub(entry.opened) < LATELY
    });
    let lately = lately.take(TOLD).map(of(Which::Sessions));
    swept.completed = lately.collect();
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
        maps.marks.note(&key);
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

/// Ends sessions by hand, and counts them; each as it was then. The next packet of each is judged as without
/// session.
///
/// The race: a packet that found a session among the half-open ones may promote it after it was taken from both
/// tables. So those that were half open are looked for once more when every packet that was under way is done.
pub(super) fn end(maps: &Maps, keys: &[FlowKey], cause: Cause) -> Result<Vec<Session>> {
    let mut ended = Vec::new();
    let mut half_open = Vec::new();
    for key in keys {
        if let Some(entry) = maps.half_open.take(key)? {
            maps.counts.left(Which::HalfOpen, key, &entry);
            half_open.push((key, entry));
        }
        take_verified(maps, key, &mut ended)?;
    }
    if !half_open.is_empty() {
        maps::grace()?;
    }
    for (key, entry) in half_open {
        let opened = |found: Option<Entry>| found.is_some_and(|found| found.opened == entry.opened);
        if opened(maps.sessions.get(key)?) {
            take_verified(maps, key, &mut ended)?;
        } else {
            let (key, table) = (*key, Which::HalfOpen);
            ended.push(Session { key, entry, table });
        }
    }
    let strays = maps.settings.need(&ONLY)?.strays;
    let taken_up = boot_now() < strays.midstream_until;
    for session in &ended {
        leave_a_trace(maps, session, taken_up)?;
    }
    let told = |session: &&Session| session.entry.is_conversation();
    let count = ended.iter().filter(told).count() as u64;
    events::add(maps, &BTreeMap::from([(cause as u32, count)]))?;
    Ok(ended)
}

fn take_verified(maps: &Maps, key: &FlowKey, ended: &mut Vec<Session>) -> Result<()> {
    if let Some(entry) = maps.sessions.take(key)? {
        maps.counts.left(Which::Sessions, key, &entry);
        let (key, table) = (*key, Which::Sessions);
        ended.push(Session { key, entry, table });
    }
    Ok(())
}

/// What is left of a session that was ended: as the packet path leaves it of one that the policy ends, and why
/// is told there (`leave_a_trace` of the stage of sessions). While routed connections are still taken up from their
/// middle, one that was ended would be, too: whoever goes on with it gets a reset.
fn leave_a_trace(maps: &Maps, session: &Session, taken_up: bool) -> Result<()> {
    let mut entry = session.entry;
    let tcp = session.key.protocol == protocol::TCP;
    let told = tcp && taken_up && entry.course() == Course::Routed;
    if tcp && !told || !entry.is_conversation() {
        return Ok(());
    }
    if told {
        entry.on_change = OnChange::Reset as u8;
    }
    entry.track.flags |= ENDED;
    maps.marks.note(&session.key);
    if maps.sessions.put_back(&session.key, &entry)? {
        maps.counts.came(&entry);
    }
    Ok(())
}

/// Ends a session; says whether there was one. Its next packet is judged as without session.
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
