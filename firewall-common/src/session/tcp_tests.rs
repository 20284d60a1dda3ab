//! The handshake, its retransmissions and its ends, step by step.

use super::super::{Moved, REPLIED, begin as open};
use super::*;

fn segment(flags: u8, sequence: u32, acknowledgement: u32, data: u32) -> Packet {
    let mut packet = Packet {
        tcp_flags: flags,
        sequence,
        acknowledgement,
        window: 64_000,
        ..Packet::default()
    };
    packet.tuple.protocol = 6;
    packet.payload = 54;
    packet.end = 54 + data;
    packet
}

/// A session whose handshake is complete; sequence numbers wrap in the middle of it.
fn established() -> Track {
    let mut track = Track::default();
    open(&segment(SYN, u32::MAX, 0, 0), &mut track);
    assert_eq!(
        step(&mut track, false, &segment(SYN | ACK, u32::MAX - 1, 0, 0)),
        Step::Live
    );
    assert_eq!(
        step(&mut track, true, &segment(ACK, 0, u32::MAX, 0)),
        Step::Live
    );
    assert_eq!(track.state(), State::Established);
    track
}

#[test]
fn the_handshake_survives_the_wrap_of_sequence_numbers() {
    let track = established();
    assert!(track.is_verified() && track.flags & REPLIED != 0);
}

#[test]
fn a_guessed_acknowledgement_completes_nothing() {
    let mut track = Track::default();
    open(&segment(SYN, 1000, 0, 0), &mut track);
    step(&mut track, false, &segment(SYN | ACK, 5000, 1001, 0));
    for (guess, outcome) in [
        (0, Step::Idle),
        (4999, Step::Idle),
        (5000, Step::Idle),
        (5002, Step::Outside),
        (u32::MAX, Step::Idle),
        (80_000, Step::Outside),
        (0x8000_0000, Step::Outside),
    ] {
        let wrong = segment(ACK, 1001, guess, 0);
        assert_eq!(step(&mut track, true, &wrong), outcome, "{guess}");
        assert!(!track.is_verified(), "{guess}");
    }
    assert_eq!(
        step(&mut track, true, &segment(ACK, 1001, 5001, 0)),
        Step::Live
    );
    assert!(track.is_verified());
}

#[test]
fn a_reset_closes_only_with_the_expected_number() {
    for (sequence, outcome) in [
        (0, Step::Live),
        (1, Step::Idle),
        (u32::MAX, Step::Idle),
        (64_000, Step::Idle),
        (64_001, Step::Outside),
        (0x8000_0000, Step::Outside),
    ] {
        let mut track = established();
        let found = step(&mut track, true, &segment(RST, sequence, 0, 0));
        assert_eq!(found, outcome, "{sequence}");
        let closed = track.state() == State::Close;
        assert_eq!(closed, outcome == Step::Live, "{sequence}");
    }
}

#[test]
fn the_states_of_the_end() {
    let mut track = established();
    step(&mut track, true, &segment(FIN | ACK, 0, u32::MAX, 0));
    assert_eq!(track.state(), State::FinWait);
    step(&mut track, false, &segment(ACK, u32::MAX, 1, 9));
    assert_eq!(track.state(), State::FinWait);
    step(&mut track, false, &segment(FIN | ACK, 8, 1, 0));
    assert_eq!(track.state(), State::TimeWait);
    assert_eq!(
        step(&mut track, true, &segment(SYN, 9, 0, 0)),
        Step::Reopens
    );
}

#[test]
fn data_in_the_syn_may_be_acknowledged_in_part() {
    for (acknowledged, good) in [
        (1000, false),
        (1001, true),
        (1005, true),
        (1011, true),
        (1012, false),
    ] {
        let mut track = Track::default();
        open(&segment(SYN, 1000, 0, 10), &mut track);
        step(
            &mut track,
            false,
            &segment(SYN | ACK, 5000, acknowledged, 0),
        );
        assert_eq!(track.state() == State::SynReceived, good, "{acknowledged}");
    }
}

