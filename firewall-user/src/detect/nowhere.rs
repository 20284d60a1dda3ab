//! Calls of this host's processes that never came to a SYN: where the kernel finds no route, `connect()` fails at once and
//! no packet tells of it.

use std::collections::HashMap;

use firewall_common::flow::Tuple;
use firewall_common::zone::ZoneId;

use super::cause::Cause;
use super::evidence::{Around, Route};
use super::judge::Finding;
use super::one::{BLANK, OneSided};
use crate::sessions::address;

/// Places of one look: each costs a system call.
const KEPT: usize = 256;

#[derive(Debug)]
struct Tried {
    first: u64,
    last: u64,
    times: u64,
}

/// Calls that went nowhere, since the last look.
#[derive(Debug, Default)]
pub(super) struct Nowhere(HashMap<Tuple, Tried>);

impl Nowhere {
    /// One more.
    pub(super) fn told(&mut self, tuple: Tuple, time: u64) {
        if let Some(known) = self.0.get_mut(&tuple) {
            known.last = time;
            known.times += 1;
        } else if self.0.len() < KEPT {
            let tried = Tried {
                first: time,
                last: time,
                times: 1,
            };
            self.0.insert(tuple, tried);
        }
    }

    /// Those that have no route. What else may be against a call (a port that is taken, a right that is missing) is told to
    /// the process, and no matter of the network.
    pub(super) fn look(&mut self, around: &mut dyn Around) -> Vec<(OneSided, Finding)> {
        let mut found = Vec::new();
        for (tuple, tried) in self.0.drain() {
            let (local, far) = (address(tuple.source), address(tuple.destination));
            if around.route(local, far) != Route::Missing {
                continue;
            }
            let times = match tried.times {
                1 => String::new(),
                times => format!(", {times} times"),
            };
            let text = format!(
                "this host has no route to {far}: connect() failed before there was a packet{times}"
            );
            let one = OneSided {
                tuple,
                first: tried.first,
                last: tried.last,
                zones: (ZoneId::HOST, ZoneId::NONE),
                ..BLANK
            };
            let finding = Finding {
                cause: Cause::NoRoute,
                evidence: vec![text],
                advice: None,
            };
            found.push((one, finding));
        }
        found
    }
}
