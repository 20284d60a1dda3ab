//! Conversations: both directions of TCP, UDP and ping, with what goes wrong on a network and what an attacker
//! adds who sees nothing (RFC 5961, RFC 5927).

use std::net::IpAddr;

use super::step::{Maker, host};
use crate::case::packet::{self, Packet, flag};

pub(super) const WINDOW: u32 = 64_000;

/// One TCP conversation as both ends see it: who opened it, and the next sequence number of each end.
pub(super) struct Talk {
    pub(super) ends: [(IpAddr, u16); 2],
    pub(super) next: [u32; 2],
    /// The host opened it.
    pub(super) host_opens: bool,
}

impl Talk {
    pub(super) fn new(maker: &mut Maker) -> Self {
        let v6 = maker.v6();
        let (peer, high) = (maker.peer(v6), maker.high_port());
        let host_opens = maker.chance(3);
        let port = if maker.chance(3) {
            maker.port()
        } else {
            maker.pick(&[22, 80, 443, 8080])
        };
        let ends = if host_opens {
            [(host(v6), high), (peer, port)]
        } else {
            [(peer, high), (host(v6), port)]
        };
        let next = [0; 2].map(|_: i32| maker.below(1 << 32) as u32);
        Self {
            ends,
            next,
            host_opens,
        }
    }

    /// A segment of one end, as its neighbour expects it, so many bytes from where that end is.
    pub(super) fn segment(&self, end: usize, flags: u8, ahead: i64) -> Packet {
        let sequence = self.next[end].wrapping_add(ahead as u32);
        let acknowledgement = if flags & flag::ACK == 0 {
            0
        } else {
            self.next[1 - end]
        };
        packet::tcp(
            self.ends[end],
            self.ends[1 - end],
            flags,
            sequence,
            acknowledgement,
        )
    }

    /// Sends it in the direction in which it goes.
    pub(super) fn send(&self, maker: &mut Maker, end: usize, packet: &Packet) {
        if (end == 0) == self.host_opens {
            maker.leave(packet);
        } else {
            maker.arrive(packet);
        }
    }

    pub(super) fn say(&mut self, maker: &mut Maker, end: usize, flags: u8, data: usize) {
        let packet = self.segment(end, flags, 0).data(&vec![0x61; data]);
        self.send(maker, end, &packet);
        let counts = u32::from(flags & (flag::SYN | flag::FIN) != 0);
        self.next[end] = self.next[end].wrapping_add(data as u32 + counts);
    }

    pub(super) fn open(&mut self, maker: &mut Maker) {
        self.say(maker, 0, flag::SYN, 0);
        if maker.chance(4) {
            // The SYN again.
            self.next[0] = self.next[0].wrapping_sub(1);
            self.say(maker, 0, flag::SYN, 0);
        }
        self.say(maker, 1, flag::SYN | flag::ACK, 0);
        self.say(maker, 0, flag::ACK, 0);
    }

    pub(super) fn exchange(&mut self, maker: &mut Maker) {
        for _ in 0..1 + maker.below(4) {
            let end = maker.below(2) as usize;
            let size = maker.below(900) as usize;
            match maker.below(6) {
                // Again.
                0 => {
                    let packet = self
                        .segment(end, flag::ACK | flag::PSH, 0)
                        .data(&vec![0x61; size]);
                    self.send(maker, end, &packet);
                    self.say(maker, end, flag::ACK | flag::PSH, size);
                }
                // The second before the first.
                1 => {
                    let later = self.segment(end, flag::ACK, size as i64).data(&[0x62; 100]);
                    self.send(maker, end, &later);
                    self.say(maker, end, flag::ACK, size);
                    self.say(maker, end, flag::ACK, 100);
                }
                _ => self.say(maker, end, flag::ACK | flag::PSH, size),
            }
            self.say(maker, 1 - end, flag::ACK, 0);
        }
    }

    /// Who sees nothing guesses: far from every window.
    fn inject(&mut self, maker: &mut Maker) {
        let far = i64::from(WINDOW) * 20 + maker.below(1 << 28) as i64;
        let far = if maker.chance(2) { far } else { -far };
        let end = usize::from(self.host_opens);
        let flags = maker.pick(&[
            flag::RST,
            flag::RST | flag::ACK,
            flag::FIN | flag::ACK,
            flag::ACK | flag::PSH,
        ]);
        let packet = self.segment(end, flags, far).data(&[0x66; 20]);
        maker.arrive(&packet);
    }

    pub(super) fn close(&mut self, maker: &mut Maker) {
        let first = maker.below(2) as usize;
        if maker.chance(4) {
            let reset = self.segment(first, flag::RST | flag::ACK, 0);
            return self.send(maker, first, &reset);
        }
        self.say(maker, first, flag::FIN | flag::ACK, 0);
        self.say(maker, 1 - first, flag::ACK, 0);
        // Half closed: the other goes on.
        self.say(maker, 1 - first, flag::ACK | flag::PSH, 50);
        self.say(maker, first, flag::ACK, 0);
        self.say(maker, 1 - first, flag::FIN | flag::ACK, 0);
        self.say(maker, first, flag::ACK, 0);
    }
}

