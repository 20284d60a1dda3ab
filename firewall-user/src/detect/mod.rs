//! Which handshakes do not complete, and why. Pure: what happened and what listens comes in, what is wrong
//! comes out.
//!
//! A cause is named only where the evidence decides; else it is `unknown`, with the evidence there is. No
//! handshake is called one-sided before its retransmissions have had time to complete it.

mod cause;
mod judge;
pub mod listeners;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};

use firewall_common::event::decode::Event;
use firewall_common::event::layout::Refused;
use firewall_common::flow::{FlowKey, Hook, Tuple};
use firewall_common::packet::protocol;
use firewall_common::parse::tcp::{ACK, SYN};
use firewall_common::reason::Reason;
use firewall_common::session::{Entry, opener_tuple};
use firewall_common::verdict::Verdict;
use firewall_common::zone::{Course, ZoneId};

use crate::agent::plane::Live;
pub use cause::{Cause, Way};
pub use listeners::Listeners;

/// A handshake that does not complete. Times are nanoseconds since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneSided {
    /// Who opens.
    pub way: Way,
    /// Why it does not complete.
    pub cause: Cause,
    /// What says so.
    pub evidence: Vec<String>,
    /// The opener's tuple.
    pub tuple: Tuple,
    /// The zones of both ends.
    pub zones: (ZoneId, ZoneId),
    /// Counter of the rule that decided; 0: none did.
    pub rule: Option<u32>,
    /// Why it was dropped, if it was.
    pub reason: Option<Reason>,
    /// Epoch of the policy that decided.
    pub epoch: u32,
    /// The guarded interface.
    pub interface: u32,
    /// Of its session: both ends, and when it was opened.
    pub opened: Option<(FlowKey, u64)>,
    /// The first SYN.
    pub first: u64,
    /// The last packet.
    pub last: u64,
    /// Packets from the opener.
    pub sent: u64,
    /// Packets back.
    pub received: u64,
}

/// Handshakes that are remembered, and refusals that are waited on: a flood turns them over, and costs no
/// more than this.
const REMEMBERED: usize = 4096;
/// How long a refused opening is waited on: an earlier one may have been for a limit that has room again.
const SOON: u64 = 2_500_000_000;

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
}

impl Detector {
    /// Something has happened.
    pub fn told(&mut self, event: &Event) {
        match event {
            Event::Drop(refused) => self.refused(refused),
            Event::Open(of) => {
                let mut tuple = Tuple::default();
                opener_tuple(&of.key, &of.entry, &mut tuple);
                // It was let in after all.
                self.waiting.remove(&tuple);
            }
            Event::Close(of, _) => {
                if self.ended.len() < REMEMBERED && judge::may_be_one_sided(&of.entry) {
                    self.ended.push((of.key, of.entry));
                }
            }
        }
    }

    /// Looks at all half-open sessions. `listeners` is asked only where it matters.
    pub fn look(
        &mut self,
        half_open: &[Live],
        now: u64,
        listeners: impl FnOnce() -> Listeners,
    ) -> Vec<OneSided> {
        self.give_up_waiting(now);
        let tcp = half_open
            .iter()
            .filter(|live| live.key.protocol == protocol::TCP);
        let mut suspects = tcp
            .filter(|live| judge::is_suspect(&live.entry, now))
            .peekable();
        let ended = std::mem::take(&mut self.ended);
        if suspects.peek().is_some() || !ended.is_empty() {
            let listeners = listeners();
            for (key, entry) in &ended {
                self.session(key, entry, now, true, &listeners);
            }
            for live in suspects.take(REMEMBERED) {
                self.session(&live.key, &live.entry, now, false, &listeners);
            }
        }
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

    /// A SYN that we refused ourselves.
    fn refused(&mut self, refused: &Refused) {
        let Some(one) = of_refusal(refused) else {
            return;
        };
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
            if let Some(mut one) = self.waiting.remove(&tuple) {
                one.evidence = vec![judge::of_drops(&one)];
                self.find(one);
            }
        }
    }

    /// What a half-open session says, or one that has ended.
    fn session(
        &mut self,
        key: &FlowKey,
        entry: &Entry,
        now: u64,
        ended: bool,
        listeners: &Listeners,
    ) {
        let Some(mut one) = of_session(key, entry) else {
            return;
        };
        let known = self.found.get_mut(&one.tuple);
        let known = known.filter(|known| known.opened.map(|(_, at)| at) == Some(entry.opened));
        if let Some(known) = known {
            (known.last, known.sent, known.received) = (one.last, one.sent, one.received);
            return;
        }
        let Some((cause, evidence)) = judge::judge(&one, entry, now, ended, listeners) else {
            return;
        };
        (one.cause, one.evidence) = (cause, evidence);
        self.find(one);
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

fn of_refusal(refused: &Refused) -> Option<OneSided> {
    let opens = refused.tuple.protocol == protocol::TCP && refused.tcp_flags & (SYN | ACK) == SYN;
    let dropped = matches!(
        Verdict::from_number(refused.verdict),
        Some(Verdict::Dropped | Verdict::Rejected)
    );
    let zones = (
        ZoneId(refused.source_zone),
        ZoneId(refused.destination_zone),
    );
    let way = match zones {
        (ZoneId::NONE, _) => return None,
        (_, ZoneId::HOST) => Way::Inbound,
        (ZoneId::HOST, _) => Way::Outbound,
        _ => return None,
    };
    let arrives = refused.hook == Hook::Ingress as u8;
    if !opens || !dropped || arrives != (way == Way::Inbound) {
        return None;
    }
    Some(OneSided {
        way,
        cause: Cause::PolicyDrop,
        evidence: Vec::new(),
        tuple: refused.tuple,
        zones,
        rule: Some(refused.rule),
        reason: Reason::from_number(refused.reason),
        epoch: refused.epoch,
        interface: refused.interface,
        opened: None,
        first: refused.header.time,
        last: refused.header.time,
        sent: refused.packets.into(),
        received: 0,
    })
}

fn of_session(key: &FlowKey, entry: &Entry) -> Option<OneSided> {
    let way = match entry.course() {
        _ if key.protocol != protocol::TCP => return None,
        Course::Inbound => Way::Inbound,
        Course::Outbound => Way::Outbound,
        Course::Routed => return None,
    };
    let mut tuple = Tuple::default();
    opener_tuple(key, entry, &mut tuple);
    Some(OneSided {
        way,
        cause: Cause::Unknown,
        evidence: Vec::new(),
        tuple,
        zones: entry.zones(),
        rule: Some(entry.permit.rule),
        reason: None,
        epoch: entry.permit.epoch,
        interface: if entry.leaving() {
            entry.interface_out
        } else {
            entry.interface_in
        },
        opened: Some((*key, entry.opened)),
        first: entry.opened,
        last: entry.last_seen,
        sent: entry.counts[0].packets,
        received: entry.counts[1].packets,
    })
}
