//! Who owns a connection: the process that connected, or the one that listens. Rather nobody than the wrong one.
//!
//! When a process connects, its socket has no port yet. So a session is at first its whose call, to the same place and a
//! moment before, is the only one; and once the handshake has ended, the kernel says which socket it was.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use firewall_common::addr::Addr;
use firewall_common::flow::{FlowKey, Tuple};
use firewall_common::packet::protocol;
use firewall_common::session::{Entry, opener_tuple};
use firewall_common::watch::{CONNECTED, CONNECTS, LISTENED, LISTENS, SocketCall, TRIES};
use firewall_common::zone::Course;

use super::kept::Kept;
use super::listening::Listening;
use super::record::Process;
use super::units::Units;
use crate::agent::processes::Listens;
use crate::detect::{OneSided, Way};

/// Calls that are remembered: those of the last moments.
const CALLS: usize = 4096;
/// Sockets whose handshake goes on.
const CONNECTING: usize = 65_536;
/// Sessions.
const KEPT: usize = 65_536;
/// Handshakes that did not complete: as many as detectors remember.
const ONES: usize = 4096;
/// Nanoseconds from a call to its SYN, where nothing holds it up.
const AT_ONCE: u64 = 5_000_000;
/// The same where the next hop must be found first.
const HELD_UP: u64 = 4_000_000_000;
/// A session's time of opening is that of the kernel's last tick, so that its call may be later by that: with 100 ticks
/// a second, the fewest that a kernel is built with.
const TICK: u64 = 10_000_000;
/// Nanoseconds after which a call has found its way, or there is none.
const DECIDED: u64 = 300_000_000;

/// A process that has called `connect()`.
#[derive(Debug, Clone)]
struct Call {
    time: u64,
    far: (Addr, u16),
    process: Arc<Process>,
}

/// Whose a connection was from its call to the end of its handshake.
#[derive(Debug)]
struct Known {
    called: u64,
    ended: u64,
    process: Arc<Process>,
}

/// What is known of owners.
#[derive(Debug)]
pub(super) struct Owners {
    units: Units,
    listening: Listening,
    /// Calls of which it is not known yet whether they find a way.
    tries: VecDeque<(Tuple, Call)>,
    calls: VecDeque<Call>,
    connecting: HashMap<u64, Call>,
    known: Kept<FlowKey, Known>,
    sessions: Kept<(FlowKey, u64), Arc<Process>>,
    ones: Kept<Tuple, Arc<Process>>,
    lost: u64,
}

impl Default for Owners {
    fn default() -> Self {
        Self {
            units: Units::default(),
            listening: Listening::default(),
            tries: VecDeque::new(),
            calls: VecDeque::new(),
            connecting: HashMap::new(),
            known: Kept::with_room(KEPT),
            sessions: Kept::with_room(KEPT),
            ones: Kept::with_room(ONES),
            lost: 0,
        }
    }
}

impl Owners {
    /// Begins again with those that listen now.
    pub(super) fn seed(&mut self, found: Vec<Listens>) {
        self.listening = Listening::of(found);
    }

    /// A process has called. Was something lost before that?
    pub(super) fn told(&mut self, call: &SocketCall) -> bool {
        let missed = call.lost != self.lost;
        if missed {
            // Who was not told of may have called, too.
            self.lost = call.lost;
            self.calls.clear();
            self.tries.clear();
            self.connecting.clear();
        }
        match call.what {
            TRIES => {
                let tried = (call.tuple, self.call(call));
                push(&mut self.tries, tried);
            }
            CONNECTS => self.connects(call),
            CONNECTED => self.connected(call),
            LISTENS => {
                let process = self.call(call).process;
                self.listening.begins(call, process);
            }
            LISTENED => self.listening.ends(call),
            _ => {}
        }
        missed
    }

    fn call(&mut self, call: &SocketCall) -> Call {
        let end = call.comm.iter().position(|byte| *byte == 0);
        let comm = call.comm.get(..end.unwrap_or(call.comm.len()));
        let process = Process {
            pid: call.pid,
            comm: Process::name(comm.unwrap_or_default()),
            unit: self.units.of(call.pid, call.group, call.time),
            uid: call.uid,
        };
        Call {
            time: call.time,
            far: (call.tuple.destination, call.tuple.destination_port),
            process: Arc::new(process),
        }
    }

