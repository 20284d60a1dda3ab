//! Failsafe: the host's own way in, whatever the policy says.

use crate::addr::Addr;
use crate::config::{FIRST_FAILSAFE_COUNTER, KIND_DESTINATION};
use crate::flow::{Hook, Tuple};
use crate::judge;
use crate::packet::{Packet, protocol, query_ports};
use crate::pipeline::At;
use crate::reason::Reason;
use crate::tables::Tables;
use crate::verdict::Decision;

/// The host's own way in: both directions of what its agent file lists, before the policy and any session.
#[inline(always)]
pub(crate) fn failsafe<T: Tables>(tables: T, at: &At, packet: &Packet) -> Option<Decision> {
    if !tables.has_failsafe() {
        return None;
    }
    let tuple = &packet.tuple;
    // Replies of a service that is published from a container leave in this host's name, others do not.
    if at.came_by != 0 && tables.local(&tuple.source) == 0 {
        return None;
    }
    let (peer, port) = match at.hook {
        Hook::Ingress => (&tuple.source, tuple.destination_port),
        Hook::Egress => (&tuple.destination, tuple.source_port),
    };
    let port = if packet.is_icmp() {
        failsafe_icmp(packet)
    } else {
        port
    };
    let counter = failsafe_rule(tables, tuple.protocol, peer, port)?;
    if matches!(at.hook, Hook::Ingress) && !comes_here(tables, at, tuple) {
        return None;
    }
    tables.hit(counter, at.packets, at.bytes, at.now);
    let plain = Decision::plain(Reason::Failsafe);
    Some(Decision {
        rule: counter,
        ..plain
    })
}

/// The counter of the first failsafe rule that names a peer and a service of this host.
#[inline(always)]
fn failsafe_rule<T: Tables>(tables: T, protocol: u8, peer: &Addr, port: u16) -> Option<u32> {
    let of_peer = tables.failsafe_address(peer);
    if of_peer == 0 {
        return None;
    }
    let port = port.to_be_bytes();
    let key = [protocol, KIND_DESTINATION, port[0], port[1]];
    let matching = of_peer & tables.failsafe_service(key);
    if matching == 0 {
        return None;
    }
    Some(FIRST_FAILSAFE_COUNTER + (matching.trailing_zeros() & 63))
}

/// From another machine and for this one, by the tables or, on a miss, by the kernel's routing.
#[inline(always)]
fn comes_here<T: Tables>(tables: T, at: &At, tuple: &Tuple) -> bool {
    judge::false_source(tables, at.hook, &tuple.source).is_none()
        && (tables.local(&tuple.destination) != 0 || tables.route(tuple, at.interface).here)
}

/// Is the quoted packet, which went the other way, one that a failsafe rule lets through? Then errors
/// about it pass, so that path MTU discovery works there too.
#[inline(always)]
pub(crate) fn about_failsafe<T: Tables>(tables: T, at: &At, quoted: &Tuple) -> bool {
    if !tables.has_failsafe() || !protocol::has_ports(quoted.protocol) {
        return false;
    }
    let (peer, port) = match at.hook {
        Hook::Ingress => (&quoted.destination, quoted.source_port),
        Hook::Egress => (&quoted.source, quoted.destination_port),
    };
    failsafe_rule(tables, quoted.protocol, peer, port).is_some()
}

/// Requests and their replies are known by the request's type.
#[inline(always)]
fn failsafe_icmp(packet: &Packet) -> u16 {
    let (from, to) = query_ports(packet.family, packet.icmp_type(), 0);
    if from == 0 { to } else { from }
}
