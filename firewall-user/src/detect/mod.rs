//! Which handshakes do not complete, and why. Pure: what happened comes in, what more there is to know is asked of
//! [`Around`], what is wrong comes out.
//!
//! A cause is named only where the evidence decides; else it is `unknown`, with the evidence there is. No
//! handshake is called one-sided before its retransmissions have had time to complete it.

mod cause;
mod crowd;
mod evidence;
mod judge;
#[cfg(test)]
mod judge_tests;
pub mod listeners;
mod nowhere;
mod one;
mod ours;
mod strays;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use firewall_common::addr::Addr;
use firewall_common::event::decode::Event;
use firewall_common::event::layout::Refused;
use firewall_common::flow::{FlowKey, Tuple};
use firewall_common::parse::tcp::{ACK, SYN};
use firewall_common::session::end::Cause as End;
use firewall_common::session::{Entry, State, opener_tuple};
use firewall_common::watch::KernelDrop;

use self::crowd::Crowd;
use self::evidence::{Back, Evidence};
use self::judge::Finding;
use self::listeners::Heard;
use self::nowhere::Nowhere;
use self::one::{of_refusal, of_session};
use self::ours::Ours;
use self::strays::{Strays, Unsent};
use crate::agent::plane::Live;
use crate::sessions::address;
pub use cause::{Cause, Way};
pub use evidence::{Around, Dropped, Route, Standing};
pub use listeners::{Listener, Listeners};
pub use one::OneSided;

/// Handshakes that are remembered, and refusals that are waited on: a flood turns them over, and costs no
/// more than this.
const REMEMBERED: usize = 4096;
/// How long a refused opening is waited on: an earlier one may have been for a limit that has room again.
const SOON: u64 = 2_500_000_000;
/// For how long what the kernel dropped is evidence.
const FRESH: u64 = 30_000_000_000;
/// Handshakes of one look about which routing and sockets are asked, which costs a system call each.
const ASKED: usize = 256;

/// What was seen of handshakes.
#[derive(Debug, Default)]
pub struct Detector {
    waiting: HashMap<Tuple, OneSided>,
    found: HashMap<Tuple, OneSided>,
    order: VecDeque<Tuple>,
    counts: BTreeMap<(Way, Cause), u64>,
    /// Sessions that have ended since the last look.
    ended: Vec<(FlowKey, Entry)>,
    /// What became clear since the last look.
    fresh: Vec<OneSided>,
    /// What the kernel dropped, by who sent it.
    dropped: HashMap<Tuple, Dropped>,
    strays: Strays,
    unsent: Unsent,
    nowhere: Nowhere,
    crowd: Crowd,
    ours: Ours,
    /// What could be judged at the last look.
    judged: HashSet<(FlowKey, u64)>,
}

/// What a look goes by.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'s> {
    /// All half-open sessions.
    pub half_open: &'s [Live],
    /// Sessions that have lately completed their handshake.
    pub completed: &'s [Live],
    /// Nanoseconds since boot.
    pub now: u64,
}

impl Detector {
    /// Something has happened.
    pub fn told(&mut self, event: &Event) {
        match event {
            Event::Drop(refused) => {
                self.refused(refused);
                self.strays.told(refused);
            }
            Event::Open(of) => {
                let mut tuple = Tuple::default();
                opener_tuple(&of.key, &of.entry, &mut tuple);
                // It was let in after all.
                self.waiting.remove(&tuple);
                self.strays.opened(&of.key);
            }
            Event::Close(of, cause) => {
                if matches!(cause, End::Revoked | End::RuleExpired | End::Killed) {
                    self.strays.cut(of.key);
                }
                let unfinished = judge::ripe_at(&of.entry, false).is_some();
                if self.ended.len() < REMEMBERED && unfinished {
                    self.ended.push((of.key, of.entry));
                }
            }
        }
    }

    /// The kernel has dropped a packet of a handshake.
    pub fn kernel_dropped(&mut self, drop: &KernelDrop, reason: &str) {
        if self.ours.made(&drop.tuple, drop.time) {
            return;
        }
        if self.dropped.len() >= REMEMBERED && !self.dropped.contains_key(&drop.tuple) {
            return;
        }
        let known = self.dropped.entry(drop.tuple).or_insert_with(|| Dropped {
            reason: reason.to_owned(),
            interface: drop.interface,
            times: 0,
            first: drop.time,
            last: drop.time,
        });
        // Of different reasons the last counts: it is the one that it still is.
        reason.clone_into(&mut known.reason);
        (known.interface, known.last) = (drop.interface, drop.time);
        known.times += 1;
        if drop.tcp_flags & (SYN | ACK) == SYN {
            let known = known.clone();
            self.unsent.told(drop.tuple, &known);
        }
    }

    /// We have ended a session ourselves.
    pub fn cut(&mut self, key: FlowKey) {
        self.strays.cut(key);
    }

