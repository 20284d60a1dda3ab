//! Packets of handshakes of which we have seen no SYN: what was refused for want of a session, and what this host
//! could not even send. A socket of this host says what they belong to; what has none is nobody's here.

use std::collections::{HashMap, HashSet};

use firewall_common::event::layout::Refused;
use firewall_common::flow::{FlowKey, Hook, Tuple};
use firewall_common::packet::protocol;
use firewall_common::parse::tcp::{ACK, RST, SYN};
use firewall_common::reason::Reason;
use firewall_common::zone::ZoneId;

use super::cause::{ASYMMETRIC, Cause, Way};
use super::evidence::{Around, Dropped, Route, Standing, unguarded};
use super::judge::{Finding, said};
use super::one::{BLANK, OneSided};
use crate::sessions::address;

/// Conversations that are remembered.
const KEPT: usize = 1024;
/// Sessions that we have ended are remembered, at least so many.
const CUT: usize = 4096;
/// Nanoseconds that one is watched before it is looked up.
const SOON: u64 = 2_500_000_000;
/// After so many without more of it, it is forgotten.
const LONG: u64 = 30_000_000_000;
/// Packets in one direction that are no accident any more.
const MANY: u64 = 3;

/// Why a packet is refused that belongs to no session: where a rule or a default is against it, that counts.
const STRAYS: [Reason; 6] = [
    Reason::NoSession,
    Reason::RuleDeny,
    Reason::DefaultDeny,
    Reason::RuleReject,
    Reason::DefaultReject,
    Reason::NoPolicy,
];

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An answer to a SYN of ours that we have not seen.
    AnswerCame,
    /// Our answer to a SYN that we have not seen.
    AnswerLeft,
    /// Something from the middle.
    Middle,
}

#[derive(Debug, Clone)]
struct Stray {
    kind: Kind,
    /// With this host's end first.
    tuple: Tuple,
    one: OneSided,
    /// The hook that refused it.
    hook: u8,
}

/// What was refused of conversations without a session, by who sent it.
#[derive(Debug, Default)]
pub(super) struct Strays {
    seen: HashMap<Tuple, Stray>,
    cut: Cut,
}

impl Strays {
    /// A packet was refused.
    pub(super) fn told(&mut self, refused: &Refused) {
        let reason = Reason::from_number(refused.reason);
        if matches!(reason, Some(Reason::Revoked | Reason::RuleExpired)) {
            self.cut(key_of(&refused.tuple));
        }
        let Some(stray) = of(refused) else { return };
        if let Some(known) = self.seen.get_mut(&refused.tuple) {
            known.one.last = refused.header.time;
            known.one.sent += u64::from(refused.packets);
        } else if self.seen.len() < KEPT && !self.cut.has(&refused.tuple) {
            self.seen.insert(refused.tuple, stray);
        }
    }

    /// We have ended a session: its ends may go on for minutes, and why nothing passes is no riddle.
    pub(super) fn cut(&mut self, key: FlowKey) {
        self.cut.add(key);
        self.seen.retain(|tuple, _| key_of(tuple) != key);
    }

    /// A session was opened.
    pub(super) fn opened(&mut self, key: &FlowKey) {
        self.cut.0.remove(key);
    }

    /// What has become clear of them. Whose session is half open is judged by that.
    pub(super) fn look(
        &mut self,
        half_open: &HashSet<FlowKey>,
        now: u64,
        around: &mut dyn Around,
    ) -> Vec<(OneSided, Finding)> {
        self.seen
            .retain(|_, stray| now.saturating_sub(stray.one.last) < LONG);
        let ripe = self.seen.iter();
        let ripe = ripe.filter(|(_, stray)| now.saturating_sub(stray.one.first) >= SOON);
        let both = |tuple: &Tuple| self.seen.contains_key(&tuple.reversed());
        let ripe: Vec<(Tuple, bool)> = ripe.map(|(tuple, _)| (*tuple, both(tuple))).collect();
        let mut found = Vec::new();
        for (tuple, back) in ripe {
            let Some(stray) = self.seen.remove(&tuple) else {
                continue;
            };
            if half_open.contains(&key_of(&tuple)) {
                continue;
            }
            let waits = stray.kind == Kind::Middle && stray.one.sent < MANY;
            if waits {
                self.seen.insert(tuple, stray);
            } else if let Some(finding) = judge(&stray, back, around) {
                found.push((stray.one, finding));
            }
        }
        found
    }
}

/// Sessions that we have ended, and when each was added in the order of that. Where there are too many, the oldest go.
#[derive(Debug, Default)]
struct Cut(HashMap<FlowKey, u64>, u64);

