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
                Cause::ListenerOverflow,
                Cause::LocalFilter,
                Cause::ReplyPath,
                Cause::SynFlood,
                Cause::Scan,
                Cause::Unknown,
            ],
            Self::Outbound => &[
                Cause::PolicyDrop,
                Cause::Refused,
                Cause::Unreachable,
                Cause::SilentDrop,
                Cause::NoRoute,
                Cause::AsymmetricReply,
                Cause::MidstreamOnly,
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
    /// Something listens, and takes no more: the queue of what it has not accepted yet is full.
    ListenerOverflow,
    /// It passed us, and another filter on this host dropped it.
    LocalFilter,
    /// Our answer goes out again and again, and nothing comes back.
    ReplyPath,
    /// Many sources ask for one port, and none acknowledges.
    SynFlood,
    /// One source tries many ports.
    Scan,
    /// The other side answered with a RST.
    Refused,
    /// An ICMP error came.
    Unreachable,
    /// Nothing came back.
    SilentDrop,
    /// This host has no route, or its next hop does not answer.
    NoRoute,
    /// The answer came in by another interface.
    AsymmetricReply,
    /// Of a connection that runs, only one direction is seen here.
    MidstreamOnly,
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
            Self::ListenerOverflow => "listener-overflow",
            Self::LocalFilter => "local-filter",
            Self::ReplyPath => "reply-path",
            Self::SynFlood => "syn-flood",
            Self::Scan => "scan",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::SilentDrop => "silent-drop",
            Self::NoRoute => "no-route",
            Self::AsymmetricReply => "asymmetric-reply",
            Self::MidstreamOnly => "midstream-only",
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
            Self::ListenerOverflow => {
                "the service does not accept fast enough, or hangs: ss -ltn shows its queue (Recv-Q against Send-Q)"
            }
            Self::LocalFilter => {
                "`ringwall diagnose PEER PORT --inbound` names the filter's table and rule, as does `ringwall doctor`"
            }
            Self::ReplyPath => {
                "look at the way back: ip route get PEER, and the filters and routers up to the peer"
            }
            Self::SynFlood => {
                "keep tcp_syncookies on, and limit openings of one source (`limit` of the rule)"
            }
            Self::Scan => "nothing has to be done, unless the source is one of yours",
            Self::Refused => "the peer runs and nothing listens there, or its filter rejects",
            Self::Unreachable => "the ICMP code says who refused and why: ask there",
            Self::SilentDrop => {
                "something on the way or the peer's own filter drops it silently: try from another place"
            }
            Self::NoRoute => {
                "ip route get PEER, and ip neigh: add the route, or see why its next hop does not answer"
            }
            Self::AsymmetricReply | Self::MidstreamOnly => ASYMMETRIC,
            Self::Unknown => "look at the evidence; a packet capture at both ends decides",
        }
    }
}

/// What to do about answers that take another way than questions.
pub(super) const ASYMMETRIC: &str = "make the way symmetric (ip route), or route by source address (ip rule add from ADDRESS lookup TABLE); \
     guard the other interface, too; or let this traffic pass without sessions: `stateful: false` in its rules both ways";
