//! From numbers to a flow record.

use std::net::IpAddr;

use firewall_common::event::decode::Event;
use firewall_common::event::layout::{OfSession, Refused};
use firewall_common::flow::{FlowKey, Hook, Tuple};
use firewall_common::packet::{Role, protocol};
use firewall_common::reason::{Outcome, Reason};
use firewall_common::session::end::Cause;
use firewall_common::session::{Entry, MONITORED, opener_tuple};
use firewall_common::verdict::Verdict;
use firewall_common::zone::{Course, ZoneId};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::community::{self, Conversation};
use super::hub::{Seen, What, wall};
use super::hubble;
use super::record::{
    Direction, Flags, FlagsSeen, Flow, Icmp, Interface, Ip, Layer4, Other, PolicyRef, Ports,
    SCHEMA, Tcp, Traffic, VerdictWord, Zone,
};
use super::view::View;
use crate::detect::OneSided;
use crate::policy::services::protocol_word;
use crate::sessions::{address, direction};

impl Seen {
    /// The record as it is written.
    #[must_use]
    pub fn flow(&self) -> Flow {
        let blank = self.blank();
        match &self.what {
            What::Told(Event::Drop(refused)) => of_refusal(blank, &self.view, refused),
            What::Told(Event::Open(of)) => self.of_session(blank, of, None),
            What::Told(Event::Close(of, cause)) => self.of_session(blank, of, Some(*cause)),
            What::Live(live) => {
                let flow = self.ends(blank, &live.key, &live.entry);
                Flow {
                    reason: Some(Reason::Session.word().to_owned()),
                    interface: interface(&self.view, crossed(&live.entry)),
                    traffic_direction: opening_hook(&live.entry),
                    ..flow
                }
            }
            What::OneSided(one) => self.of_one_sided(blank, one),
        }
    }

    fn blank(&self) -> Flow {
        Flow {
            schema: SCHEMA.to_owned(),
            time: self.time,
            uuid: self.uuid.to_string(),
            seq: self.seq,
            event: self.event(),
            verdict: VerdictWord::Forwarded,
            action: None,
            reason: None,
            drop_reason_desc: None,
            traffic_direction: Direction::Ingress,
            direction: None,
            ip: None,
            l4: None,
            ethertype: None,
            is_reply: None,
            initiator: None,
            interface: None,
            node_name: self.view.host.name.clone(),
            host: (*self.view.host).clone(),
            zone: Zone::default(),
            policy: None,
            session_id: None,
            community_id: None,
            packets: Traffic::default(),
            bytes: Traffic::default(),
            start: None,
            end: None,
            duration_ms: None,
            tcp_state: None,
            state: None,
            tcp_flags_seen: None,
            close_cause: None,
            cause: None,
            evidence: Vec::new(),
            process: self.process.as_deref().cloned(),
            suppressed: self.suppressed,
        }
    }

    fn of_session(&self, flow: Flow, of: &OfSession, cause: Option<Cause>) -> Flow {
        let flow = self.ends(flow, &of.key, &of.entry);
        let reason = Reason::from_number(of.reason);
        // Else the packet that made room of it may be another's.
        let own = cause.is_none_or(told_by_packet);
        let reason = if own { reason } else { Some(Reason::Session) };
        // By which a session opened that would not have been; of its later records the rule says it.
        let refusal = reason.filter(|reason| reason.outcome() != Outcome::Pass);
        let opened = refusal.filter(|_| cause.is_none()).map(action_of);
        Flow {
            action: opened.map(str::to_owned).or(flow.action.clone()),
            traffic_direction: hook(of.hook),
            interface: interface(&self.view, of.interface),
            reason: reason.map(|reason| reason.word().to_owned()),
            close_cause: cause.map(|cause| cause.word().to_owned()),
            ..flow
        }
    }

