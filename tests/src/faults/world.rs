//! A host with three ways to one peer, two of them guarded, and fresh addresses at the peer for each fault.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::net::{End, Host, Netns, Veth, wait_until};

/// The host's address on its first link, which all faults are about.
#[must_use]
pub fn own(v6: bool) -> IpAddr {
    let text = if v6 { "fd90::1" } else { "10.90.0.1" };
    text.parse().expect("an address")
}

/// The world.
pub struct World {
    /// The host with its agent.
    pub host: Host,
    /// The host's namespace.
    pub ns: Netns,
    /// The peer's namespace.
    pub peer: Netns,
    /// The host's end of its first link.
    pub first: End,
    /// The peer's end of the host's first link.
    pub far: End,
    fresh: AtomicU16,
}

/// A place at the peer that nothing else has used.
#[derive(Debug, Clone, Copy)]
pub struct Fresh {
    /// Its address.
    pub address: IpAddr,
    /// A port that the policy lets in, and out.
    pub port: u16,
    /// Its number.
    pub number: u16,
    /// It is IPv6.
    pub v6: bool,
}

impl Fresh {
    /// Its address and port.
    #[must_use]
    pub const fn there(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// The port at the host.
    #[must_use]
    pub fn here(self) -> SocketAddr {
        SocketAddr::new(own(self.v6), self.port)
    }

    /// `ip` or `ip6`, as nftables says.
    #[must_use]
    pub const fn family(self) -> &'static str {
        if self.v6 { "ip6" } else { "ip" }
    }

    /// The prefix of its one address.
    #[must_use]
    pub fn prefix(self) -> String {
        format!("{}/{}", self.address, if self.v6 { 128 } else { 32 })
    }
}

const POLICY: &str = "apiVersion: ringwall/v1
metadata: {name: faults, revision: 1, owner: tests}
unmatched: {inbound: deny, outbound: allow, routed: deny}
zones:
  world: {default: true}
policies:
  - name: in
    from: any
    to: host
    rules:
      - {name: open, action: allow, services: [tcp/10000-29999], reason: a test, owner: tests}
    default: deny
  - name: out
    from: host
    to: any
    rules:
      - {name: shut, action: deny, services: [tcp/30000-39999], reason: a test, owner: tests}
    default: allow
";

const LINKS: [(&str, &str, u8); 3] = [
    ("up0", "far0", 90),
    ("up1", "far1", 91),
    ("up2", "far2", 92),
];

const TABLES: &str = "table inet faults {
  chain early { type filter hook prerouting priority -300; }
  chain in { type filter hook input priority 0; }
  chain out { type filter hook output priority 0; }
}
";

impl World {
    /// Makes it, with an agent that guards the first two links.
    pub fn new() -> Result<Self> {
        let (ns, peer) = (Netns::new("host")?, Netns::new("far")?);
        let mut ends = Vec::new();
        for (here, there, net) in LINKS {
            let at = |n: u8| [format!("10.{net}.0.{n}/16"), format!("fd{net}::{n}/64")];
            let (own, far) = (at(1), at(9));
            let (own, far) = ([&*own[0], &own[1]], [&*far[0], &far[1]]);
            let wire = Veth::between((&ns, here, &own), (&peer, there, &far));
            // Asking for a neighbour would be subject to the reverse path, too.
            ends.push(wire.static_neighbours().create()?);
        }
        ns.ip("route add default via 10.90.0.9\nroute add ::/0 via fd90::9\n")?;
        ns.sysctl("ipv4/conf/up1/rp_filter", "1")?;
        for ns in [&ns, &peer] {
            let made = ns.command("nft").args(["-f", "-"]).run_with(TABLES)?;
            ensure!(made.ok(), "{made:?}");
        }
        let host = Host::start(&ns, &["up0", "up1"], "")?;
        let applied = host.apply(POLICY)?;
        ensure!(applied.ok(), "{applied:?}");
        // What is dropped before the agent listens is not evidence.
        let listens = || host.log().contains("the kernel tells what").then_some(());
        wait_until(Duration::from_secs(20), listens).context("the agent hears the kernel")?;
        let (first, far) = ends.into_iter().next().context("a link")?;
        Ok(Self {
            host,
            ns,
            peer,
            first,
            far,
            fresh: AtomicU16::new(0),
        })
    }

    /// Another place at the peer.
    pub fn fresh(&self, v6: bool) -> Result<Fresh> {
        let fresh = self.unused(v6);
        self.peer
            .ip(&format!("addr add {} dev lo nodad\n", fresh.prefix()))?;
        Ok(fresh)
    }

    /// Another address that nobody has.
    pub fn unused(&self, v6: bool) -> Fresh {
        let number = self.fresh.fetch_add(1, Ordering::Relaxed) + 1;
        let [high, low] = number.to_be_bytes();
        let address = if v6 {
            IpAddr::from([0x2001, 0xdb8, 0xf, number, 0, 0, 0, 7])
        } else {
            IpAddr::from([198, 18, high, low])
        };
        Fresh {
            address,
            port: 10_000 + number,
            number,
            v6,
        }
    }

    /// Adds a rule to the host's own filter.
    pub fn host_filter(&self, chain: &str, rule: &str) -> Result<()> {
        filter(&self.ns, chain, rule)
    }

    /// Adds a rule to the peer's filter.
    pub fn peer_filter(&self, chain: &str, rule: &str) -> Result<()> {
        filter(&self.peer, chain, rule)
    }

    /// The host sends to a place by a link other than the first.
    pub fn host_route(&self, fresh: Fresh, link: u8) -> Result<()> {
        let (via, own) = match fresh.v6 {
            true => (format!("fd9{link}::9"), own(true)),
            false => (format!("10.9{link}.0.9"), own(false)),
        };
        let to = fresh.prefix();
        self.ns.ip(&format!(
            "route replace {to} via {via} dev up{link} src {own}\n"
        ))
    }

    /// What the peer sends from a place to the host's first address goes by a link other than the first.
    pub fn peer_route(&self, fresh: Fresh, link: u8) -> Result<()> {
        let via = match fresh.v6 {
            true => format!("fd9{link}::1"),
            false => format!("10.9{link}.0.1"),
        };
        let table = 1000 + u32::from(fresh.number);
        let to = own(fresh.v6);
        self.peer.ip(&format!(
            "route add {to} via {via} dev far{link} table {table}\n"
        ))?;
        let family = if fresh.v6 { "-6" } else { "-4" };
        let words = format!(
            "{family} rule add from {} lookup {table} priority {table}",
            fresh.address
        );
        let words: Vec<&str> = words.split(' ').collect();
        let ran = self.peer.exec("ip", &words)?;
        ensure!(ran.ok(), "{words:?}: {ran:?}");
        Ok(())
    }
}

fn filter(ns: &Netns, chain: &str, rule: &str) -> Result<()> {
    let line = format!("add rule inet faults {chain} {rule}\n");
    let added = ns.command("nft").args(["-f", "-"]).run_with(&line)?;
    ensure!(added.ok(), "{line}: {added:?}");
    Ok(())
}
