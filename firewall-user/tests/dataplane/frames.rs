//! Frames between the peer and this host, in both families.

use etherparse::{PacketBuilder, PacketBuilderStep};

use crate::lab::{HERE4, HERE6, PEER4, PEER6};

const HERE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The port that the other side always uses.
pub(crate) const FAR: u16 = 40_000;

fn v4(text: &str) -> [u8; 4] {
    text.parse::<std::net::Ipv4Addr>().unwrap().octets()
}

fn v6(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

/// Sequence numbers that the peer and this host begin with.
pub(crate) const PEER_BEGINS: u32 = 1000;
pub(crate) const HERE_BEGINS: u32 = 5000;

/// What a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Syn,
    SynAck,
    Ack,
    Fin,
}

/// A segment of a connection between the peer's port and `port` here; `out`: sent by this host.
pub(crate) fn tcp(version: u8, out: bool, port: u16, kind: Kind, payload: &[u8]) -> Vec<u8> {
    let (from, to) = if out { (port, FAR) } else { (FAR, port) };
    let (own, other) = if out {
        (HERE_BEGINS, PEER_BEGINS)
    } else {
        (PEER_BEGINS, HERE_BEGINS)
    };
    let after_syn = u32::from(!matches!(kind, Kind::Syn | Kind::SynAck));
    let segment = network(version, out).tcp(from, to, own + after_syn, 64_240);
    let segment = match kind {
        Kind::Syn => segment.syn(),
        Kind::SynAck => segment.syn().ack(other + 1),
        Kind::Ack => segment.psh().ack(other + 1),
        Kind::Fin => segment.fin().ack(other + 1),
    };
    let mut frame = Vec::new();
    segment.write(&mut frame, payload).unwrap();
    frame
}

/// A datagram from the peer to `port` here.
pub(crate) fn udp(version: u8, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let step = network(version, false).udp(FAR, port);
    step.write(&mut frame, payload).unwrap();
    frame
}

fn network(version: u8, out: bool) -> PacketBuilderStep<etherparse::IpHeaders> {
    let (own, far) = if out { (HERE, PEER) } else { (PEER, HERE) };
    let link = PacketBuilder::ethernet2(own, far);
    match (version, out) {
        (4, false) => link.ipv4(v4(PEER4), v4(HERE4), 64),
        (4, true) => link.ipv4(v4(HERE4), v4(PEER4), 64),
        (_, false) => link.ipv6(v6(PEER6), v6(HERE6), 64),
        (_, true) => link.ipv6(v6(HERE6), v6(PEER6), 64),
    }
}
