//! Guarded hosts that get the same bytes, and what they let by.
//!
//! Each host has one wire to a peer without a stack. Frames are sent there raw; what the host itself sends goes
//! through a raw IP socket, so that every firewall sees it. The host's stack is mute: what it would answer is dropped
//! before anybody sees it. What reaches it is seen in a chain behind every filter, of whole packets: fragments are put
//! together before it in all hosts alike.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::nflog::Log;
use super::step::Step;
use crate::case::packet::{HOST_MAC, PEER_MAC, udp};
use crate::net::packet::{Tap, Wire};
use crate::net::{Command, Host, Netns, Veth, binary};

/// The host's addresses.
pub(super) const HOST: [&str; 2] = ["10.77.0.1", "fd77::1"];
const GATEWAY: [&str; 2] = ["10.77.0.2", "fd77::2"];
/// What the raw socket's packets are marked with.
const MARK: u32 = 7;
const GROUP: u16 = 5;
/// The port that every host lets anybody reach: what comes there marks the end of what was sent before.
pub(super) const MARKER_PORT: u16 = 9;
const PATIENCE: Duration = Duration::from_secs(10);

/// Connection tracking puts fragments together: so it is asked for in every host.
fn observer() -> String {
    format!(
        "table inet observer {{
  chain mute {{ type filter hook output priority -500; meta mark != {MARK} drop; }}
  chain whole {{ type filter hook prerouting priority -100; ct state invalid counter; }}
  chain seen {{ type filter hook input priority 300; log group {GROUP} queue-threshold 1; }}
}}
"
    )
}

/// What a host saw of a packet: its protocol and a digest of what followed the header, in order of arrival.
pub(super) type Seen = BTreeMap<Key, Vec<u64>>;

/// A packet's family and the number that its sender gave it.
pub(super) type Key = (bool, u32);

/// A host behind one firewall.
pub(super) struct Guarded {
    pub(super) name: &'static str,
    ns: Netns,
    near: Wire,
    tap: Wire,
    raw: [OwnedFd; 2],
    log: Log,
    markers: u32,
    /// Kept alive with its host.
    _agent: Option<Host>,
}

impl Guarded {
    /// Behind a real agent, with this in its own file.
    pub(super) fn ringwall(name: &'static str, config: &str, policy: &str) -> Result<Self> {
        let mut guarded = Self::open(name)?;
        let agent = Host::start(&guarded.ns, &["eth0"], config)?;
        let applied = agent.apply(policy)?;
        ensure!(applied.ok(), "not applied: {applied:?}");
        guarded._agent = Some(agent);
        Ok(guarded)
    }

    /// Behind nftables with the exported policy.
    pub(super) fn nftables(policy: &str) -> Result<Self> {
        let guarded = Self::open("nftables")?;
        let export = Command::outside(binary()?).args(["policy", "export", "nft", "-"]);
        let ruleset = export.run_with(policy)?;
        ensure!(ruleset.ok(), "not exported: {ruleset:?}");
        nft(&guarded.ns, &ruleset.out)?;
        Ok(guarded)
    }

    fn open(name: &'static str) -> Result<Self> {
        let (ns, peer) = (Netns::new("guarded")?, Netns::new("peer")?);
        // The peer says nothing by itself.
        peer.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        let own = HOST.map(|ip| format!("{ip}/{}", if ip.contains(':') { 64 } else { 30 }));
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let wire = Veth::between((&ns, "eth0", &own), (&peer, "eth0", &[]));
        let (_, far) = wire.macs(HOST_MAC, PEER_MAC).create()?;
        for family in ["ipv4", "ipv6"] {
            ns.sysctl(&format!("{family}/conf/all/accept_redirects"), "0")?;
            ns.sysctl(&format!("{family}/conf/eth0/accept_redirects"), "0")?;
        }
        // The rest of a packet of which a fragment is missing waits for half a minute: thousands of them must fit.
        for limit in [
            "ipv4/ipfrag",
            "ipv6/ip6frag",
            "netfilter/nf_conntrack_frag6",
        ] {
            ns.sysctl(&format!("{limit}_high_thresh"), "1000000000")?;
        }
        nft(&ns, &observer())?;
        routes(&ns)?;
        let raw = [ns.run(|| raw_socket(false))?, ns.run(|| raw_socket(true))?];
        let (near, tap) = (
            Wire::open(&far, Tap::Passed(0x88b5))?,
            Wire::open(&far, Tap::Wire)?,
        );
        let log = Log::open(&ns, GROUP)?;
        Ok(Self {
            name,
            ns,
            near,
            tap,
            raw,
            log,
            markers: 0,
            _agent: None,
        })
    }

    /// Sends one packet to the host, or from it.
    pub(super) fn send(&self, step: &Step) -> Result<()> {
        if !step.leaves {
            return self.near.send(&step.bytes);
        }
        send_raw(&self.raw, &step.bytes)
    }

