//! Live sessions that a policy about to come would not allow.

use firewall_common::config::GENERATION_MONITOR;
use firewall_common::flow::Tuple;
use firewall_common::judge;
use firewall_common::policy::lookup::{Question, Search, lookup};
use firewall_common::session::{Entry, State, opener_tuple};
use firewall_common::tables::Tables as _;

use super::clock::boot_now;
use super::plane::Live;
use super::state::Agent;
use crate::dataplane::memory::MemoryTables;
use crate::policy::compiled::Compiled;

impl Agent {
    /// How many live sessions a policy does not allow, judged as the packet path will at their next packet.
    pub(super) fn sessions_cut(&mut self, compiled: &Compiled) -> u64 {
        if compiled.head.flags & GENERATION_MONITOR != 0 {
            return 0;
        }
        let names = self.interface_names();
        let Some(Ok(sessions)) = self.plane.as_ref().map(|plane| plane.sessions()) else {
            return 0;
        };
        count(compiled, &names, &sessions, boot_now())
    }
}

fn count(compiled: &Compiled, names: &[(u32, String)], sessions: &[Live], now: u64) -> u64 {
    if sessions.is_empty() {
        return 0;
    }
    let mut tables = MemoryTables::with(compiled);
    for (index, name) in names {
        tables.name_interface(*index, name);
    }
    // What is closed only waits for its end: nobody misses it.
    let closed = |live: &&Live| {
        let state = live.entry.track.state();
        matches!(state, State::TimeWait | State::Close)
    };
    let refused = sessions
        .iter()
        .filter(|live| !closed(live))
        .filter(|live| refuses(&tables, live, now));
    refused.count() as u64
}

fn refuses(tables: &MemoryTables, live: &Live, now: u64) -> bool {
    let Some(head) = tables.generation(tables.active()) else {
        return false;
    };
    let mut tuple = Tuple::default();
    let entry: &Entry = &live.entry;
    opener_tuple(&live.key, entry, &mut tuple);
    let mut question = Question::default();
    judge::ask_again(&tuple, entry, now, &mut question);
    let mut search = Search::default();
    lookup(tables, tables.active(), head, &question, &mut search);
    judge::again(head, &search.answer, entry, now).is_err()
}
