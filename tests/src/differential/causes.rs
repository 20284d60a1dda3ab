//! Why two firewalls may differ about a packet: each cause has its RFC, and in each Ringwall lets in less.
//! `docs/differences.md` tells them to people.

use std::fmt;

use firewall_common::packet::{Packet, protocol};
use firewall_common::parse;
use firewall_common::reason::Reason;
use firewall_common::source::Slice;

use super::step::Step;

/// A class of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A later fragment before the first.
    FragmentOrder,
    /// A first fragment without the whole transport header, or one that reaches into it.
    TinyFragment,
    /// Neighbour discovery in fragments.
    Discovery,
    /// A transport header that lies about itself.
    Transport,
    /// A chain of extension headers that no sender makes.
    ExtensionChain,
    /// More VLAN tags than are read, or a frame without IP.
    Link,
    /// An ICMP error about a packet that did not go the other way.
    ErrorDirection,
    /// A blind segment outside the window, of a kind about which connection tracking is lenient.
    Window,
}

impl Cause {
    /// Every cause that there is.
    pub const ALL: [Self; 8] = [
        Self::FragmentOrder,
        Self::TinyFragment,
        Self::Discovery,
        Self::Transport,
        Self::ExtensionChain,
        Self::Link,
        Self::ErrorDirection,
        Self::Window,
    ];

    /// The words of `docs/differences.md`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::FragmentOrder => "fragment-order",
            Self::TinyFragment => "tiny-fragment",
            Self::Discovery => "discovery-in-fragments",
            Self::Transport => "transport-header",
            Self::ExtensionChain => "extension-chain",
            Self::Link => "link",
            Self::ErrorDirection => "error-direction",
            Self::Window => "window",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Why the steps with one number, all that were sent under it, may fare worse with Ringwall; `None`: they may not.
pub(super) fn cause(steps: &[&Step]) -> Option<Cause> {
    if steps.iter().any(|step| step.class.starts_with("fragments")) {
        return fragments(steps);
    }
    let refused = steps.iter().find_map(|step| read(step).err());
    match (refused, steps.first()?.class) {
        (Some(Reason::Ipv6RoutingHeader), _) => Some(Cause::ExtensionChain),
        (Some(Reason::Malformed | Reason::Truncated), "extensions") => Some(Cause::ExtensionChain),
        (Some(Reason::Malformed | Reason::Truncated), "tags") => Some(Cause::Link),
        (Some(Reason::Malformed | Reason::Truncated), _) => Some(Cause::Transport),
        (None, "icmp errors") => Some(Cause::ErrorDirection),
        (None, class) if class.starts_with("blind") => Some(Cause::Window),
        _ => None,
    }
}

fn read(step: &Step) -> Result<Packet, Reason> {
    let (mut packet, bytes) = (Packet::default(), step.framed());
    parse::parse(
        &Slice {
            bytes: &bytes,
            tag: None,
        },
        &mut packet,
    )?;
    Ok(packet)
}

/// In order of arrival: was there a later one before any first, or a first too short, or one of what may have none?
fn fragments(steps: &[&Step]) -> Option<Cause> {
    use firewall_common::packet::{FIRST, LATER};
    let mut first_seen = false;
    for step in steps {
        match read(step) {
            Err(Reason::FragmentOverlap | Reason::Truncated | Reason::Malformed) => {
                return Some(Cause::TinyFragment);
            }
            Err(_) => return None,
            Ok(packet) if packet.fragment == FIRST && discovers(&packet) => {
                return Some(Cause::Discovery);
            }
            Ok(packet) if packet.fragment == FIRST => first_seen = true,
            Ok(packet) if packet.fragment == LATER && !first_seen => {
                return Some(Cause::FragmentOrder);
            }
            Ok(_) => {}
        }
    }
    None
}

/// Neighbour discovery (RFC 4861 section 4).
fn discovers(packet: &Packet) -> bool {
    packet.family == 6
        && packet.tuple.protocol == protocol::ICMPV6
        && matches!(packet.icmp_type(), 133..=137)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOC: &str = include_str!("../../../docs/differences.md");

    /// A row for each cause, in this order, that names an RFC or a standard of the IEEE.
    #[test]
    fn every_cause_is_documented_with_its_standard() {
        let (_, rest) = DOC.split_once("<!-- causes -->").expect("a table");
        let (table, _) = rest.split_once("<!-- /causes -->").expect("its end");
        let rows: Vec<&str> = table.lines().filter(|row| row.starts_with("| `")).collect();
        let words = rows.iter().filter_map(|row| row.split('`').nth(1));
        assert!(
            words.eq(Cause::ALL.iter().map(|cause| cause.word())),
            "{rows:?}"
        );
        for row in rows {
            assert!(row.contains("RFC") || row.contains("IEEE"), "{row}");
        }
    }
}