    /// What all records of a session say.
    fn ends(&self, flow: Flow, key: &FlowKey, entry: &Entry) -> Flow {
        let mut tuple = Tuple::default();
        opener_tuple(key, entry, &mut tuple);
        let [sent, received] = entry.counts;
        let monitored = entry.track.flags & MONITORED != 0;
        let course = entry.course();
        let tcp = tuple.protocol == protocol::TCP;
        let state = Some(entry.track.state().word().to_owned());
        let action = match (
            monitored,
            self.view.names.rejects.contains(&entry.permit.rule),
        ) {
            (false, _) => "allow",
            (true, true) => "reject",
            (true, false) => "deny",
        };
        let since = entry.last_seen.saturating_sub(entry.opened);
        Flow {
            verdict: if monitored {
                VerdictWord::Audit
            } else {
                VerdictWord::Forwarded
            },
            action: Some(action.to_owned()),
            direction: Some(direction(course).to_owned()),
            ip: Some(ip(&tuple)),
            l4: Some(layer4(&tuple, None)),
            is_reply: Some(false),
            initiator: Some("source".to_owned()),
            zone: zone(&self.view, entry.zones()),
            policy: policy(
                &self.view,
                entry.permit.epoch,
                entry.permit.rule,
                Some(course),
            ),
            session_id: Some(session_id(&self.view, key, entry.opened)),
            community_id: Some(community::id(&conversation(&tuple))),
            packets: Traffic {
                sent: sent.packets,
                received: received.packets,
            },
            bytes: Traffic {
                sent: sent.bytes,
                received: received.bytes,
            },
            start: Some(wall(&self.clock, entry.opened)),
            end: Some(wall(&self.clock, entry.last_seen)),
            duration_ms: Some(since / 1_000_000),
            tcp_state: state.clone().filter(|_| tcp),
            state,
            tcp_flags_seen: tcp.then(|| FlagsSeen {
                sent: Flags::new(entry.track.seen[0]),
                received: Flags::new(entry.track.seen[1]),
            }),
            ..flow
        }
    }

    fn of_one_sided(&self, flow: Flow, one: &OneSided) -> Flow {
        let rule = one.rule.filter(|rule| *rule != 0);
        let at = |boot| Some(wall(&self.clock, boot));
        let (start, end): (Option<Timestamp>, Option<Timestamp>) = (at(one.first), at(one.last));
        let dropped = one.cause == crate::detect::Cause::PolicyDrop;
        let egress = one.way == crate::detect::Way::Outbound;
        Flow {
            verdict: if dropped {
                VerdictWord::Dropped
            } else {
                VerdictWord::Forwarded
            },
            action: Some(if dropped { "deny" } else { "allow" }.to_owned()),
            reason: one.reason.map(|reason| reason.word().to_owned()),
            drop_reason_desc: one.reason.and_then(hubble::name).map(str::to_owned),
            traffic_direction: if egress {
                Direction::Egress
            } else {
                Direction::Ingress
            },
            direction: Some(one.way.word().to_owned()),
            ip: Some(ip(&one.tuple)),
            l4: Some(layer4(&one.tuple, None)),
            is_reply: Some(false),
            initiator: Some("source".to_owned()),
            interface: interface(&self.view, one.interface),
            zone: zone(&self.view, one.zones),
            policy: policy(
                &self.view,
                one.epoch,
                rule.unwrap_or(0),
                Some(one.way.course()),
            ),
            session_id: one
                .opened
                .map(|(key, opened)| session_id(&self.view, &key, opened)),
            community_id: Some(community::id(&conversation(&one.tuple))),
            packets: Traffic {
                sent: one.sent,
                received: one.received,
            },
            start,
            end,
            cause: Some(one.cause.word().to_owned()),
            evidence: one.evidence.clone(),
            ..flow
        }
    }
}

