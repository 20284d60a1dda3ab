//! The host around a policy: interfaces, own addresses, routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use super::packet::Parsed;

/// How a packet crosses this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// It arrives by an interface; by the routing decision it is for this host, or leaves by another.
    In {
        /// The interface it arrives by.
        by: u32,
        /// The interface it will leave by; `None` until asked, and for packets to this host.
        on: Option<u32>,
    },
    /// It leaves by an interface.
    Out {
        /// The interface it leaves by.
        by: u32,
        /// The interface it came in by; `None`: from this host.
        from: Option<u32>,
    },
}

impl Way {
    /// Arriving by an interface.
    #[must_use]
    pub const fn arriving(by: u32) -> Self {
        Self::In { by, on: None }
    }

    /// Does it arrive?
    #[must_use]
    pub const fn arrives(&self) -> bool {
        matches!(self, Self::In { .. })
    }

    /// Is this host neither end?
    #[must_use]
    pub const fn is_routed(&self) -> bool {
        matches!(
            self,
            Self::In { on: Some(_), .. } | Self::Out { from: Some(_), .. }
        )
    }
}

/// The host.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Interface names by number.
    pub interfaces: BTreeMap<u32, String>,
    /// Its own unicast addresses.
    pub own: BTreeSet<IpAddr>,
    /// The broadcast addresses of its links.
    pub broadcasts: BTreeSet<IpAddr>,
    /// Routes: prefix and the interface behind it.
    pub routes: Vec<(IpNet, u32)>,
    /// Members of dynamic sets by their sets' names, each with the time when it is one no more.
    pub members: BTreeMap<String, Vec<(IpNet, Option<Timestamp>)>>,
    /// The ways back to sources: prefix and the interfaces that lead there. Empty: nothing is held against them.
    pub back: Vec<(IpNet, BTreeSet<u32>)>,
    /// Several interfaces are guarded.
    pub several: bool,
}

fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

impl World {
    /// Is an address one of this host's own?
    #[must_use]
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.own.contains(&address)
    }

    /// Is an address the broadcast address of a link?
    #[must_use]
    pub fn is_broadcast(&self, address: IpAddr) -> bool {
        self.broadcasts.contains(&address)
    }

    /// Is an address for all, or for a group?
    #[must_use]
    pub fn is_group(&self, address: IpAddr) -> bool {
        let all = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        address.is_multicast() || all || self.is_broadcast(address)
    }

    /// The way with the routing decision made: multicast and broadcast arriving here count as host, and so
    /// does what is not routed at all.
    #[must_use]
    pub fn route(&self, parsed: &Parsed, way: &Way) -> Way {
        let Way::In { by, .. } = *way else {
            return way.clone();
        };
        let destination = parsed.destination;
        // Link-local addresses are never forwarded (RFC 4291 section 2.5.6).
        let stays = [parsed.source, destination].iter().any(is_link_local);
        if self.is_own(destination) || self.is_group(destination) || stays {
            return Way::In { by, on: None };
        }
        let holding = self
            .routes
            .iter()
            .filter(|(net, _)| net.contains(&destination));
        let best = holding.max_by_key(|(net, _)| net.prefix_len());
        let on = Some(best.map_or(0, |(_, interface)| *interface));
        Way::In { by, on }
    }

    /// The interfaces by which an address may rightly come.
    #[must_use]
    pub fn back(&self, address: IpAddr) -> BTreeSet<u32> {
        let holding = self.back.iter().filter(|(net, _)| net.contains(&address));
        let best = holding.max_by_key(|(net, _)| net.prefix_len());
        best.map_or_else(BTreeSet::new, |(_, by)| by.clone())
    }

    /// The name of an interface; empty for one that has none.
    #[must_use]
    pub fn name(&self, interface: u32) -> &str {
        self.interfaces.get(&interface).map_or("", String::as_str)
    }

    /// The interface that a rule's `interfaces` speak of.
    #[must_use]
    pub fn judged_at(&self, way: &Way) -> &str {
        let (Way::In { by, .. } | Way::Out { by, .. }) = way;
        self.name(*by)
    }
}
