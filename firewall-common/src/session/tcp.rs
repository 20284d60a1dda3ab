//! TCP by state (RFC 9293 section 3.3.2) and by window ([`super::window`]). A pure function of the track and one packet.
//!
//! - A handshake counts as complete only when the opener has acknowledged the responder's sequence number, which a
//!   spoofed source cannot know.
//! - Nothing outside the window changes anything, or passes; but what a host must see to put a connection right
//!   does: a SYN of the opener inside a session, which it challenges, or answers ([`Fresh`]); a stale answer, which it
//!   resets.
//! - A reset closes only with the very number expected (RFC 5961 section 3.2). Any other within the window passes and
//!   changes nothing: the receiver challenges it, and a true sender resets again, with that number.
//!
//! Each packet changes the window of its own sender only, so that two CPUs that step the two directions at once
//! do not touch each other's part ([`Track::take`]).

use super::fresh::Fresh;
use super::window::{INITIAL, Window, after, in_window};
use super::{FIN_OPENER, FIN_RESPONDER, REPLIED, State, Step, Track};
use crate::packet::Packet;
use crate::parse::tcp::{ACK, FIN, RST, SYN};

/// The first SYN.
#[inline(always)]
pub(super) fn begin(packet: &Packet, track: &mut Track) {
    track.windows[0].begin(packet);
    track.windows[1] = Window::SILENT;
    track.seen[0] = packet.tcp_flags;
}

/// How far behind a segment's own sequence number its receiver may still be: what was in flight before.
const BEHIND: u32 = 1 << 24;

/// A segment from the middle. It is not more than half-open: until both sides have been seen it has the short
/// timeout, and a sender alone cannot make a verified session of it.
#[inline(always)]
pub(super) fn begin_midstream(packet: &Packet, from_opener: bool, track: &mut Track) {
    track.windows = [Window::WIDE_OPEN; 2];
    track.state = State::SynReceived as u8;
    track.seen = [0; 2];
    let side = usize::from(!from_opener) & 1;
    track.seen[side] = packet.tcp_flags;
    let fin = packet.tcp_flags & FIN != 0;
    if from_opener {
        track.windows[0].advance(packet, &Window::WIDE_OPEN);
        track.flags |= if fin { FIN_OPENER } else { 0 };
    } else {
        speaks(track, packet);
        track.flags |= REPLIED | if fin { FIN_RESPONDER } else { 0 };
    }
}

/// The opener has shown that it knows the responder's sequence number: the handshake is complete.
#[inline(always)]
pub(super) fn begin_by_cookie(track: &mut Track) {
    track.state = State::Established as u8;
    track.flags |= REPLIED;
    track.seen[0] |= SYN;
    track.seen[1] |= SYN | ACK;
}

/// A segment of the responder before the handshake is complete. What it acknowledges is kept out: in this
/// state the place holds the number that the opener must go beyond.
#[inline(always)]
fn speaks(track: &mut Track, packet: &Packet) {
    let [opener, responder] = &mut track.windows;
    let unknown = responder.is_unknown();
    responder.sends(packet, opener);
    if unknown {
        responder.acknowledged = packet.sequence.wrapping_sub(BEHIND);
        responder.flags |= INITIAL;
    }
}

/// Moves the track on by one packet.
#[inline(always)]
pub(super) fn step(track: &mut Track, from_opener: bool, packet: &Packet) -> Step {
    let side = usize::from(!from_opener) & 1;
    let outcome = match track.state() {
        State::SynSent if from_opener => opener_in_syn_sent(track, packet),
        State::SynSent => responder_in_syn_sent(track, packet),
        State::SynReceived => in_syn_received(track, from_opener, packet),
        _ => established(track, from_opener, packet),
    };
    if matches!(outcome, Step::Live | Step::Idle | Step::Anew) {
        track.seen[side] |= packet.tcp_flags;
        if !from_opener {
            track.flags |= REPLIED;
        }
    }
    outcome
}