#[test]
fn of_two_cpus_neither_loses_what_the_other_saw() {
    let before = established();
    let (mut one, mut other) = (before, before);
    step(&mut one, true, &segment(FIN | ACK, 0, u32::MAX, 0));
    step(&mut other, false, &segment(ACK, u32::MAX, 0, 9));
    let mut table = before;
    table.take(&one, Moved::Opener);
    table.take(&other, Moved::Responder);
    assert_eq!(table.state(), State::FinWait);
    assert!(table.flags & FIN_OPENER != 0);
}

#[test]
fn an_answer_sent_again_does_not_stand_in_the_way_of_its_acknowledgement() {
    let mut track = Track::default();
    open(&segment(SYN, 0x9000_0000, 0, 0), &mut track);
    let answer = segment(SYN | ACK, 5000, 0x9000_0001, 0);
    assert_eq!(step(&mut track, false, &answer), Step::Live);
    assert_eq!(step(&mut track, false, &answer), Step::Live);
    let last = segment(ACK, 0x9000_0001, 5001, 0);
    assert_eq!(step(&mut track, true, &last), Step::Live);
    assert_eq!(track.state(), State::Established);
}

/// A session taken up by a segment of its opener or its responder.
fn midstream(from_opener: bool, packet: &Packet) -> Track {
    let mut track = Track::default();
    begin_midstream(packet, from_opener, &mut track);
    assert_eq!(track.state(), State::SynReceived);
    track
}

#[test]
fn one_sender_alone_makes_no_verified_session_of_a_stray() {
    let mut track = midstream(true, &segment(ACK, 7000, 90_000, 10));
    for number in 0..5 {
        let more = segment(ACK, 7010 + number * 10, 90_000, 10);
        assert_eq!(step(&mut track, true, &more), Step::Live);
        assert!(!track.is_verified());
    }
    assert_eq!(
        step(&mut track, false, &segment(ACK, 90_000, 7060, 100)),
        Step::Live
    );
    let guess = segment(ACK, 7060, 0x8000_0000, 0);
    assert_eq!(step(&mut track, true, &guess), Step::Outside);
    assert!(!track.is_verified());
    assert_eq!(
        step(&mut track, true, &segment(ACK, 7060, 90_100, 0)),
        Step::Live
    );
    assert_eq!(track.state(), State::Established);
}

#[test]
fn a_session_taken_up_by_its_responder_waits_for_the_opener() {
    let mut track = midstream(false, &segment(ACK, u32::MAX - 10, 7000, 100));
    assert!(!track.is_verified() && track.flags & REPLIED != 0);
    // What was in flight before is acknowledged first.
    let behind = segment(ACK, 7000, u32::MAX - 10, 0);
    assert_eq!(step(&mut track, true, &behind), Step::Live);
    assert!(track.is_verified());
}

#[test]
fn an_adopted_session_takes_its_numbers_from_its_first_segments() {
    let mut track = Track {
        windows: [Window::WIDE_OPEN; 2],
        state: State::Established as u8,
        flags: REPLIED,
        ..Track::default()
    };
    // No number is known that a reset could be believed by.
    assert_eq!(step(&mut track, true, &segment(RST, 0, 0, 0)), Step::Idle);
    assert_eq!(track.state(), State::Established);
    step(&mut track, true, &segment(ACK, 0xf000_0000, 1, 50));
    assert_eq!(track.windows[0].end, 0xf000_0032);
    step(&mut track, false, &segment(RST, 1, 0, 0));
    assert_eq!(track.state(), State::Close);
}

#[test]
fn handshakes_that_were_under_way_when_they_were_adopted_are_completed() {
    let adopted = |state: State| Track {
        windows: [Window::WIDE_OPEN; 2],
        state: state as u8,
        ..Track::default()
    };
    let mut track = adopted(State::SynSent);
    step(&mut track, false, &segment(SYN | ACK, 5000, 1001, 0));
    step(&mut track, true, &segment(ACK, 1001, 5001, 0));
    assert_eq!(track.state(), State::Established);

    let mut track = adopted(State::SynReceived);
    assert_eq!(
        step(&mut track, true, &segment(ACK, 1001, 5001, 8)),
        Step::Live
    );
    step(&mut track, false, &segment(ACK, 5001, 1009, 0));
    step(&mut track, true, &segment(ACK, 1009, 5001, 8));
    assert_eq!(track.state(), State::Established);
}
