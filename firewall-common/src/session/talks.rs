//! Conversations as the RFCs have them, segment by segment: who sends what, what becomes of it, where the session
//! stands then. Sequence numbers count from each side's first one; every table runs from several first numbers, so
//! that they wrap in each segment once.

use std::format;

use super::window::{SCALED, UNKNOWN, VAGUE, Window};
use super::{Moved, State, Step, Track, begin, begin_midstream, step};
use crate::packet::{FIRST, Packet};
use crate::parse::tcp::{ACK, FIN, PSH, RST, SYN};

const ECN: u8 = 0xc0;

/// Who sends, flags, sequence number, acknowledgement, bytes; what it does; the state then.
type Row = (Who, u8, u32, u32, u32, Step, State);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Opener,
    Responder,
}
use State::*;
use Step::*;
use Who::*;

/// First numbers of the two sides.
const BEGINNINGS: [(u32, u32); 6] = [
    (0, 0),
    (1000, 5000),
    (u32::MAX, u32::MAX - 1),
    (u32::MAX - 150, 7),
    (0x7fff_ffff, 0x8000_0000),
    (0x7fff_ff00, u32::MAX - 70_000),
];

fn segment(flags: u8, sequence: u32, acknowledgement: u32, data: u32) -> Packet {
    let mut packet = Packet {
        tcp_flags: flags,
        sequence,
        acknowledgement,
        window: 64_000,
        payload: 54,
        end: 54 + data,
        ..Packet::default()
    };
    packet.tuple.protocol = 6;
    packet
}

/// The segment of a row in a conversation that began with these numbers.
fn of(row: &Row, (opener, responder): (u32, u32)) -> Packet {
    let &(who, flags, sequence, acknowledgement, data, ..) = row;
    let (own, other) = match who {
        Opener => (opener, responder),
        Responder => (responder, opener),
    };
    let acknowledgement = match flags & ACK {
        0 => 0,
        _ => other.wrapping_add(acknowledgement),
    };
    segment(flags, own.wrapping_add(sequence), acknowledgement, data)
}

/// Runs a conversation whose first row is the opening.
fn talk(rows: &[Row]) {
    for first in BEGINNINGS {
        let mut track = Track::default();
        begin(&of(&rows[0], first), &mut track);
        for (number, row) in rows.iter().enumerate().skip(1) {
            goes_on(&mut track, row, first, number);
        }
    }
}

fn goes_on(track: &mut Track, row: &Row, first: (u32, u32), number: usize) {
    let before = *track;
    let found = step(track, row.0 == Opener, &of(row, first));
    let place = format!("{row:?}, row {number} from {first:?}");
    assert_eq!(found, row.5, "{place}");
    assert_eq!(track.state(), row.6, "{place}");
    if matches!(found, Outside | Foreign | Reopens) {
        assert_eq!(*track, before, "{place}");
    }
    // What one look at the packet says is what the table takes over.
    let moved = match found {
        Live | Idle => Moved::by(row.0 == Opener),
        Anew => Moved::Anew,
        _ => return,
    };
    let mut table = before;
    table.take(track, moved);
    assert_eq!(table, *track, "{place}");
}

/// The handshake, then more.
fn after_handshake(rows: &[Row]) {
    let handshake: [Row; 3] = [
        (Opener, SYN, 0, 0, 0, Live, SynSent),
        (Responder, SYN | ACK, 0, 1, 0, Live, SynReceived),
        (Opener, ACK, 1, 1, 0, Live, Established),
    ];
    talk(&[&handshake[..], rows].concat());
}

#[test]
fn data_both_ways_lost_sent_again_and_out_of_order() {
    after_handshake(&[
        (Opener, PSH | ACK, 1, 1, 100, Live, Established),
        (Responder, ACK, 1, 101, 1000, Live, Established),
        // 1001 to 2000 is lost on the way to the hook; what follows is ahead.
        (Responder, ACK, 2001, 101, 1000, Live, Established),
        (Opener, ACK, 101, 1001, 0, Live, Established),
        (Opener, ACK, 101, 1001, 0, Live, Established),
        (Responder, ACK, 1001, 101, 1000, Live, Established),
        (Opener, ACK, 101, 3001, 0, Live, Established),
        // An old acknowledgement, and an old segment once more.
        (Opener, ACK, 101, 1001, 0, Live, Established),
        (Responder, ACK, 1, 101, 1000, Live, Established),
        // A whole window at once, as a merged segment.
        (Responder, ACK, 3001, 101, 64_000, Live, Established),
        (Opener, ACK, 101, 67_001, 0, Live, Established),
    ]);
}

