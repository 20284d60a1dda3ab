use firewall_common::addr::Addr;
use firewall_common::event::layout::{Header, OfSession};
use firewall_common::flow::Side;
use firewall_common::parse::tcp::RST;
use firewall_common::session::end::Cause as End;
use firewall_common::session::{LEAVING, State};
use firewall_common::tables::Table;

use super::*;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1000 * SECOND;

/// A session to (or from) this host, of either family.
fn session(way: Way, v6: bool, state: State) -> Live {
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

fn listening(at: &str) -> Listeners {
    Listeners::of(vec![(at.parse().unwrap(), 443)])
}

/// The cause found at so many seconds, if any.
fn found(live: &Live, seconds: u64, listeners: &Listeners) -> Option<Cause> {
    let mut detector = Detector::default();
    let one = detector.look(&[*live], START + seconds * SECOND, || listeners.clone());
    assert!(one.iter().all(|one| !one.evidence.is_empty()));
    one.first().map(|one| one.cause)
}

#[test]
fn each_cause_by_its_evidence_in_both_families() {
    for v6 in [false, true] {
        let nobody = Listeners::of(Vec::new());
        // A RST went out: does anybody listen?
        let mut live = session(Way::Inbound, v6, State::Close);
        live.entry.track.seen[1] = RST | ACK;
        assert_eq!(found(&live, 0, &nobody), Some(Cause::NoListener));
        assert_eq!(
            found(&live, 0, &listening("127.0.0.1")),
            Some(Cause::ListenerElsewhere)
        );
        assert_eq!(found(&live, 0, &listening("::")), Some(Cause::Unknown));
        assert_eq!(found(&live, 0, &Listeners::default()), Some(Cause::Unknown));
        // Nothing went out.
        let live = session(Way::Inbound, v6, State::SynSent);
        assert_eq!(found(&live, 5, &nobody), Some(Cause::LocalFilter));
        assert_eq!(found(&live, 5, &listening("::")), Some(Cause::Unknown));
        // Our answer goes out again and again; once could be a loss.
        let mut live = session(Way::Inbound, v6, State::SynReceived);
        live.entry.track.seen[1] = SYN | ACK;
        live.entry.counts[1].packets = 3;
        assert_eq!(found(&live, 5, &nobody), Some(Cause::ReplyPath));
        live.entry.counts[1].packets = 1;
        assert_eq!(found(&live, 5, &nobody), Some(Cause::Unknown));
        // We ask, and a RST comes, or an ICMP error, or nothing.
        let mut live = session(Way::Outbound, v6, State::Close);
        live.entry.track.seen[1] = RST | ACK;
        assert_eq!(found(&live, 0, &nobody), Some(Cause::Refused));
        let mut live = session(Way::Outbound, v6, State::SynSent);
        assert_eq!(found(&live, 5, &nobody), Some(Cause::SilentDrop));
        live.entry.track.note_error(0x0301);
        assert_eq!(found(&live, 5, &nobody), Some(Cause::Unreachable));
        live.entry.track.error = 0;
        live.entry.counts[1].packets = 1;
        live.entry.track.seen[1] = ACK;
        assert_eq!(found(&live, 5, &nobody), Some(Cause::Unknown));
    }
}

#[test]
fn nothing_is_said_of_what_may_still_complete_or_has() {
    let nobody = Listeners::of(Vec::new());
    for way in Way::ALL {
        for state in [State::SynSent, State::SynReceived] {
            assert_eq!(found(&session(way, false, state), 3, &nobody), None);
        }
        // Reset after its handshake.
        let mut live = session(way, false, State::Close);
        live.entry.track.seen = [SYN | ACK | RST, SYN | ACK];
        assert_eq!(found(&live, 60, &nobody), None);
        let live = session(way, false, State::Established);
        assert_eq!(found(&live, 60, &nobody), None);
    }
    let mut udp = session(Way::Outbound, false, State::SynSent);
    udp.key.protocol = 17;
    assert_eq!(found(&udp, 60, &nobody), None);
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
    assert_eq!(detector.look(&[], START + SECOND, Listeners::default), []);
    detector.told(&refused(START + SECOND, 40000));
    let found = detector.look(&[], START + 3 * SECOND, Listeners::default);
    let [one] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (one.cause, one.rule, one.sent),
        (Cause::PolicyDrop, Some(130), 2)
    );
    detector.told(&refused(START + 3 * SECOND, 40000));
    assert_eq!(
        detector.look(&[], START + 9 * SECOND, Listeners::default),
        []
    );
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
    assert_eq!(
        detector.look(&[], START + 9 * SECOND, Listeners::default),
        []
    );
}

#[test]
fn a_session_is_told_once_and_one_that_ended_is_told_too() {
    let mut detector = Detector::default();
    let nobody = || Listeners::of(Vec::new());
    let mut live = session(Way::Outbound, false, State::SynSent);
    assert_eq!(detector.look(&[live], START + 5 * SECOND, nobody).len(), 1);
    assert_eq!(detector.look(&[live], START + 6 * SECOND, nobody), []);
    // Another session with the same ends is another handshake.
    live.entry.opened += 60 * SECOND;
    let end = OfSession {
        key: live.key,
        entry: live.entry,
        ..OfSession::default()
    };
    detector.told(&Event::Close(end, End::HandshakeTimeout));
    assert_eq!(detector.look(&[], START + 61 * SECOND, nobody).len(), 1);
    assert_eq!(detector.counts()[&("outbound", "silent-drop")], 2);
    assert_eq!(detector.list().len(), 1);
}

#[test]
fn a_flood_is_remembered_within_bounds() {
    let mut detector = Detector::default();
    for port in 0..10_000_u16 {
        detector.told(&refused(START, port));
    }
    detector.look(&[], START + 9 * SECOND, Listeners::default);
    assert_eq!(detector.list().len(), REMEMBERED);
    for port in 10_000..20_000_u16 {
        detector.told(&refused(START + 9 * SECOND, port));
    }
    detector.look(&[], START + 19 * SECOND, Listeners::default);
    assert_eq!(detector.list().len(), REMEMBERED);
}
