//! Who owns a connection: the process that connected, or the one that listens. Rather nobody than the wrong one.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use firewall_common::addr::Addr;
use firewall_common::flow::{FlowKey, Tuple};
use firewall_common::packet::protocol;
use firewall_common::session::{Entry, opener_tuple};
use firewall_common::watch::{CONNECTS, LISTENS, SocketCall};
use firewall_common::zone::Course;

use super::record::Process;
use crate::agent::processes;
use crate::dataplane::memory::mapped;
use crate::detect::{OneSided, Way};

/// Calls that are remembered: those of the last moments.
const CALLS: usize = 4096;
/// Listeners, and sessions.
const KEPT: usize = 65_536;
/// Nanoseconds from a call to its SYN, where nothing holds it up.
const AT_ONCE: u64 = 5_000_000;
/// The same where the next hop must be found first.
const HELD_UP: u64 = 4_000_000_000;

/// A process that has called `connect()`.
#[derive(Debug, Clone)]
struct Call {
    time: u64,
    far: (Addr, u16),
    process: Arc<Process>,
}

/// What is known of owners.
#[derive(Debug, Default)]
pub(super) struct Owners {
    calls: VecDeque<Call>,
    listeners: HashMap<(Addr, u16), Arc<Process>>,
    sessions: HashMap<(FlowKey, u64), Arc<Process>>,
    order: VecDeque<(FlowKey, u64)>,
}

impl Owners {
    /// Those that listened before anybody looked.
    pub(super) fn seed(&mut self, found: Vec<(IpAddr, u16, Process)>) {
        for (address, port, process) in found {
            let place = (mapped(address), port);
            self.listeners.entry(place).or_insert(Arc::new(process));
        }
    }

    /// A process has called.
    pub(super) fn told(&mut self, call: &SocketCall) {
        let end = call.comm.iter().position(|byte| *byte == 0);
        let comm = call.comm.get(..end.unwrap_or(call.comm.len()));
        let process = || {
            Arc::new(Process {
                pid: call.pid,
                comm: String::from_utf8_lossy(comm.unwrap_or_default()).into_owned(),
                unit: processes::unit(call.pid),
                uid: call.uid,
            })
        };
        let own = (call.tuple.source, call.tuple.source_port);
        match call.what {
            CONNECTS => {
                self.calls.push_back(Call {
                    time: call.time,
                    far: (call.tuple.destination, call.tuple.destination_port),
                    process: process(),
                });
                if self.calls.len() > CALLS {
                    self.calls.pop_front();
                }
            }
            LISTENS if self.listeners.len() < KEPT => {
                self.listeners.insert(own, process());
            }
            // Another may listen there still: then it is not known who.
            _ => {
                self.listeners.remove(&own);
            }
        }
    }

    /// A session was opened.
    pub(super) fn opened(&mut self, key: &FlowKey, entry: &Entry) -> Option<Arc<Process>> {
        let mut tuple = Tuple::default();
        opener_tuple(key, entry, &mut tuple);
        let owner = match entry.course() {
            Course::Inbound => self.listens(&tuple),
            Course::Outbound => self.calls(&tuple, entry.opened),
            Course::Routed => None,
        }?;
        let mark = (*key, entry.opened);
        if self.sessions.insert(mark, Arc::clone(&owner)).is_none() {
            self.order.push_back(mark);
        }
        while self.order.len() > KEPT {
            let oldest = self.order.pop_front();
            oldest.map(|oldest| self.sessions.remove(&oldest));
        }
        Some(owner)
    }

    /// Whose a session is.
    pub(super) fn of(&self, key: &FlowKey, opened: u64) -> Option<Arc<Process>> {
        self.sessions.get(&(*key, opened)).cloned()
    }

