//! What is sent: one packet, with the number by which it is known again.

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;

use super::world::{HOST, Key, MARKER_PORT};
use crate::case::packet::{HOST_MAC, PEER_MAC, Packet};
use crate::scenario::Random;

/// One packet to all hosts, or from all.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// What kind it is of.
    pub(super) class: &'static str,
    /// Does the host send it?
    pub(super) leaves: bool,
    /// Its number; fragments of one packet share it, so do packets that pretend to.
    pub(super) key: Key,
    /// A whole frame, or for what the host sends an IP packet.
    pub(super) bytes: Vec<u8>,
}

impl Step {
    /// With a link header, also where the host sends it.
    pub(super) fn framed(&self) -> Vec<u8> {
        if !self.leaves {
            return self.bytes.clone();
        }
        let ethertype: [u8; 2] = if self.key.0 { [0x86, 0xdd] } else { [8, 0] };
        [&PEER_MAC[..], &HOST_MAC, &ethertype, &self.bytes].concat()
    }
}

/// Makes packets by chance, in order.
pub(super) struct Maker {
    pub(super) random: Random,
    pub(super) steps: Vec<Step>,
    class: &'static str,
    next: u32,
}

/// Ports that the policy or the stack treats in some way of its own, and a few that nobody names.
const PORTS: [u16; 18] = [
    22, 25, 53, 80, 113, 123, 161, 443, 514, 546, 547, 67, 68, 1900, 2905, 5353, 8080, 40_000,
];
const TRUSTED: [&str; 2] = ["10.88.0.", "fd88::"];
const STRANGER: [&str; 2] = ["203.0.113.", "2001:db8:5::"];
const BANNED: [&str; 2] = ["198.51.100.", "2001:db8:bad::"];

impl Maker {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::from_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            steps: Vec::new(),
            class: "",
            next: 0,
        }
    }

    /// Of which kind the packets are that follow.
    pub(super) fn class(&mut self, class: &'static str) {
        self.class = class;
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.random.below(end)
    }

    /// Once in so many times.
    pub(super) fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    pub(super) fn v6(&mut self) -> bool {
        self.chance(2)
    }

    pub(super) fn port(&mut self) -> u16 {
        if self.chance(6) {
            // Never the marker's.
            return MARKER_PORT + 1 + self.below(65_000) as u16;
        }
        self.pick(&PORTS)
    }

    /// A port of a client.
    pub(super) fn high_port(&mut self) -> u16 {
        10_000 + self.below(50_000) as u16
    }

    /// Somebody beyond the wire: trusted, a stranger, or banned.
    pub(super) fn peer(&mut self, v6: bool) -> IpAddr {
        let nets = [TRUSTED, STRANGER, STRANGER, BANNED];
        let net = self.pick(&nets)[usize::from(v6)];
        let number = 1 + self.below(254);
        let text = if v6 {
            format!("{net}{number:x}")
        } else {
            format!("{net}{number}")
        };
        text.parse().expect("an address")
    }

    /// The next packet's number.
    pub(super) fn key(&mut self, v6: bool) -> Key {
        self.next += 1;
        let all = if v6 { 0xf_ffff } else { 0xffff };
        (v6, 1 + self.next % (all - 1))
    }

    /// Sends a packet to the host under a number of its own.
    pub(super) fn arrive(&mut self, packet: &Packet) {
        let key = self.key(packet.source.is_ipv6());
        self.arrive_as(packet, key);
    }

    /// Sends it under this number.
    pub(super) fn arrive_as(&mut self, packet: &Packet, key: Key) {
        let mut bytes = packet.frame();
        let start = network(&bytes);
        stamp(&mut bytes, start, key);
        self.push(false, key, bytes);
    }

    /// The host sends a packet.
    pub(super) fn leave(&mut self, packet: &Packet) {
        let key = self.key(packet.source.is_ipv6());
        let mut bytes = packet.frame().split_off(14);
        stamp(&mut bytes, 0, key);
        self.push(true, key, bytes);
    }

    /// Sends a frame as it is.
    pub(super) fn push(&mut self, leaves: bool, key: Key, bytes: Vec<u8>) {
        let class = self.class;
        self.steps.push(Step {
            class,
            leaves,
            key,
            bytes,
        });
    }
}

/// The host.
pub(super) fn host(v6: bool) -> IpAddr {
    HOST[usize::from(v6)].parse().expect("an address")
}

/// Where the network header begins, behind any tags.
pub(super) fn network(frame: &[u8]) -> usize {
    let mut start = 14;
    while matches!(frame.get(start - 2..start), Some([0x81, 0] | [0x88, 0xa8])) {
        start += 4;
    }
    start
}

/// Writes the number into a packet: the identification of IPv4, with the checksum, or IPv6's flow label.
pub(super) fn stamp(bytes: &mut [u8], start: usize, (v6, number): Key) {
    let Some(header) = bytes.get_mut(start..) else {
        return;
    };
    if v6 {
        if let Some([_, a, b, c]) = header.get_mut(..4) {
            let [_, high, middle, low] = number.to_be_bytes();
            (*a, *b, *c) = (*a & 0xf0 | high & 0xf, middle, low);
        }
        return;
    }
    let length = usize::from(header.first().copied().unwrap_or_default() & 0xf) * 4;
    if let Some(id) = header.get_mut(4..6) {
        id.copy_from_slice(&(number as u16).to_be_bytes());
    }
    if let Some(header) = header.get_mut(..length).filter(|header| header.len() >= 20) {
        header[10..12].fill(0);
        let sum = Sum16BitWords::new().add_slice(header).ones_complement();
        header[10..12].copy_from_slice(&sum.to_ne_bytes());
    }
}
