//! What a capture at the other end of the client's wire shows.

use std::collections::BTreeMap;
use std::fmt;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use ringwall_tests::net::packet::Frame;

/// Frames of one attempt, by what they are: those that arrived, and those that went back.
#[derive(Default)]
pub(crate) struct Summary {
    arrived: BTreeMap<&'static str, usize>,
    left: BTreeMap<&'static str, usize>,
}

/// What tells one attempt's frames from others.
#[derive(Clone, Copy)]
pub(crate) enum About {
    /// TCP or UDP to and from this port at the server.
    Port(u16),
    /// Echo requests and replies.
    Ping,
}

impl Summary {
    pub(crate) fn of(frames: &[Frame], about: About) -> Self {
        let mut this = Self::default();
        for frame in frames {
            let Some(what) = describe(&frame.data, about) else {
                continue;
            };
            let side = if frame.outgoing {
                &mut this.left
            } else {
                &mut this.arrived
            };
            *side.entry(what).or_default() += 1;
        }
        this
    }

    /// Something of the client's reached this end.
    pub(crate) fn arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// An answer that opens a conversation went back.
    pub(crate) fn answered(&self) -> bool {
        ["SYN-ACK", "UDP", "echo reply"]
            .iter()
            .any(|what| self.left.contains_key(what))
    }

    /// A refusal went back.
    pub(crate) fn refused(&self) -> bool {
        ["RST", "ICMP error"]
            .iter()
            .any(|what| self.left.contains_key(what))
    }

    /// Anything at all went back.
    pub(crate) fn something_left(&self) -> bool {
        !self.left.is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |what: &BTreeMap<&'static str, usize>| {
            let one = |(name, n): (&&str, &usize)| {
                if *n > 1 {
                    format!("{n} {name}")
                } else {
                    (*name).to_owned()
                }
            };
            // The segments of a conversation say nothing beside its handshake.
            let shown = what
                .iter()
                .filter(|(name, _)| what.len() == 1 || **name != "data");
            let text = shown.map(one).collect::<Vec<_>>().join(", ");
            if text.is_empty() {
                "nothing".to_owned()
            } else {
                text
            }
        };
        f.pad(&format!(
            "in: {}; back: {}",
            side(&self.arrived),
            side(&self.left)
        ))
    }
}

fn describe(frame: &[u8], about: About) -> Option<&'static str> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    matches!(packet.net, Some(NetSlice::Ipv4(_) | NetSlice::Ipv6(_))).then_some(())?;
    match (packet.transport?, about) {
        (TransportSlice::Tcp(tcp), About::Port(port)) => {
            [tcp.source_port(), tcp.destination_port()]
                .contains(&port)
                .then_some(())?;
            Some(match (tcp.syn(), tcp.ack(), tcp.rst()) {
                (_, _, true) => "RST",
                (true, false, _) => "SYN",
                (true, true, _) => "SYN-ACK",
                _ => "data",
            })
        }
        (TransportSlice::Udp(udp), About::Port(port)) => {
            [udp.source_port(), udp.destination_port()]
                .contains(&port)
                .then_some("UDP")
        }
        (TransportSlice::Icmpv4(icmp), about) => icmp_name(icmp.type_u8(), [8, 0, 3], about),
        (TransportSlice::Icmpv6(icmp), about) => icmp_name(icmp.type_u8(), [128, 129, 1], about),
        _ => None,
    }
}

fn icmp_name(kind: u8, [request, reply, error]: [u8; 3], about: About) -> Option<&'static str> {
    match about {
        About::Ping if kind == request => Some("echo request"),
        About::Ping if kind == reply => Some("echo reply"),
        _ => (kind == error).then_some("ICMP error"),
    }
}
