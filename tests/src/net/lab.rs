//! The small world of the demo and of most tests: a host, someone it trusts, and a stranger.
//!
//! ```text
//!   trusted  eth0 10.77.0.9/25    ----  10.77.0.1/25    lan0   host
//!            eth0 fd77::9/80      ----  fd77::1/80      lan0
//!   stranger eth0 203.0.113.9/24  ----  203.0.113.1/24  wan0   host
//!            eth0 2001:db8::9/64  ----  2001:db8::1/64  wan0
//! ```

use anyhow::Result;

use super::{End, Netns, Veth};

/// Three namespaces and two wires. The peers' default routes lead to the host; it does not forward.
pub struct Lab {
    /// The host's end of the wire to the trusted peer, `lan0`.
    pub lan: End,
    /// The host's end of the wire to the stranger, `wan0`.
    pub wan: End,
    /// The trusted peer's end.
    pub trusted: End,
    /// The stranger's end.
    pub stranger: End,
}

impl Lab {
    /// As between real machines: neighbours are asked for.
    pub fn new() -> Result<Self> {
        Self::with(|wire| wire)
    }

    /// With neighbours known beforehand, so that nothing but the test's own packets needs be on the wire.
    pub fn quiet() -> Result<Self> {
        Self::with(Veth::static_neighbours)
    }

    /// The same with so many queues on each wire, so that several CPUs judge packets at the same time.
    pub fn with_queues(queues: u32) -> Result<Self> {
        Self::with(|wire| wire.static_neighbours().queues(queues))
    }

    /// The host's namespace.
    pub fn host(&self) -> &Netns {
        &self.lan.ns
    }

    fn with(shape: impl Fn(Veth) -> Veth) -> Result<Self> {
        let [host, trusted, stranger] = [
            Netns::new("host")?,
            Netns::new("trusted")?,
            Netns::new("stranger")?,
        ];
        let lan = Veth::between(
            (&host, "lan0", &["10.77.0.1/25", "fd77::1/80"]),
            (&trusted, "eth0", &["10.77.0.9/25", "fd77::9/80"]),
        );
        let wan = Veth::between(
            (&host, "wan0", &["203.0.113.1/24", "2001:db8::1/64"]),
            (&stranger, "eth0", &["203.0.113.9/24", "2001:db8::9/64"]),
        );
        let (lan, at_trusted) = shape(lan).create()?;
        let (wan, at_stranger) = shape(wan).create()?;
        trusted.ip("route add default via 10.77.0.1\nroute add ::/0 via fd77::1\n")?;
        stranger.ip("route add default via 203.0.113.1\nroute add ::/0 via 2001:db8::1\n")?;
        Ok(Self {
            lan,
            wan,
            trusted: at_trusted,
            stranger: at_stranger,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sock::{Seen, ping};
    use std::time::Duration;

    #[test]
    fn both_peers_reach_the_host_and_not_each_other() {
        crate::need_root!();
        let begin = std::time::Instant::now();
        let lab = Lab::quiet().unwrap();
        println!("a lab in {:?}", begin.elapsed());
        let ping =
            |from: &End, to: &str| ping(&from.ns, to.parse().unwrap(), Duration::from_secs(2));
        for (from, to) in [
            (&lab.trusted, ["10.77.0.1", "fd77::1"]),
            (&lab.stranger, ["203.0.113.1", "2001:db8::1"]),
        ] {
            assert!(to.iter().all(|to| ping(from, to) == Seen::Answered));
        }
        assert_ne!(ping(&lab.trusted, "203.0.113.9"), Seen::Answered);
        assert_ne!(ping(&lab.stranger, "fd77::9"), Seen::Answered);
    }
}