    fn connects(&mut self, told: &SocketCall) {
        let call = self.call(told);
        let same = |(_, tried): &(Tuple, Call)| {
            tried.far == call.far && tried.process.pid == call.process.pid
        };
        if let Some(place) = self.tries.iter().position(same) {
            self.tries.remove(place);
        }
        if self.connecting.len() < CONNECTING {
            self.connecting.insert(told.socket, call.clone());
        }
        push(&mut self.calls, call);
    }

    fn connected(&mut self, told: &SocketCall) {
        let Some(call) = self.connecting.remove(&told.socket) else {
            return;
        };
        let mut key = FlowKey::default();
        told.tuple.key(&mut key);
        let known = Known {
            called: call.time,
            ended: told.time,
            process: call.process,
        };
        self.known.put(key, known);
    }

    /// Calls that have found no way, or were refused one, and when.
    pub(super) fn went_nowhere(&mut self, now: u64) -> Vec<(Tuple, u64)> {
        let mut found = Vec::new();
        let decided = |(_, call): &mut (Tuple, Call)| now.saturating_sub(call.time) >= DECIDED;
        while let Some((tuple, call)) = self.tries.pop_front_if(decided) {
            self.ones.put(tuple, call.process);
            found.push((tuple, call.time));
        }
        found
    }

    /// A session was opened.
    pub(super) fn opened(&mut self, key: &FlowKey, entry: &Entry) -> Option<Arc<Process>> {
        let mut tuple = Tuple::default();
        opener_tuple(key, entry, &mut tuple);
        let owner = match entry.course() {
            Course::Inbound => self.listens(&tuple),
            Course::Outbound => self
                .known(key, entry.opened)
                .or_else(|| self.calls(&tuple, entry.opened)),
            Course::Routed => None,
        }?;
        self.sessions.put((*key, entry.opened), Arc::clone(&owner));
        Some(owner)
    }

    /// Whose a session is.
    pub(super) fn of(&self, key: &FlowKey, opened: u64) -> Option<Arc<Process>> {
        let guessed = || self.sessions.get(&(*key, opened)).cloned();
        self.known(key, opened).or_else(guessed)
    }

    fn known(&self, key: &FlowKey, opened: u64) -> Option<Arc<Process>> {
        let known = self.known.get(key)?;
        let within = (known.called.saturating_sub(TICK)..=known.ended).contains(&opened);
        within.then(|| Arc::clone(&known.process))
    }

    /// Whose a handshake is that does not complete; remembered as long as that.
    pub(super) fn of_one(&mut self, one: &OneSided) -> Option<Arc<Process>> {
        let owner = match (one.opened, one.way) {
            (Some((key, opened)), _) => self.of(&key, opened),
            (None, Way::Outbound) => self.calls(&one.tuple, one.first),
            (None, Way::Inbound) => self.listens(&one.tuple),
        };
        if let Some(owner) = &owner {
            self.ones.put(one.tuple, Arc::clone(owner));
        }
        owner.or_else(|| self.of_known_one(one))
    }

    /// The same of one that was asked about when it was found.
    pub(super) fn of_known_one(&self, one: &OneSided) -> Option<Arc<Process>> {
        self.ones.get(&one.tuple).cloned()
    }

    fn listens(&self, tuple: &Tuple) -> Option<Arc<Process>> {
        self.listening
            .at(tuple.destination, tuple.destination_port)
            .filter(|_| tuple.protocol == protocol::TCP)
    }

    /// Who has connected to there, a moment before; nobody where it may have been another.
    fn calls(&self, tuple: &Tuple, opened: u64) -> Option<Arc<Process>> {
        let far = (tuple.destination, tuple.destination_port);
        let before = |within: u64| {
            self.calls.iter().filter(move |call| {
                let after = opened.saturating_add(TICK) >= call.time;
                call.far == far && after && opened.saturating_sub(call.time) <= within
            })
        };
        let soon = before(AT_ONCE).next().is_some();
        let within = if soon { AT_ONCE } else { HELD_UP };
        let pids: BTreeSet<u32> = before(within).map(|call| call.process.pid).collect();
        let last = before(within).next_back().filter(|_| pids.len() == 1);
        last.map(|call| Arc::clone(&call.process))
    }
}

fn push<C>(calls: &mut VecDeque<C>, call: C) {
    calls.push_back(call);
    if calls.len() > CALLS {
        calls.pop_front();
    }
}

#[cfg(test)]
#[path = "owners_tests.rs"]
mod tests;
