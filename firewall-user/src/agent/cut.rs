//! Live sessions that a policy about to come would not allow, and connections that it would not adopt.

use std::sync::Arc;

use firewall_common::config::GENERATION_MONITOR;
use firewall_common::flow::Tuple;
use firewall_common::judge;
use firewall_common::policy::lookup::{Question, Search, lookup};
use firewall_common::session::{Entry, OnChange, State, opener_tuple};
use firewall_common::tables::Tables as _;

use super::clock::boot_now;
use super::plane::Live;
use super::state::Agent;
use crate::api::types::CutLine;
use crate::dataplane::memory::MemoryTables;
use crate::policy::compiled::Compiled;
use crate::policy::explain::rule_id;
use crate::policy::services::protocol_word;
use crate::sessions::{address, direction};
use crate::sets::Members;

/// Shown one by one; the rest is a number.
const SHOWN: usize = 1000;

/// What ends.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// How many.
    pub(super) total: u64,
    /// The first of them.
    pub(super) lines: Vec<CutLine>,
}

impl Agent {
    /// The live sessions, and where none are known yet the connections to be adopted, that a policy does not
    /// allow: judged as the packet path will at their next packet.
    pub(super) fn sessions_cut(&self, compiled: &Compiled) -> Cut {
        if compiled.head.flags & GENERATION_MONITOR != 0 {
            return Cut::default();
        }
        let names = self.interface_names();
        let sessions = self.sessions_to_judge();
        refused(compiled, self.members(), &names, &sessions, boot_now())
    }

    fn sessions_to_judge(&self) -> Vec<Live> {
        let plane = self.plane.as_ref();
        let held = plane.filter(|plane| plane.in_force().is_ok_and(|held| held.is_some()));
        if let Some(plane) = held {
            return plane.sessions().unwrap_or_default();
        }
        let living = self.living(&self.to_be_guarded()).unwrap_or_default();
        let now = boot_now();
        living.iter().map(|one| one.session(now)).collect()
    }
}

fn refused(
    compiled: &Compiled,
    members: Arc<Members>,
    names: &[(u32, String)],
    sessions: &[Live],
    now: u64,
) -> Cut {
    let mut cut = Cut::default();
    if sessions.is_empty() {
        return cut;
    }
    let mut tables = MemoryTables::with(compiled);
    tables.members = members;
    for (index, name) in names {
        tables.name_interface(*index, name);
    }
    // What is closed only waits for its end: nobody misses it.
    let closed = |live: &&Live| {
        let state = live.entry.track.state();
        matches!(state, State::TimeWait | State::Close)
    };
    // What stands in for a session is never judged; the session itself is in the list, too.
    let judged = |live: &&Live| !closed(live) && !live.entry.stands_in();
    for live in sessions.iter().filter(judged) {
        if let Some(line) = refuses(&tables, compiled, live, now) {
            cut.total += 1;
            if cut.lines.len() < SHOWN {
                cut.lines.push(line);
            }
        }
    }
    cut
}

/// The session, if the policy ends it at its next packet.
pub(super) fn refuses(
    tables: &MemoryTables,
    compiled: &Compiled,
    live: &Live,
    now: u64,
) -> Option<CutLine> {
    let head = tables.generation(tables.active())?;
    let mut tuple = Tuple::default();
    let entry: &Entry = &live.entry;
    opener_tuple(&live.key, entry, &mut tuple);
    let mut question = Question::default();
    judge::ask_again(&tuple, entry, now, &mut question);
    let mut search = Search::default();
    lookup(tables, tables.active(), head, &question, &mut search);
    let answer = &search.answer;
    judge::again(head, answer, &mut { *entry }, now).err()?;
    if matches!(entry.on_change(), OnChange::Keep) {
        return None;
    }
    let rule = answer.rule().map(|rule| rule.counter);
    let way = direction(entry.course());
    let rule = match rule {
        None => Some(format!("unmatched/{way}")),
        Some(counter) => rule_id(compiled, counter),
    };
    Some(CutLine {
        protocol: protocol_word(tuple.protocol),
        source: address(tuple.source).to_string(),
        source_port: tuple.source_port,
        destination: address(tuple.destination).to_string(),
        destination_port: tuple.destination_port,
        direction: way.to_owned(),
        rule,
    })
}
