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

    /// The verdict with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Forwarded),
            1 => Some(Self::Dropped),
            2 => Some(Self::Rejected),
            3 => Some(Self::Audit),
            _ => None,
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

/// The last of [`Decision::to_words`], which tells a decision from memory that nobody wrote.
const WORDS_VALID: u32 = u32::from_be_bytes(*b"ring");

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

    /// Four words, as the explaining programs leave them for who runs them.
    #[inline(always)]
    #[must_use]
    pub const fn to_words(&self) -> [u32; 4] {
        let zones = (self.source_zone.0 as u32) << 16 | (self.destination_zone.0 as u32) << 24;
        let flags = self.uncounted as u32 | (self.answer as u32) << 1;
        [
            self.reason as u32 | (self.verdict as u32) << 8 | zones,
            self.rule,
            flags,
            WORDS_VALID,
        ]
    }

    /// The decision that [`Self::to_words`] wrote; `None` where no decision was left.
    #[must_use]
    pub const fn from_words(words: [u32; 4]) -> Option<Self> {
        let [reason, verdict, source, destination] = words[0].to_le_bytes();
        let (Some(reason), Some(verdict)) =
            (Reason::from_number(reason), Verdict::from_number(verdict))
        else {
            return None;
        };
        if words[3] != WORDS_VALID {
            return None;
        }
        Some(Self {
            reason,
            verdict,
            uncounted: words[2] & 1 != 0,
            answer: words[2] & 2 != 0,
            source_zone: ZoneId(source),
            destination_zone: ZoneId(destination),
            pad: 0,
            rule: words[1],
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_carry_a_whole_decision() {
        let decision = Decision {
            answer: true,
            source_zone: ZoneId(63),
            destination_zone: ZoneId::HOST,
            rule: 4095,
            ..Decision::plain(Reason::RuleReject)
        };
        assert_eq!(Decision::from_words(decision.to_words()), Some(decision));
        assert_eq!(Decision::from_words([0; 4]), None);
    }
}