/// The SYN again, or the opener giving up; an ACK without an answer seen is not of this session.
#[inline(always)]
fn opener_in_syn_sent(track: &mut Track, packet: &Packet) -> Step {
    let flags = packet.tcp_flags;
    let window = &mut track.windows[0];
    if flags & RST != 0 {
        // In answer to a stale segment the sequence number is the one that it acknowledged (RFC 9293 section 3.5.1).
        return if window.is_next(packet.sequence) {
            closes(track)
        } else if after(packet.sequence, window.end) && !track.fresh.is(packet.sequence) {
            Step::Outside
        } else {
            Step::Idle
        };
    }
    if flags & (SYN | ACK) != SYN {
        return Step::Foreign;
    }
    if !window.is_unknown() && window.acknowledged == packet.sequence {
        window.begin_again(packet);
    } else {
        window.begin(packet);
    }
    Step::Live
}

#[inline(always)]
fn responder_in_syn_sent(track: &mut Track, packet: &Packet) -> Step {
    let flags = packet.tcp_flags;
    let opener = &track.windows[0];
    let acknowledges = flags & ACK != 0 && acknowledges_syn(opener, packet);
    if flags & RST != 0 {
        let ahead = flags & ACK != 0 && after(packet.acknowledgement, opener.end);
        return match (acknowledges, ahead) {
            (true, _) => closes(track),
            (_, true) => Step::Outside,
            _ => Step::Idle,
        };
    }
    if flags & ACK != 0 && !acknowledges {
        // Of an older connection: the opener answers it with a reset, so it must arrive (RFC 9293
        // section 3.5.1).
        track.fresh = Fresh::challenged(packet);
        return Step::Idle;
    }
    if flags & SYN == 0 {
        return Step::Foreign;
    }
    // With ACK the second step; without it a simultaneous open.
    track.windows[1].begin(packet);
    track.state = State::SynReceived as u8;
    Step::Live
}

/// Is it an answer to the SYN? With data in that (RFC 7413) any part of it may be acknowledged.
#[inline(always)]
fn acknowledges_syn(opener: &Window, packet: &Packet) -> bool {
    let within = after(packet.acknowledgement, opener.acknowledged)
        && !after(packet.acknowledgement, opener.end);
    within || opener.is_unknown()
}

#[inline(always)]
fn in_syn_received(track: &mut Track, from_opener: bool, packet: &Packet) -> Step {
    let flags = packet.tcp_flags;
    if flags & RST != 0 {
        return reset(track, from_opener, packet);
    }
    if flags & SYN != 0
        && let Some(step) = syn_in_syn_received(track, from_opener, packet)
    {
        return step;
    }
    let [opener, responder] = &mut track.windows;
    if !from_opener {
        // The SYN-ACK again, or data that the responder may send early.
        if !in_window(responder, opener, packet) {
            return Step::Outside;
        }
        speaks(track, packet);
        return Step::Live;
    }
    if responder.is_unknown() {
        opener.advance(packet, responder);
        return Step::Live;
    }
    if !in_window(opener, responder, packet) {
        return Step::Outside;
    }
    let acknowledges = flags & ACK != 0
        && after(packet.acknowledgement, responder.acknowledged)
        && !after(packet.acknowledgement, responder.end);
    if acknowledges {
        track.state = State::Established as u8;
        return moves(track, true, packet);
    }
    // A wrong ACK, which the responder resets.
    Step::Idle
}

/// A SYN once more. The responder may have begun anew with other numbers, if what it acknowledges is the opener's
/// SYN: it keeps nothing of a connection half open when it restarts, or answers with cookies.
#[inline(always)]
fn syn_in_syn_received(track: &mut Track, from_opener: bool, packet: &Packet) -> Option<Step> {
    let side = usize::from(!from_opener) & 1;
    let window = &mut track.windows[side];
    let same = window.flags & INITIAL == 0 || window.acknowledged == packet.sequence;
    if packet.tcp_flags & ACK == 0 {
        return Some(match (same, from_opener) {
            (true, _) => Step::Live,
            (_, true) => inside(track, packet),
            _ => Step::Outside,
        });
    }
    if same || from_opener {
        return None;
    }
    if track.fresh.is_answered(packet) {
        return Some(begins_anew(track, packet));
    }
    // Of the opener that has sent no more than its SYN: its first number is still known.
    let opener = &track.windows[0];
    if opener.flags & INITIAL == 0 || !acknowledges_syn(opener, packet) {
        return Some(Step::Idle);
    }
    track.windows[1].begin(packet);
    Some(Step::Live)
}

