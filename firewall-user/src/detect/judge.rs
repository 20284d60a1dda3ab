//! From what a session has seen to a cause.

use firewall_common::parse::tcp::{ACK, RST, SYN};
use firewall_common::session::{Entry, State};

use super::OneSided;
use super::cause::{Cause, Way};
use super::listeners::{Heard, Listeners};
use crate::sessions::address;

/// After this a handshake that was not answered will not be: Linux has sent its SYN at least three times by
/// then (RFC 6298: after one second, then two more), and the last of them a second ago.
const SILENCE: u64 = 4_000_000_000;

/// Worth a closer look?
pub(super) fn is_suspect(entry: &Entry, now: u64) -> bool {
    match entry.track.state() {
        State::Close => true,
        State::SynSent | State::SynReceived => is_late(entry, now),
        _ => false,
    }
}

/// Of one that has ended: may it have been?
pub(super) fn may_be_one_sided(entry: &Entry) -> bool {
    let state = entry.track.state();
    matches!(state, State::SynSent | State::SynReceived)
        || (state == State::Close && !was_complete(entry))
}

fn is_late(entry: &Entry, now: u64) -> bool {
    now.saturating_sub(entry.opened) >= SILENCE
}

/// Why a handshake does not complete; `None` where it still may, or has.
pub(super) fn judge(
    one: &OneSided,
    entry: &Entry,
    now: u64,
    ended: bool,
    listeners: &Listeners,
) -> Option<(Cause, Vec<String>)> {
    let late = ended || is_late(entry, now);
    match (entry.track.state(), one.way) {
        (State::Close, _) if was_complete(entry) => None,
        (State::Close, Way::Inbound) => Some(reset_inbound(one, entry, listeners)),
        (State::Close, Way::Outbound) => Some(reset_outbound(one, entry)),
        (State::SynSent, Way::Inbound) if late => Some(unanswered_inbound(one, listeners)),
        (State::SynSent, Way::Outbound) if late => Some(unanswered_outbound(one, entry)),
        (State::SynReceived, Way::Inbound) if late => Some(unacknowledged(one)),
        (State::SynReceived, Way::Outbound) if late => Some(half_answered(one)),
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

fn reset_inbound(one: &OneSided, entry: &Entry, listeners: &Listeners) -> (Cause, Vec<String>) {
    if !answered_with_reset(entry) {
        let text = format!("the opener reset it itself, {}", counts(one));
        return (Cause::Unknown, vec![text]);
    }
    let rst = "a RST went out in answer to the SYN".to_owned();
    let (cause, why) = match heard(one, listeners) {
        Heard::Nobody => (
            Cause::NoListener,
            format!("nothing listens on port {}", port(one)),
        ),
        Heard::Elsewhere(at) => (Cause::ListenerElsewhere, elsewhere(one, &at)),
        Heard::Here(at) => (
            Cause::Unknown,
            format!(
                "a socket listens on {at} port {}: the service or a filter on this host refuses",
                port(one)
            ),
        ),
        Heard::Unknown => (
            Cause::Unknown,
            "what listens here could not be read".to_owned(),
        ),
    };
    (cause, vec![rst, why])
}

fn unanswered_inbound(one: &OneSided, listeners: &Listeners) -> (Cause, Vec<String>) {
    let passed = format!(
        "the SYN passed us and nothing went out in answer, {}",
        counts(one)
    );
    let (cause, why) = match heard(one, listeners) {
        Heard::Nobody => (
            Cause::LocalFilter,
            format!(
                "nothing listens on port {}, and still no RST went out",
                port(one)
            ),
        ),
        Heard::Elsewhere(at) => (
            Cause::LocalFilter,
            format!("{}, and still no RST went out", elsewhere(one, &at)),
        ),
        Heard::Here(at) => (
            Cause::Unknown,
            format!(
                "a socket listens on {at} port {}: its queue is full, or another filter on this host drops it",
                port(one)
            ),
        ),
        Heard::Unknown => (
            Cause::Unknown,
            "what listens here could not be read".to_owned(),
        ),
    };
    (cause, vec![passed, why])
}

/// Our SYN-ACK went out; had it gone out only once, its loss alone could be the whole story.
fn unacknowledged(one: &OneSided) -> (Cause, Vec<String>) {
    let text = format!("our SYN-ACK went out and no ACK came, {}", counts(one));
    if one.received >= 2 {
        (Cause::ReplyPath, vec![text])
    } else {
        (Cause::Unknown, vec![text])
    }
}

fn reset_outbound(one: &OneSided, entry: &Entry) -> (Cause, Vec<String>) {
    if answered_with_reset(entry) {
        let text = format!(
            "a RST came from {} in answer to our SYN",
            address(one.tuple.destination)
        );
        (Cause::Refused, vec![text])
    } else {
        let text = format!("this host gave it up with a RST, {}", counts(one));
        (Cause::Unknown, vec![text])
    }
}

fn unanswered_outbound(one: &OneSided, entry: &Entry) -> (Cause, Vec<String>) {
    let silence = format!("our SYN went out and nothing came back, {}", counts(one));
    if let Some((kind, code)) = entry.track.error() {
        let text = format!("an ICMP error about it came: type {kind}, code {code}");
        return (Cause::Unreachable, vec![text, counts(one)]);
    }
    if entry.track.seen[1] == 0 && one.received == 0 {
        (Cause::SilentDrop, vec![silence])
    } else {
        let text = format!(
            "something came back that does not answer our SYN, {}",
            counts(one)
        );
        (Cause::Unknown, vec![text])
    }
}

fn half_answered(one: &OneSided) -> (Cause, Vec<String>) {
    let text = format!(
        "a SYN-ACK came, and our ACK was not seen to leave, {}",
        counts(one)
    );
    (Cause::Unknown, vec![text])
}

/// What says that we dropped it.
pub(super) fn of_drops(one: &OneSided) -> String {
    let reason = one
        .reason
        .map_or("unknown", firewall_common::reason::Reason::word);
    format!("we dropped it {} times, reason {reason}", one.sent)
}

fn heard(one: &OneSided, listeners: &Listeners) -> Heard {
    listeners.at(address(one.tuple.destination), port(one))
}

const fn port(one: &OneSided) -> u16 {
    one.tuple.destination_port
}

fn elsewhere(one: &OneSided, at: &[std::net::IpAddr]) -> String {
    let at: Vec<String> = at.iter().take(4).map(ToString::to_string).collect();
    format!(
        "port {} has a listener only on {}",
        port(one),
        at.join(", ")
    )
}

fn counts(one: &OneSided) -> String {
    let seconds = one.last.saturating_sub(one.first) / 1_000_000_000;
    format!(
        "{} packets from the opener and {} back in {seconds} s",
        one.sent, one.received
    )
}
