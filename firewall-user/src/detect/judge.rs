//! From what a session has seen, and what was looked up about it, to a cause. Pure.

use std::net::IpAddr;

use firewall_common::parse::tcp::{ACK, RST, SYN};
use firewall_common::session::{Entry, State};

use super::cause::{ASYMMETRIC, Cause, Way};
use super::evidence::{Back, Dropped, Evidence, Standing};
use super::listeners::Heard;
use super::one::OneSided;
use crate::sessions::address;

/// After this a handshake that was not answered will not be: Linux has sent its SYN at least three times by
/// then (RFC 6298: after one second, then two more), and the last of them four tenths of a second ago.
const SILENCE: u64 = 3_400_000_000;
/// The same where others complete theirs with the same peer and port at this time: then packets are lost here and
/// there, and one handshake may well lose three in a row.
const PATIENCE: u64 = 15_000_000_000;

/// What ends a handshake at once may have been told by the kernel, too, and that takes a moment to come here.
const TOLD: u64 = 300_000_000;

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) cause: Cause,
    pub(super) evidence: Vec<String>,
    /// What to do, where it is not what the cause says by itself.
    pub(super) advice: Option<&'static str>,
}

impl Finding {
    fn new(cause: Cause, evidence: Vec<String>) -> Self {
        Self {
            cause,
            evidence,
            advice: None,
        }
    }

    fn unknown(evidence: Vec<String>) -> Self {
        Self::new(Cause::Unknown, evidence)
    }

    fn and(mut self, more: Option<String>) -> Self {
        self.evidence.extend(more);
        self
    }

    fn asymmetric(mut self, is: bool) -> Self {
        self.advice = is.then_some(ASYMMETRIC);
        self
    }
}

/// When a handshake can be judged, in nanoseconds since boot; `None`: never, as it stands.
pub(super) fn ripe_at(entry: &Entry, lively: bool) -> Option<u64> {
    match entry.track.state() {
        State::Close if !was_complete(entry) => Some(entry.last_seen + TOLD),
        State::SynSent | State::SynReceived => {
            Some(entry.opened + if lively { PATIENCE } else { SILENCE })
        }
        _ => None,
    }
}

/// Why a handshake does not complete, once that can be judged.
pub(super) fn judge(one: &OneSided, entry: &Entry, seen: &Evidence) -> Option<Finding> {
    match (entry.track.state(), one.way) {
        (State::Close, _) if was_complete(entry) => None,
        (State::Close, Way::Inbound) => Some(reset_inbound(one, entry, seen)),
        (State::Close, Way::Outbound) => Some(reset_outbound(one, entry)),
        (State::SynSent, Way::Inbound) => Some(unanswered_inbound(one, seen)),
        (State::SynSent, Way::Outbound) => Some(unanswered_outbound(one, entry, seen)),
        (State::SynReceived, Way::Inbound) => Some(unacknowledged(one, seen)),
        (State::SynReceived, Way::Outbound) => Some(half_answered(one, seen)),
        _ => None,
    }
}

/// A session that was reset later has seen the opener's acknowledgement of an answer.
fn was_complete(entry: &Entry) -> bool {
    let [sent, received] = entry.track.seen;
    sent & ACK != 0 && received & SYN != 0
}

fn answered_with_reset(entry: &Entry) -> bool {
    entry.track.seen[1] & RST != 0 && entry.track.seen[1] & SYN == 0
}

fn reset_inbound(one: &OneSided, entry: &Entry, seen: &Evidence) -> Finding {
    if !answered_with_reset(entry) {
        let text = format!("the opener reset it itself, {}", counts(one));
        return Finding::unknown(vec![text]);
    }
    let rst = "a RST went out in answer to the SYN".to_owned();
    if let Some(asked) = seen.asked.as_ref().filter(|asked| asked.by_filter()) {
        let by = format!(
            "the kernel dropped the SYN ({}): a filter sent the RST",
            said(asked)
        );
        return Finding::new(Cause::LocalFilter, vec![rst, by]);
    }
    let (cause, why) = match &seen.heard {
        Heard::Nobody => (Cause::NoListener, nobody(one)),
        Heard::Elsewhere(at) => (Cause::ListenerElsewhere, elsewhere(one, at)),
        Heard::Here(at) | Heard::Full(at, ..) => (
            Cause::Unknown,
            format!(
                "{}: the service or a filter on this host refuses",
                here(one, *at)
            ),
        ),
        Heard::Unknown => (Cause::Unknown, unreadable()),
    };
    Finding::new(cause, vec![rst, why])
}

