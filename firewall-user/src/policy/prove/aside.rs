//! Packets that never come to the list: what essentials let by, ICMP errors about nothing live, impossible sources.
//! A statement that names them is held against one packet of each kind, judged as the host would.

use firewall_common::packet::protocol;
use firewall_common::reason::Reason;
use firewall_common::zone::Course;

use crate::policy::compile::service_run;
use crate::policy::compiled::Compiled;
use crate::policy::explain::{Explanation, Judge, of_family};
use crate::policy::model::{Action, Assertion, Endpoint, PacketSpec, Policy};
use crate::policy::space::{exists, never};

/// Said of statements about everything, or about all of a protocol.
pub(super) const THE_LIST: &str =
    "the list alone: what essentials, failsafe rules and framing decide comes before it";

/// Ports of the exchanges that essentials let by, as a client's side sends and as it is answered (RFC 2131, RFC 8415).
const ASKS: [(u16, u16, bool); 2] = [(68, 67, false), (546, 547, true)];
const ANSWERS: [(u16, u16, bool); 2] = [(67, 68, false), (547, 546, true)];

/// A run of services: the first and the last.
type Run = (u32, u32);

/// A kind of packet.
struct Kind {
    v6: bool,
    ports: Option<(u16, u16)>,
    icmp: Option<(u8, u8)>,
    leaving: bool,
}

/// Is the statement about everything, or about all of a protocol of which the list decides a part?
pub(super) fn about_the_list(compiled: &Compiled, claim: &Assertion) -> bool {
    claim.services.as_ref().is_none_or(|services| {
        let mut runs = services.iter().map(service_run);
        runs.any(|run| {
            let aside = !kinds(run, Course::Routed).is_empty();
            aside && whole(run) && listed(compiled, run)
        })
    })
}

/// A packet of a kind that the list is never asked about, and that refutes a statement.
pub(super) fn refuted(
    policy: &Policy,
    judge: &mut Judge<'_>,
    claim: &Assertion,
    course: Course,
    now: u64,
) -> Option<Explanation> {
    let services = claim.services.as_deref().unwrap_or_default();
    let refutes = |found: &Explanation| match claim.expect {
        Action::Allow => found.action != "allow",
        _ => found.reason == Reason::Essential.word(),
    };
    services.iter().map(service_run).find_map(|run| {
        let listed = listed(judge.space.compiled, run);
        if listed && (whole(run) || claim.expect == Action::Allow) {
            return None;
        }
        let mut kinds = kinds(run, course).into_iter();
        kinds.find_map(|kind| judged(policy, judge, claim, run, &kind, now).filter(refutes))
    })
}

/// What becomes of some packet that a statement speaks of; `None` where it speaks of none.
pub(super) fn example(
    policy: &Policy,
    judge: &mut Judge<'_>,
    claim: &Assertion,
    now: u64,
) -> Option<Explanation> {
    let any = [(
        u32::from(protocol::TCP) << 16,
        u32::from(protocol::TCP) << 16 | 0xffff,
    )];
    let named = claim.services.as_ref();
    let runs = named.map_or_else(|| any.to_vec(), |all| all.iter().map(service_run).collect());
    runs.into_iter().find_map(|run: Run| {
        let low = run.0 as u16;
        [false, true].into_iter().find_map(|v6| {
            let kind = Kind {
                v6,
                ports: Some((50_000, low)),
                icmp: Some(low.to_be_bytes().into()),
                leaving: false,
            };
            judged(policy, judge, claim, run, &kind, now)
        })
    })
}

const fn whole((first, last): Run) -> bool {
    first & 0xffff == 0 && last & 0xffff == 0xffff
}

/// Is the list asked about some of it?
fn listed(compiled: &Compiled, (first, last): Run) -> bool {
    let number = (first >> 16) as u8;
    match number {
        protocol::ICMP | protocol::ICMPV6 => {
            let mut kinds = (first as u16 >> 8)..=(last as u16 >> 8);
            kinds.any(|kind| !never(compiled, number, kind << 8))
        }
        number => protocol::has_ports(number) || !never(compiled, number, 0),
    }
}

/// The kinds of packets of a run that may be decided before the list.
fn kinds((first, last): Run, course: Course) -> Vec<Kind> {
    let (number, low, high) = ((first >> 16) as u8, first as u16, last as u16);
    let client = |all: [(u16, u16, bool); 2], leaving| {
        let within = all
            .into_iter()
            .filter(move |(_, to, _)| (low..=high).contains(to));
        within.map(move |(from, to, v6)| Kind {
            v6,
            ports: Some((from, to)),
            icmp: None,
            leaving,
        })
    };
    match number {
        protocol::UDP => {
            let answers = client(ANSWERS, false).filter(|_| course != Course::Outbound);
            let asks = client(ASKS, true).filter(|_| course != Course::Inbound);
            answers.chain(asks).collect()
        }
        protocol::ICMP | protocol::ICMPV6 => ((low >> 8)..=(high >> 8))
            .map(|kind| Kind {
                v6: number == protocol::ICMPV6,
                ports: None,
                icmp: Some(low.max(kind << 8).to_be_bytes().into()),
                leaving: false,
            })
            .collect(),
        protocol::IGMP => vec![Kind {
            v6: false,
            ports: None,
            icmp: None,
            leaving: false,
        }],
        _ => Vec::new(),
    }
}

/// What becomes of a packet of a kind, if there is one.
fn judged(
    policy: &Policy,
    judge: &mut Judge<'_>,
    claim: &Assertion,
    (first, _): Run,
    kind: &Kind,
    now: u64,
) -> Option<Explanation> {
    let number = (first >> 16) as u8;
    let of_other = |end: &Endpoint| match end {
        Endpoint::Net(net) => net.addr().is_ipv6() != kind.v6,
        _ => false,
    };
    if !exists(number, kind.v6) || of_other(&claim.source) || of_other(&claim.destination) {
        return None;
    }
    let ports = kind.ports.filter(|_| protocol::has_ports(number));
    let spec = PacketSpec {
        protocol: number,
        source: claim.source.clone(),
        source_port: ports.map(|(from, _)| from),
        destination: claim.destination.clone(),
        destination_port: ports.map(|(_, to)| to),
        icmp: kind.icmp,
        interface: None,
        leaving: kind.leaving && claim.source != Endpoint::Host,
    };
    let chosen = of_family(policy, &judge.space, &spec, kind.v6).ok()??;
    Some(judge.decide(&spec, &chosen, now))
}
