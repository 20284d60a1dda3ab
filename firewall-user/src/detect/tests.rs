use firewall_common::addr::Addr;
use firewall_common::event::layout::{Header, OfSession};
use firewall_common::flow::Side;
use firewall_common::parse::tcp::RST;
use firewall_common::session::{LEAVING, State};
use firewall_common::tables::Table;

use std::net::IpAddr;

use super::*;
use firewall_common::flow::Hook;
use firewall_common::reason::Reason;
use firewall_common::verdict::Verdict;
use firewall_common::zone::ZoneId;

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const START: u64 = 1000 * SECOND;

/// A session to (or from) this host, of either family.
pub(super) fn session(way: Way, v6: bool, state: State) -> Live {
    let host = |n: u32| {
        if v6 {
            Addr {
                hi: 0x2001_0db8 << 32,
                lo: n.into(),
            }
        } else {
            Addr::v4(0x0a00_0000 + n)
        }
    };
    let (opener, other) = (host(9), host(1));
    let tuple = Tuple {
        source: opener,
        destination: other,
        source_port: 40000,
        destination_port: 443,
        protocol: 6,
        pad: [0; 3],
    };
    let mut key = FlowKey::default();
    let side = tuple.key(&mut key);
    let mut entry = Entry {
        opened: START,
        last_seen: START,
        opener: side as u8,
        course: way.course() as u8,
        opening: if way == Way::Outbound { LEAVING } else { 0 },
        ..Entry::default()
    };
    assert_eq!(entry.opener_side() == Side::Low, side == Side::Low);
    entry.track.state = state as u8;
    entry.track.seen = [SYN, 0];
    entry.counts[0].packets = 1;
    Live {
        key,
        entry,
        table: Table::HalfOpen,
    }
}

/// A host of which nothing is known but what a test says.
#[derive(Default)]
pub(super) struct Still {
    pub(super) listeners: Listeners,
    pub(super) route: Option<Route>,
    pub(super) socket: Option<Standing>,
    pub(super) asked: usize,
}

impl Around for Still {
    fn listeners(&mut self) -> &Listeners {
        &self.listeners
    }

    fn route(&mut self, _: IpAddr, _: IpAddr) -> Route {
        self.asked += 1;
        self.route.unwrap_or(Route::Unknown)
    }

    fn is_dead_end(&mut self, _: IpAddr, _: IpAddr) -> bool {
        false
    }

    fn socket(&mut self, _: &Tuple) -> Option<Standing> {
        self.socket
    }

    fn name(&self, interface: u32) -> String {
        format!("eth{interface}")
    }

    fn guards(&self, interface: u32) -> bool {
        interface == 0
    }

    fn beside(&self) -> Vec<String> {
        vec!["eth2".to_owned()]
    }

    fn is_local(&self, address: IpAddr) -> bool {
        ["10.0.0.1", "2001:db8::1"]
            .iter()
            .any(|own| address.to_string() == *own)
    }

    fn sees_drops(&self) -> bool {
        true
    }
}

fn nobody() -> Still {
    Still {
        listeners: Listeners::of(Vec::new()),
        ..Still::default()
    }
}

fn look(detector: &mut Detector, half_open: &[Live], now: u64) -> Vec<OneSided> {
    look_beside(detector, half_open, &[], now)
}

fn look_beside(
    detector: &mut Detector,
    half_open: &[Live],
    completed: &[Live],
    now: u64,
) -> Vec<OneSided> {
    let sight = Sight {
        half_open,
        completed,
        now,
    };
    detector.look(sight, &mut nobody())
}

#[test]
fn nothing_is_said_of_what_may_still_complete_or_has() {
    let found = |live: &Live, seconds: u64| {
        let mut detector = Detector::default();
        look(&mut detector, &[*live], START + seconds * SECOND).len()
    };
    for way in Way::ALL {
        for state in [State::SynSent, State::SynReceived] {
            assert_eq!(found(&session(way, false, state), 3), 0);
            assert_eq!(found(&session(way, false, state), 4), 1);
        }
        // Reset after its handshake.
        let mut live = session(way, false, State::Close);
        live.entry.track.seen = [SYN | ACK | RST, SYN | ACK];
        assert_eq!(found(&live, 60), 0);
        let live = session(way, false, State::Established);
        assert_eq!(found(&live, 60), 0);
    }
    let mut udp = session(Way::Outbound, false, State::SynSent);
    udp.key.protocol = 17;
    assert_eq!(found(&udp, 60), 0);
}

