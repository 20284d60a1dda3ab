//! Framing: what no packet on a wire can say of itself.

use crate::flow::Hook;
use crate::packet::{Packet, protocol};
use crate::pipeline::At;
use crate::reason::Reason;
use crate::verdict::Decision;

/// Sources and destinations that no packet on a wire can have (RFC 1122 section 3.2.1.3, RFC 4291). This
/// machine's own addresses need a table, see [`crate::judge::false_source`].
#[inline(always)]
pub(crate) fn framing(at: &At, packet: &Packet) -> Option<Decision> {
    // What leaves and came in by another device was judged at none, or it would have passed before this.
    let own = matches!(at.hook, Hook::Egress) && at.came_by == 0;
    if packet.family == 0 || own {
        return None;
    }
    let (source, destination) = (&packet.tuple.source, &packet.tuple.destination);
    if source.is_loopback() {
        return Some(Decision::plain(Reason::SpoofedSource));
    }
    let unspecified = source.is_unspecified() && !may_be_unspecified(packet);
    let group = source.is_multicast() || source.is_class_e();
    // An IPv6 packet with a mapped address would be taken for the IPv4 one (ip6_rcv_core of
    // net/ipv6/ip6_input.c drops those too).
    let mapped = packet.family == 6 && (source.is_v4() || destination.is_v4());
    let martian = unspecified || group || mapped || destination.is_loopback();
    if martian {
        return Some(Decision::plain(Reason::Martian));
    }
    None
}

/// `::` while an address is not yet assigned (RFC 4861, RFC 3590), 0.0.0.0 in DHCP and IGMP.
#[inline(always)]
fn may_be_unspecified(packet: &Packet) -> bool {
    let tuple = &packet.tuple;
    match (packet.family, tuple.protocol) {
        (4, protocol::UDP) => {
            matches!(
                (tuple.source_port, tuple.destination_port),
                (67, 68) | (68, 67)
            ) && tuple.source.as_v4() == 0
        }
        (4, protocol::IGMP) => tuple.source.as_v4() == 0,
        (6, protocol::ICMPV6) => matches!(packet.icmp_type(), 130..=133 | 135 | 143),
        _ => false,
    }
}
