//! What a machine needs to stay alive on its link, both directions of each exchange.

use crate::config::Generation;
use crate::flow::Hook;
use crate::judge;
use crate::packet::{LATER, Packet, WHOLE, protocol};
use crate::parse::eth;
use crate::pipeline::At;
use crate::reason::Reason;
use crate::tables::Tables;
use crate::verdict::Decision;

/// An essential; the number is its bit in [`crate::config::Generation::essentials`], and its counter is one more.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Essential {
    /// Address resolution (RFC 826).
    Arp = 0,
    /// Neighbour discovery (RFC 4861 sections 4.3 to 4.5).
    Nd = 1,
    /// Router solicitation and advertisement (RFC 4861 sections 4.1 and 4.2).
    Ra = 2,
    /// A DHCP client's exchange (RFC 2131).
    Dhcp = 3,
    /// A DHCPv6 client's exchange (RFC 8415).
    Dhcpv6 = 4,
    /// Group management in IPv4 (RFC 3376).
    Igmp = 5,
    /// Group management in IPv6 (RFC 3810).
    Mld = 6,
    /// The link's own protocols: EAPOL, LLDP, LACP, STP, PTP.
    Link = 7,
}

impl Essential {
    /// Every essential, in the order of listings.
    pub const ALL: &[Self] = &[
        Self::Arp,
        Self::Nd,
        Self::Ra,
        Self::Dhcp,
        Self::Dhcpv6,
        Self::Igmp,
        Self::Mld,
        Self::Link,
    ];

    /// The word in policies; the listed rule is `essentials/WORD`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Arp => "arp",
            Self::Nd => "nd",
            Self::Ra => "ra",
            Self::Dhcp => "dhcp",
            Self::Dhcpv6 => "dhcpv6",
            Self::Igmp => "igmp",
            Self::Mld => "mld",
            Self::Link => "link",
        }
    }

    /// Its bit in [`crate::config::Generation::essentials`].
    #[inline(always)]
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// Its rule counter.
    #[inline(always)]
    #[must_use]
    pub const fn counter(self) -> u32 {
        self as u32 + 1
    }
}

/// Ethertypes of EAPOL (IEEE 802.1X), LLDP (802.1AB), slow protocols (802.3 annex 57A) and PTP (IEEE 1588).
const LINK_ETHERTYPES: [u16; 4] = [0x888e, 0x88cc, 0x8809, 0x88f7];

/// What the policy keeps alive passes, both directions of each exchange.
#[inline(always)]
pub(crate) fn essentials<T: Tables>(
    tables: T,
    at: &At,
    head: &Generation,
    packet: &Packet,
) -> Option<Decision> {
    let found = find(packet, at.hook);
    if matches!(found, Ok(None)) {
        return None;
    }
    if packet.family != 0
        && let Some(reason) = judge::false_source(tables, at.hook, &packet.tuple.source)
    {
        return Some(Decision::plain(reason));
    }
    let found = match found {
        Err(reason) => return Some(Decision::plain(reason)),
        Ok(found) => found?,
    };
    let fixed = matches!(found, Essential::Arp | Essential::Nd);
    if !fixed && head.essentials & found.bit() == 0 {
        return None;
    }
    tables.hit(found.counter(), at.packets, at.bytes, at.now);
    let plain = Decision::plain(Reason::Essential);
    Some(Decision {
        rule: found.counter(),
        ..plain
    })
}

/// Which essential a packet is; `None` for all others. In fragments the first one tells: what a server has to say
/// may be longer than a frame.
///
/// # Errors
/// `nd-invalid` for neighbour discovery that came from beyond the link, or in fragments.
#[inline(always)]
pub fn find(packet: &Packet, hook: Hook) -> Result<Option<Essential>, Reason> {
    if packet.fragment == LATER {
        return Ok(None);
    }
    match (packet.family, packet.tuple.protocol) {
        (0, _) => Ok(by_ethertype(packet)),
        (6, protocol::ICMPV6) => icmpv6(packet),
        (_, protocol::UDP) => Ok(client(packet, hook)),
        (4, protocol::IGMP) => Ok(Some(Essential::Igmp)),
        _ => Ok(None),
    }
}

#[inline(always)]
fn by_ethertype(packet: &Packet) -> Option<Essential> {
    let kind = packet.ethertype;
    let [eapol, lldp, slow, ptp] = LINK_ETHERTYPES;
    if kind == eth::ARP {
        return Some(Essential::Arp);
    }
    let link = kind == eapol || kind == lldp || kind == slow || kind == ptp || packet.bpdu();
    if link { Some(Essential::Link) } else { None }
}

/// Neighbour discovery is believed only with a hop limit of 255, which no router lets through, and
/// code 0, and whole (RFC 6980 section 5); advertisements of routers only from link-local addresses (RFC 4861
/// sections 6.1 and 7.1).
#[inline(always)]
fn icmpv6(packet: &Packet) -> Result<Option<Essential>, Reason> {
    let kind = packet.icmp_type();
    let found = match kind {
        133 | 134 => Essential::Ra,
        135..=137 => Essential::Nd,
        130..=132 | 143 => return Ok(mld(packet)),
        _ => return Ok(None),
    };
    let on_link = packet.hop_limit == 255 && packet.icmp_code() == 0 && packet.fragment == WHOLE;
    let router = !matches!(kind, 134 | 137) || packet.tuple.source.is_link_local_v6();
    if on_link && router {
        Ok(Some(found))
    } else {
        Err(Reason::NdInvalid)
    }
}

/// From a link-local address, or none yet, with a hop limit of 1 (RFC 3810 section 5, RFC 3590).
#[inline(always)]
fn mld(packet: &Packet) -> Option<Essential> {
    let source = packet.tuple.source;
    let local = source.is_link_local_v6() || source.is_unspecified();
    if packet.hop_limit == 1 && local {
        Some(Essential::Mld)
    } else {
        None
    }
}

/// The client's ports are 68 and 546; it sends on egress and is answered on ingress.
#[inline(always)]
fn client(packet: &Packet, hook: Hook) -> Option<Essential> {
    let t = &packet.tuple;
    let (own, peer) = match hook {
        Hook::Ingress => (t.destination_port, t.source_port),
        Hook::Egress => (t.source_port, t.destination_port),
    };
    match (packet.family, own, peer) {
        (4, 68, 67) => Some(Essential::Dhcp),
        (6, 546, 547) => Some(Essential::Dhcpv6),
        _ => None,
    }
}