#[test]
fn where_others_complete_theirs_one_has_more_time() {
    for way in Way::ALL {
        let live = session(way, false, State::SynSent);
        let mut other = session(way, false, State::Established);
        for port in [&mut other.key.low_port, &mut other.key.high_port] {
            *port += u16::from(*port == 40000);
        }
        let mut detector = Detector::default();
        let later = |seconds| START + seconds * SECOND;
        for seconds in 3..15 {
            let found = look_beside(&mut detector, &[live], &[other], later(seconds));
            assert_eq!(found, [], "{seconds}");
        }
        let found = look_beside(&mut detector, &[live], &[other], later(15));
        assert_eq!(found.len(), 1);
    }
}

fn refused(time: u64, port: u16) -> Event {
    let live = session(Way::Inbound, false, State::SynSent);
    let mut tuple = Tuple::default();
    opener_tuple(&live.key, &live.entry, &mut tuple);
    tuple.source_port = port;
    Event::Drop(Refused {
        header: Header {
            time,
            ..Header::default()
        },
        tuple,
        rule: 130,
        packets: 1,
        tcp_flags: SYN,
        family: 4,
        source_zone: 3,
        destination_zone: ZoneId::HOST.0,
        reason: Reason::RuleDeny as u8,
        verdict: Verdict::Dropped as u8,
        ..Refused::default()
    })
}

#[test]
fn what_we_drop_is_told_once_unless_it_gets_in_after_all() {
    let mut detector = Detector::default();
    detector.told(&refused(START, 40000));
    assert_eq!(look(&mut detector, &[], START + SECOND), []);
    detector.told(&refused(START + SECOND, 40000));
    let found = look(&mut detector, &[], START + 3 * SECOND);
    let [one] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (one.cause, one.rule, one.sent),
        (Cause::PolicyDrop, Some(130), 2)
    );
    detector.told(&refused(START + 3 * SECOND, 40000));
    assert_eq!(look(&mut detector, &[], START + 9 * SECOND), []);
    assert_eq!(detector.list()[0].sent, 3);
    assert_eq!(detector.counts()[&("inbound", "policy-drop")], 1);
    // A limit that has room again a second later.
    detector.told(&refused(START, 40001));
    let mut live = session(Way::Inbound, false, State::SynSent);
    let other_port = |key: &mut FlowKey| {
        for port in [&mut key.low_port, &mut key.high_port] {
            if *port == 40000 {
                *port = 40001;
            }
        }
    };
    other_port(&mut live.key);
    detector.told(&Event::Open(OfSession {
        key: live.key,
        entry: live.entry,
        ..OfSession::default()
    }));
    assert_eq!(look(&mut detector, &[], START + 9 * SECOND), []);
}

#[test]
fn a_session_is_told_once_and_one_that_ended_is_told_too() {
    let mut detector = Detector::default();
    let mut live = session(Way::Outbound, false, State::SynSent);
    assert_eq!(look(&mut detector, &[live], START + 5 * SECOND).len(), 1);
    assert_eq!(look(&mut detector, &[live], START + 6 * SECOND), []);
    // Another session with the same ends is another handshake.
    live.entry.opened += 60 * SECOND;
    let end = OfSession {
        key: live.key,
        entry: live.entry,
        ..OfSession::default()
    };
    detector.told(&Event::Close(end, End::HandshakeTimeout));
    assert_eq!(look(&mut detector, &[], START + 61 * SECOND).len(), 1);
    assert_eq!(detector.counts()[&("outbound", "silent-drop")], 2);
    assert_eq!(detector.list().len(), 1);
}

