//! TCP conversations that meet what is rare: one end restarts, windows close, segments are lost before or behind the
//! firewall, somebody who sees nothing guesses (RFC 9293, RFC 5961). Both ends answer as the RFCs have it.

use super::step::Maker;
use super::talks::{Talk, WINDOW};
use crate::case::packet::{Packet, flag};

const DATA: u8 = flag::ACK | flag::PSH;

/// Something rare; false where the conversation is over with it.
type Moment = (&'static str, fn(&mut Talk, &mut Maker) -> bool);

const MOMENTS: [Moment; 16] = [
    ("keep-alives", keep_alive),
    ("closed windows", closed_window),
    ("losses", lost_before),
    ("losses", lost_behind),
    ("reordering", burst),
    ("old segments", old_segment),
    ("restarts", opener_restarts),
    ("restarts", both_begin_anew),
    ("late answers", late_answer),
    ("blind resets", blind_reset),
    ("blind openings", blind_syn),
    ("blind openings", blind_answer),
    ("blind data", blind_data),
    ("odd flags", odd_flags),
    ("aborts", abort),
    ("ends", ends),
];

/// A conversation with some rare moments.
pub(super) fn rare(maker: &mut Maker) {
    maker.class("conversations");
    let mut talk = Talk::new(maker);
    if maker.chance(3) {
        // Numbers that wrap soon.
        talk.next = talk
            .next
            .map(|_| 0_u32.wrapping_sub(maker.below(3000) as u32));
    }
    maker.class("handshakes");
    begin(&mut talk, maker);
    for _ in 0..1 + maker.below(3) {
        maker.class("conversations");
        talk.exchange(maker);
        let (class, moment) = maker.pick(&MOMENTS);
        maker.class(class);
        if !moment(&mut talk, maker) {
            return;
        }
    }
    talk.exchange(maker);
}

/// A handshake, with what may come in between.
fn begin(talk: &mut Talk, maker: &mut Maker) {
    match maker.below(6) {
        0 => refused_once(talk, maker),
        1 => stale_answer(talk, maker),
        2 => return fast_open(talk, maker),
        3 => return scaled(talk, maker),
        4 => {
            // Given up, and begun again with other numbers.
            talk.send(maker, 0, &talk.segment(0, flag::SYN, 0));
            talk.next[0] = talk.next[0].wrapping_add(1 + maker.below(1 << 30) as u32);
        }
        _ => {}
    }
    talk.open(maker);
}

/// Nobody listened yet: a reset whose sequence number is zero (RFC 9293 section 3.10.7.1).
fn refused_once(talk: &mut Talk, maker: &mut Maker) {
    talk.send(maker, 0, &talk.segment(0, flag::SYN, 0));
    let refusal = talk.segment(1, flag::RST | flag::ACK, 0);
    let acknowledged = talk.next[0].wrapping_add(1);
    talk.send(maker, 1, &numbered(&refusal, 0, acknowledged));
    talk.next[0] = talk.next[0].wrapping_add(1 + maker.below(1 << 30) as u32);
}

/// A segment of an older connection answers; the opener resets it and goes on (RFC 9293 section 3.5.1). It is no SYN-ACK:
/// for connection tracking the real one is often out of window after that, and the connection is lost.
fn stale_answer(talk: &mut Talk, maker: &mut Maker) {
    talk.send(maker, 0, &talk.segment(0, flag::SYN, 0));
    let (own, other) = (maker.below(1 << 32) as u32, maker.below(1 << 32) as u32);
    let answer = talk.segment(1, flag::ACK, 0);
    talk.send(maker, 1, &numbered(&answer, own, other));
    let reset = talk.segment(0, flag::RST, 0);
    talk.send(maker, 0, &numbered(&reset, other, 0));
}

/// Data in the SYN, taken or not (RFC 7413).
fn fast_open(talk: &mut Talk, maker: &mut Maker) {
    let size = 1 + maker.below(900) as u32;
    let syn = talk
        .segment(0, flag::SYN, 0)
        .data(&vec![0x61; size as usize]);
    talk.send(maker, 0, &syn);
    let taken = if maker.chance(2) { size } else { 0 };
    talk.next[0] = talk.next[0].wrapping_add(1 + taken);
    talk.say(maker, 1, flag::SYN | flag::ACK, 0);
    talk.say(maker, 0, flag::ACK, 0);
}

/// Both offer to scale their windows, or only one does (RFC 7323 section 2).
fn scaled(talk: &mut Talk, maker: &mut Maker) {
    for (end, flags) in [(0, flag::SYN), (1, flag::SYN | flag::ACK)] {
        let scale = maker.pick(&[0, 2, 7, 14]);
        let packet = talk.segment(end, flags, 0);
        let packet = if maker.chance(5) {
            packet
        } else {
            packet.tcp_options(&[2, 4, 5, 180, 4, 2, 3, 3, scale, 1, 1, 1])
        };
        talk.send(maker, end, &packet);
        talk.next[end] = talk.next[end].wrapping_add(1);
    }
    talk.say(maker, 0, flag::ACK, 0);
}

fn keep_alive(talk: &mut Talk, maker: &mut Maker) -> bool {
    let end = maker.below(2) as usize;
    let size = maker.below(2) as usize;
    for _ in 0..1 + maker.below(3) {
        let probe = talk.segment(end, flag::ACK, -1).data(&vec![0; size]);
        talk.send(maker, end, &probe);
        talk.say(maker, 1 - end, flag::ACK, 0);
    }
    true
}

/// One end takes nothing for a while; the other probes with a byte (RFC 9293 section 3.8.6.1).
fn closed_window(talk: &mut Talk, maker: &mut Maker) -> bool {
    let end = maker.below(2) as usize;
    let closed = window(talk.segment(end, flag::ACK, 0), 0);
    talk.send(maker, end, &closed);
    for _ in 0..1 + maker.below(3) {
        let probe = talk.segment(1 - end, flag::ACK, 0).data(&[0x70]);
        talk.send(maker, 1 - end, &probe);
        talk.send(maker, end, &closed);
    }
    talk.say(maker, end, flag::ACK, 0);
    true
}

/// Segments that were lost before they came here: what follows is ahead, and is asked for again.
fn lost_before(talk: &mut Talk, maker: &mut Maker) -> bool {
    let (end, size) = (maker.below(2) as usize, 1 + maker.below(1200));
    for number in 1..=1 + maker.below(5) as i64 {
        let ahead = talk.segment(end, DATA, number * size as i64);
        talk.send(maker, end, &ahead.data(&vec![0x6c; size as usize]));
        talk.say(maker, 1 - end, flag::ACK, 0);
    }
    talk.say(maker, end, DATA, size as usize);
    true
}

/// Segments that are lost behind the firewall: they come again, more than once.
fn lost_behind(talk: &mut Talk, maker: &mut Maker) -> bool {
    let (end, size) = (maker.below(2) as usize, maker.below(1200) as usize);
    let packet = talk.segment(end, DATA, 0).data(&vec![0x6d; size]);
    for _ in 0..1 + maker.below(6) {
        talk.send(maker, end, &packet);
    }
    talk.say(maker, end, DATA, size);
    talk.say(maker, 1 - end, flag::ACK, 0);
    true
}

/// A window full of segments in any order, acknowledged at the end.
fn burst(talk: &mut Talk, maker: &mut Maker) -> bool {
    let (end, size) = (maker.below(2) as usize, 1000);
    let count = 2 + maker.below(12) as usize;
    let mut order: Vec<usize> = (0..count).collect();
    for at in 0..count {
        order.swap(at, maker.below(count as u64) as usize);
    }
    for number in order {
        let packet = talk.segment(end, DATA, (number * size) as i64);
        talk.send(maker, end, &packet.data(&vec![0x6e; size]));
    }
    talk.next[end] = talk.next[end].wrapping_add((count * size) as u32);
    talk.say(maker, 1 - end, flag::ACK, 0);
    true
}

/// What was delayed for long: data, or an acknowledgement, from before.
fn old_segment(talk: &mut Talk, maker: &mut Maker) -> bool {
    let (end, back) = (maker.below(2) as usize, maker.below(60_000) as i64);
    let data = if maker.chance(2) { 500 } else { 0 };
    let old = talk.segment(end, flag::ACK, -back).data(&vec![0x6f; data]);
    talk.send(maker, end, &old);
    talk.say(maker, 1 - end, flag::ACK, 0);
    true
}

/// RFC 9293 section 3.5.1, figure 9: SYN, challenge, reset with the number challenged, SYN.
fn opener_restarts(talk: &mut Talk, maker: &mut Maker) -> bool {
    let old = talk.next[0];
    let fresh = maker.below(1 << 32) as u32;
    let syn = numbered(&talk.segment(0, flag::SYN, 0), fresh, 0);
    talk.send(maker, 0, &syn);
    talk.say(maker, 1, flag::ACK, 0);
    let reset = numbered(&talk.segment(0, flag::RST, 0), old, 0);
    talk.send(maker, 0, &reset);
    talk.next = [fresh, maker.below(1 << 32) as u32];
    talk.open(maker);
    true
}

/// Neither end knows of the connection any more; only what is between them does.
fn both_begin_anew(talk: &mut Talk, maker: &mut Maker) -> bool {
    talk.next = talk.next.map(|_| maker.below(1 << 32) as u32);
    talk.open(maker);
    true
}

/// The answer to the SYN once more, and its acknowledgement.
fn late_answer(talk: &mut Talk, maker: &mut Maker) -> bool {
    let answer = talk.segment(1, flag::SYN | flag::ACK, -(1 + maker.below(2000) as i64));
    talk.send(maker, 1, &answer);
    talk.say(maker, 0, flag::ACK, 0);
    true
}

/// Near the number that is expected: the host challenges it and goes on (RFC 5961 section 3.2).
fn blind_reset(talk: &mut Talk, maker: &mut Maker) -> bool {
    let away = guess(maker);
    let flags = maker.pick(&[flag::RST, flag::RST | flag::ACK]);
    let reset = talk.segment(talk.outer(), flags, away);
    maker.arrive(&reset);
    talk.challenge(maker);
    true
}

/// A SYN of somebody who sees nothing: the host challenges it (RFC 5961 section 4.2).
fn blind_syn(talk: &mut Talk, maker: &mut Maker) -> bool {
    let away = guess(maker);
    maker.arrive(&talk.segment(talk.outer(), flag::SYN, away));
    talk.challenge(maker);
    true
}

fn blind_answer(talk: &mut Talk, maker: &mut Maker) -> bool {
    let away = guess(maker);
    maker.arrive(&talk.segment(talk.outer(), flag::SYN | flag::ACK, away));
    talk.challenge(maker);
    true
}

/// Right in one number and wrong in the other, or in both (RFC 5961 section 5).
fn blind_data(talk: &mut Talk, maker: &mut Maker) -> bool {
    let (end, away, other) = (talk.outer(), guess(maker), guess(maker));
    let flags = maker.pick(&[DATA, flag::ACK, flag::FIN | flag::ACK]);
    let packet = talk.segment(end, flags, 0).data(&[0x64; 20]);
    let (sequence, acknowledgement) = (talk.next[end], talk.next[1 - end]);
    let ahead = |number: u32, by: i64| number.wrapping_add(by as u32);
    let packet = match maker.below(3) {
        0 => numbered(&packet, ahead(sequence, away), acknowledgement),
        1 => numbered(&packet, sequence, ahead(acknowledgement, other)),
        _ => numbered(
            &packet,
            ahead(sequence, away),
            ahead(acknowledgement, other),
        ),
    };
    maker.arrive(&packet);
    talk.challenge(maker);
    true
}

/// Every combination, with the right numbers.
fn odd_flags(talk: &mut Talk, maker: &mut Maker) -> bool {
    let flags = maker.below(256) as u8 & !(flag::RST | flag::FIN);
    let packet = talk.segment(talk.outer(), flags, 0);
    maker.arrive(&packet);
    talk.challenge(maker);
    true
}

/// One end gives up with data under way.
fn abort(talk: &mut Talk, maker: &mut Maker) -> bool {
    let end = maker.below(2) as usize;
    talk.say(maker, end, DATA, 100);
    let flags = maker.pick(&[flag::RST, flag::RST | flag::ACK]);
    let reset = talk.segment(end, flags, 0);
    talk.send(maker, end, &reset);
    if maker.chance(2) {
        // What was under way in the other direction, and its reset.
        talk.say(maker, 1 - end, DATA, 60);
        talk.send(maker, end, &reset);
    }
    again(talk, maker)
}

/// Both finish, in turn or at once, with what comes again; late segments follow.
fn ends(talk: &mut Talk, maker: &mut Maker) -> bool {
    let first = maker.below(2) as usize;
    let size = maker.below(3) as usize * 50;
    talk.say(maker, first, flag::FIN | flag::ACK, size);
    if maker.chance(2) {
        // At once: it has not seen the other's.
        let crossing = talk.segment(1 - first, flag::FIN | flag::ACK, 0);
        let seen = talk.next[first].wrapping_sub(1 + size as u32);
        let packet = numbered(&crossing, talk.next[1 - first], seen);
        talk.send(maker, 1 - first, &packet);
        talk.next[1 - first] = talk.next[1 - first].wrapping_add(1);
        talk.say(maker, first, flag::ACK, 0);
        talk.say(maker, 1 - first, flag::ACK, 0);
    } else {
        talk.say(maker, 1 - first, flag::FIN | flag::ACK, 0);
        talk.say(maker, first, flag::ACK, 0);
    }
    if maker.chance(2) {
        // The last acknowledgement was lost.
        let again = talk.segment(1 - first, flag::FIN | flag::ACK, -1);
        talk.send(maker, 1 - first, &again);
        talk.say(maker, first, flag::ACK, 0);
    }
    again(talk, maker)
}

/// The same ports again after an end, by the same opener, most often with higher numbers.
fn again(talk: &mut Talk, maker: &mut Maker) -> bool {
    if maker.chance(2) {
        return false;
    }
    let far = if maker.chance(3) { 1 << 32 } else { 1 << 30 };
    talk.next = talk
        .next
        .map(|next| next.wrapping_add(1 + maker.below(far) as u32));
    talk.open(maker);
    true
}

impl Talk {
    /// The end that is not the host: in its name others may send.
    fn outer(&self) -> usize {
        usize::from(self.host_opens)
    }

    /// What the host says to a segment that cannot be right, if it has come there; harmless where not. It is no guess any
    /// more, and neither is what follows.
    fn challenge(&mut self, maker: &mut Maker) {
        maker.class("conversations");
        self.say(maker, 1 - self.outer(), flag::ACK, 0);
    }
}

/// How far a guess is away: by little, by a window, by much; ahead or behind.
fn guess(maker: &mut Maker) -> i64 {
    let window = u64::from(WINDOW);
    let far = match maker.below(4) {
        0 => 1 + maker.below(3),
        1 => maker.below(window),
        2 => window - 20 + maker.below(40),
        _ => 3 * window + maker.below(1 << 30),
    } as i64;
    if maker.chance(2) { far } else { -far }
}

/// With these numbers.
fn numbered(packet: &Packet, sequence: u32, acknowledgement: u32) -> Packet {
    let mut packet = packet.clone();
    packet.body[4..8].copy_from_slice(&sequence.to_be_bytes());
    packet.body[8..12].copy_from_slice(&acknowledgement.to_be_bytes());
    packet
}

/// With this window.
fn window(packet: Packet, window: u16) -> Packet {
    let [high, low] = window.to_be_bytes();
    packet.with_byte(14, high).with_byte(15, low)
}