#[test]
fn blind_data_is_outside() {
    after_handshake(&[
        (Opener, ACK, 64_002, 1, 10, Outside, Established),
        (Opener, ACK, 63_991, 1, 10, Live, Established),
        (Opener, ACK, 127_992, 1, 10, Outside, Established),
        (Opener, ACK, 0x4000_0000, 1, 10, Outside, Established),
        (Opener, ACK, 0x8000_0000, 1, 10, Outside, Established),
        (Opener, ACK, 0xc000_0000, 1, 10, Outside, Established),
        // Right in sequence, wrong in what it acknowledges (RFC 5961 section 5.2).
        (Opener, ACK, 64_000, 2, 10, Outside, Established),
        (Opener, ACK, 64_000, 0x4000_0000, 10, Outside, Established),
        (Opener, ACK, 64_011, 70_000, 10, Outside, Established),
        (Opener, ACK, 64_011, 0xfff0_0000, 10, Outside, Established),
        (Opener, FIN | ACK, 0x4000_0000, 1, 0, Outside, Established),
    ]);
}

/// Both numbers guessed: the receiver drops it or keeps it, and the two ends go on from where they are.
#[test]
fn a_guess_that_is_believed_cuts_nothing() {
    after_handshake(&[
        // The byte before was lost, so what was sent is ahead of what is acknowledged.
        (Opener, ACK, 1001, 1, 1000, Live, Established),
        (Responder, ACK, 1, 1, 0, Live, Established),
        (Opener, ACK, 65_981, 1, 20, Live, Established),
        (Opener, ACK, 129_991, 1, 10, Live, Established),
        (Responder, ACK, 1, 1, 0, Live, Established),
        (Opener, ACK, 0, 1, 0, Live, Established),
        (Opener, PSH | ACK, 1, 1, 1000, Live, Established),
        (Responder, ACK, 1, 2001, 0, Live, Established),
        // What the receiver has, and has acknowledged, is too old.
        (Opener, ACK, 1, 1, 1000, Outside, Established),
        (Responder, ACK, 1, 2000, 0, Outside, Established),
        (Opener, PSH | ACK, 2001, 1, 10, Live, Established),
    ]);
}

#[test]
fn blind_resets_change_nothing() {
    after_handshake(&[
        (Responder, RST, 0x4000_0000, 0, 0, Outside, Established),
        (
            Responder,
            RST | ACK,
            0xc000_0000,
            1,
            0,
            Outside,
            Established,
        ),
        // In window: the receiver challenges it (RFC 5961 section 3.2), and who sent it in earnest sends the right one.
        (Responder, RST, 100, 0, 0, Idle, Established),
        (Opener, ACK, 1, 1, 0, Live, Established),
        (Responder, PSH | ACK, 1, 1, 10, Live, Established),
        (Responder, RST, 5, 0, 0, Idle, Established),
        (Responder, RST, 11, 0, 0, Live, Close),
        (Opener, ACK, 1, 11, 0, Idle, Close),
    ]);
}

#[test]
fn a_reset_at_the_number_last_asked_for_closes() {
    after_handshake(&[
        (Opener, PSH | ACK, 1, 1, 10, Live, Established),
        (Responder, ACK, 1, 11, 0, Live, Established),
        // Sent beyond it, and lost.
        (Opener, PSH | ACK, 11, 1, 10, Live, Established),
        (Opener, RST, 11, 0, 0, Live, Close),
    ]);
}

#[test]
fn a_syn_inside_a_session_is_challenged_by_the_host() {
    after_handshake(&[
        (Opener, SYN, 77_000_000, 0, 0, Idle, Established),
        (Responder, ACK, 1, 1, 0, Live, Established),
        (Responder, SYN, 5, 0, 0, Outside, Established),
        (Opener, ACK, 1, 1, 0, Live, Established),
        (Responder, SYN | ACK, 0, 1, 0, Idle, Established),
        (Responder, SYN | ACK, 0x4000_0000, 1, 0, Idle, Established),
        (Opener, SYN | ACK, 0x4000_0000, 1, 0, Outside, Established),
        (Opener, SYN | ACK, 1, 1, 0, Outside, Established),
        (Opener, PSH | ACK, 1, 1, 10, Live, Established),
    ]);
}

