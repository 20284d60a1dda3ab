//! A guarded host between two peers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::mount::{UnmountFlags, unmount};
use serde_json::Value;

use super::policy::policy;
use crate::net::sock::{self, Seen};
use crate::net::{Host, Lab, Netns, Ran, wait_until};

/// Long enough for whatever is to come, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// Long enough to call it silence.
pub const SHORT: Duration = Duration::from_millis(400);

/// The host as the trusted peer sees it.
pub fn at_lan(v6: bool, port: u16) -> SocketAddr {
    address(if v6 { "fd77::1" } else { "10.77.0.1" }, port)
}

/// The host as the stranger sees it.
pub fn at_wan(v6: bool, port: u16) -> SocketAddr {
    address(if v6 { "2001:db8::1" } else { "203.0.113.1" }, port)
}

fn address(ip: &str, port: u16) -> SocketAddr {
    let ip: IpAddr = ip.parse().expect("an address");
    SocketAddr::new(ip, port)
}

/// The small world with an agent that guards `lan0` and `wan0`.
pub struct Scene {
    /// The host's agent.
    pub host: Host,
    /// The world.
    pub lab: Lab,
}

impl Scene {
    /// With no policy yet.
    pub fn new() -> Result<Self> {
        Self::configured("")
    }

    /// With no policy yet, and YAML for the agent's own file.
    pub fn configured(config: &str) -> Result<Self> {
        let lab = Lab::quiet()?;
        let host = Host::start(lab.host(), &["lan0", "wan0"], config)?;
        Ok(Self { host, lab })
    }

    /// With revision 1 of [`policy`] in force.
    pub fn guarded(rules: &[String]) -> Result<Self> {
        let scene = Self::new()?;
        scene.put(&policy(1, rules))?;
        Ok(scene)
    }

    /// Applies a policy that must be taken.
    pub fn put(&self, policy: &str) -> Result<Ran> {
        let ran = self.host.apply(policy)?;
        ensure!(ran.ok(), "not applied: {ran:?}\n{policy}");
        Ok(ran)
    }

    /// The trusted peer's namespace.
    pub fn trusted(&self) -> &Netns {
        &self.lab.trusted.ns
    }

    /// The stranger's namespace.
    pub fn stranger(&self) -> &Netns {
        &self.lab.stranger.ns
    }

    /// How the stranger's attempt at a TCP port looks, over IPv4 and IPv6.
    pub fn knock(&self, port: u16) -> [Seen; 2] {
        [false, true].map(|v6| sock::tcp(self.stranger(), at_wan(v6, port), SHORT))
    }

    /// `ringwall status -o json`.
    pub fn status(&self) -> Result<Value> {
        self.host.json(&["status"])
    }

    /// The revision in force, by `ringwall status`.
    pub fn revision(&self) -> Result<Option<u64>> {
        Ok(self.status()?["policy"]["revision"].as_u64())
    }

    /// What a reboot leaves: the disk. Returns only when the programs have left the interfaces, where somebody who
    /// serves `port`, which the policy does not allow, can be reached.
    pub fn reboot(&mut self, port: u16) {
        self.host.kill9();
        while unmount(self.host.dir.bpf(), UnmountFlags::DETACH).is_ok() {}
        let open = || (self.knock(port) == [Seen::Answered, Seen::Answered]).then_some(());
        assert!(wait_until(PATIENCE, open).is_some(), "still filtered");
    }

    /// Waits until the revision is in force; fails with the agent's log.
    pub fn wait_for_revision(&self, revision: u64) -> Result<()> {
        let there = || (self.revision().ok()? == Some(revision)).then_some(());
        let came = wait_until(2 * PATIENCE, there);
        ensure!(
            came.is_some(),
            "revision {revision} does not come into force; the agent's log:\n{}",
            self.host.log()
        );
        Ok(())
    }
}
