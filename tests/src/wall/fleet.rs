//! Two guarded hosts, who watches them, and traffic of which is known how much there is.
//!
//! ```text
//!   web-1   lan0, wan0 as in the small world; mgmt0 192.0.2.1/30 ---- eth0 192.0.2.2/30   watch
//!   web-2   the same again;                   mgmt0 192.0.2.5/30 ---- eth1 192.0.2.6/30   watch
//! ```
//!
//! `mgmt0` is not guarded, so that scrapes are not among the packets that are counted.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use etherparse::PacketBuilder;

use super::Prometheus;
use crate::net::packet::{Tap, Wire};
use crate::net::sock::{self, Echo, Seen};
use crate::net::{End, Host, Lab, Netns, Veth, wait_until};
use crate::scenario::{PATIENCE, SHORT, Scene, at_lan, at_wan};

/// The names under which the hosts are scraped.
pub const HOSTS: [&str; 2] = ["web-1", "web-2"];
/// One that is scraped and is not there.
const GONE: (&str, &str) = ("web-3", "192.0.2.2:10933");

/// The world.
pub struct Fleet {
    /// The hosts.
    pub hosts: [Scene; 2],
    /// Who watches them.
    pub watch: Netns,
    _services: Vec<Echo>,
}

/// What the generator sent to one host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Datagrams that no rule lets in.
    pub default_deny: u64,
    /// Datagrams that a rule denies.
    pub rule_deny: u64,
    /// Datagrams that a rule rejects.
    pub rule_reject: u64,
    /// Connections that were opened and answered, from the internet.
    pub sessions: u64,
}

impl Sent {
    /// Packets that were not let in.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.default_deny + self.rule_deny + self.rule_reject
    }
}

