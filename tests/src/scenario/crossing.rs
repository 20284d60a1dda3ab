//! A host with containers, guarded, and traffic across it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{PATIENCE, metric};
use crate::net::packet::{Capture, Frame, Tap};
use crate::net::sock::{self, Echo, Seen};
use crate::net::{Host, Netns, Site, wait_until};

/// A policy for it: who may reach the published port 8080 of the host, what becomes of what is routed and
/// not decided, and more policies.
#[must_use]
pub fn policy(revision: u64, routed: &str, more: &str) -> String {
    format!(
        "apiVersion: ringwall/v1
metadata: {{name: site, revision: {revision}, owner: tests}}
unmatched: {{inbound: deny, outbound: allow, routed: {routed}}}
zones:
  containers: {{interfaces: [docker0]}}
  internet: {{default: true}}
policies:
  - name: in
    from: internet
    to: host
    rules:
      - {{name: site, action: allow, services: [tcp/8080, udp/8080], reason: a test, owner: tests}}
{more}"
    )
}

/// Containers may go out to port 9090, and ping.
pub const GO_OUT: &str = "  - name: go-out
    from: containers
    to: internet
    rules:
      - {name: nine, action: allow, services: [tcp/9090, udp/9090, ping], reason: a test, owner: tests}
";

/// The host, guarded, and its world.
pub struct Crossing {
    /// The host's agent.
    pub host: Host,
    /// The world.
    pub site: Site,
}

/// A socket address.
///
/// # Panics
/// Where the text is no address.
#[must_use]
pub fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse::<IpAddr>().expect("an address"), port)
}

/// The host's addresses outside.
pub const HOST: [&str; 2] = ["203.0.113.1", "2001:db8::1"];
/// Who is outside.
pub const OUTSIDE: [&str; 2] = ["203.0.113.9", "2001:db8::9"];

/// Echo servers over TCP and UDP at all addresses.
#[must_use]
pub fn serve(ns: &Netns, port: u16) -> [Echo; 2] {
    let any = ([0_u16; 8], port).into();
    [
        Echo::tcp(ns, any).expect("a free port"),
        Echo::udp(ns, any).expect("a free port"),
    ]
}

/// How TCP and UDP to a port of these addresses look.
#[must_use]
pub fn tries(from: &Netns, to: [&str; 2], port: u16, patience: Duration) -> Vec<Seen> {
    let both = |ip| {
        let to = at(ip, port);
        [sock::tcp(from, to, patience), sock::udp(from, to, patience)]
    };
    to.into_iter().flat_map(both).collect()
}

/// Were all answered?
#[must_use]
pub fn answered(seen: &[Seen]) -> bool {
    seen.iter().all(|s| *s == Seen::Answered)
}

/// Was none?
#[must_use]
pub fn silent(seen: &[Seen]) -> bool {
    seen.iter().all(|s| *s == Seen::Silence)
}

impl Crossing {
    /// The world with an agent that guards these interfaces, and a policy in force.
    #[must_use]
    pub fn new(interfaces: &[&str], policy: &str) -> Self {
        let crossing = Self::unjudged(interfaces);
        crossing.put(policy);
        crossing
    }

    /// The same, with no policy yet.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn unjudged(interfaces: &[&str]) -> Self {
        let site = Site::new().expect("the world can be made");
        let host = Host::start(site.host(), interfaces, "").expect("the agent starts");
        Self { host, site }
    }

    /// Applies a policy that must be taken.
    pub fn put(&self, policy: &str) {
        let ran = self.host.apply(policy).expect("it can be run");
        assert!(ran.ok(), "{ran:?}\n{policy}");
    }

    /// The namespace outside.
    #[must_use]
    pub fn outside(&self) -> &Netns {
        &self.site.outside.ns
    }

    /// A metric's sum.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.host.metrics().expect("the agent shows its metrics");
        metric(&text, name, labels)
    }

    /// All packets that were judged, but for what keeps links alive.
    fn judged(&self) -> f64 {
        let text = self.host.metrics().expect("the agent shows its metrics");
        let all = metric(&text, "ringwall_packets_total", &[]);
        all - metric(
            &text,
            "ringwall_rule_packets_total",
            &["policy=\"essentials\""],
        )
    }

    /// While `work` goes on each packet on the wire to the outside must be judged once, and no other.
    pub fn judged_once(&self, work: impl FnOnce()) {
        let before = self.judged();
        let capture = Capture::start(&self.site.outside, Tap::Wire).expect("a packet socket");
        work();
        // What closes a connection may come late.
        let settled = || {
            let now = self.judged();
            std::thread::sleep(Duration::from_millis(500));
            (now.to_bits() == self.judged().to_bits()).then_some(())
        };
        wait_until(PATIENCE, settled).expect("the traffic ends");
        let frames = capture.finish();
        let wanted = frames.iter().filter(|frame| !is_of_the_link(frame)).count();
        let judged = self.judged() - before;
        assert!(
            (judged - wanted as f64).abs() < 0.5,
            "{judged} packets judged, {wanted} on the wire"
        );
    }
}

/// ARP, neighbour discovery, and reports about groups.
fn is_of_the_link(frame: &Frame) -> bool {
    let data = &frame.data;
    match data.get(12..14) {
        Some([0x08, 0x00]) => data.get(23) == Some(&2),
        Some([0x86, 0xdd]) => match data.get(20) {
            Some(58) => data.get(54).is_some_and(|kind| (130..=143).contains(kind)),
            // Reports about groups have an option in front.
            other => other == Some(&0),
        },
        _ => true,
    }
}
