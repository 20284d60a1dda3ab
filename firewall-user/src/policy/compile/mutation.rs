//! Mistakes that a compiler could make, for tests that must notice them. Outside tests none is ever made.

use super::classifier::Tuning;

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The last port of a range is left out.
    RangeEndsEarly,
    /// `except_sources` and `except_destinations` take nothing away.
    ExceptIgnored,
    /// IPv6 prefixes short enough to cover the mapped addresses cover IPv4 too.
    V6CoversV4,
    /// Each policy's default comes after the rules of all policies.
    DefaultEndsTheList,
    /// The shortest matching prefix decides about the zone.
    ZoneByShortestPrefix,
    /// A rule whose sets are empty matches every address.
    EmptySetIsAll,
    /// A tree compares with a value that is one too high.
    CutsOneTooHigh,
    /// A rule that expires, only monitors or has conditions of its own is taken to decide about all of a part
    /// that it reaches over, so that the rules behind it are left out there.
    EveryRuleIsFirm,
    /// Of the trees between two zones the last is not asked.
    LastTreeForgotten,
    /// The first tree with an answer decides, whatever stands before it in the list.
    OrderForgotten,
    /// The zones of sender and addressee are exchanged where roots are looked up.
    ZonesExchanged,
}

impl Mutation {
    /// Every mistake.
    pub const ALL: &[Self] = &[
        Self::RangeEndsEarly,
        Self::ExceptIgnored,
        Self::V6CoversV4,
        Self::DefaultEndsTheList,
        Self::ZoneByShortestPrefix,
        Self::EmptySetIsAll,
        Self::CutsOneTooHigh,
        Self::EveryRuleIsFirm,
        Self::LastTreeForgotten,
        Self::OrderForgotten,
        Self::ZonesExchanged,
    ];
}

#[cfg(not(any(test, feature = "testing")))]
pub(super) const fn is(_: Mutation) -> bool {
    false
}

#[cfg(not(any(test, feature = "testing")))]
pub(super) const fn tuning() -> Tuning {
    Tuning::BEST
}

#[cfg(any(test, feature = "testing"))]
thread_local! {
    static MADE: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
    static TUNING: std::cell::Cell<Tuning> = const { std::cell::Cell::new(Tuning::BEST) };
}

#[cfg(any(test, feature = "testing"))]
pub(super) fn tuning() -> Tuning {
    TUNING.get()
}

/// Does something with a compiler that makes other trees.
#[cfg(any(test, feature = "testing"))]
pub fn tuned<R>(tuning: Tuning, work: impl FnOnce() -> R) -> R {
    let before = TUNING.replace(tuning);
    let result = work();
    TUNING.set(before);
    result
}

#[cfg(any(test, feature = "testing"))]
pub(super) fn is(mutation: Mutation) -> bool {
    MADE.get() == Some(mutation)
}

/// Does something with a compiler that makes a mistake.
#[cfg(any(test, feature = "testing"))]
pub fn with<R>(mutation: Option<Mutation>, work: impl FnOnce() -> R) -> R {
    MADE.set(mutation);
    let result = work();
    MADE.set(None);
    result
}
