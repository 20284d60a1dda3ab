//! The world of the second and third way: a host and its peer, in namespaces whose own stacks are mute.
//!
//! A netfilter chain drops whatever the stacks send and receive, so that the only packets are the case's
//! own. What arrives is seen behind the hook by packet sockets of one type each; what leaves is seen at the
//! other end of the wire.

use std::time::Duration;

use anyhow::{Result, ensure};
use firewall_common::flow::Hook;

use crate::case::packet::{HOST_MAC, PEER_MAC};
use crate::net::packet::{Frame, Tap, Wire};
use crate::net::{End, Netns, Veth};

/// The guarded host and its peer, joined by two wires.
pub struct World {
    /// The host's end of the wire that cases use, `eth0`.
    pub near: End,
    /// The peer's end of it.
    pub far: End,
    /// The host's second interface, `eth1`.
    pub second: End,
}

/// Drops all that a stack sends and receives, behind the hooks.
const MUTE: &str = "table inet mute {\n\
    chain in { type filter hook prerouting priority -400; policy drop; }\n\
    chain out { type filter hook output priority -400; policy drop; }\n\
}\n";

impl World {
    /// Makes it.
    pub fn new() -> Result<Self> {
        let (host, peer) = (Netns::new("case")?, Netns::new("peer")?);
        for ns in [&host, &peer] {
            let ran = ns.command("nft").args(["-f", "-"]).run_with(MUTE)?;
            ensure!(ran.ok(), "nft: {}", ran.err);
        }
        let first = Veth::between(
            (&host, "eth0", &["10.77.0.1/24", "fd77::1/64"]),
            (&peer, "eth0", &["10.77.0.2/24", "fd77::2/64"]),
        );
        let second = Veth::between(
            (&host, "eth1", &["10.78.0.1/24", "fd78::1/64"]),
            (&peer, "eth1", &["10.78.0.2/24", "fd78::2/64"]),
        );
        let (near, far) = first
            .macs(HOST_MAC, PEER_MAC)
            .static_neighbours()
            .create()?;
        let (second, _) = second.static_neighbours().create()?;
        host.ip("route add default via 10.77.0.2\nroute add ::/0 via fd77::2\n")?;
        host.sysctl("ipv4/ip_forward", "1")?;
        host.sysctl("ipv6/conf/all/forwarding", "1")?;
        Ok(Self { near, far, second })
    }

    /// The host's namespace.
    #[must_use]
    pub fn host(&self) -> &Netns {
        &self.near.ns
    }
}

/// Where the taps are that a case needs.
pub struct Taps {
    at_peer: Wire,
    at_host: Wire,
    behind_hook: Vec<Wire>,
}

/// The types that cases send. 4 stands for IEEE 802.2 frames (`ETH_P_802_2`).
const KINDS: [u16; 10] = [
    0x0800, 0x86dd, 0x0806, 0x888e, 0x88cc, 0x8809, 0x88f7, 0x8137, 0x8035, 4,
];

impl Taps {
    /// Opens them.
    pub fn open(world: &World) -> Result<Self> {
        let behind = |kind: &u16| Wire::open(&world.near, Tap::Passed(*kind));
        Ok(Self {
            at_peer: Wire::open(&world.far, Tap::Wire)?,
            at_host: Wire::open(&world.near, Tap::Passed(0x88b5))?,
            behind_hook: KINDS.iter().map(behind).collect::<Result<_>>()?,
        })
    }

    /// Forgets all frames so far.
    pub fn clear(&self) {
        drop(self.arrived());
        drop(self.left());
    }

    /// Sends a frame to or from the host.
    pub fn send(&self, hook: Hook, frame: &[u8]) -> Result<()> {
        match hook {
            Hook::Ingress => self.at_peer.send(frame),
            Hook::Egress => self.at_host.send(frame),
        }
    }

    /// Frames behind the host's ingress hook.
    #[must_use]
    pub fn arrived(&self) -> Vec<Frame> {
        let all = self
            .behind_hook
            .iter()
            .flat_map(|wire| wire.drain(Duration::ZERO));
        all.filter(|frame| !frame.outgoing).collect()
    }

    /// Frames that the peer got.
    #[must_use]
    pub fn left(&self) -> Vec<Frame> {
        self.at_peer
            .drain(Duration::ZERO)
            .into_iter()
            .filter(|frame| !frame.outgoing)
            .collect()
    }
}

/// What follows the link header and all its tags.
#[must_use]
pub fn network_part(frame: &[u8]) -> &[u8] {
    let mut start = 14;
    while let Some(kind) = frame.get(start - 2..start) {
        if !matches!(kind, [0x81, 0x00] | [0x88, 0xa8]) {
            break;
        }
        start += 4;
    }
    frame.get(start..).unwrap_or_default()
}