fn unanswered_inbound(one: &OneSided, seen: &Evidence) -> Finding {
    let passed = format!(
        "the SYN passed us and nothing was seen to leave in answer, {}",
        counts(one)
    );
    if let Some(found) = dropped_inbound(&passed, seen) {
        return found;
    }
    let because = |cause, why: String| Finding::new(cause, vec![passed.clone(), why]);
    match &seen.heard {
        Heard::Full(at, waiting, most) => because(
            Cause::ListenerOverflow,
            format!(
                "{}, and {waiting} connections wait to be accepted where {most} may",
                here(one, *at)
            ),
        ),
        Heard::Here(at) => heard_and_silent(&passed, &here(one, *at), seen),
        Heard::Nobody => unheard(Cause::NoListener, &passed, &nobody(one), seen),
        Heard::Elsewhere(at) => {
            unheard(Cause::ListenerElsewhere, &passed, &elsewhere(one, at), seen)
        }
        Heard::Unknown => because(Cause::Unknown, unreadable()),
    }
}

/// The kernel's own word: it dropped the SYN, or its answer.
fn dropped_inbound(passed: &str, seen: &Evidence) -> Option<Finding> {
    let asked = seen.asked.as_ref().filter(|asked| !asked.says_nothing());
    let (dropped, what) = match (asked, seen.answered.as_ref()) {
        (Some(asked), _) => (asked, "the SYN"),
        (None, Some(answered)) => (answered, "our answer"),
        (None, None) => return None,
    };
    let by = format!("the kernel dropped {what}: {}", said(dropped));
    let by_path = dropped.by_reverse_path();
    let cause = match dropped {
        _ if dropped.by_filter() => Cause::LocalFilter,
        _ if asked.is_some() && dropped.by_full_listener() => Cause::ListenerOverflow,
        _ if asked.is_none() && (dropped.by_neighbour() || seen.dead_end) => Cause::ReplyPath,
        _ => Cause::Unknown,
    };
    let path = by_path.then(|| {
        "the check of the reverse path (rp_filter): the way back is not the way it came".to_owned()
    });
    let found = Finding::new(cause, vec![passed.to_owned(), by])
        .and(path)
        .and(dead_end(seen));
    let found = found.and(by_path.then(|| crossing(&seen.back)).flatten());
    Some(found.asymmetric(by_path))
}

/// Somebody listens here, has room, and was not seen to answer.
fn heard_and_silent(passed: &str, here: &str, seen: &Evidence) -> Finding {
    let text = vec![passed.to_owned(), here.to_owned()];
    let answered = matches!(
        seen.socket,
        Some(Standing::SynReceived | Standing::Connected)
    );
    if seen.dead_end && answered {
        return Finding::new(Cause::ReplyPath, text).and(dead_end(seen));
    }
    match &seen.back {
        Back::Other { guarded: false, .. } if answered => Finding::new(Cause::ReplyPath, text)
            .and(Some(format!("the socket has answered, by {}", seen.beside)))
            .and(crossing(&seen.back))
            .asymmetric(true),
        back => Finding::unknown(text).and(crossing(back)),
    }
}

/// Nobody listens here, and the RST was not seen to leave.
fn unheard(cause: Cause, passed: &str, why: &str, seen: &Evidence) -> Finding {
    let text = vec![passed.to_owned(), why.to_owned()];
    match &seen.back {
        // It left, or could not; either way it would be no connection.
        back @ (Back::Other { guarded: false, .. } | Back::Missing) => {
            Finding::new(cause, text).and(crossing(back))
        }
        // The kernel tells what it drops, and has told nothing.
        _ if seen.sees_drops => Finding::unknown(text).and(Some(
            "no RST left, and the kernel did not say that it dropped anything".to_owned(),
        )),
        _ => Finding::new(Cause::LocalFilter, text).and(Some(
            "and still no RST left: only a filter does that".to_owned(),
        )),
    }
}

/// Our SYN-ACK went out; had it gone out only once, its loss alone could be the whole story.
fn unacknowledged(one: &OneSided, seen: &Evidence) -> Finding {
    let text = format!("our SYN-ACK went out and no ACK came, {}", counts(one));
    if let Some(answered) = &seen.answered {
        let by = format!(
            "the kernel dropped the SYN-ACK behind us: {}",
            said(answered)
        );
        let cause = if answered.by_filter() {
            Cause::LocalFilter
        } else if answered.by_neighbour() {
            Cause::ReplyPath
        } else {
            Cause::Unknown
        };
        return Finding::new(cause, vec![text, by]);
    }
    let cause = if one.received >= 2 {
        Cause::ReplyPath
    } else {
        Cause::Unknown
    };
    let other = matches!(seen.back, Back::Other { .. });
    Finding::new(cause, vec![text])
        .and(crossing(&seen.back))
        .asymmetric(other)
}

