//! Who was refused, by which rule: refusals with the same ends, service and cause as one row.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use firewall_common::event::decode::Event;
use firewall_common::event::layout::Refused;
use firewall_common::packet::{Role, protocol};
use firewall_common::reason::Reason;
use firewall_common::zone::Course;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::enrich::course;
use super::hub::{Seen, What};
use super::record::{EventWord, Flow, Layer4, VerdictWord, Zone};
use super::subject::peer;
use crate::policy::let_in::{self, LetIn, Wish};
use crate::policy::model::Policy;
use crate::sessions::address;

/// Refusals that are alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DropRow {
    /// The other end; `null` for what is not IP.
    pub peer: Option<IpAddr>,
    /// `inbound`, `outbound` or `routed`; `null` where it was dropped before that was looked up.
    pub direction: Option<String>,
    /// `tcp/22`, `icmp/8`; the ethertype of what is not IP.
    pub service: String,
    /// Zones of both ends.
    pub zone: Zone,
    /// The guarded interface.
    pub interface: Option<String>,
    /// The rule that refused it: `policy/rule`, `policy/default`, `unmatched/inbound`.
    pub rule: Option<String>,
    /// Why.
    pub reason: String,
    /// `DROPPED` or `AUDIT`.
    pub verdict: VerdictWord,
    /// Packets that records were made of.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// The line that would let it in.
    pub let_in: Option<LetIn>,
    /// Where that line goes, or what to do instead.
    pub advice: String,
}

/// `GET /v1/drops`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Drops {
    /// The most frequent first.
    pub rows: Vec<DropRow>,
    /// Refusals in that time that no record was made of; counters have them.
    pub unrecorded: u64,
}

/// Rows that get a line that would let them in: each costs a look at the policy.
const WITH_LINES: usize = 1000;

/// Groups refusals.
#[must_use]
pub fn group(seen: &[Arc<Seen>], policy: Option<&Policy>) -> Drops {
    let mut rows: HashMap<Key, (DropRow, Refused)> = HashMap::new();
    let mut unrecorded = 0;
    for one in seen {
        let What::Told(Event::Drop(refused)) = &one.what else {
            continue;
        };
        unrecorded += one.suppressed;
        let key = Key::of(refused);
        let new = || (row(&one.flow(), refused), *refused);
        let (row, _) = rows.entry(key).or_insert_with(new);
        row.packets += u64::from(refused.packets);
        row.bytes += u64::from(refused.bytes);
        row.last = one.time;
    }
    let mut rows: Vec<_> = rows.into_values().collect();
    rows.sort_by_key(|(row, _)| std::cmp::Reverse((row.packets, row.last)));
    for (row, refused) in rows.iter_mut().take(WITH_LINES) {
        advise(row, refused, policy);
    }
    Drops {
        rows: rows.into_iter().map(|(row, _)| row).collect(),
        unrecorded,
    }
}

/// What makes two refusals alike. The epoch is not in it: the same rule may be of many revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    peer: firewall_common::addr::Addr,
    protocol: u8,
    port: u16,
    rule: u32,
    reason: u8,
    verdict: u8,
    hook: u8,
    ethertype: u16,
}

impl Key {
    fn of(refused: &Refused) -> Self {
        let outbound = course(refused) == Some(Course::Outbound);
        Self {
            peer: if outbound {
                refused.tuple.destination
            } else {
                refused.tuple.source
            },
            protocol: refused.tuple.protocol,
            port: refused.tuple.destination_port,
            rule: refused.rule,
            reason: refused.reason,
            verdict: refused.verdict,
            hook: refused.hook,
            ethertype: refused.ethertype,
        }
    }
}

fn row(flow: &Flow, refused: &Refused) -> DropRow {
    debug_assert_eq!(flow.event, EventWord::Drop);
    let service = match &flow.l4 {
        Some(l4) => service(l4),
        None if flow.ip.is_some() => "later fragment".to_owned(),
        None => format!("ethertype {:#06x}", refused.ethertype),
    };
    DropRow {
        peer: peer(flow),
        direction: flow.direction.clone(),
        service,
        zone: flow.zone.clone(),
        interface: flow.interface.as_ref().map(|on| on.name.clone()),
        rule: flow.rule_id(),
        reason: flow.reason.clone().unwrap_or_default(),
        verdict: flow.verdict,
        packets: 0,
        bytes: 0,
        first: flow.time,
        last: flow.time,
        let_in: None,
        advice: String::new(),
    }
}

/// A service as the language writes it.
fn service(l4: &Layer4) -> String {
    match l4 {
        Layer4::Icmp4(icmp) => format!("icmp/{}", icmp.kind),
        Layer4::Icmp6(icmp) => format!("icmpv6/{}", icmp.kind),
        other => match other.ports() {
            Some((_, port)) => format!("{}/{port}", other.protocol()),
            None => other.protocol().to_owned(),
        },
    }
}

fn advise(row: &mut DropRow, refused: &Refused, policy: Option<&Policy>) {
    let reason = Reason::from_number(refused.reason).unwrap_or(Reason::InternalError);
    row.let_in = wish(row, refused, reason).and_then(|wish| let_in::line(policy?, &wish));
    row.advice = match &row.let_in {
        Some(line) => line.place(),
        None if is_middle(refused, reason) => MIDDLE.to_owned(),
        None => let_in::hint(reason).to_owned(),
    };
}

const MIDDLE: &str = "it opens nothing: look for the packet that should have opened its session";

/// A rule lets in what opens something; a stray it would only call by another reason.
fn is_middle(refused: &Refused, reason: Reason) -> bool {
    refused.role == Role::Continues as u8
        && matches!(
            reason,
            Reason::RuleDeny | Reason::RuleReject | Reason::DefaultDeny | Reason::DefaultReject
        )
}

fn wish(row: &DropRow, refused: &Refused, reason: Reason) -> Option<Wish> {
    let opens = refused.role == Role::Opens as u8 || refused.role == Role::Stateless as u8;
    let later = refused.fragment == firewall_common::packet::LATER;
    if !opens || later || refused.family == 0 || refused.tuple.protocol == protocol::IGMP {
        return None;
    }
    Some(Wish {
        course: course(refused)?,
        source: address(refused.tuple.source),
        destination: address(refused.tuple.destination),
        service: row.service.clone(),
        reason,
        rule: row.rule.clone().filter(|_| refused.rule != 0),
        source_zone: row.zone.source.clone().unwrap_or_default(),
        destination_zone: row.zone.destination.clone().unwrap_or_default(),
    })
}