#[test]
fn a_flood_is_remembered_within_bounds() {
    let mut detector = Detector::default();
    for port in 0..10_000_u16 {
        detector.told(&refused(START, port));
    }
    look(&mut detector, &[], START + 9 * SECOND);
    assert_eq!(detector.list().len(), REMEMBERED);
    for port in 10_000..20_000_u16 {
        detector.told(&refused(START + 9 * SECOND, port));
    }
    look(&mut detector, &[], START + 19 * SECOND);
    assert_eq!(detector.list().len(), REMEMBERED);
}

/// The same session from another source.
fn from(mut live: Live, source: u32) -> Live {
    let other = Addr::v4(0x0a00_0001);
    let mut key = FlowKey::default();
    let tuple = Tuple {
        source: Addr::v4(0xc633_0000 + source),
        destination: other,
        source_port: 40000,
        destination_port: 443,
        protocol: 6,
        pad: [0; 3],
    };
    live.entry.opener = tuple.key(&mut key) as u8;
    live.key = key;
    live
}

/// Answered twice, with so many packets from each opener.
fn unacknowledged(count: u32, sent: u64) -> Vec<Live> {
    let mut live = session(Way::Inbound, false, State::SynReceived);
    live.entry.track.seen[1] = SYN | ACK;
    live.entry.counts[0].packets = sent;
    live.entry.counts[1].packets = 2;
    (0..count).map(|source| from(live, source)).collect()
}

#[test]
fn many_sources_that_never_ask_again_are_a_flood_and_those_who_do_are_not() {
    let counts = |count, sent| {
        let mut detector = Detector::default();
        let all = unacknowledged(count, sent);
        look(&mut detector, &all, START + 4 * SECOND);
        look(&mut detector, &all, START + 5 * SECOND);
        detector.counts()
    };
    let one = |cause, count| BTreeMap::from([(("inbound", cause), count)]);
    assert_eq!(counts(crowd::SOURCES as u32, 1), one("syn-flood", 50));
    assert_eq!(counts(crowd::SOURCES as u32 - 1, 1), one("reply-path", 49));
    assert_eq!(counts(crowd::SOURCES as u32, 3), one("reply-path", 50));
    // Each is counted once, also those that are not remembered.
    assert_eq!(counts(20_000, 1), one("syn-flood", 20_000));
}

#[test]
fn of_a_flood_only_some_are_asked_about() {
    let all = unacknowledged(2000, 1);
    let mut host = nobody();
    let sight = Sight {
        half_open: &all,
        completed: &[],
        now: START + 4 * SECOND,
    };
    let mut detector = Detector::default();
    assert_eq!(detector.look(sight, &mut host).len(), 2000);
    assert_eq!(host.asked, ASKED);
}

#[test]
fn one_source_at_many_ports_is_a_scan() {
    let mut detector = Detector::default();
    for port in 0..crowd::PORTS as u16 {
        let Event::Drop(mut drop) = refused(START, 40000 + port) else {
            unreachable!()
        };
        drop.tuple.destination_port = port;
        detector.told(&Event::Drop(drop));
    }
    look(&mut detector, &[], START + 3 * SECOND);
    assert_eq!(detector.counts()[&("inbound", "scan")], 15);
    let evidence = detector.list()[0].evidence.join("; ");
    assert!(
        evidence.contains("policy-drop") && evidence.contains("we dropped it"),
        "{evidence}"
    );
}

/// A packet without a session at a hook, with this host at the one end.
fn stray(arrives: bool, flags: u8, time: u64) -> Event {
    let live = session(Way::Inbound, false, State::SynSent);
    let mut tuple = Tuple::default();
    opener_tuple(&live.key, &live.entry, &mut tuple);
    let zones = if arrives {
        (3, ZoneId::HOST.0)
    } else {
        (ZoneId::HOST.0, 3)
    };
    Event::Drop(Refused {
        header: Header {
            time,
            ..Header::default()
        },
        tuple: if arrives { tuple } else { tuple.reversed() },
        packets: 1,
        tcp_flags: flags,
        family: 4,
        source_zone: zones.0,
        destination_zone: zones.1,
        hook: if arrives { Hook::Ingress } else { Hook::Egress } as u8,
        interface: 1,
        reason: Reason::NoSession as u8,
        verdict: Verdict::Dropped as u8,
        ..Refused::default()
    })
}