    /// Waits until all that was sent so far has been decided, and tells what came through since the last time: what
    /// reached the stack, and what left.
    pub(super) fn settle(&mut self) -> Result<[Seen; 2]> {
        self.markers += 1;
        let number = self.markers;
        let source = |leaves| if leaves { HOST[0] } else { "192.0.2.99" };
        let marker = |leaves: bool| -> Result<Vec<u8>> {
            let ends = [source(leaves), source(!leaves)].map(|ip| ip.parse::<IpAddr>());
            let [from, to] = ends;
            let packet = udp(
                (from?, MARKER_PORT),
                (to?, MARKER_PORT),
                &number.to_be_bytes(),
            );
            Ok(packet.frame())
        };
        self.near.send(&marker(false)?)?;
        send_raw(&self.raw, marker(true)?.get(14..).context("a packet")?)?;
        let (mut arrived, mut left) = (Seen::new(), Seen::new());
        let lost = || format!("{}: a marker is lost", self.name);
        let mut here = false;
        while !here {
            let packets = self.log.next(PATIENCE)?.with_context(lost)?;
            here = packets
                .iter()
                .any(|packet| note(packet, number, &mut arrived));
        }
        let mut there = false;
        while !there {
            let frame = self.tap.receive(PATIENCE).with_context(lost)?;
            let packet = frame.data.get(14..).unwrap_or_default();
            there = !frame.outgoing && note(packet, number, &mut left);
        }
        Ok([arrived, left])
    }
}

fn nft(ns: &Netns, ruleset: &str) -> Result<()> {
    let ran = ns.command("nft").args(["-f", "-"]).run_with(ruleset)?;
    ensure!(ran.ok(), "nft: {}\n{ruleset}", ran.err);
    Ok(())
}

/// All the world is behind the peer.
fn routes(ns: &Netns) -> Result<()> {
    let [a, b, c, d, e, f] = PEER_MAC;
    let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    let lines = GATEWAY.map(|gateway| {
        let all = if gateway.contains(':') { "::/0" } else { "default" };
        format!(
            "neigh replace {gateway} lladdr {mac} dev eth0 nud permanent\nroute add {all} via {gateway}\n"
        )
    });
    ns.ip(&lines.concat())
}

/// Notes a packet under its number; true if it is the marker with this number.
fn note(packet: &[u8], marker: u32, seen: &mut Seen) -> bool {
    let Some((key, protocol, rest)) = identity(packet) else {
        return false;
    };
    let from_marker = rest.get(..4) == Some(&[0, MARKER_PORT as u8, 0, MARKER_PORT as u8]);
    if protocol == 17 && from_marker && !key.0 {
        return rest.get(8..12) == Some(&marker.to_be_bytes());
    }
    seen.entry(key).or_default().push(digest(protocol, rest));
    false
}

/// The number of a packet, its protocol and what follows the header.
fn identity(packet: &[u8]) -> Option<(Key, u8, &[u8])> {
    let first = *packet.first()?;
    if first >> 4 == 4 {
        let id = u16::from_be_bytes(packet.get(4..6)?.try_into().ok()?);
        let start = usize::from(first & 0xf) * 4;
        return Some(((false, id.into()), *packet.get(9)?, packet.get(start..)?));
    }
    let label = u32::from_be_bytes(packet.get(..4)?.try_into().ok()?) & 0xf_ffff;
    (first >> 4 == 6).then_some(((true, label), *packet.get(6)?, packet.get(40..)?))
}

/// FNV-1a.
fn digest(protocol: u8, rest: &[u8]) -> u64 {
    let bytes = [protocol].into_iter().chain(rest.iter().copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn raw_socket(v6: bool) -> std::io::Result<OwnedFd> {
    let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    // SAFETY: no pointers. This protocol: the sender brings the header.
    let fd = unsafe {
        libc::socket(
            family,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::IPPROTO_RAW,
        )
    };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let size = size_of::<u32>() as libc::socklen_t;
    let mark = (&MARK as *const u32).cast();
    // SAFETY: the pointer is to an int of the size given.
    let done =
        unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MARK, mark, size) };
    if done == 0 {
        Ok(fd)
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// Sends an IP packet. That a firewall refuses it is no error here.
fn send_raw(sockets: &[OwnedFd; 2], packet: &[u8]) -> Result<()> {
    use rustix::io::Errno;
    use rustix::net::{SendFlags, sendto};
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
    let v6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let to: IpAddr = if v6 {
        let bytes: [u8; 16] = packet.get(24..40).context("an address")?.try_into()?;
        Ipv6Addr::from(bytes).into()
    } else {
        let bytes: [u8; 4] = packet.get(16..20).context("an address")?.try_into()?;
        Ipv4Addr::from(bytes).into()
    };
    match sendto(
        &sockets[usize::from(v6)],
        packet,
        SendFlags::empty(),
        &SocketAddr::new(to, 0),
    ) {
        Ok(_) => Ok(()),
        // How the two firewalls refuse, and how the stack refuses what no host may send.
        Err(error) => match error {
            Errno::PERM | Errno::NOBUFS | Errno::INVAL | Errno::MSGSIZE => Ok(()),
            other => bail!("sending to {to}: {other}"),
        },
    }
}