/// A policy named `shop`. In `mode: monitor` it only watches.
fn policy(revision: u64, mode: &str) -> String {
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(50);
    format!(
        "apiVersion: ringwall/v1
metadata: {{name: shop, revision: {revision}, owner: tests}}
mode: {mode}
unmatched: {{inbound: deny, outbound: allow, routed: deny}}
zones:
  trusted: {{interfaces: [lan0], cidrs: [10.77.0.0/25, \"fd77::/80\"], management: true}}
  internet: {{default: true}}
sets:
  scanners: [203.0.113.66, \"2001:db8::66\"]
  banned: {{dynamic: true}}
policies:
  - name: in
    from: any
    to: host
    rules:
      - {{name: scanners, action: deny, sources: [scanners], reason: a test, owner: tests}}
      - {{name: web, action: allow, services: [tcp/443, udp/443], reason: a test, owner: tests}}
      - {{name: silent, action: allow, services: [udp/5000-5999], reason: a test, owner: tests}}
      - {{name: ghost, action: allow, services: [tcp/1001], reason: a test, owner: tests}}
      - {{name: telnet, action: deny, services: [udp/23], reason: a test, owner: tests}}
      - {{name: proxy, action: reject, services: [udp/3128], reason: a test, owner: tests}}
      - {{name: guest, action: allow, services: [tcp/8443], expires: {soon:.0}, reason: a test, owner: tests}}
      - {{name: legacy, action: allow, services: [tcp/7], reason: a test, owner: tests}}
    default: deny
"
    )
}

impl Fleet {
    /// Both hosts, the first enforcing revision 1, the second without a policy.
    pub fn new() -> Result<Self> {
        let watch = Netns::new("watch")?;
        let hosts = [
            Self::host(&watch, 0, "")?,
            // Its tables are small, so that they can be filled.
            Self::host(
                &watch,
                1,
                "sessions: {max: 1000, half_open_max: 100, timeouts: {udp: 600s}}\n",
            )?,
        ];
        hosts[0].put(&policy(1, "enforce"))?;
        let mut services = Vec::new();
        for scene in &hosts {
            services.push(Echo::tcp(scene.lab.host(), ([0_u16; 8], 443).into())?);
        }
        Ok(Self {
            hosts,
            watch,
            _services: services,
        })
    }

    fn host(watch: &Netns, number: u8, config: &str) -> Result<Scene> {
        let lab = Lab::quiet()?;
        let (here, there) = addresses(number);
        let wire = Veth::between(
            (lab.host(), "mgmt0", &[&format!("{here}/30")]),
            (watch, &format!("eth{number}"), &[&format!("{there}/30")]),
        );
        wire.static_neighbours().create()?;
        let config =
            format!("metrics: {{listen: \"{here}:10933\"}}\nshield: {{enabled: true}}\n{config}");
        let host = Host::start(lab.host(), &["lan0", "wan0"], &config)?;
        Ok(Scene { host, lab })
    }

    /// A Prometheus that scrapes both, and a third one that is not there.
    pub fn watched(&self, every: Duration) -> Result<Prometheus> {
        let base: PathBuf = self.hosts[0].host.dir.path().join("prometheus");
        let mut targets = Vec::new();
        for (number, name) in (0..).zip(HOSTS) {
            targets.push((name, target(number)?));
        }
        targets.push((GONE.0, GONE.1.parse().context("an address")?));
        let prometheus = Prometheus::start(&self.watch, &base, every, &targets)?;
        let up = || {
            let up = prometheus.query("sum(up)").ok()?;
            (up.first()?.value > 1.5).then_some(())
        };
        wait_until(4 * PATIENCE, up).context("Prometheus does not see both hosts")?;
        Ok(prometheus)
    }

    /// The second host gets a policy that only watches, after one that was refused and one that was gone back
    /// from; the two hosts are then at different revisions.
    pub fn mishaps(&self) -> Result<()> {
        let second = &self.hosts[1];
        second.put(&policy(1, "enforce"))?;
        second.put(&policy(2, "enforce"))?;
        let older = second.host.apply(&policy(1, "enforce"))?;
        ensure!(!older.ok(), "an older revision was taken: {older:?}");
        let back = second.host.cli(&["rollback"])?;
        ensure!(back.ok(), "{back:?}");
        second.put(&policy(3, "monitor"))?;
        Ok(())
    }

    /// The first host gets the next revision.
    pub fn renew(&self) -> Result<()> {
        self.hosts[0].put(&policy(2, "enforce")).map(drop)
    }

    /// Most places of the second host's table of half-open sessions, with datagrams that nobody answers.
    pub fn fill(&self) -> Result<()> {
        let lab = &self.hosts[1].lab;
        for port in 5000..5090 {
            datagrams(&lab.stranger, &lab.wan, false, port, 1)?;
        }
        Ok(())
    }

    /// Handshakes that do not complete, at the first host, both families: dropped, without a listener, and
    /// refused by the other side.
    pub fn one_sided(&self) -> Result<()> {
        let scene = &self.hosts[0];
        for v6 in [false, true] {
            for port in [22, 1001] {
                let seen = sock::tcp(scene.stranger(), at_wan(v6, port), SHORT);
                ensure!(seen != Seen::Answered, "port {port} answers");
            }
            let stranger = if v6 { "2001:db8::9" } else { "203.0.113.9" };
            let at = SocketAddr::new(stranger.parse()?, 7);
            let _refused = sock::tcp(scene.lab.host(), at, SHORT);
        }
        Ok(())
    }

    /// A round of known traffic to the first host, over both families.
    pub fn round(&self) -> Result<Sent> {
        let scene = &self.hosts[0];
        let (from, to) = (&scene.lab.stranger, &scene.lab.wan);
        let mut sent = Sent::default();
        for v6 in [false, true] {
            datagrams(from, to, v6, 161, 11)?;
            datagrams(from, to, v6, 23, 5)?;
            datagrams(from, to, v6, 3128, 3)?;
            sent.default_deny += 11;
            sent.rule_deny += 5;
            sent.rule_reject += 3;
            let seen = sock::tcp(scene.stranger(), at_wan(v6, 443), PATIENCE);
            ensure!(seen == Seen::Answered, "the service: {seen}");
            sent.sessions += 1;
            let near = sock::tcp(scene.trusted(), at_lan(v6, 443), PATIENCE);
            ensure!(near == Seen::Answered, "the service, from near: {near}");
        }
        Ok(sent)
    }
}

/// A host's address, and the watcher's on the same wire.
fn addresses(number: u8) -> (String, String) {
    let last = number * 4;
    (
        format!("192.0.2.{}", last + 1),
        format!("192.0.2.{}", last + 2),
    )
}

fn target(number: u8) -> Result<SocketAddr> {
    let text = format!("{}:10933", addresses(number).0);
    text.parse().context("an address")
}

/// Datagrams, written by another hand than the kernel's.
fn datagrams(from: &End, to: &End, v6: bool, port: u16, count: u16) -> Result<()> {
    let wire = Wire::open(from, Tap::Wire)?;
    for i in 0..count {
        let ethernet = PacketBuilder::ethernet2(from.mac, to.mac);
        let ip = if v6 {
            let address = |text: &str| text.parse::<Ipv6Addr>().map(|ip| ip.octets());
            ethernet.ipv6(address("2001:db8::9")?, address("2001:db8::1")?, 64)
        } else {
            ethernet.ipv4([203, 0, 113, 9], [203, 0, 113, 1], 64)
        };
        let mut frame = Vec::new();
        ip.udp(20_000 + i, port).write(&mut frame, b"counted")?;
        wire.send(&frame)?;
    }
    Ok(())
}