    /// Whose a handshake is that does not complete.
    pub(super) fn of_one(&self, one: &OneSided) -> Option<Arc<Process>> {
        match (one.opened, one.way) {
            (Some((key, opened)), _) => self.of(&key, opened),
            (None, Way::Outbound) => self.calls(&one.tuple, one.first),
            (None, Way::Inbound) => self.listens(&one.tuple),
        }
    }

    /// Who listens where a packet goes to.
    pub(super) fn listens(&self, tuple: &Tuple) -> Option<Arc<Process>> {
        let any = [
            tuple.destination,
            if tuple.destination.is_v4() {
                Addr::v4(0)
            } else {
                Addr::UNSPECIFIED
            },
            Addr::UNSPECIFIED,
        ];
        let mut places = any.iter().map(|address| (*address, tuple.destination_port));
        let tcp = tuple.protocol == protocol::TCP;
        places
            .find_map(|place| self.listeners.get(&place).filter(|_| tcp))
            .cloned()
    }

    /// Who has connected to there, a moment before; nobody where it may have been another.
    pub(super) fn calls(&self, tuple: &Tuple, opened: u64) -> Option<Arc<Process>> {
        let far = (tuple.destination, tuple.destination_port);
        let before = |within: u64| {
            self.calls.iter().filter(move |call| {
                call.far == far && call.time <= opened && opened - call.time <= within
            })
        };
        let soon = before(AT_ONCE).next().is_some();
        let within = if soon { AT_ONCE } else { HELD_UP };
        let pids: BTreeSet<u32> = before(within).map(|call| call.process.pid).collect();
        let last = before(within).last().filter(|_| pids.len() == 1);
        last.map(|call| Arc::clone(&call.process))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firewall_common::watch::LISTENED;

    fn call(what: u8, pid: u32, time: u64, far: u32) -> SocketCall {
        let mut comm = [0; 16];
        comm[..4].copy_from_slice(b"curl");
        SocketCall {
            time,
            tuple: tuple(far),
            pid,
            uid: 1000,
            comm,
            what,
            ..SocketCall::default()
        }
    }

    /// From this host to another; of one that listens there is no far end.
    fn tuple(far: u32) -> Tuple {
        Tuple {
            source: Addr::v4(0x0a00_0001),
            source_port: 443,
            destination: Addr::v4(far),
            destination_port: 80,
            protocol: 6,
            ..Tuple::default()
        }
    }

    #[test]
    fn a_call_a_moment_before_is_the_owner_and_two_are_none() {
        let mut owners = Owners::default();
        let at = HELD_UP * 10;
        owners.told(&call(CONNECTS, 7, at, 9));
        let pid = |owners: &Owners, time| owners.calls(&tuple(9), time).map(|process| process.pid);
        assert_eq!(pid(&owners, at + 1000), Some(7));
        assert_eq!(pid(&owners, at + HELD_UP), Some(7));
        assert_eq!(pid(&owners, at + HELD_UP + 1), None);
        assert_eq!(pid(&owners, at - 1), None);
        assert_eq!(owners.calls(&tuple(10), at), None);
        owners.told(&call(CONNECTS, 8, at + AT_ONCE / 2, 9));
        assert_eq!(pid(&owners, at + AT_ONCE), None);
        assert_eq!(pid(&owners, at + AT_ONCE + 1), Some(8));
        for _ in 0..2 * CALLS {
            owners.told(&call(CONNECTS, 8, at, 9));
        }
        assert_eq!(owners.calls.len(), CALLS);
        assert_eq!(owners.calls[0].process.comm, "curl");
    }

    #[test]
    fn who_listens_owns_what_comes_until_it_listens_no_more() {
        let mut owners = Owners::default();
        owners.told(&call(LISTENS, 7, 1, 0));
        let inbound = tuple(9).reversed();
        assert_eq!(owners.listens(&inbound).map(|process| process.pid), Some(7));
        owners.told(&call(LISTENED, 1, 2, 0));
        assert_eq!(owners.listens(&inbound), None);
    }
}