#[test]
fn a_host_that_has_restarted_finds_out_and_begins_anew() {
    // RFC 9293 section 3.5.1, figure 9: SYN, challenge, reset with the number challenged, SYN.
    after_handshake(&[
        (Opener, PSH | ACK, 1, 1, 300, Live, Established),
        (Responder, ACK, 1, 301, 0, Live, Established),
        (Opener, SYN, 0x1234_5678, 0, 0, Idle, Established),
        (Responder, ACK, 1, 301, 0, Live, Established),
        (Opener, RST, 301, 0, 0, Live, Close),
        (Opener, SYN, 0x1234_5678, 0, 0, Reopens, Close),
    ]);
}

#[test]
fn both_ends_begin_anew_on_the_ports_of_a_session() {
    // The responder knows of no such connection and answers the SYN; nobody closed the old one here.
    let anew: [Row; 6] = [
        (Opener, SYN, 0x1234_5678, 0, 0, Idle, Established),
        (Responder, SYN | ACK, 77, 0x1234_5679, 0, Anew, SynReceived),
        (Responder, SYN | ACK, 77, 0x1234_5679, 0, Live, SynReceived),
        (Opener, ACK, 0x1234_5679, 78, 0, Live, Established),
        (
            Responder,
            PSH | ACK,
            78,
            0x1234_5679,
            900,
            Live,
            Established,
        ),
        (Opener, PSH | ACK, 1, 1, 10, Outside, Established),
    ];
    after_handshake(&anew);
    // Half closed, or with an answer of the host to somebody else's SYN before.
    let half_closed: [Row; 2] = [
        (Opener, FIN | ACK, 1, 1, 0, Live, FinWait),
        (Opener, SYN, 0x1234_5678, 0, 0, Idle, FinWait),
    ];
    after_handshake(&[&half_closed[..], &anew[1..]].concat());
    after_handshake(&[
        (Opener, SYN, 0x2222_0000, 0, 0, Idle, Established),
        (Responder, ACK, 1, 1, 0, Live, Established),
        // Of the session itself: the SYN was another's.
        (Opener, PSH | ACK, 1, 1, 10, Live, Established),
        (Responder, SYN | ACK, 77, 0x2222_0001, 0, Idle, Established),
        (Responder, ACK, 1, 11, 0, Live, Established),
    ]);
    // In the handshake: the opener has given up, and its last SYN was lost to the responder.
    talk(&[
        (Opener, SYN, 0, 0, 0, Live, SynSent),
        (Responder, SYN | ACK, 0, 1, 0, Live, SynReceived),
        (Opener, SYN, 0x1234_5678, 0, 0, Idle, SynReceived),
        (Responder, SYN | ACK, 77, 0x1234_5679, 0, Anew, SynReceived),
        (Opener, ACK, 0x1234_5679, 78, 0, Live, Established),
    ]);
}

#[test]
fn a_refusal_of_a_syn_inside_a_session_closes_it() {
    // The responder has restarted and nobody listens: its reset has no number of the old connection.
    after_handshake(&[
        (
            Responder,
            RST | ACK,
            0x4000_0000,
            0x1234_5679,
            0,
            Outside,
            Established,
        ),
        (Opener, SYN, 0x1234_5678, 0, 0, Idle, Established),
        (
            Responder,
            RST | ACK,
            0x4000_0000,
            0x1234_5678,
            0,
            Outside,
            Established,
        ),
        (
            Responder,
            RST | ACK,
            0x4000_0000,
            0x1234_5679,
            0,
            Live,
            Close,
        ),
        (Opener, SYN, 0x1234_5678, 0, 0, Reopens, Close),
    ]);
}

#[test]
fn a_reset_of_what_was_acknowledged_is_outside() {
    after_handshake(&[
        (Responder, PSH | ACK, 1, 1, 1000, Live, Established),
        (Opener, ACK, 1, 501, 0, Live, Established),
        (Responder, RST, 500, 0, 0, Outside, Established),
        (Responder, RST, 502, 0, 0, Idle, Established),
        (Responder, RST, 501, 0, 0, Live, Close),
    ]);
}