    /// The agent is about to ask the live program about a packet, which the kernel frees as it frees any other.
    pub fn asks_about(&mut self, tuple: Tuple, now: u64) {
        self.ours.begin(tuple, now);
    }

    /// It has asked.
    pub fn has_asked_about(&mut self, tuple: &Tuple, now: u64) {
        self.ours.end(tuple, now);
    }

    /// A process of this host has called, and no SYN came of it.
    pub fn went_nowhere(&mut self, tuple: Tuple, time: u64) {
        self.nowhere.told(tuple, time);
    }

    /// Looks at what there is. What it goes by is asked only where it matters.
    pub fn look(&mut self, sight: Sight<'_>, around: &mut dyn Around) -> Vec<OneSided> {
        let now = sight.now;
        self.give_up_waiting(now);
        self.dropped
            .retain(|_, dropped| now.saturating_sub(dropped.last) < FRESH);
        self.look_at_sessions(sight, around);
        self.look_at_strays(sight, around);
        std::mem::take(&mut self.fresh)
    }

    /// All that is remembered, the last first.
    #[must_use]
    pub fn list(&self) -> Vec<OneSided> {
        let mut all: Vec<_> = self.found.values().cloned().collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.last));
        all
    }

    /// How many were found, by direction and cause.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        let counts = self.counts.iter();
        counts
            .map(|((way, cause), count)| ((way.word(), cause.word()), *count))
            .collect()
    }

    /// Two passes: what many do together shows only when all have been seen.
    fn look_at_sessions(&mut self, sight: Sight<'_>, around: &mut dyn Around) {
        let lively = lively(sight.completed);
        let ended = std::mem::take(&mut self.ended);
        let live = sight.half_open.iter();
        let live = live.map(|live| (&live.key, &live.entry, false));
        let all = live.chain(ended.iter().map(|(key, entry)| (key, entry, true)));
        let (mut ripe, mut judged) = (Vec::new(), HashSet::new());
        for (key, entry, over) in all {
            let Some(one) = of_session(key, entry) else {
                continue;
            };
            let at = judge::ripe_at(entry, lively.contains(&door(&one)));
            if at.is_none_or(|at| at > sight.now && !over) {
                continue;
            }
            let mark = (*key, entry.opened);
            judged.insert(mark);
            if self.is_fresh(&one, mark) {
                self.crowd_of(&one, entry, sight.now);
                ripe.push((one, entry));
            }
        }
        self.judged = judged;
        for (place, (one, entry)) in ripe.into_iter().enumerate() {
            let seen = self.evidence(&one, entry, around, place < ASKED);
            if let Some(finding) = judge::judge(&one, entry, &seen) {
                self.conclude(one, finding);
            }
        }
    }

    fn look_at_strays(&mut self, sight: Sight<'_>, around: &mut dyn Around) {
        let keys: HashSet<FlowKey> = sight.half_open.iter().map(|live| live.key).collect();
        let mut found = self.strays.look(&keys, sight.now, around);
        found.extend(self.unsent.look(&keys, sight.now, around));
        found.extend(self.nowhere.look(around));
        for (one, finding) in found {
            let known = self.found.get_mut(&one.tuple);
            match known.filter(|known| one.first.saturating_sub(known.last) < FRESH) {
                Some(known) => known.last = one.last,
                None => self.conclude(one, finding),
            }
        }
    }

    /// Was it not judged before? Each is told and counted once, also where so many are that some are forgotten
    /// since: what can be judged stays so until it leaves the tables.
    fn is_fresh(&mut self, one: &OneSided, mark: (FlowKey, u64)) -> bool {
        let known = self.found.get_mut(&one.tuple);
        if let Some(known) = known.filter(|known| known.opened == one.opened) {
            (known.last, known.sent, known.received) = (one.last, one.sent, one.received);
            return false;
        }
        !self.judged.contains(&mark)
    }

    /// What a handshake adds to what many do together.
    fn crowd_of(&mut self, one: &OneSided, entry: &Entry, now: u64) {
        let (source, port) = (one.tuple.source, one.tuple.destination_port);
        if one.way == Way::Outbound {
            return;
        }
        self.crowd.failed(source, port, now);
        // Who is there and hears no answer asks again; a source that was made up does not.
        if entry.track.state() == State::SynReceived && one.sent <= 1 {
            self.crowd.left(source, (one.tuple.destination, port), now);
        }
    }

    /// Looks up what there is to know about a handshake; what takes a system call only if it `may`.
    fn evidence(
        &self,
        one: &OneSided,
        entry: &Entry,
        around: &mut dyn Around,
        may: bool,
    ) -> Evidence {
        let inbound = one.way == Way::Inbound;
        let tuple = &one.tuple;
        let (opener, other) = (address(tuple.source), address(tuple.destination));
        let answered = self.dropped.get(&tuple.reversed()).cloned();
        let answered = answered.filter(|dropped| dropped.last >= entry.opened);
        let asked = self.dropped.get(tuple).cloned();
        let asked = asked.filter(|dropped| dropped.last >= entry.opened);
        let heard = if inbound {
            around.listeners().at(other, tuple.destination_port)
        } else {
            Heard::Unknown
        };
        let half = matches!(entry.track.state(), State::SynSent | State::SynReceived) && may;
        let own = if inbound { tuple.reversed() } else { *tuple };
        let route = if half && inbound {
            around.route(other, opener)
        } else {
            Route::Unknown
        };
        let dropped_at = answered.as_ref().map_or(0, |dropped| dropped.interface);
        Evidence {
            heard,
            back: back(one, route, around),
            dead_end: half && inbound && around.is_dead_end(other, opener),
            socket: half.then(|| around.socket(&own)).flatten(),
            dropped_at: around.name(dropped_at),
            crosses: around.name(one.interface),
            beside: evidence::unguarded(&around.beside()),
            asked,
            answered,
            sees_drops: around.sees_drops(),
        }
    }

    /// A SYN that we refused ourselves.
    fn refused(&mut self, refused: &Refused) {
        let Some(one) = of_refusal(refused) else {
            return;
        };
        if one.way == Way::Inbound {
            let port = one.tuple.destination_port;
            self.crowd.failed(one.tuple.source, port, one.first);
        }
        if let Some(known) = self.found.get_mut(&one.tuple) {
            known.last = one.last;
            known.sent += one.sent;
            return;
        }
        if let Some(known) = self.waiting.get_mut(&one.tuple) {
            known.last = one.last;
            known.sent += one.sent;
        } else if self.waiting.len() < REMEMBERED {
            self.waiting.insert(one.tuple, one);
        }
    }

    /// Refused for a while and not let in since: that is what it will be.
    fn give_up_waiting(&mut self, now: u64) {
        let ripe = self.waiting.iter();
        let ripe = ripe.filter(|(_, one)| now.saturating_sub(one.first) >= SOON);
        let ripe: Vec<Tuple> = ripe.map(|(tuple, _)| *tuple).collect();
        for tuple in ripe {
            if let Some(one) = self.waiting.remove(&tuple) {
                let finding = Finding {
                    cause: Cause::PolicyDrop,
                    evidence: vec![judge::of_drops(&one)],
                    advice: None,
                };
                self.conclude(one, finding);
            }
        }
    }

    /// The last word: what single handshakes look like, many together may be something else.
    fn conclude(&mut self, one: OneSided, mut finding: Finding) {
        let (source, port) = (one.tuple.source, one.tuple.destination_port);
        let door = (one.tuple.destination, port);
        let unacknowledged = finding.cause == Cause::ReplyPath
            || (finding.cause == Cause::Unknown && one.received > 0);
        if one.way == Way::Inbound && self.crowd.scans(source) {
            finding.evidence.push(format!(
                "{} tried {} ports or more of this host within some {} s; this one by itself would be {}",
                address(source),
                crowd::PORTS,
                2 * crowd::SPAN / 1_000_000_000,
                finding.cause.word()
            ));
            (finding.cause, finding.advice) = (Cause::Scan, None);
        } else if one.way == Way::Inbound
            && unacknowledged
            && one.sent <= 1
            && self.crowd.floods(door)
        {
            finding.evidence.push(format!(
                "{} sources or more did the same at port {port}, and none asked again",
                crowd::SOURCES
            ));
            (finding.cause, finding.advice) = (Cause::SynFlood, None);
        }
        self.find(OneSided {
            cause: finding.cause,
            evidence: finding.evidence,
            advice: finding.advice,
            ..one
        });
    }

    fn find(&mut self, one: OneSided) {
        *self.counts.entry((one.way, one.cause)).or_default() += 1;
        if self.found.insert(one.tuple, one.clone()).is_none() {
            self.order.push_back(one.tuple);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.found.remove(&oldest);
            }
        }
        // Nobody needs to read more than that of one second.
        if self.fresh.len() < REMEMBERED {
            self.fresh.push(one);
        }
    }
}

/// Who is asked by whom for what: the opener's way, the far address, the port that is asked for.
type Door = (Way, Addr, u16);

fn door(one: &OneSided) -> Door {
    let far = match one.way {
        Way::Inbound => one.tuple.source,
        Way::Outbound => one.tuple.destination,
    };
    (one.way, far, one.tuple.destination_port)
}

/// Where handshakes have lately been completed.
fn lively(completed: &[Live]) -> HashSet<Door> {
    let ones = completed
        .iter()
        .filter_map(|live| of_session(&live.key, &live.entry));
    ones.map(|one| door(&one)).collect()
}

fn back(one: &OneSided, route: Route, around: &dyn Around) -> Back {
    match route {
        Route::Unknown => Back::Unknown,
        Route::Missing => Back::Missing,
        Route::By(index) if index == one.interface => Back::Same,
        Route::By(index) => Back::Other {
            came: around.name(one.interface),
            leaves: around.name(index),
            guarded: around.guards(index),
        },
    }
}