impl Cut {
    fn add(&mut self, key: FlowKey) {
        self.1 += 1;
        self.0.insert(key, self.1);
        if self.0.len() > 2 * CUT {
            let old = self.1 - CUT as u64;
            self.0.retain(|_, added| *added > old);
        }
    }

    fn has(&self, tuple: &Tuple) -> bool {
        !self.0.is_empty() && self.0.contains_key(&key_of(tuple))
    }
}

fn key_of(tuple: &Tuple) -> FlowKey {
    let mut key = FlowKey::default();
    tuple.key(&mut key);
    key
}

fn of(refused: &Refused) -> Option<Stray> {
    let flags = refused.tcp_flags;
    let arrives = refused.hook == Hook::Ingress as u8;
    let is_tcp = refused.tuple.protocol == protocol::TCP && refused.came_by == 0;
    // A rule may be against it first: it is a stray all the same.
    let reason = Reason::from_number(refused.reason);
    let strays = reason.is_some_and(|reason| STRAYS.contains(&reason));
    let here = match (
        ZoneId(refused.source_zone),
        ZoneId(refused.destination_zone),
    ) {
        (_, ZoneId::HOST) => arrives,
        (ZoneId::HOST, _) => !arrives,
        _ => false,
    };
    if !(is_tcp && strays && here) || flags & RST != 0 {
        return None;
    }
    let kind = match (flags & SYN != 0, flags & ACK != 0) {
        (true, true) if arrives => Kind::AnswerCame,
        (true, true) => Kind::AnswerLeft,
        (false, true) => Kind::Middle,
        _ => return None,
    };
    let tuple = if arrives {
        refused.tuple.reversed()
    } else {
        refused.tuple
    };
    let inbound = kind == Kind::AnswerLeft;
    let zones = (
        ZoneId(refused.source_zone),
        ZoneId(refused.destination_zone),
    );
    let swap = arrives || inbound;
    Some(Stray {
        kind,
        tuple,
        hook: refused.hook,
        one: OneSided {
            way: if inbound { Way::Inbound } else { Way::Outbound },
            // As its opener sees it.
            tuple: if inbound { tuple.reversed() } else { tuple },
            zones: if swap { (zones.1, zones.0) } else { zones },
            epoch: refused.epoch,
            interface: refused.interface,
            reason,
            first: refused.header.time,
            last: refused.header.time,
            sent: refused.packets.into(),
            ..BLANK
        },
    })
}

fn judge(stray: &Stray, back: bool, around: &mut dyn Around) -> Option<Finding> {
    let standing = around.socket(&stray.tuple)?;
    let (local, far) = (
        address(stray.tuple.source),
        address(stray.tuple.destination),
    );
    let here = around.name(stray.one.interface);
    let way = match around.route(local, far) {
        Route::By(index) if index != stray.one.interface => around.name(index),
        _ => unguarded(&around.beside()),
    };
    let (cause, text) = match (stray.kind, standing) {
        (Kind::AnswerCame, Standing::SynSent) => (
            Cause::AsymmetricReply,
            format!(
                "our SYN left by {way} and was not seen, and its answer came in by {here}: refused, no session"
            ),
        ),
        (Kind::AnswerLeft, Standing::SynReceived) => (
            Cause::ReplyPath,
            format!(
                "the SYN came in by {}, and our answer was to leave by {here}: refused, no session",
                unguarded(&around.beside())
            ),
        ),
        (Kind::Middle, Standing::Connected) if !back => {
            let direction = if stray.hook == Hook::Ingress as u8 {
                "arrives"
            } else {
                "leaves"
            };
            (
                Cause::MidstreamOnly,
                format!(
                    "the socket is connected, and only what {direction} by {here} is seen of it: {} packets without a session",
                    stray.one.sent
                ),
            )
        }
        _ => return None,
    };
    Some(Finding {
        cause,
        evidence: vec![text],
        advice: Some(ASYMMETRIC),
    })
}

/// SYNs of this host that never came to our hooks, with what the kernel says of them.
#[derive(Debug, Default)]
pub(super) struct Unsent(HashMap<Tuple, Dropped>);

impl Unsent {
    /// The kernel dropped a SYN of this host's.
    pub(super) fn told(&mut self, tuple: Tuple, dropped: &Dropped) {
        if self.0.len() < KEPT || self.0.contains_key(&tuple) {
            self.0.insert(tuple, dropped.clone());
        }
    }

