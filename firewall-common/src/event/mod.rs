//! Records of what happened to packets and sessions, on their way from the kernel to the agent.
//!
//! A record says what a counter cannot: who, with whom, by which rule. Records may be limited, sampled
//! and lost, and each one that is not made is counted; counters are never sampled.

#[cfg(feature = "user")]
pub mod decode;
pub mod layout;
pub mod pick;

use crate::limit::Rate;

/// What a record tells of.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A session was opened.
    Open = 1,
    /// A session has ended.
    Close = 2,
    /// A packet was dropped, rejected, or would have been.
    Drop = 3,
}

impl Kind {
    /// Every kind.
    pub const ALL: &[Self] = &[Self::Open, Self::Close, Self::Drop];

    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Open),
            2 => Some(Self::Close),
            3 => Some(Self::Drop),
            _ => None,
        }
    }

    /// The word users see, in records and as the metric's `kind`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::Drop => "drop",
        }
    }
}

/// Places in tables indexed by [`Kind`].
pub const KINDS: u32 = 4;

/// Places in the table of buckets: for each kind one for what is recorded of itself, and one for what a
/// rule with `log` asks for, so that a flood elsewhere does not use up what somebody wants to see.
pub const BUCKETS: u32 = KINDS * 2;

/// Bytes of the ring between the kernel and the agent: about a second at the rates below.
pub const EVENT_BYTES: u32 = 1 << 20;

/// Place of a bucket.
#[inline(always)]
#[must_use]
pub const fn bucket(kind: Kind, logged: bool) -> u32 {
    kind as u32 * 2 + logged as u32
}

/// How many records of a kind there may be, over all CPUs together.
#[inline(always)]
#[must_use]
pub const fn rate(kind: Kind, logged: bool) -> Rate {
    match (kind, logged) {
        (_, true) => Rate::per_second(5000),
        (Kind::Drop, false) => Rate::per_second(1000),
        (_, false) => Rate::per_second(2000),
    }
}

/// What became of the records of one kind; per CPU in the kernel, and exact.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventCount {
    /// Put into the ring.
    pub recorded: u64,
    /// Left out since there were too many.
    pub limited: u64,
    /// Left out since the ring was full: the agent is away, or behind.
    pub full: u64,
    /// Left out since the rule's `log` asks for one in so many.
    pub sampled: u64,
    /// Left out, for any of the three, since the last that was put into the ring.
    pub suppressed: u64,
}

/// What a packet did to sessions, beside passing or not: what records of sessions are made of.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Happened {
    /// [`crate::policy::rule::Rule::log`] of the rule that decided.
    pub log: u32,
    /// It opened a session, which is in [`crate::pipeline::Scratch::entry`].
    pub opened: bool,
    /// [`crate::session::end::Cause`] by number of the session that it ended, which is in
    /// [`crate::pipeline::Scratch::ended`]; 0: none.
    pub closed: u8,
    /// Who is to be told that the session has ended: [`SENDER`] or [`BOTH`]; 0: nobody.
    pub told: u8,
    /// 1: it asked a group what anyone may answer.
    pub asks: u8,
}

/// [`Happened::told`]: who sent the packet.
pub const SENDER: u8 = 1;
/// [`Happened::told`]: both ends.
pub const BOTH: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_numbers_and_buckets_of_their_own() {
        let mut places = std::collections::BTreeSet::new();
        for kind in Kind::ALL {
            assert_eq!(Kind::from_number(*kind as u8), Some(*kind));
            for logged in [false, true] {
                let place = bucket(*kind, logged);
                assert!(place < BUCKETS && places.insert(place));
            }
        }
        assert_eq!(Kind::from_number(0), None);
        assert_eq!(Kind::from_number(4), None);
    }
}