#[test]
fn keep_alives_and_probes_of_a_closed_window() {
    after_handshake(&[
        (Opener, PSH | ACK, 1, 1, 50, Live, Established),
        (Responder, ACK, 1, 51, 0, Live, Established),
        (Opener, ACK, 50, 1, 0, Live, Established),
        (Responder, ACK, 1, 51, 0, Live, Established),
        (Opener, ACK, 50, 1, 1, Live, Established),
        (Responder, ACK, 0, 51, 0, Live, Established),
    ]);
    // A side that has never offered any window.
    for first in BEGINNINGS {
        let rows: [Row; 4] = [
            (Opener, SYN, 0, 0, 0, Live, SynSent),
            (Responder, SYN | ACK, 0, 1, 0, Live, SynReceived),
            (Opener, ACK, 1, 1, 1, Live, Established),
            (Opener, ACK, 1, 1, 1, Live, Established),
        ];
        let mut track = Track::default();
        begin(&of(&rows[0], first), &mut track);
        for row in &rows[1..] {
            let closed = Packet {
                window: 0,
                ..of(row, first)
            };
            assert_eq!(step(&mut track, row.0 == Opener, &closed), row.5);
            assert_eq!(track.state(), row.6);
        }
    }
}

#[test]
fn half_closed_and_closed() {
    after_handshake(&[
        (Opener, FIN | ACK, 1, 1, 0, Live, FinWait),
        (Responder, ACK, 1, 2, 0, Live, FinWait),
        (Responder, PSH | ACK, 1, 2, 9000, Live, FinWait),
        (Opener, ACK, 2, 9001, 0, Live, FinWait),
        (Opener, FIN | ACK, 1, 9001, 0, Live, FinWait),
        (Responder, FIN | ACK, 9001, 2, 0, Live, TimeWait),
        (Responder, FIN | ACK, 9001, 2, 0, Live, TimeWait),
        (Opener, ACK, 2, 9002, 0, Live, TimeWait),
        // An old segment of another life.
        (Responder, ACK, 0x5000_0000, 2, 10, Outside, TimeWait),
        (Opener, SYN, 70_000, 0, 0, Reopens, TimeWait),
        (Responder, SYN, 70_000, 0, 0, Reopens, TimeWait),
    ]);
}

#[test]
fn both_finish_at_once() {
    after_handshake(&[
        (Opener, FIN | ACK, 1, 1, 0, Live, FinWait),
        (Responder, FIN | ACK, 1, 1, 0, Live, TimeWait),
        (Opener, ACK, 2, 2, 0, Live, TimeWait),
        (Responder, ACK, 2, 2, 0, Live, TimeWait),
    ]);
}

#[test]
fn both_open_at_once() {
    // RFC 9293 section 3.5, figure 8.
    talk(&[
        (Opener, SYN, 0, 0, 0, Live, SynSent),
        (Responder, SYN, 0, 0, 0, Live, SynReceived),
        (Responder, SYN, 0, 0, 0, Live, SynReceived),
        (Opener, SYN | ACK, 0, 1, 0, Live, Established),
        (Responder, SYN | ACK, 0, 1, 0, Idle, Established),
        (Opener, ACK, 1, 1, 0, Live, Established),
        (Responder, ACK, 1, 1, 500, Live, Established),
    ]);
}

#[test]
fn a_stale_answer_is_reset_and_the_opener_tries_again() {
    // RFC 9293 section 3.5.1.
    talk(&[
        (Opener, SYN, 0, 0, 0, Live, SynSent),
        (Responder, SYN | ACK, 900, 0x3000_0000, 0, Idle, SynSent),
        (Opener, RST, 0x3000_0000, 0, 0, Idle, SynSent),
        (Responder, ACK, 0x2000_0000, 0x3000_0000, 0, Idle, SynSent),
        (Opener, SYN, 0, 0, 0, Live, SynSent),
        (Responder, SYN | ACK, 0, 1, 0, Live, SynReceived),
        (Opener, ACK, 1, 1, 0, Live, Established),
    ]);
}

#[test]
fn handshakes_with_losses() {
    talk(&[
        (Opener, SYN | ECN, 0, 0, 0, Live, SynSent),
        (Opener, SYN, 0, 0, 0, Live, SynSent),
        (Responder, SYN | ACK, 0, 1, 0, Live, SynReceived),
        (Opener, SYN, 0, 0, 0, Live, SynReceived),
        (Responder, SYN | ACK, 0, 1, 0, Live, SynReceived),
        // The acknowledgement is lost, data follows it.
        (Opener, PSH | ACK, 1, 1, 100, Live, Established),
        (Responder, SYN | ACK, 0, 1, 0, Idle, Established),
        (Responder, ACK, 1, 101, 0, Live, Established),
    ]);
}