#[test]
fn what_has_no_session_is_told_by_the_socket_it_is_of() {
    let found = |arrives, flags, times: u64, socket| {
        let mut detector = Detector::default();
        for time in 0..times {
            detector.told(&stray(arrives, flags, START + time));
        }
        let sight = Sight {
            half_open: &[],
            completed: &[],
            now: START + 3 * SECOND,
        };
        let mut host = Still { socket, ..nobody() };
        let found = detector.look(sight, &mut host);
        assert!(found.iter().all(|one| one.advice.is_some()));
        assert_eq!(detector.look(sight, &mut host), []);
        found.first().map(|one| (one.way, one.cause))
    };
    let (sent, received) = (Some(Standing::SynSent), Some(Standing::SynReceived));
    let asymmetric = Some((Way::Outbound, Cause::AsymmetricReply));
    assert_eq!(found(true, SYN | ACK, 1, sent), asymmetric);
    assert_eq!(found(true, SYN | ACK, 1, None), None);
    let path = Some((Way::Inbound, Cause::ReplyPath));
    assert_eq!(found(false, SYN | ACK, 1, received), path);
    let connected = Some(Standing::Connected);
    let middle = Some((Way::Outbound, Cause::MidstreamOnly));
    for arrives in [true, false] {
        assert_eq!(found(arrives, ACK, 3, connected), middle);
        assert_eq!(found(arrives, ACK, 2, connected), None);
        assert_eq!(found(arrives, ACK, 3, None), None);
        assert_eq!(found(arrives, RST, 3, connected), None);
    }
}

#[test]
fn both_directions_without_a_session_are_no_single_direction() {
    let mut detector = Detector::default();
    for time in 0..5 {
        detector.told(&stray(true, ACK, START + time));
        detector.told(&stray(false, ACK, START + time));
    }
    let sight = Sight {
        half_open: &[],
        completed: &[],
        now: START + 3 * SECOND,
    };
    let mut host = Still {
        socket: Some(Standing::Connected),
        ..nobody()
    };
    let found = detector.look(sight, &mut host);
    assert!(found.len() <= 1, "{found:?}");
}

#[test]
fn a_syn_that_cannot_leave_has_the_kernels_reason() {
    let told = |reason: &str, own: bool| {
        let mut tuple = Tuple::default();
        let live = session(Way::Inbound, true, State::SynSent);
        opener_tuple(&live.key, &live.entry, &mut tuple);
        let drop = KernelDrop {
            time: START,
            tuple: if own { tuple.reversed() } else { tuple },
            interface: 1,
            tcp_flags: SYN,
            ..KernelDrop::default()
        };
        let mut detector = Detector::default();
        detector.kernel_dropped(&drop, reason);
        let found = look(&mut detector, &[], START + 3 * SECOND);
        assert_eq!(look(&mut detector, &[], START + 4 * SECOND), []);
        found.first().map(|one| one.cause)
    };
    assert_eq!(told("NEIGH_FAILED", true), Some(Cause::NoRoute));
    assert_eq!(told("IP_OUTNOROUTES", true), Some(Cause::NoRoute));
    assert_eq!(told("NETFILTER_DROP", true), Some(Cause::Unknown));
    assert_eq!(told("NETFILTER_DROP", false), None);
}

#[test]
fn a_call_without_a_route_is_told_and_one_that_failed_otherwise_is_not() {
    let calls = |route| {
        let mut detector = Detector::default();
        let tuple = Tuple {
            destination: Addr::v4(0xc633_6407),
            destination_port: 443,
            protocol: 6,
            ..Tuple::default()
        };
        for time in [SECOND, 2 * SECOND] {
            detector.went_nowhere(tuple, time);
        }
        let mut around = Still {
            route: Some(route),
            ..nobody()
        };
        let sight = Sight {
            half_open: &[],
            completed: &[],
            now: 3 * SECOND,
        };
        detector.look(sight, &mut around)
    };
    let found = calls(Route::Missing);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].way, found[0].cause),
        (Way::Outbound, Cause::NoRoute)
    );
    assert!(found[0].evidence[0].contains("2 times"), "{found:?}");
    assert_eq!(calls(Route::By(1)), []);
    assert_eq!(calls(Route::Unknown), []);
}
