//! `source_check`: does the route back to a source leave by the interface that its packet came by?
//!
//! The kernel's routing cannot be asked on the way: where forwarding is switched off, its helper says nothing. So
//! the agent keeps a table of the ways back, by the longest prefix. It holds every interface that any routing
//! table, any of several next hops and any metric would use (feasible paths, RFC 3704 section 2.3), so that policy
//! routing and several uplinks are no reason to refuse. While no agent runs, the table stays as it is.

use crate::addr::Addr;
use crate::config::Generation;
use crate::tables::Tables;
use crate::zone::ZoneId;

/// What the sources of a zone are held against.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceCheck {
    /// Nothing.
    Off = 0,
    /// There must be a way back.
    Loose = 1,
    /// It must leave by the interface that the packet came by.
    Strict = 2,
    /// Strict where several interfaces are guarded, else loose.
    Suited = 3,
}

impl SourceCheck {
    /// From its number.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number & 3 {
            0 => Self::Off,
            1 => Self::Loose,
            2 => Self::Strict,
            _ => Self::Suited,
        }
    }
}

/// [`crate::config::Settings::ways`]: nobody has told any; nothing is held against them.
pub const WAYS_UNKNOWN: u32 = 0;
/// [`crate::config::Settings::ways`]: the table holds, and at most one interface is guarded.
pub const WAYS_OF_ONE: u32 = 1;
/// [`crate::config::Settings::ways`]: the table holds, and several interfaces are guarded.
pub const WAYS_OF_SEVERAL: u32 = 2;

/// Prefixes that the table of ways back holds.
pub const MAX_WAYS: u32 = 1 << 18;

/// Interfaces that a way back names one by one.
pub const WAYS: usize = 8;

/// The interfaces behind a prefix.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ways {
    /// Indexes, in order, then zeros. None at all where packets are thrown away. [`Self::ANY`] first: too many to name.
    pub interfaces: [u32; WAYS],
}

impl Ways {
    /// Stands for every interface.
    pub const ANY: u32 = u32::MAX;

    /// Does a packet from there rightly come by an interface?
    // Without branches on the way, so that the kernel's verifier need not follow each.
    #[inline(always)]
    #[must_use]
    pub fn judge(&self, interface: u32) -> WayBack {
        let mut leads = self.interfaces[0] == Self::ANY;
        for index in &self.interfaces {
            leads |= *index == interface;
        }
        if leads {
            WayBack::Here
        } else if self.interfaces[0] == 0 {
            WayBack::Nowhere
        } else {
            WayBack::Elsewhere
        }
    }
}

/// Where the way back leads.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayBack {
    /// There is none.
    Nowhere = 0,
    /// Out by other interfaces.
    Elsewhere = 1,
    /// Out by the interface that the packet came by.
    Here = 2,
}

/// Does a source of a zone fail the zone's check, for a packet that arrives by an interface?
///
/// Not judged: link-local sources, which are on no route (RFC 4291 section 2.5.6, RFC 3927 section 2.6), and
/// unspecified ones, which only pass framing where they are right.
// Not inlined, so that what it needs of the stack is beside what the steps of the search need.
#[inline(never)]
pub fn fails<T: Tables>(
    tables: T,
    head: &Generation,
    zone: ZoneId,
    source: &Addr,
    interface: u32,
) -> bool {
    let check = head.source_check(zone);
    if matches!(check, SourceCheck::Off) || source.is_link_local() || source.is_unspecified() {
        return false;
    }
    let known = tables.ways_known();
    if known == WAYS_UNKNOWN {
        return false;
    }
    let strict = match check {
        SourceCheck::Suited => known == WAYS_OF_SEVERAL,
        other => matches!(other, SourceCheck::Strict),
    };
    match tables.way_back(source, interface) {
        WayBack::Here => false,
        WayBack::Elsewhere => strict,
        WayBack::Nowhere => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_leads_here_elsewhere_or_nowhere() {
        let of = |first: u32, second: u32| Ways {
            interfaces: [first, second, 0, 0, 0, 0, 0, 0],
        };
        assert_eq!(of(2, 3).judge(3), WayBack::Here);
        assert_eq!(of(2, 3).judge(4), WayBack::Elsewhere);
        assert_eq!(of(0, 0).judge(4), WayBack::Nowhere);
        assert_eq!(of(Ways::ANY, 0).judge(4), WayBack::Here);
    }

    #[test]
    fn two_bits_a_zone() {
        let mut head = Generation::default();
        let all = [
            (3, SourceCheck::Suited),
            (63, SourceCheck::Strict),
            (0, SourceCheck::Loose),
        ];
        for (zone, check) in all {
            head.set_source_check(ZoneId(zone), check);
        }
        for (zone, check) in all {
            assert_eq!(head.source_check(ZoneId(zone)), check);
        }
        assert_eq!(head.source_check(ZoneId(4)), SourceCheck::Off);
        head.set_source_check(ZoneId(63), SourceCheck::Off);
        assert_eq!(head.source_check(ZoneId(63)), SourceCheck::Off);
        assert_eq!(head.source_check(ZoneId(3)), SourceCheck::Suited);
    }
}