fn of_refusal(flow: Flow, view: &View, refused: &Refused) -> Flow {
    let reason = Reason::from_number(refused.reason).unwrap_or(Reason::InternalError);
    let verdict = match Verdict::from_number(refused.verdict) {
        Some(Verdict::Audit) => VerdictWord::Audit,
        Some(Verdict::Forwarded) => VerdictWord::Forwarded,
        _ => VerdictWord::Dropped,
    };
    let rejected =
        refused.verdict == Verdict::Rejected as u8 || reason.outcome() == Outcome::Reject;
    let is_ip = refused.family != 0;
    let whole = refused.fragment != firewall_common::packet::LATER;
    let opens = refused.role == Role::Opens as u8;
    let course = course(refused);
    let tuple = &refused.tuple;
    Flow {
        verdict,
        action: Some(if rejected { "reject" } else { "deny" }.to_owned()),
        reason: Some(reason.word().to_owned()),
        drop_reason_desc: hubble::name(reason).map(str::to_owned),
        traffic_direction: hook(refused.hook),
        direction: course.map(|course| direction(course).to_owned()),
        ip: is_ip.then(|| ip(tuple)),
        l4: (is_ip && whole).then(|| layer4(tuple, Some(refused.tcp_flags))),
        ethertype: (!is_ip).then(|| format!("{:#06x}", refused.ethertype)),
        is_reply: (is_ip && opens).then_some(false),
        initiator: (is_ip && opens).then(|| "source".to_owned()),
        interface: interface(view, refused.interface),
        zone: zone(
            view,
            (
                ZoneId(refused.source_zone),
                ZoneId(refused.destination_zone),
            ),
        ),
        policy: policy(
            view,
            refused.epoch,
            refused.rule,
            course.filter(|_| reason == Reason::NoPolicy),
        ),
        community_id: (is_ip && whole).then(|| community::id(&conversation(tuple))),
        packets: Traffic {
            sent: refused.packets.into(),
            received: 0,
        },
        bytes: Traffic {
            sent: refused.bytes.into(),
            received: 0,
        },
        ..flow
    }
}

/// Where a refused packet went to, if its zones were looked up.
pub(super) fn course(refused: &Refused) -> Option<Course> {
    match (
        ZoneId(refused.source_zone),
        ZoneId(refused.destination_zone),
    ) {
        (ZoneId::NONE, ZoneId::NONE) => None,
        (_, ZoneId::HOST) => Some(Course::Inbound),
        (ZoneId::HOST, _) => Some(Course::Outbound),
        _ if refused.hook == Hook::Ingress as u8 && is_group(refused) => Some(Course::Inbound),
        _ => Some(Course::Routed),
    }
}

fn is_group(refused: &Refused) -> bool {
    let destination = &refused.tuple.destination;
    destination.is_multicast() || destination.is_limited_broadcast()
}

/// What the policy says by a refusal.
fn action_of(reason: Reason) -> &'static str {
    match reason.outcome() {
        Outcome::Reject => "reject",
        _ => "deny",
    }
}

/// Does the reason of the packet that ended it belong to the session's end?
const fn told_by_packet(cause: Cause) -> bool {
    matches!(cause, Cause::Revoked | Cause::RuleExpired)
}

const fn hook(number: u8) -> Direction {
    if number == Hook::Egress as u8 {
        Direction::Egress
    } else {
        Direction::Ingress
    }
}

const fn opening_hook(entry: &Entry) -> Direction {
    if entry.leaving() {
        Direction::Egress
    } else {
        Direction::Ingress
    }
}

/// The guarded interface that a session was opened at.
pub(super) const fn crossed(entry: &Entry) -> u32 {
    if entry.leaving() {
        entry.interface_out
    } else {
        entry.interface_in
    }
}

fn ip(tuple: &Tuple) -> Ip {
    let version = if tuple.source.is_v4() { "IPv4" } else { "IPv6" };
    Ip {
        source: address(tuple.source),
        destination: address(tuple.destination),
        version: version.to_owned(),
    }
}

/// Type and code of an ICMP tuple. In a session's tuple the type is that of the request, in a packet's its own.
const fn icmp(tuple: &Tuple) -> Icmp {
    let [kind, code] = tuple.destination_port.to_be_bytes();
    Icmp { kind, code }
}

