//! Zones: who is at the other end.

/// The number of a zone. Numbers belong to names for as long as the tables live, across revisions.
#[repr(transparent)]
#[cfg_attr(feature = "user", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ZoneId(pub u8);

/// Zone numbers stay below this; tables indexed by zone have this many places.
pub const ZONES: usize = 64;

/// Classes of interfaces that zones tell apart stay below this.
pub const INTERFACE_CLASSES: usize = 16;

impl ZoneId {
    /// Not known: the packet was dropped before its zone was looked up.
    pub const NONE: Self = Self(0);
    /// This machine.
    pub const HOST: Self = Self(1);
    /// Where outgoing multicast and broadcast go.
    pub const MULTICAST: Self = Self(2);
    /// The first number a zone of a policy gets.
    pub const FIRST: u8 = 3;
}

/// Where a packet opens from and to, as zones see it.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Course {
    /// To this host.
    Inbound = 0,
    /// From this host.
    Outbound = 1,
    /// Neither end is this host.
    Routed = 2,
}

impl Course {
    /// From the number kept in a session.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Inbound,
            1 => Self::Outbound,
            _ => Self::Routed,
        }
    }
}
