//! What the agent sees: the ring is read while tables are open, names follow policies and interfaces, and
//! the sweep tells of the sessions that it ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use firewall_common::config::{AGENT_LIMITED, AGENT_RECORDED, AGENT_SAMPLED};
use firewall_common::event::decode::Event;
use firewall_common::event::layout::{Header, OfSession};
use firewall_common::event::{Kind, rate};
use firewall_common::flow::Hook;
use firewall_common::limit::take;
use firewall_common::reason::Reason;
use firewall_common::session::end::Cause;
use firewall_common::verdict::Verdict;

use super::clock;
use super::plane::Live;
use super::state::Agent;
use crate::dataplane::{Session, Swept};
use crate::events::Hub;
use crate::events::file::Sink;
use crate::events::reader::Reader;
use crate::events::watcher::Watcher;

/// The agent's eyes.
#[derive(Debug, Default)]
pub struct Eyes {
    /// Where records come together.
    pub hub: Arc<Hub>,
    /// Reads the ring of the tables that are open.
    reader: Option<Reader>,
    /// Listens to the kernel's own word on what it drops.
    watcher: Option<Watcher>,
    /// Buckets of records of ended sessions: by themselves, and by a rule's `log`.
    paid_until: [u64; 2],
    /// Records left out since the last.
    suppressed: u64,
}

impl Agent {
    /// Reads the ring of the tables that have just been opened.
    pub(super) fn open_eyes(&mut self) {
        self.eyes.reader = None;
        let Some(plane) = &self.plane else { return };
        let read = plane.ring().and_then(|ring| {
            let start = |ring| Ok(Reader::start(ring, Arc::clone(&self.eyes.hub))?);
            ring.map(start).transpose()
        });
        let failed = |error| format!("no records of sessions and drops: {error:#}");
        let (reader, failure) = match read {
            Ok(reader) => (reader, None),
            Err(error) => (None, Some(failed(error))),
        };
        self.eyes.reader = reader;
        self.note("records", failure);
        self.watch_kernel();
        self.tell_names();
        self.tell_file();
    }

    /// The tables go: nobody reads them any more.
    pub(super) fn close_eyes(&mut self) {
        self.eyes.reader = None;
        self.eyes.watcher = None;
    }

    /// Listens to what the kernel drops of handshakes. Where it cannot, causes are named by less: that is said in
    /// the log, and is no fault of this host's.
    fn watch_kernel(&mut self) {
        self.eyes.watcher = None;
        let plan = self.plane.as_ref().and_then(|plane| plane.watch());
        let hub = Arc::clone(&self.eyes.hub);
        let started = plan.map(|plan| Watcher::start(plan, hub)).transpose();
        if let Err(error) = &started {
            self.eyes.hub.set_blind(Some(error.to_string()));
        }
        self.eyes.watcher = started.ok().flatten();
    }

    /// Names for records, after a change of policy or interfaces.
    pub(super) fn tell_names(&mut self) {
        let Some(plane) = &self.plane else { return };
        let policies = plane.generations().unwrap_or_default();
        let view = self.eyes.hub.view().next(self.names(), policies);
        let view = view.with_sets(self.sets_of_rules());
        self.eyes.hub.set_view(view);
    }

    /// The agent file says where records are written.
    pub(super) fn tell_file(&mut self) {
        let wanted = self.settings.config.flow_file();
        if self.eyes.hub.file_options() == wanted {
            return;
        }
        let sink = wanted.map(|options| Sink::start(&options)).transpose();
        let failed = |error: &std::io::Error| format!("flow records are not written: {error}");
        self.note("flows", sink.as_ref().err().map(failed));
        self.eyes.hub.set_file(sink.ok().flatten());
    }

    /// Tells of the sessions that a sweep has ended, and looks at those that are half open.
    pub(super) fn look_at(&mut self, swept: &Swept) {
        self.tell_ended(&swept.ended, |session| Cause::of_silent(&session.entry));
        let half_open: Vec<Live> = swept.half_open.iter().map(live).collect();
        let completed: Vec<Live> = swept.completed.iter().map(live).collect();
        let mut here = self.here();
        self.eyes.hub.look(&half_open, &completed, &mut here);
    }

    /// Makes records of sessions that the agent has ended; what is left out is counted.
    pub(super) fn tell_ended(&mut self, ended: &[Session], cause: fn(&Session) -> Cause) {
        let now = clock::boot_now();
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        let mut told = Vec::new();
        // Stand-ins are nobody's conversations: they go without a word.
        for session in ended.iter().filter(|s| s.entry.is_conversation()) {
            let place = self.eyes.admit(session, now);
            *counts.entry(place).or_default() += 1;
            if place == AGENT_RECORDED {
                let suppressed = std::mem::take(&mut self.eyes.suppressed);
                told.push(end_of(session, cause(session), now, suppressed));
            } else {
                self.eyes.suppressed += 1;
            }
        }
        self.eyes.hub.tell(&told);
        let Some(plane) = self.plane.as_mut() else {
            return;
        };
        let added = plane.add_counts(&counts);
        self.note("counts", added.err().map(|error| format!("{error:#}")));
    }
}

impl Eyes {
    /// Is a record made of the end of this session? The place of the counter that says so.
    fn admit(&mut self, session: &Session, now: u64) -> u32 {
        if session.entry.quiet() {
            return AGENT_SAMPLED;
        }
        let logged = session.entry.logged();
        let [plain, by_rule] = &mut self.paid_until;
        let bucket = if logged { by_rule } else { plain };
        match take(*bucket, now, rate(Kind::Close, logged)) {
            Some(next) => {
                *bucket = next;
                AGENT_RECORDED
            }
            None => AGENT_LIMITED,
        }
    }
}

fn end_of(session: &Session, cause: Cause, now: u64, suppressed: u64) -> Event {
    let leaving = session.entry.leaving();
    let record = OfSession {
        header: Header {
            time: now,
            suppressed,
            ..Header::default()
        },
        key: session.key,
        entry: session.entry,
        interface: if leaving {
            session.entry.interface_out
        } else {
            session.entry.interface_in
        },
        cause: cause as u8,
        reason: Reason::Session as u8,
        hook: if leaving { Hook::Egress } else { Hook::Ingress } as u8,
        verdict: Verdict::Forwarded as u8,
    };
    Event::Close(record, cause)
}

fn live(session: &Session) -> Live {
    Live {
        key: session.key,
        entry: session.entry,
        table: session.table,
    }
}
