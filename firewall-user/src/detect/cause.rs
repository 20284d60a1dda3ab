//! Causes of a one-sided SYN, as the contract has them.

use firewall_common::zone::Course;

/// Who opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Somebody, to this host.
    Inbound,
    /// This host.
    Outbound,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// The word users see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }

    /// The same as sessions have it.
    #[must_use]
    pub const fn course(self) -> Course {
        match self {
            Self::Inbound => Course::Inbound,
            Self::Outbound => Course::Outbound,
        }
    }

    /// The causes that it can have.
    #[must_use]
    pub const fn causes(self) -> &'static [Cause] {
        match self {
            Self::Inbound => &[
                Cause::PolicyDrop,
                Cause::NoListener,
                Cause::ListenerElsewhere,
                Cause::LocalFilter,
                Cause::ReplyPath,
                Cause::Unknown,
            ],
            Self::Outbound => &[
                Cause::PolicyDrop,
                Cause::Refused,
                Cause::Unreachable,
                Cause::SilentDrop,
                Cause::Unknown,
            ],
        }
    }
}

/// Why a handshake does not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// We dropped it.
    PolicyDrop,
    /// Nothing listens here, and the RST went out.
    NoListener,
    /// Something listens here, but at another address.
    ListenerElsewhere,
    /// It passed us, nothing listens, and no RST went out: another filter on this host.
    LocalFilter,
    /// Our answer goes out again and again, and nothing comes back.
    ReplyPath,
    /// The other side answered with a RST.
    Refused,
    /// An ICMP error came.
    Unreachable,
    /// Nothing came back.
    SilentDrop,
    /// The evidence does not decide.
    Unknown,
}

impl Cause {
    /// The word users see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PolicyDrop => "policy-drop",
            Self::NoListener => "no-listener",
            Self::ListenerElsewhere => "listener-elsewhere",
            Self::LocalFilter => "local-filter",
            Self::ReplyPath => "reply-path",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::SilentDrop => "silent-drop",
            Self::Unknown => "unknown",
        }
    }

    /// What to try next.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::PolicyDrop => {
                "`ringwall drops` shows the rule, and the line that would let it in"
            }
            Self::NoListener => "start the service, or look where it listens: ss -ltn",
            Self::ListenerElsewhere => "make the service listen on this address, or on all",
            Self::LocalFilter => "look for other filters on this host: nft list ruleset",
            Self::ReplyPath => {
                "look at the way back: ip route get PEER, and the filters and routers up to the peer"
            }
            Self::Refused => "the peer runs and nothing listens there, or its filter rejects",
            Self::Unreachable => "the ICMP code says who refused and why: ask there",
            Self::SilentDrop => {
                "something on the way or the peer's own filter drops it silently: try from another place"
            }
            Self::Unknown => "look at the evidence; a packet capture at both ends decides",
        }
    }
}