#[test]
fn a_responder_that_begins_anew_in_the_handshake() {
    talk(&[
        (Opener, SYN, 0, 0, 0, Live, SynSent),
        (Responder, SYN | ACK, 0, 1, 0, Live, SynReceived),
        (Responder, SYN | ACK, 0x3333_0000, 7, 0, Idle, SynReceived),
        (Responder, SYN | ACK, 0x3333_0000, 1, 0, Live, SynReceived),
        (Opener, ACK, 1, 1, 0, Outside, SynReceived),
        (Opener, ACK, 1, 0x3333_0001, 0, Live, Established),
    ]);
}

#[test]
fn the_responder_speaks_first() {
    talk(&[
        (Opener, SYN, 0, 0, 0, Live, SynSent),
        (Responder, SYN | ACK, 0, 1, 0, Live, SynReceived),
        (Responder, PSH | ACK, 1, 1, 300, Live, SynReceived),
        (
            Responder,
            PSH | ACK,
            0x4000_0000,
            1,
            300,
            Outside,
            SynReceived,
        ),
        (Opener, ACK, 1, 301, 0, Live, Established),
    ]);
}

#[test]
fn fast_open() {
    // RFC 7413: data in the SYN, taken whole, in part, or not at all; answered before the handshake is complete.
    for taken in [1, 51, 101] {
        talk(&[
            (Opener, SYN, 0, 0, 100, Live, SynSent),
            (Responder, SYN | ACK, 0, taken, 0, Live, SynReceived),
            (Responder, ACK, 1, taken, 5000, Live, SynReceived),
            (
                Opener,
                PSH | ACK,
                taken,
                5001,
                101 - taken,
                Live,
                Established,
            ),
            (Responder, ACK, 5001, 101, 0, Live, Established),
        ]);
    }
    // The SYN comes again without its data, and the answer to the first was on its way.
    talk(&[
        (Opener, SYN, 0, 0, 100, Live, SynSent),
        (Opener, SYN, 0, 0, 0, Live, SynSent),
        (Responder, SYN | ACK, 0, 101, 0, Live, SynReceived),
        (Opener, ACK, 101, 1, 0, Live, Established),
    ]);
}

#[test]
fn refused_and_given_up() {
    talk(&[
        (Opener, SYN, 0, 0, 0, Live, SynSent),
        (Responder, RST | ACK, 0, 2, 0, Outside, SynSent),
        (Responder, RST | ACK, 0, 1, 0, Live, Close),
        (Opener, SYN, 9, 0, 0, Reopens, Close),
    ]);
    talk(&[
        (Opener, SYN, 0, 0, 0, Live, SynSent),
        (Opener, ACK, 1, 1, 0, Foreign, SynSent),
        (Opener, RST, 1, 0, 0, Live, Close),
    ]);
    talk(&[
        (Opener, SYN, 0, 0, 0, Live, SynSent),
        (Responder, SYN | ACK, 0, 1, 0, Live, SynReceived),
        (Responder, RST, 0x4000_0000, 0, 0, Outside, SynReceived),
        (Opener, RST, 1, 0, 0, Live, Close),
    ]);
}

/// A handshake whose SYNs offer these scales.
fn scaled(opener: Option<u8>, responder: Option<u8>) -> Track {
    let offering = |flags, ack, scale: Option<u8>| Packet {
        scale: scale.map_or(0, |scale| scale + 1),
        ..segment(flags, 0, ack, 0)
    };
    let mut track = Track::default();
    begin(&offering(SYN, 0, opener), &mut track);
    step(&mut track, false, &offering(SYN | ACK, 1, responder));
    step(&mut track, true, &segment(ACK, 1, 1, 0));
    assert_eq!(track.state(), Established);
    track
}