    /// Those that did not come to our hooks after all.
    pub(super) fn look(
        &mut self,
        half_open: &HashSet<FlowKey>,
        now: u64,
        around: &mut dyn Around,
    ) -> Vec<(OneSided, Finding)> {
        let ripe = self.0.iter();
        let ripe = ripe.filter(|(_, dropped)| {
            // These are told when all has been tried.
            dropped.by_neighbour()
                || dropped.says_nothing()
                || now.saturating_sub(dropped.first) >= SOON
        });
        let ripe: Vec<Tuple> = ripe.map(|(tuple, _)| *tuple).collect();
        let mut found = Vec::new();
        for tuple in ripe {
            let key = key_of(&tuple);
            let dropped = self.0.remove(&tuple).filter(|_| !half_open.contains(&key));
            found.extend(dropped.and_then(|dropped| unsent(tuple, &dropped, around)));
        }
        found
    }
}

fn unsent(tuple: Tuple, dropped: &Dropped, around: &mut dyn Around) -> Option<(OneSided, Finding)> {
    let (local, far) = (address(tuple.source), address(tuple.destination));
    if !around.is_local(local) || around.is_local(far) {
        return None;
    }
    // Neighbour discovery of IPv6 gives no reason.
    let dead = dropped.by_neighbour() || (dropped.says_nothing() && around.is_dead_end(local, far));
    let (cause, why) = if dead {
        let why = ": the next hop does not answer (ARP, neighbour discovery)";
        (Cause::NoRoute, why)
    } else if dropped.by_route() {
        (Cause::NoRoute, ": there is no route")
    } else {
        (Cause::Unknown, "")
    };
    let text = format!(
        "the kernel dropped our SYN before it could leave, {}{why}",
        said(dropped)
    );
    let one = OneSided {
        tuple,
        interface: dropped.interface,
        first: dropped.first,
        last: dropped.last,
        sent: dropped.times,
        zones: (ZoneId::HOST, ZoneId::NONE),
        ..BLANK
    };
    let finding = Finding {
        cause,
        evidence: vec![text],
        advice: None,
    };
    Some((one, finding))
}

#[cfg(test)]
mod tests {
    use firewall_common::event::layout::Header;
    use firewall_common::session::State;

    use super::super::tests::{SECOND, START, Still, session};
    use super::*;

    /// Segments from the middle that arrive, and whose session they would be of.
    fn middle() -> (Refused, FlowKey) {
        let live = session(Way::Inbound, false, State::Established);
        let mut tuple = Tuple::default();
        live.key.tuple(live.entry.opener_side(), &mut tuple);
        let refused = Refused {
            header: Header {
                time: START,
                ..Header::default()
            },
            tuple,
            packets: 3,
            tcp_flags: ACK,
            hook: Hook::Ingress as u8,
            destination_zone: ZoneId::HOST.0,
            reason: Reason::NoSession as u8,
            ..Refused::default()
        };
        (refused, live.key)
    }

    fn found(strays: &mut Strays) -> Vec<Cause> {
        let mut here = Still {
            socket: Some(Standing::Connected),
            ..Still::default()
        };
        let found = strays.look(&HashSet::new(), START + 3 * SECOND, &mut here);
        found
            .into_iter()
            .map(|(_, finding)| finding.cause)
            .collect()
    }

    #[test]
    fn what_we_have_cut_ourselves_is_no_half_of_a_conversation() {
        let (refused, key) = middle();
        let mut strays = Strays::default();
        strays.told(&refused);
        assert_eq!(found(&mut strays), [Cause::MidstreamOnly]);
        // Told before, and after.
        strays.told(&refused);
        strays.cut(key);
        strays.told(&refused);
        assert_eq!(found(&mut strays), []);
        strays.opened(&key);
        strays.told(&refused);
        assert_eq!(found(&mut strays), [Cause::MidstreamOnly]);
        // The packet that was the end says so, too.
        for reason in [Reason::Revoked, Reason::RuleExpired] {
            strays.opened(&key);
            strays.told(&Refused {
                reason: reason as u8,
                ..refused
            });
            strays.told(&refused);
            assert_eq!(found(&mut strays), []);
        }
    }

    #[test]
    fn of_what_was_cut_the_last_are_remembered() {
        let mut cut = Cut::default();
        let key = |number: usize| FlowKey {
            low: firewall_common::addr::Addr::v4(number as u32),
            ..FlowKey::default()
        };
        (0..5 * CUT).for_each(|number| cut.add(key(number)));
        assert!((CUT..=2 * CUT).contains(&cut.0.len()));
        let last = 4 * CUT..5 * CUT;
        assert!(
            last.into_iter()
                .all(|number| cut.0.contains_key(&key(number)))
        );
    }
}
