//! What was decided about a packet.

use crate::flow::Hook;
use crate::reason::{Outcome, Reason};
use crate::zone::ZoneId;

/// The metric's `verdict`.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Passed.
    Forwarded = 0,
    /// Dropped silently.
    Dropped = 1,
    /// Refused; the sender is told where it may be and within the limits.
    Rejected = 2,
    /// Would have been dropped or refused; passed, since the policy monitors.
    Audit = 3,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: &[Self] = &[Self::Forwarded, Self::Dropped, Self::Rejected, Self::Audit];

    /// The word users see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Dropped => "dropped",
            Self::Rejected => "rejected",
            Self::Audit => "audit",
        }
    }

    /// What a reason becomes by itself.
    #[inline(always)]
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        match reason.outcome() {
            Outcome::Pass => Self::Forwarded,
            Outcome::Drop => Self::Dropped,
            Outcome::Reject => Self::Rejected,
        }
    }
}

/// A decision, complete: what to do, why, by which rule, and between which zones.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Why.
    pub reason: Reason,
    /// What is done.
    pub verdict: Verdict,
    /// Judged elsewhere: passes, and is counted where it is judged.
    pub uncounted: bool,
    /// This opening is to be answered (RST or ICMP), within the limits.
    pub answer: bool,
    /// Zone of the sender, of the opener for packets of a session.
    pub source_zone: ZoneId,
    /// Zone of the addressee.
    pub destination_zone: ZoneId,
    /// Zero.
    pub pad: u16,
    /// Counter number of the rule that decided; 0 where none did.
    pub rule: u32,
}

impl Decision {
    /// A decision without rule and zones.
    #[inline(always)]
    #[must_use]
    pub const fn plain(reason: Reason) -> Self {
        Self {
            reason,
            verdict: Verdict::of(reason),
            uncounted: false,
            answer: false,
            source_zone: ZoneId::NONE,
            destination_zone: ZoneId::NONE,
            pad: 0,
            rule: 0,
        }
    }

    /// Does the packet go on?
    #[inline(always)]
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self.verdict, Verdict::Forwarded | Verdict::Audit)
    }

    /// The zone at the other end, which counters are kept by.
    #[inline(always)]
    #[must_use]
    pub const fn peer(&self, hook: Hook) -> ZoneId {
        let from_host = self.source_zone.0 == ZoneId::HOST.0;
        let to_host = self.destination_zone.0 == ZoneId::HOST.0;
        match hook {
            _ if from_host => self.destination_zone,
            Hook::Egress if !to_host => self.destination_zone,
            _ => self.source_zone,
        }
    }
}