#[test]
fn windows_are_scaled_where_both_have_offered_it() {
    for (opener, responder, ahead) in [
        (Some(7), Some(7), 64_000 << 7),
        (Some(14), Some(3), 64_000 << 3),
        (Some(0), Some(0), 64_000),
        (Some(7), None, 64_000),
        (None, Some(7), 64_000),
    ] {
        let mut track = scaled(opener, responder);
        // The responder's first segment after its SYN tells its window.
        step(&mut track, false, &segment(ACK, 1, 1, 0));
        let edge = segment(ACK, ahead - 9, 1, 10);
        let beyond = segment(ACK, ahead - 8, 1, 10);
        let at = |packet| step(&mut track.clone(), true, packet);
        assert_eq!(at(&edge), Live, "{opener:?} {responder:?}");
        assert_eq!(at(&beyond), Outside, "{opener:?} {responder:?}");
    }
}

#[test]
fn a_window_that_shrinks_takes_nothing_back() {
    let mut track = scaled(Some(7), Some(7));
    step(&mut track, false, &segment(ACK, 1, 1, 0));
    let shut = Packet {
        window: 0,
        ..segment(ACK, 1, 1, 0)
    };
    assert_eq!(step(&mut track, false, &shut), Live);
    assert_eq!(step(&mut track, true, &segment(ACK, 8_000_000, 1, 9)), Live);
}

#[test]
fn picked_up_sessions_have_an_open_window() {
    let mut track = Track::default();
    begin_midstream(&segment(ACK, 7000, 90_000, 10), true, &mut track);
    assert_eq!(track.windows[0].flags, VAGUE | SCALED);
    assert_eq!(track.windows[1], Window::WIDE_OPEN);
    // The responder is ahead of all that was seen, and so is what it acknowledges.
    assert_eq!(
        step(&mut track, false, &segment(ACK, 0xf000_0000, 600_000, 10)),
        Live
    );
    assert_eq!(
        step(&mut track, true, &segment(ACK, 600_000, 0xf000_000a, 10)),
        Live
    );
    assert_eq!(track.state(), Established);
    assert_eq!(track.windows[1].flags & UNKNOWN, 0);
    assert_eq!(
        step(
            &mut track,
            true,
            &segment(ACK, 0x8000_0000, 0xf000_000a, 10)
        ),
        Outside
    );
}

#[test]
fn what_goes_on_in_later_fragments_may_be_acknowledged() {
    for (fragment, outcome) in [(FIRST, Live), (0, Outside)] {
        let mut track = scaled(None, None);
        let first = Packet {
            fragment,
            ..segment(ACK, 1, 1, 1000)
        };
        assert_eq!(step(&mut track, true, &first), Live);
        // Not the next of its sender, so nothing speaks for it but what was seen.
        let answer = segment(ACK, 400, 4001, 10);
        assert_eq!(step(&mut track, false, &answer), outcome);
        assert_eq!(step(&mut track, true, &segment(ACK, 4001, 1, 10)), Live);
    }
}

#[test]
fn of_two_cpus_that_see_one_direction_at_once_nothing_is_refused_later() {
    let before = scaled(None, None);
    let (mut one, mut other) = (before, before);
    step(&mut one, true, &segment(ACK, 1, 1, 1000));
    step(&mut other, true, &segment(ACK, 1001, 1, 1000));
    for (first, second) in [(one, other), (other, one)] {
        let mut table = before;
        table.take(&first, Moved::Opener);
        table.take(&second, Moved::Opener);
        assert_eq!(table.windows[0].end, 2001);
    }
    // One reads before and writes after the other: what the other saw is lost. The side's next segment is believed,
    // also where it is sent again, and with it what the other side acknowledges.
    let mut table = before;
    table.windows[0] = one.windows[0];
    let answer = segment(ACK, 1, 2001, 500);
    assert_eq!(step(&mut table.clone(), false, &answer), Outside);
    assert_eq!(step(&mut table, true, &segment(ACK, 1001, 1, 1000)), Live);
    assert_eq!(step(&mut table, false, &answer), Live);
}

#[test]
fn an_error_must_quote_what_is_in_flight() {
    let mut track = scaled(None, None);
    step(&mut track, true, &segment(ACK, 1, 1, 5000));
    for (sequence, may) in [
        (1, true),
        (5000, true),
        (5001, true),
        (5002, false),
        (0x4000_0000, false),
        (0xc000_0000, false),
    ] {
        assert_eq!(
            super::tcp::may_be_quoted(&track, true, sequence),
            may,
            "{sequence}"
        );
    }
    assert!(super::tcp::may_be_quoted(
        &Track {
            windows: [Window::WIDE_OPEN; 2],
            ..track
        },
        true,
        99
    ));
}
