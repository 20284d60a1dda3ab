//! TCP by handshake state (RFC 9293 section 3.3.2). A pure function of the track and one packet.
//!
//! A handshake counts as complete only when the opener has acknowledged the responder's sequence
//! number, which a spoofed source cannot know. A reset closes only with the exact sequence number
//! expected (RFC 5961 section 3.2); any other changes nothing.

use super::{FIN_OPENER, FIN_RESPONDER, REPLIED, State, Step, Track, Window};
use crate::packet::Packet;
use crate::parse::tcp::{ACK, FIN, RST, SYN};

/// Is `a` later than `b` in sequence space (RFC 9293 section 3.4)?
#[inline(always)]
const fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// One past the last sequence number a packet takes.
#[inline(always)]
const fn end_of(packet: &Packet) -> u32 {
    let phantom = (packet.tcp_flags & SYN != 0) as u32 + (packet.tcp_flags & FIN != 0) as u32;
    packet
        .sequence
        .wrapping_add(packet.payload_length())
        .wrapping_add(phantom)
}

/// The first SYN.
#[inline(always)]
pub(super) fn begin(packet: &Packet, track: &mut Track) {
    note_syn(&mut track.windows[0], packet);
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
        advance(&mut track.windows[0], packet);
        track.flags |= if fin { FIN_OPENER } else { 0 };
    } else {
        speaks(&mut track.windows[1], packet);
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
fn speaks(window: &mut Window, packet: &Packet) {
    if window.is_unknown() {
        window.acknowledged = packet.sequence.wrapping_sub(BEHIND);
    }
    let acknowledged = window.acknowledged;
    advance(window, packet);
    window.acknowledged = acknowledged;
}

#[inline(always)]
fn note_syn(window: &mut Window, packet: &Packet) {
    window.flags = 0;
    window.end = end_of(packet);
    window.acknowledged = packet.sequence;
    window.max_window = u32::from(packet.window);
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
    if !matches!(outcome, Step::Foreign | Step::Reopens) {
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
    if flags & RST != 0 {
        // In answer to a stale SYN-ACK the sequence number is not ours (RFC 9293 section 3.5.1).
        if packet.sequence == track.windows[0].end {
            track.state = State::Close as u8;
        }
        return Step::Idle;
    }
    if flags & (SYN | ACK) == SYN {
        note_syn(&mut track.windows[0], packet);
        return Step::Live;
    }
    Step::Foreign
}

#[inline(always)]
fn responder_in_syn_sent(track: &mut Track, packet: &Packet) -> Step {
    let flags = packet.tcp_flags;
    let opener = track.windows[0];
    // With data in the SYN (RFC 7413) any part of it may be acknowledged.
    let within = after(packet.acknowledgement, opener.acknowledged)
        && !after(packet.acknowledgement, opener.end);
    let acknowledges = flags & ACK != 0 && (within || opener.is_unknown());
    if flags & RST != 0 {
        if acknowledges {
            track.state = State::Close as u8;
        }
        return Step::Idle;
    }
    if flags & ACK != 0 && !acknowledges {
        // Of an older connection: the opener answers it with a reset, so it must arrive (RFC 9293
        // section 3.5.1).
        return Step::Idle;
    }
    if flags & SYN == 0 {
        return Step::Foreign;
    }
    // With ACK the second step; without it a simultaneous open.
    note_syn(&mut track.windows[1], packet);
    track.state = State::SynReceived as u8;
    Step::Live
}

#[inline(always)]
fn in_syn_received(track: &mut Track, from_opener: bool, packet: &Packet) -> Step {
    let flags = packet.tcp_flags;
    if flags & RST != 0 {
        return reset(track, from_opener, packet);
    }
    let peer = track.windows[usize::from(from_opener) & 1];
    if flags & SYN != 0 && flags & ACK == 0 {
        return Step::Live;
    }
    let acknowledges = flags & ACK != 0
        && !peer.is_unknown()
        && after(packet.acknowledgement, peer.acknowledged)
        && !after(packet.acknowledgement, peer.end);
    if from_opener && peer.is_unknown() {
        advance(&mut track.windows[0], packet);
        return Step::Live;
    }
    if from_opener && acknowledges {
        track.state = State::Established as u8;
        return established(track, from_opener, packet);
    }
    // The SYN-ACK again, or data that the responder may send early; or a wrong ACK, which it resets.
    if from_opener {
        Step::Idle
    } else {
        speaks(&mut track.windows[1], packet);
        Step::Live
    }
}

#[inline(always)]
fn established(track: &mut Track, from_opener: bool, packet: &Packet) -> Step {
    let flags = packet.tcp_flags;
    let over = matches!(track.state(), State::TimeWait | State::Close);
    if flags & (SYN | ACK) == SYN {
        // On a closing session a SYN opens anew; on a live one the host sends a challenge ACK
        // (RFC 5961 section 4.2).
        return if over { Step::Reopens } else { Step::Idle };
    }
    if flags & RST != 0 {
        return reset(track, from_opener, packet);
    }
    advance(&mut track.windows[usize::from(!from_opener) & 1], packet);
    if flags & FIN != 0 {
        track.flags |= if from_opener {
            FIN_OPENER
        } else {
            FIN_RESPONDER
        };
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

#[inline(always)]
fn advance(window: &mut Window, packet: &Packet) {
    let end = end_of(packet);
    if window.is_unknown() || after(end, window.end) {
        window.end = end;
    }
    window.flags = 0;
    if packet.tcp_flags & ACK != 0 {
        window.acknowledged = packet.acknowledgement;
    }
    let offered = u32::from(packet.window);
    if offered > window.max_window {
        window.max_window = offered;
    }
}

/// A reset is believed at the next sequence number its sender would use, or the next one the receiver
/// has asked for. It passes in any case: the receiver judges for itself.
#[inline(always)]
fn reset(track: &mut Track, from_opener: bool, packet: &Packet) -> Step {
    let sender = track.windows[usize::from(!from_opener) & 1];
    let receiver = track.windows[usize::from(from_opener) & 1];
    let next = packet.sequence == sender.end && !sender.is_unknown();
    if next || (packet.sequence == receiver.acknowledged && !receiver.is_unknown()) {
        track.state = State::Close as u8;
    }
    Step::Idle
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
