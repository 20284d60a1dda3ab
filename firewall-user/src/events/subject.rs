//! Records as FILTER sees them.

use std::net::IpAddr;

use super::enrich::peer_of;
use super::record::{Flow, Layer4, Process};
use crate::sessions::filter::Subject;

impl Layer4 {
    /// The word for the protocol.
    #[must_use]
    pub fn protocol(&self) -> &str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
            Self::Sctp(_) => "sctp",
            Self::Dccp(_) => "dccp",
            Self::UdpLite(_) => "udplite",
            Self::Icmp4(_) => "icmp",
            Self::Icmp6(_) => "icmpv6",
            Self::Other(other) => &other.name,
        }
    }

    /// The ports of both ends.
    #[must_use]
    pub const fn ports(&self) -> Option<(u16, u16)> {
        match self {
            Self::Tcp(tcp) => Some((tcp.source_port, tcp.destination_port)),
            Self::Udp(ports) | Self::Sctp(ports) | Self::Dccp(ports) | Self::UdpLite(ports) => {
                Some((ports.source_port, ports.destination_port))
            }
            _ => None,
        }
    }
}

impl Flow {
    /// `policy/rule`, where one decided.
    #[must_use]
    pub fn rule_id(&self) -> Option<String> {
        let policy = self.policy.as_ref()?;
        Some(format!(
            "{}/{}",
            policy.policy.as_ref()?,
            policy.rule.as_ref()?
        ))
    }
}

/// The end of a record that is not this host.
#[must_use]
pub fn peer(flow: &Flow) -> Option<IpAddr> {
    peer_of(flow)
}

impl Subject for Flow {
    fn source(&self) -> Option<IpAddr> {
        self.ip.as_ref().map(|ip| ip.source)
    }

    fn destination(&self) -> Option<IpAddr> {
        self.ip.as_ref().map(|ip| ip.destination)
    }

    fn port(&self) -> Option<u16> {
        self.l4.as_ref()?.ports().map(|ports| ports.1)
    }

    fn protocol(&self) -> &str {
        self.l4.as_ref().map_or("", Layer4::protocol)
    }

    fn zones(&self) -> [&str; 2] {
        [
            self.zone.source.as_deref().unwrap_or_default(),
            self.zone.destination.as_deref().unwrap_or_default(),
        ]
    }

    fn rule(&self) -> Option<String> {
        self.rule_id()
    }

    fn direction(&self) -> &str {
        self.direction.as_deref().unwrap_or_default()
    }

    fn state(&self) -> &str {
        self.state.as_deref().unwrap_or_default()
    }

    fn verdict(&self) -> &str {
        self.verdict.word()
    }

    fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }

    fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }
}