/// A TCP conversation from its beginning, most often to its end.
pub(super) fn tcp(maker: &mut Maker) {
    maker.class("conversations");
    let mut talk = Talk::new(maker);
    talk.open(maker);
    talk.exchange(maker);
    if maker.chance(2) {
        maker.class("blind injection");
        talk.inject(maker);
        maker.class("conversations");
        talk.exchange(maker);
    }
    if maker.chance(3) {
        maker.class("icmp errors");
        about(maker, &talk.segment(0, flag::ACK, 0), talk.host_opens);
        maker.class("conversations");
        talk.exchange(maker);
    }
    if maker.chance(4) {
        return;
    }
    talk.close(maker);
    if maker.chance(6) {
        // The same ports again.
        talk.next[0] = talk.next[0].wrapping_add(1_000_000);
        talk.next[1] = talk.next[1].wrapping_add(5_000_000);
        talk.open(maker);
        talk.exchange(maker);
    }
}

/// A SYN-ACK, ACK or RST that belongs to nothing, and one that comes too late.
pub(super) fn strays(maker: &mut Maker) {
    maker.class("strays");
    let talk = Talk::new(maker);
    let end = usize::from(talk.host_opens);
    let flags = maker.pick(&[
        flag::SYN | flag::ACK,
        flag::ACK,
        flag::RST,
        flag::FIN | flag::ACK,
        flag::ACK | flag::PSH,
    ]);
    maker.arrive(&talk.segment(end, flags, 0));
}

/// Both ends open at once (RFC 9293 section 3.5).
pub(super) fn simultaneous(maker: &mut Maker) {
    maker.class("simultaneous open");
    let mut talk = Talk::new(maker);
    talk.host_opens = true;
    let v6 = talk.ends[0].0.is_ipv6();
    talk.ends[0].0 = host(v6);
    talk.ends[1].0 = maker.peer(v6);
    for end in [0, 1] {
        talk.send(maker, end, &talk.segment(end, flag::SYN, 0));
        talk.next[end] = talk.next[end].wrapping_add(1);
    }
    for end in [1, 0] {
        let answer = talk.segment(end, flag::SYN | flag::ACK, -1);
        talk.send(maker, end, &answer);
    }
    talk.exchange(maker);
}

/// UDP or ping, some exchanges, and an error about it.
pub(super) fn datagrams(maker: &mut Maker) {
    maker.class("datagrams");
    let v6 = maker.v6();
    let (peer, high, port) = (maker.peer(v6), maker.high_port(), maker.port());
    let host_opens = maker.chance(2);
    let (near, far) = (host(v6), peer);
    let (asks, answers) = if host_opens { (near, far) } else { (far, near) };
    let pinged = maker.chance(4);
    let question = match pinged {
        true => packet::ping(asks, answers, high),
        false => packet::udp((asks, high), (answers, port), b"question"),
    };
    let answer = match pinged {
        true => packet::pong(answers, asks, high),
        false => packet::udp((answers, port), (asks, high), b"answer"),
    };
    for _ in 0..1 + maker.below(3) {
        for (packet, leaves) in [(&question, host_opens), (&answer, !host_opens)] {
            if leaves {
                maker.leave(packet)
            } else {
                maker.arrive(packet)
            }
        }
    }
    if maker.chance(2) {
        maker.class("icmp errors");
        about(maker, &question, host_opens);
    }
}

/// ICMP errors that quote a packet: of the live conversation, in the right direction or the wrong one, of another,
/// to somebody else.
fn about(maker: &mut Maker, quoted: &Packet, host_sent: bool) {
    let v6 = quoted.source.is_ipv6();
    let kinds: &[(u8, u8)] = match v6 {
        false => &[
            (3, 0),
            (3, 1),
            (3, 3),
            (3, 4),
            (3, 13),
            (4, 0),
            (5, 0),
            (11, 0),
            (12, 0),
        ],
        true => &[(1, 0), (1, 1), (1, 4), (2, 0), (3, 0), (4, 0), (4, 1)],
    };
    let (kind, code) = maker.pick(kinds);
    let mut quoted = quoted.clone();
    let router = maker.peer(v6);
    match maker.below(5) {
        // Never sent.
        0 => quoted.body[..2].copy_from_slice(&[0xfe, 0xdc]),
        // Only eight bytes of it.
        1 => quoted = quoted.cut(8),
        _ => {}
    }
    let to = if maker.chance(6) || !host_sent {
        host(v6)
    } else {
        quoted.source
    };
    let error = packet::icmp(router, to, kind, code, 1300, &quoted.quote());
    maker.arrive(&error);
}

/// Errors that quote nothing that was ever there.
pub(super) fn errors(maker: &mut Maker) {
    maker.class("icmp errors");
    let v6 = maker.v6();
    let (from, to) = (
        (host(v6), maker.high_port()),
        (maker.peer(v6), maker.port()),
    );
    let quoted = if maker.chance(2) {
        packet::syn(from, to)
    } else {
        packet::udp(from, to, b"never")
    };
    about(maker, &quoted, true);
}

/// Every type of ICMP without a session.
pub(super) fn messages(maker: &mut Maker) {
    maker.class("icmp types");
    let v6 = maker.v6();
    let (kind, code) = (maker.below(256) as u8, maker.pick(&[0, 0, 1]));
    let packet = packet::icmp(maker.peer(v6), host(v6), kind, code, 0x1234_0001, &[0; 24]);
    maker.arrive(&packet);
}
