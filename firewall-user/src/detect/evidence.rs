//! What a cause is found by: everything that was looked up about a handshake, as plain values.

use std::net::IpAddr;

use firewall_common::flow::Tuple;

use super::listeners::{Heard, Listeners};

/// A way that this host's routing knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// By this interface.
    By(u32),
    /// There is none.
    Missing,
    /// Nobody has asked, or it could not be said.
    Unknown,
}

/// Where a socket stands, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its SYN has no answer.
    SynSent,
    /// It has answered a SYN.
    SynReceived,
    /// Its handshake is complete.
    Connected,
}

/// This host, as detectors ask it. Answers may be remembered for as long as one look takes.
pub trait Around {
    /// What listens for TCP.
    fn listeners(&mut self) -> &Listeners;
    /// The way from an address of this host; from an unspecified one: from whichever it takes.
    fn route(&mut self, local: IpAddr, far: IpAddr) -> Route;
    /// Does the next hop on that way not answer?
    fn is_dead_end(&mut self, local: IpAddr, far: IpAddr) -> bool;
    /// The socket whose own end is the tuple's source.
    fn socket(&mut self, tuple: &Tuple) -> Option<Standing>;
    /// An interface's name.
    fn name(&self, interface: u32) -> String;
    /// Is it guarded?
    fn guards(&self, interface: u32) -> bool;
    /// Names of those that are up and not guarded.
    fn beside(&self) -> Vec<String>;
    /// Is it an address of this host?
    fn is_local(&self, address: IpAddr) -> bool;
    /// Does the kernel tell what it drops?
    fn sees_drops(&self) -> bool;
}

/// What the kernel dropped of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its reason, in its own word.
    pub reason: String,
    /// The interface it was at; 0: none yet.
    pub interface: u32,
    /// How often.
    pub times: u64,
    /// The first, in nanoseconds since boot.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// Reasons that mean: somebody's rule or program was against it.
const FILTERS: [&str; 9] = [
    "NETFILTER_DROP",
    "SOCKET_FILTER",
    "BPF_CGROUP_EGRESS",
    "TC_INGRESS",
    "TC_EGRESS",
    "XDP",
    "XFRM_POLICY",
    "SECURITY_HOOK",
    "IP_RPFILTER",
];

impl Dropped {
    /// Was it another filter on this host?
    pub(super) fn by_filter(&self) -> bool {
        FILTERS.contains(&self.reason.as_str())
    }

    /// Was it the check that a packet comes by the interface that leads to its sender?
    pub(super) fn by_reverse_path(&self) -> bool {
        self.reason == "IP_RPFILTER"
    }

    /// Was it that the next hop did not answer?
    pub(super) fn by_neighbour(&self) -> bool {
        self.reason.starts_with("NEIGH_")
    }

    /// It says nothing: as when a second SYN comes for what was answered already.
    pub(super) fn says_nothing(&self) -> bool {
        self.reason == "NOT_SPECIFIED"
    }

    /// Was there no route?
    pub(super) fn by_route(&self) -> bool {
        self.reason == "IP_OUTNOROUTES"
    }

    /// Was the queue of connections full that the service has not accepted yet?
    pub(super) fn by_full_listener(&self) -> bool {
        self.reason == "TCP_LISTEN_OVERFLOW"
    }
}

/// Where answers to the opener go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Back {
    /// By the interface that the SYN came by.
    Same,
    /// By another.
    Other {
        /// The SYN came by this one.
        came: String,
        /// Answers leave by this one.
        leaves: String,
        /// We see what leaves there.
        guarded: bool,
    },
    /// Nowhere.
    Missing,
    /// That could not be said.
    Unknown,
}

/// An interface that is not guarded, by its name where there is one only.
pub(super) fn unguarded(beside: &[String]) -> String {
    const SOME: usize = 4;
    match beside {
        [] => "an interface that is not guarded".to_owned(),
        [one] => format!("{one}, which is not guarded"),
        several => {
            let some: Vec<&str> = several.iter().take(SOME).map(String::as_str).collect();
            format!("an interface that is not guarded ({})", some.join(", "))
        }
    }
}

/// What was looked up about one handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Evidence {
    /// Who listens, for one that is addressed to this host.
    pub(super) heard: Heard,
    /// What the kernel dropped of the opener's.
    pub(super) asked: Option<Dropped>,
    /// What it dropped of the answers.
    pub(super) answered: Option<Dropped>,
    /// Where answers go.
    pub(super) back: Back,
    /// The next hop of this host's packets does not answer.
    pub(super) dead_end: bool,
    /// This host's own socket.
    pub(super) socket: Option<Standing>,
    /// Name of the interface where an answer was dropped.
    pub(super) dropped_at: String,
    /// Name of the interface that the opener's packets cross.
    pub(super) crosses: String,
    /// What may have crossed this host unseen: see [`unguarded`].
    pub(super) beside: String,
    /// The kernel tells what it drops, so that its silence means something.
    pub(super) sees_drops: bool,
}
