//! A handshake that does not complete, from what is told of it.

use firewall_common::addr::Addr;
use firewall_common::event::layout::Refused;
use firewall_common::flow::{FlowKey, Hook, Tuple};
use firewall_common::packet::protocol;
use firewall_common::parse::tcp::{ACK, SYN};
use firewall_common::reason::Reason;
use firewall_common::session::{Entry, opener_tuple};
use firewall_common::verdict::Verdict;
use firewall_common::zone::{Course, ZoneId};

use super::cause::{Cause, Way};

/// A handshake that does not complete. Times are nanoseconds since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneSided {
    /// Who opens.
    pub way: Way,
    /// Why it does not complete.
    pub cause: Cause,
    /// What says so.
    pub evidence: Vec<String>,
    /// The opener's tuple.
    pub tuple: Tuple,
    /// The zones of both ends.
    pub zones: (ZoneId, ZoneId),
    /// Counter of the rule that decided; 0: none did.
    pub rule: Option<u32>,
    /// Why it was dropped, if it was.
    pub reason: Option<Reason>,
    /// Epoch of the policy that decided.
    pub epoch: u32,
    /// The guarded interface.
    pub interface: u32,
    /// Of its session: both ends, and when it was opened.
    pub opened: Option<(FlowKey, u64)>,
    /// The first SYN.
    pub first: u64,
    /// The last packet.
    pub last: u64,
    /// Packets from the opener.
    pub sent: u64,
    /// Packets back.
    pub received: u64,
    /// What to do, where it is not what the cause says by itself.
    pub advice: Option<&'static str>,
}

/// Of which nothing is known yet.
pub(super) const BLANK: OneSided = OneSided {
    way: Way::Outbound,
    cause: Cause::Unknown,
    evidence: Vec::new(),
    tuple: Tuple {
        source: Addr::UNSPECIFIED,
        destination: Addr::UNSPECIFIED,
        source_port: 0,
        destination_port: 0,
        protocol: protocol::TCP,
        pad: [0; 3],
    },
    zones: (ZoneId::NONE, ZoneId::NONE),
    rule: None,
    reason: None,
    epoch: 0,
    interface: 0,
    opened: None,
    first: 0,
    last: 0,
    sent: 0,
    received: 0,
    advice: None,
};

/// A SYN that we refused; `None`: it was something else.
pub(super) fn of_refusal(refused: &Refused) -> Option<OneSided> {
    let opens = refused.tuple.protocol == protocol::TCP && refused.tcp_flags & (SYN | ACK) == SYN;
    let dropped = matches!(
        Verdict::from_number(refused.verdict),
        Some(Verdict::Dropped | Verdict::Rejected)
    );
    let zones = (
        ZoneId(refused.source_zone),
        ZoneId(refused.destination_zone),
    );
    let way = match zones {
        (ZoneId::NONE, _) => return None,
        (_, ZoneId::HOST) => Way::Inbound,
        (ZoneId::HOST, _) => Way::Outbound,
        _ => return None,
    };
    let arrives = refused.hook == Hook::Ingress as u8;
    if !opens || !dropped || arrives != (way == Way::Inbound) {
        return None;
    }
    Some(OneSided {
        way,
        tuple: refused.tuple,
        zones,
        rule: Some(refused.rule),
        reason: Reason::from_number(refused.reason),
        epoch: refused.epoch,
        interface: refused.interface,
        first: refused.header.time,
        last: refused.header.time,
        sent: refused.packets.into(),
        ..BLANK
    })
}

/// A TCP session of this host's; `None`: it is another's.
pub(super) fn of_session(key: &FlowKey, entry: &Entry) -> Option<OneSided> {
    let way = match entry.course() {
        _ if key.protocol != protocol::TCP => return None,
        Course::Inbound => Way::Inbound,
        Course::Outbound => Way::Outbound,
        Course::Routed => return None,
    };
    let mut tuple = Tuple::default();
    opener_tuple(key, entry, &mut tuple);
    Some(OneSided {
        way,
        tuple,
        zones: entry.zones(),
        rule: Some(entry.permit.rule),
        epoch: entry.permit.epoch,
        interface: if entry.leaving() {
            entry.interface_out
        } else {
            entry.interface_in
        },
        opened: Some((*key, entry.opened)),
        first: entry.opened,
        last: entry.last_seen,
        sent: entry.counts[0].packets,
        received: entry.counts[1].packets,
        ..BLANK
    })
}
