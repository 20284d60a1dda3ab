//! The handshake, its retransmissions and its ends, step by step.

use super::super::{REPLIED, begin as open};
use super::*;

fn segment(flags: u8, sequence: u32, acknowledgement: u32, data: u32) -> Packet {
    let mut packet = Packet {
        tcp_flags: flags,
        sequence,
        acknowledgement,
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
    for guess in [0, 4999, 5000, 5002, u32::MAX] {
        assert_eq!(
            step(&mut track, true, &segment(ACK, 1001, guess, 0)),
            Step::Idle
        );
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
    for (sequence, closes) in [(0, true), (1, false), (u32::MAX, false), (77_777, false)] {
        let mut track = established();
        assert_eq!(
            step(&mut track, true, &segment(RST, sequence, 0, 0)),
            Step::Idle
        );
        assert_eq!(track.state() == State::Close, closes, "{sequence}");
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
    table.take(&one);
    table.take(&other);
    assert_eq!(table.state(), State::FinWait);
    assert!(table.flags & FIN_OPENER != 0);
}
