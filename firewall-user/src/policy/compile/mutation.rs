//! Mistakes that a compiler could make, for tests that must notice them. Outside tests none is ever made.

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
    ];
}

#[cfg(not(any(test, feature = "testing")))]
pub(super) const fn is(_: Mutation) -> bool {
    false
}

#[cfg(any(test, feature = "testing"))]
thread_local! {
    static MADE: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
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