fn reset_outbound(one: &OneSided, entry: &Entry) -> Finding {
    if answered_with_reset(entry) {
        let peer = address(one.tuple.destination);
        let text = format!("a RST came from {peer} in answer to our SYN");
        Finding::new(Cause::Refused, vec![text])
    } else {
        let text = format!("this host gave it up with a RST, {}", counts(one));
        Finding::unknown(vec![text])
    }
}

fn unanswered_outbound(one: &OneSided, entry: &Entry, seen: &Evidence) -> Finding {
    let silence = format!("our SYN went out and nothing came back, {}", counts(one));
    if let Some((kind, code)) = entry.track.error() {
        let text = format!("an ICMP error about it came: type {kind}, code {code}");
        return Finding::new(Cause::Unreachable, vec![text, counts(one)]);
    }
    if seen.socket == Some(Standing::Connected) {
        return another_way(one, seen);
    }
    let dropped = [("our SYN", &seen.asked), ("the answer", &seen.answered)];
    let dropped = dropped
        .into_iter()
        .find_map(|(what, one)| one.as_ref().map(|one| (what, one)));
    if let Some((what, dropped)) = dropped {
        let by = format!("the kernel dropped {what} on this host: {}", said(dropped));
        return Finding::unknown(vec![silence, by]);
    }
    if entry.track.seen[1] == 0 && one.received == 0 {
        Finding::new(Cause::SilentDrop, vec![silence])
    } else {
        let text = format!(
            "something came back that does not answer our SYN, {}",
            counts(one)
        );
        Finding::unknown(vec![text])
    }
}

/// The socket is connected, and we have not seen the answer.
fn another_way(one: &OneSided, seen: &Evidence) -> Finding {
    let text = format!(
        "our SYN left by {} and no answer passed us, but the socket is connected: the answer came in by {}, {}",
        seen.crosses,
        seen.beside,
        counts(one)
    );
    Finding::new(Cause::AsymmetricReply, vec![text]).asymmetric(true)
}

fn half_answered(one: &OneSided, seen: &Evidence) -> Finding {
    let text = format!(
        "a SYN-ACK came, and our ACK was not seen to leave, {}",
        counts(one)
    );
    let Some(answered) = &seen.answered else {
        return Finding::unknown(vec![text]);
    };
    let by = format!("the kernel dropped the SYN-ACK: {}", said(answered));
    if !answered.by_reverse_path() {
        return Finding::unknown(vec![text, by]);
    }
    let ways = format!(
        "our SYN left by {}, and the answer came in by {} (rp_filter)",
        seen.crosses, seen.dropped_at
    );
    Finding::new(Cause::AsymmetricReply, vec![text, by, ways]).asymmetric(true)
}

/// What says that we dropped it.
pub(super) fn of_drops(one: &OneSided) -> String {
    let reason = one
        .reason
        .map_or("unknown", firewall_common::reason::Reason::word);
    format!("we dropped it {} times, reason {reason}", one.sent)
}

pub(super) fn said(dropped: &Dropped) -> String {
    let times = match dropped.times {
        1 => String::new(),
        times => format!(", {times} times"),
    };
    format!("{}{times}", dropped.reason)
}

fn crossing(back: &Back) -> Option<String> {
    match back {
        Back::Other {
            came,
            leaves,
            guarded,
        } => {
            let beside = if *guarded {
                ""
            } else {
                ", which is not guarded"
            };
            Some(format!(
                "the SYN came in by {came}, and the way back leaves by {leaves}{beside}"
            ))
        }
        Back::Missing => Some("this host has no route back to the opener".to_owned()),
        Back::Same | Back::Unknown => None,
    }
}

fn dead_end(seen: &Evidence) -> Option<String> {
    seen.dead_end.then(|| {
        "the next hop of the way back does not answer (ARP, neighbour discovery)".to_owned()
    })
}

fn nobody(one: &OneSided) -> String {
    format!("nothing listens on port {}", one.tuple.destination_port)
}

fn here(one: &OneSided, at: IpAddr) -> String {
    let port = one.tuple.destination_port;
    format!("a socket listens on {at} port {port}")
}

fn unreadable() -> String {
    "what listens here could not be read".to_owned()
}

fn elsewhere(one: &OneSided, at: &[IpAddr]) -> String {
    let at: Vec<String> = at.iter().take(4).map(ToString::to_string).collect();
    let port = one.tuple.destination_port;
    format!("port {port} has a listener only on {}", at.join(", "))
}

pub(super) fn counts(one: &OneSided) -> String {
    let seconds = one.last.saturating_sub(one.first) / 1_000_000_000;
    format!(
        "{} packets from the opener and {} back in {seconds} s",
        one.sent, one.received
    )
}
