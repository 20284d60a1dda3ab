//! Whose sockets listen.

use std::collections::HashMap;
use std::sync::Arc;

use firewall_common::addr::Addr;
use firewall_common::watch::SocketCall;

use super::record::Process;
use crate::agent::processes::Listens;
use crate::dataplane::memory::mapped;

/// Places that are remembered.
const PLACES: usize = 65_536;
/// Sockets at one place: more share one port only to spread load.
const SHARED: usize = 256;
/// The address of sockets that take all of IPv4.
const ALL_V4: Addr = Addr::v4(0);
/// The same of IPv6, and of IPv4 where the socket does not say otherwise.
const ALL: Addr = Addr::UNSPECIFIED;

#[derive(Debug)]
struct Listener {
    /// 0: it listened before anybody looked.
    socket: u64,
    only_v6: bool,
    process: Arc<Process>,
}

/// Who listens where.
#[derive(Debug, Default)]
pub(super) struct Listening(HashMap<(Addr, u16), Vec<Listener>>);

impl Listening {
    /// Those that were found.
    pub(super) fn of(found: Vec<Listens>) -> Self {
        let mut all = Self::default();
        for one in found {
            let listener = Listener {
                socket: 0,
                only_v6: one.only_v6,
                process: Arc::new(one.process),
            };
            all.put((mapped(one.address), one.port), listener);
        }
        all
    }

    /// One begins.
    pub(super) fn begins(&mut self, call: &SocketCall, process: Arc<Process>) {
        let listener = Listener {
            socket: call.socket,
            only_v6: call.only_v6 != 0,
            process,
        };
        self.put(place(call), listener);
    }

    fn put(&mut self, place: (Addr, u16), listener: Listener) {
        if self.0.len() < PLACES || self.0.contains_key(&place) {
            let there = self.0.entry(place).or_default();
            // One that was found, and is told of once more.
            there.retain(|known| known.socket != 0 || known.process.pid != listener.process.pid);
            if there.len() < SHARED {
                there.push(listener);
            }
        }
    }

    /// One ends. Of those that were there before it is not known whether it was one of them.
    pub(super) fn ends(&mut self, call: &SocketCall) {
        if let Some(there) = self.0.get_mut(&place(call)) {
            there.retain(|known| known.socket != 0 && known.socket != call.socket);
            if there.is_empty() {
                self.0.remove(&place(call));
            }
        }
    }

    /// Who listens where a packet goes to, if that is one process only.
    pub(super) fn at(&self, address: Addr, port: u16) -> Option<Arc<Process>> {
        let places = [address, if address.is_v4() { ALL_V4 } else { ALL }, ALL];
        for place in places {
            let there = self.0.get(&(place, port)).into_iter().flatten();
            let mut there = there.filter(|one| !(one.only_v6 && address.is_v4()));
            // The kernel takes the one that is bound most closely.
            if let Some(first) = there.next() {
                let same = there.all(|other| other.process.pid == first.process.pid);
                return same.then(|| Arc::clone(&first.process));
            }
        }
        None
    }
}

fn place(call: &SocketCall) -> (Addr, u16) {
    (call.tuple.source, call.tuple.source_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firewall_common::flow::Tuple;

    const PORT: u16 = 443;

    fn listener(socket: u64, pid: u32, address: Addr) -> (SocketCall, Arc<Process>) {
        let tuple = Tuple {
            source: address,
            source_port: PORT,
            ..Tuple::default()
        };
        let call = SocketCall {
            socket,
            tuple,
            ..SocketCall::default()
        };
        let process = Process {
            pid,
            ..Process::default()
        };
        (call, Arc::new(process))
    }

    fn found(pid: u32) -> Listens {
        Listens {
            address: "0.0.0.0".parse().unwrap(),
            port: PORT,
            only_v6: false,
            process: Process {
                pid,
                ..Process::default()
            },
        }
    }

    fn pid(all: &Listening, to: Addr) -> Option<u32> {
        all.at(to, PORT).map(|process| process.pid)
    }

    #[test]
    fn the_closest_is_meant_and_two_are_none() {
        let own = Addr::v4(0x0a00_0001);
        let mut all = Listening::default();
        let (wide, first) = listener(1, 7, ALL_V4);
        all.begins(&wide, first);
        let (close, second) = listener(2, 8, own);
        all.begins(&close, second);
        assert_eq!(pid(&all, own), Some(8));
        assert_eq!(pid(&all, Addr::v4(0x0a00_0002)), Some(7));
        assert_eq!(pid(&all, Addr::UNSPECIFIED), None);
        let (shared, third) = listener(3, 9, own);
        all.begins(&shared, third);
        assert_eq!(pid(&all, own), None);
        all.ends(&shared);
        assert_eq!(pid(&all, own), Some(8));
        all.ends(&close);
        assert_eq!(pid(&all, own), Some(7));
    }

    #[test]
    fn a_socket_of_ipv6_alone_takes_no_ipv4() {
        let v6 = Addr::from_bytes([0xfd; 16]);
        for (only_v6, v4) in [(1, None), (0, Some(7))] {
            let mut all = Listening::default();
            let (call, process) = listener(1, 7, ALL);
            all.begins(&SocketCall { only_v6, ..call }, process);
            assert_eq!(pid(&all, Addr::v4(0x0a00_0001)), v4);
            assert_eq!(pid(&all, v6), Some(7));
        }
    }

    #[test]
    fn who_was_there_before_is_known_until_one_of_them_ends() {
        let own = Addr::v4(0x0a00_0001);
        let mut all = Listening::of(vec![found(7)]);
        assert_eq!(pid(&all, own), Some(7));
        let (again, process) = listener(1, 7, ALL_V4);
        all.begins(&again, process);
        assert_eq!(pid(&all, own), Some(7));
        all.ends(&again);
        assert_eq!(pid(&all, own), None);
        let mut all = Listening::of(vec![found(7)]);
        all.ends(&again);
        assert_eq!(pid(&all, own), None);
    }
}