fn layer4(tuple: &Tuple, flags: Option<u8>) -> Layer4 {
    let (source_port, destination_port) = (tuple.source_port, tuple.destination_port);
    let ports = Ports {
        source_port,
        destination_port,
    };
    match tuple.protocol {
        protocol::TCP => Layer4::Tcp(Tcp {
            source_port,
            destination_port,
            flags: flags.map(Flags::new),
        }),
        protocol::UDP => Layer4::Udp(ports),
        protocol::SCTP => Layer4::Sctp(ports),
        protocol::DCCP => Layer4::Dccp(ports),
        protocol::UDPLITE => Layer4::UdpLite(ports),
        protocol::ICMP if tuple.source.is_v4() => Layer4::Icmp4(icmp(tuple)),
        protocol::ICMPV6 if !tuple.source.is_v4() => Layer4::Icmp6(icmp(tuple)),
        number => Layer4::Other(Other {
            number,
            name: protocol_word(number),
        }),
    }
}

fn conversation(tuple: &Tuple) -> Conversation {
    let ports = match tuple.protocol {
        protocol::ICMP | protocol::ICMPV6 => {
            let Icmp { kind, code } = icmp(tuple);
            Some((u16::from(kind), u16::from(code)))
        }
        number if protocol::has_ports(number) => Some((tuple.source_port, tuple.destination_port)),
        _ => None,
    };
    Conversation {
        protocol: tuple.protocol,
        source: address(tuple.source),
        destination: address(tuple.destination),
        ports,
    }
}

fn interface(view: &View, index: u32) -> Option<Interface> {
    let name = view.names.interfaces.get(&index).cloned();
    (index != 0).then(|| Interface {
        index,
        name: name.unwrap_or_default(),
    })
}

fn zone(view: &View, (source, destination): (ZoneId, ZoneId)) -> Zone {
    let name = |zone: ZoneId| view.names.zones.get(&zone.0).cloned();
    Zone {
        source: name(source),
        destination: name(destination),
    }
}

/// The policy of an epoch, and the rule of a counter in it; `unmatched` where none decided.
fn policy(view: &View, epoch: u32, rule: u32, unmatched: Option<Course>) -> Option<PolicyRef> {
    let identity = view.policy(epoch);
    let sets = view.sets(rule);
    let id = match (rule, unmatched) {
        (0, None) => None,
        (0, Some(course)) => Some(format!("unmatched/{}", direction(course))),
        (rule, _) => view.names.rules.get(&rule).cloned(),
    };
    let (policy, rule) = id.as_deref().and_then(|id| id.split_once('/')).unzip();
    let found = PolicyRef {
        name: identity.map(|identity| identity.name.clone()),
        revision: identity.map(|identity| identity.revision),
        digest: identity.map(|identity| identity.digest.clone()),
        policy: policy.map(str::to_owned),
        rule: rule.map(str::to_owned),
        sets,
    };
    (found != PolicyRef::default()).then_some(found)
}

/// The same for all records of one session, and for no other one: both ends, the moment, the boot.
fn session_id(view: &View, key: &FlowKey, opened: u64) -> String {
    let mut hash = Sha256::new();
    hash.update(view.host.boot_id.as_deref().unwrap_or_default());
    hash.update(key.low.to_bytes());
    hash.update(key.high.to_bytes());
    hash.update(key.low_port.to_be_bytes());
    hash.update(key.high_port.to_be_bytes());
    hash.update([key.protocol]);
    hash.update(opened.to_be_bytes());
    let digest = hash.finalize();
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The address at the other end of a record: of an inbound one its source.
#[must_use]
pub(super) fn peer_of(flow: &Flow) -> Option<IpAddr> {
    let ip = flow.ip.as_ref()?;
    match (flow.direction.as_deref(), flow.traffic_direction) {
        (Some("outbound"), _) | (None, Direction::Egress) => Some(ip.destination),
        _ => Some(ip.source),
    }
}
