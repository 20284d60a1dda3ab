//! Why a session has ended.

use super::{Entry, State};
use crate::reason::Reason;

/// Why a session has ended. Numbers are places of counters and are never reused.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// TCP: both sides have finished.
    Finished = 1,
    /// TCP: one side has reset it.
    Reset = 2,
    /// Silent for longer than its state's timeout.
    Timeout = 3,
    /// TCP: the handshake was never completed.
    HandshakeTimeout = 4,
    /// A changed policy no longer allows it.
    Revoked = 5,
    /// Its rule has expired.
    RuleExpired = 6,
    /// A new opening with the same ends took its place.
    Replaced = 7,
    /// Ended by hand.
    Killed = 8,
    /// A newer opening needed its place among the half-open ones.
    Evicted = 9,
}

/// Causes stay below this; tables indexed by cause have this many places.
pub const CAUSES: u32 = 16;

impl Cause {
    /// Every cause.
    pub const ALL: &[Self] = &[
        Self::Finished,
        Self::Reset,
        Self::Timeout,
        Self::HandshakeTimeout,
        Self::Revoked,
        Self::RuleExpired,
        Self::Replaced,
        Self::Killed,
        Self::Evicted,
    ];

    /// The word users see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::Revoked => "revoked",
            Self::RuleExpired => "rule-expired",
            Self::Replaced => "replaced",
            Self::Killed => "killed",
            Self::Evicted => "evicted",
        }
    }

    /// The cause with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|cause| *cause as u8 == number)
    }

    /// Of a session that has been silent for too long: what it was waiting for.
    #[inline(always)]
    #[must_use]
    pub const fn of_silent(entry: &Entry) -> Self {
        match entry.track.state() {
            State::TimeWait => Self::Finished,
            State::Close => Self::Reset,
            State::SynSent | State::SynReceived => Self::HandshakeTimeout,
            _ => Self::Timeout,
        }
    }

    /// Of a session whose place another one takes; `over`: it had been silent for too long already.
    #[inline(always)]
    #[must_use]
    pub const fn of_replaced(entry: &Entry, over: bool) -> Self {
        match entry.track.state() {
            State::TimeWait => Self::Finished,
            State::Close => Self::Reset,
            _ if over => Self::of_silent(entry),
            _ => Self::Replaced,
        }
    }

    /// Of a session that the policy ended with this reason.
    #[inline(always)]
    #[must_use]
    pub const fn of_refusal(reason: Reason) -> Self {
        match reason {
            Reason::RuleExpired => Self::RuleExpired,
            _ => Self::Revoked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(state: State) -> Entry {
        let mut entry = Entry::default();
        entry.track.state = state as u8;
        entry
    }

    #[test]
    fn an_end_is_named_by_where_the_session_stood() {
        for (state, silent, replaced) in [
            (State::SynSent, Cause::HandshakeTimeout, Cause::Replaced),
            (State::SynReceived, Cause::HandshakeTimeout, Cause::Replaced),
            (State::Established, Cause::Timeout, Cause::Replaced),
            (State::TimeWait, Cause::Finished, Cause::Finished),
            (State::Close, Cause::Reset, Cause::Reset),
            (State::Udp, Cause::Timeout, Cause::Replaced),
        ] {
            assert_eq!(Cause::of_silent(&at(state)), silent);
            assert_eq!(Cause::of_replaced(&at(state), false), replaced);
            assert_eq!(Cause::of_replaced(&at(state), true), silent);
        }
    }

    #[test]
    fn numbers_fit_and_words_are_unique() {
        for cause in Cause::ALL {
            assert!((*cause as u32) < CAUSES);
            assert_eq!(Cause::from_number(*cause as u8), Some(*cause));
        }
        assert_eq!(Cause::from_number(0), None);
        let words: std::collections::BTreeSet<_> = Cause::ALL.iter().map(|c| c.word()).collect();
        assert_eq!(words.len(), Cause::ALL.len());
    }
}