/// A SYN of the opener inside the session: it passes, and is kept.
#[inline(always)]
fn inside(track: &mut Track, packet: &Packet) -> Step {
    track.fresh = Fresh::of(packet);
    Step::Idle
}

/// The responder has answered a SYN inside the session as if it had been the first.
#[inline(always)]
fn begins_anew(track: &mut Track, packet: &Packet) -> Step {
    track.windows[0] = track.fresh.begins();
    track.windows[1].begin(packet);
    track.fresh = Fresh::default();
    track.state = State::SynReceived as u8;
    track.flags &= !(FIN_OPENER | FIN_RESPONDER);
    track.seen = [SYN, 0];
    Step::Anew
}

#[inline(always)]
fn established(track: &mut Track, from_opener: bool, packet: &Packet) -> Step {
    let flags = packet.tcp_flags;
    if flags & (SYN | ACK) == SYN {
        return syn_in_established(track, from_opener, packet);
    }
    if flags & RST != 0 {
        return reset(track, from_opener, packet);
    }
    if flags & SYN != 0 {
        // The answer again: it is challenged like a SYN, and moves nothing. An opener has no reason to send one
        // but that of a simultaneous open.
        return match from_opener {
            true => Step::Outside,
            false if track.fresh.is_answered(packet) => begins_anew(track, packet),
            false => Step::Idle,
        };
    }
    let (sender, receiver) = sides(track, from_opener);
    if !in_window(sender, receiver, packet) {
        return Step::Outside;
    }
    moves(track, from_opener, packet)
}

/// On a closing session a SYN opens anew. On a live one the host challenges that of the opener (RFC 5961 section 4.2),
/// and the responder has no reason to send one.
#[inline(always)]
fn syn_in_established(track: &mut Track, from_opener: bool, packet: &Packet) -> Step {
    if matches!(track.state(), State::TimeWait | State::Close) {
        Step::Reopens
    } else if from_opener {
        inside(track, packet)
    } else {
        Step::Outside
    }
}

/// A segment in window.
#[inline(always)]
fn moves(track: &mut Track, from_opener: bool, packet: &Packet) -> Step {
    let [opener, responder] = &mut track.windows;
    let finished = if from_opener {
        opener.advance(packet, responder);
        track.fresh = Fresh::default();
        FIN_OPENER
    } else {
        responder.advance(packet, opener);
        FIN_RESPONDER
    };
    if packet.tcp_flags & FIN != 0 {
        track.flags |= finished;
    }
    if matches!(track.state(), State::Close) {
        return Step::Idle;
    }
    track.state = match track.flags & (FIN_OPENER | FIN_RESPONDER) {
        0 => State::Established,
        x if x == FIN_OPENER | FIN_RESPONDER => State::TimeWait,
        _ => State::FinWait,
    } as u8;
    Step::Live
}

/// A reset is believed at the next sequence number its sender would use, or the next one the receiver has asked
/// for; so is the answer to a SYN inside the session. Else, in window, it passes and the receiver judges for itself.
/// What was acknowledged before is outside the window of a reset (RFC 5961 section 3.2).
#[inline(always)]
fn reset(track: &mut Track, from_opener: bool, packet: &Packet) -> Step {
    let (sender, receiver) = sides(track, from_opener);
    let refuses = !from_opener && track.fresh.is_answered(packet);
    if sender.is_next(packet.sequence) || receiver.expects(packet.sequence) || refuses {
        return closes(track);
    }
    if in_window(sender, receiver, packet) && !receiver.has(packet.sequence) {
        Step::Idle
    } else {
        Step::Outside
    }
}

/// The session is over; it stays for a little while, so that what is still under way is known.
#[inline(always)]
fn closes(track: &mut Track) -> Step {
    track.state = State::Close as u8;
    Step::Live
}

#[inline(always)]
const fn sides(track: &Track, from_opener: bool) -> (&Window, &Window) {
    let [opener, responder] = &track.windows;
    if from_opener {
        (opener, responder)
    } else {
        (responder, opener)
    }
}

/// May an ICMP error about this session quote a packet with that sequence number (RFC 5927 section 4.1)?
#[inline(always)]
#[must_use]
pub fn may_be_quoted(track: &Track, of_opener: bool, sequence: u32) -> bool {
    let (sender, receiver) = sides(track, of_opener);
    sender.may_be_quoted(sequence, receiver)
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
