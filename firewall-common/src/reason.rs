//! Why a packet was dropped or passed: one numbered table, the same in the event field, the metric
//! label, the command line and the documentation. Numbers are never reused.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $variant:ident = $number:literal, $word:literal, $outcome:ident;)*) => {
        /// Why a packet was dropped, refused or passed.
        #[repr(u8)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[doc = $doc])* $variant = $number,)* }

        impl Reason {
            /// Every reason, in numerical order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word users see.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What it means, in a sentence: the comment in the table below.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim_ascii(),)* }
            }

            /// What becomes of a packet with this reason.
            #[inline(always)]
            #[must_use]
            pub const fn outcome(self) -> Outcome {
                match self { $(Self::$variant => Outcome::$outcome,)* }
            }

            /// The reason with this number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

/// What a reason means for the packet when nothing is in monitor mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Passed.
    Pass,
    /// Dropped silently.
    Drop,
    /// Dropped, and the sender is told where it may be.
    Reject,
}

/// Numbers stay below this; tables indexed by reason have this many places.
pub const REASONS: usize = 64;

reasons! {
    /// A rule with `deny` matched.
    RuleDeny = 1, "rule-deny", Drop;
    /// A policy's `default: deny` decided.
    DefaultDeny = 2, "default-deny", Drop;
    /// No rule decided, and `unmatched` refuses.
    NoPolicy = 3, "no-policy", Drop;
    /// A rule's `limit` is used up.
    RateLimited = 4, "rate-limited", Drop;
    /// A rule's `max_sessions` per source is reached.
    SourceLimit = 5, "source-limit", Drop;
    /// Opens nothing and belongs to nothing.
    NoSession = 6, "no-session", Drop;
    /// A combination of TCP flags that no sender of good faith uses.
    BadTcpFlags = 7, "bad-tcp-flags", Drop;
    /// Outside the window of its TCP session.
    OutOfWindow = 8, "out-of-window", Drop;
    /// Impossible values in a header.
    Malformed = 9, "malformed", Drop;
    /// Fewer bytes than a header says.
    Truncated = 10, "truncated", Drop;
    /// A later fragment whose first one was not seen and allowed.
    FragmentWithoutFirst = 11, "fragment-without-first", Drop;
    /// A fragment that reaches into the header of the first.
    FragmentOverlap = 12, "fragment-overlap", Drop;
    /// An IPv4 source route.
    IpOptions = 13, "ip-options", Drop;
    /// An IPv6 routing header of type 0 (RFC 5095).
    Ipv6RoutingHeader = 14, "ipv6-routing-header", Drop;
    /// Neither IP nor one of the link's own protocols.
    UnsupportedEthertype = 15, "unsupported-ethertype", Drop;
    /// One of this machine's own addresses, or loopback, as source on arrival.
    SpoofedSource = 16, "spoofed-source", Drop;
    /// A source that cannot be one, or that its zone's `source_check` refuses; or a loopback destination.
    Martian = 17, "martian", Drop;
    /// The session table is full.
    SessionTableFull = 18, "session-table-full", Drop;
    /// There are too many half-open sessions, in all or of one source.
    HalfOpenLimit = 19, "half-open-limit", Drop;
    /// A rule's `max_sessions` is reached.
    SessionLimit = 20, "session-limit", Drop;
    /// A rule with `reject` matched.
    RuleReject = 21, "rule-reject", Reject;
    /// A policy's `default: reject` decided.
    DefaultReject = 22, "default-reject", Reject;
    /// A session that a changed policy no longer allows.
    Revoked = 23, "revoked", Drop;
    /// A session whose rule has expired.
    RuleExpired = 24, "rule-expired", Drop;
    /// Neighbour discovery from beyond the link (RFC 4861), or in fragments (RFC 6980).
    NdInvalid = 25, "nd-invalid", Drop;
    /// An ACK whose SYN cookie is wrong.
    SynCookieFailed = 26, "syn-cookie-failed", Drop;
    /// A table that must be there was not.
    InternalError = 27, "internal-error", Drop;
    /// A rule with `allow` matched and a session was opened.
    RuleAllow = 32, "rule-allow", Pass;
    /// A policy's `default: allow`, or `unmatched: allow`, decided.
    DefaultAllow = 33, "default-allow", Pass;
    /// A packet of a live session.
    Session = 34, "session", Pass;
    /// An ICMP error that quotes a packet of a live session.
    Related = 35, "related", Pass;
    /// What the machine needs to stay alive on its link.
    Essential = 36, "essential", Pass;
    /// A failsafe rule of the host's agent file.
    Failsafe = 37, "failsafe", Pass;
    /// A stateless rule with `allow` matched.
    Stateless = 38, "stateless", Pass;
    /// Routed traffic that `unmatched.routed: pass` lets by.
    Routed = 39, "routed", Pass;
    /// A session that lived before enforcement began.
    Adopted = 40, "adopted", Pass;
    /// A stray taken up as a session.
    Midstream = 41, "midstream", Pass;
    /// A tagged frame that is judged on its VLAN device.
    HandedUp = 42, "handed-up", Pass;
    /// No policy was ever applied here.
    NoPolicyLoaded = 43, "no-policy-loaded", Pass;
    /// Enforcement is bypassed for a while.
    Bypass = 44, "bypass", Pass;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_fit_and_words_are_unique() {
        for pair in Reason::ALL.windows(2) {
            assert!((pair[0] as u8) < pair[1] as u8);
        }
        for reason in Reason::ALL {
            assert!((*reason as usize) < REASONS);
            assert_eq!(Reason::from_number(*reason as u8), Some(*reason));
            assert_eq!(
                Reason::ALL
                    .iter()
                    .filter(|r| r.word() == reason.word())
                    .count(),
                1
            );
        }
    }
}
