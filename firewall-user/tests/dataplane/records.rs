//! Records as the loaded programs make them, and what is counted of those they do not make.

use firewall_common::event::Kind;
use firewall_common::event::decode::{Event, decode};
use firewall_common::flow::Hook;
use firewall_common::reason::Reason;
use firewall_common::session::end::Cause;
use firewall_common::verdict::Verdict;
use firewall_common::zone::{Course, ZoneId};
use firewall_user::dataplane::{Dataplane, Ring, Trial, clock};

use crate::frames::Kind::{Ack, Syn, SynAck};
use crate::frames::{FAR, tcp};
use crate::lab::{Lab, index};
use crate::policy::{ALLOW, DENY, PEOPLE};

const VERSIONS: [u8; 2] = [4, 6];
const MINUTE: u64 = 60_000_000_000;

struct Eyes {
    plane: Dataplane,
    ring: Ring,
    lab: Lab,
}

impl Eyes {
    /// With `log` for the rule of a counter.
    fn open(log: &[(u32, u32)]) -> Option<Self> {
        let lab = Lab::new()?;
        let mut plane = lab.open();
        Self::apply(&lab, &mut plane, log);
        let mut ring = plane.ring().unwrap();
        // What the kernel itself sends on a new link is none of ours.
        ring.drain(usize::MAX, |_| {});
        Some(Self { plane, ring, lab })
    }

    fn apply(lab: &Lab, plane: &mut Dataplane, log: &[(u32, u32)]) {
        lab.apply_with(plane, |compiled| {
            for rule in &mut compiled.rules {
                let found = log.iter().find(|(counter, _)| *counter == rule.counter);
                rule.log = found.map_or(0, |(_, one_in)| *one_in);
            }
        });
    }

    fn run(&mut self, hook: Hook, frame: &[u8], times: u32) {
        let trial = Trial {
            repeat: times,
            ..Trial::new(frame, hook, index())
        };
        self.plane.test_run(&trial).unwrap();
    }

    fn comes(&mut self, frame: &[u8]) {
        self.run(Hook::Ingress, frame, 1);
    }

    fn leaves(&mut self, frame: &[u8]) {
        self.run(Hook::Egress, frame, 1);
    }

    /// All records that are there, but for those of what the kernel itself sends.
    fn seen(&mut self) -> Vec<Event> {
        let mut all = Vec::new();
        self.ring.drain(usize::MAX, |bytes| {
            all.push(decode(bytes).expect("a record"));
        });
        all.retain(|event| match event {
            Event::Drop(refused) => refused.tuple.protocol == 6,
            Event::Open(of) | Event::Close(of, _) => of.key.protocol == 6,
        });
        all
    }
}

#[test]
fn a_session_is_told_of_when_it_opens_and_when_it_is_replaced() {
    let Some(mut eyes) = Eyes::open(&[]) else {
        return;
    };
    for version in VERSIONS {
        eyes.comes(&tcp(version, false, 443, Syn, b""));
        let [Event::Open(open)] = eyes.seen()[..] else {
            panic!("an opening");
        };
        assert_eq!(open.entry.permit.rule, ALLOW);
        assert_eq!(open.reason, Reason::RuleAllow as u8);
        assert_eq!(open.entry.counts[0].packets, 1);
        assert_eq!((open.hook, open.interface), (0, index()));
        assert_eq!(open.entry.zones(), (PEOPLE, ZoneId::HOST));
        assert!(open.header.time > 0 && open.header.time <= clock::boot_now());
        // The same again is none, and neither is an answer or what follows.
        eyes.comes(&tcp(version, false, 443, Syn, b""));
        eyes.leaves(&tcp(version, true, 443, SynAck, b""));
        eyes.comes(&tcp(version, false, 443, Ack, b"GET"));
        assert_eq!(eyes.seen(), []);
        // A policy that refuses it now ends it.
        eyes.lab.apply_with(&mut eyes.plane, |compiled| {
            let rule = compiled.rules.iter_mut().find(|rule| rule.counter == ALLOW);
            rule.unwrap().action = 1;
        });
        eyes.comes(&tcp(version, false, 443, Ack, b"more"));
        let [Event::Close(closed, cause), Event::Drop(refused)] = eyes.seen()[..] else {
            panic!("an end and a refusal");
        };
        assert_eq!(cause, Cause::Revoked);
        assert_eq!(
            (closed.key, closed.entry.opened),
            (open.key, open.entry.opened)
        );
        let packets = closed.entry.counts.map(|count| count.packets);
        assert_eq!(packets, [3, 1]);
        assert_eq!(refused.reason, Reason::Revoked as u8);
        Eyes::apply(&eyes.lab, &mut eyes.plane, &[]);
    }
    let counts = eyes.plane.session_counts().unwrap();
    assert_eq!(counts.opened[&(Course::Inbound as u8, PEOPLE)], 2);
    assert_eq!(counts.closed[&Cause::Revoked], 2);
    // What the sweep ends is counted beside what the programs do.
    eyes.comes(&tcp(4, false, 443, Syn, b""));
    let swept = eyes.plane.expire(clock::boot_now() + 3 * MINUTE).unwrap();
    let tcp_ended = swept.ended.iter().filter(|of| of.key.protocol == 6);
    assert_eq!(tcp_ended.count(), 1);
    let counts = eyes.plane.session_counts().unwrap();
    assert_eq!(counts.closed[&Cause::HandshakeTimeout], 1);
}

#[test]
fn a_refusal_says_who_where_and_by_which_rule() {
    let Some(mut eyes) = Eyes::open(&[]) else {
        return;
    };
    for version in VERSIONS {
        let frame = tcp(version, false, 80, Syn, b"");
        eyes.comes(&frame);
        let [Event::Drop(refused)] = eyes.seen()[..] else {
            panic!("a refusal");
        };
        let ports = (refused.tuple.source_port, refused.tuple.destination_port);
        assert_eq!(ports, (FAR, 80));
        assert_eq!(refused.rule, DENY);
        assert_eq!(refused.verdict, Verdict::Dropped as u8);
        assert_eq!(
            (refused.source_zone, refused.destination_zone),
            (PEOPLE.0, 1)
        );
        assert_eq!((refused.family, refused.tcp_flags), (version, 2));
        assert_eq!(refused.bytes as usize, frame.len());
        let generation = eyes.plane.generation_in_force().unwrap().unwrap();
        assert_eq!(refused.epoch, generation.head.epoch);
    }
}

#[test]
fn explain_leaves_no_record() {
    let Some(mut eyes) = Eyes::open(&[]) else {
        return;
    };
    for port in [80, 443] {
        let frame = tcp(4, false, port, Syn, b"");
        let trial = Trial::new(&frame, Hook::Ingress, index());
        eyes.plane.explain(&trial).unwrap();
    }
    assert_eq!(eyes.seen(), []);
}

#[test]
fn a_flood_is_limited_and_every_packet_is_recorded_or_counted() {
    const FLOOD: u32 = 60_000;
    let Some(mut eyes) = Eyes::open(&[]) else {
        return;
    };
    let before = eyes.plane.event_counts().unwrap()[&Kind::Drop];
    let frame = tcp(6, false, 80, Syn, b"");
    eyes.run(Hook::Ingress, &frame, FLOOD);
    let now = eyes.plane.event_counts().unwrap()[&Kind::Drop];
    let recorded = now.recorded - before.recorded;
    let (limited, full) = (now.limited - before.limited, now.full - before.full);
    // The kernel itself may have sent something that was refused meanwhile.
    let all = recorded + limited + full;
    assert!((60_000..60_050).contains(&all), "{all}");
    assert!(limited > 40_000 && full == 0, "{now:?}");
    assert!(recorded >= 1000, "the burst comes through: {now:?}");
    assert_eq!(
        eyes.seen().len() as u64,
        recorded - (all - 60_000).min(recorded)
    );
    // What was left out is on the next record that comes through.
    std::thread::sleep(std::time::Duration::from_millis(50));
    eyes.comes(&frame);
    let suppressed = eyes.seen().into_iter().map(|event| match event {
        Event::Drop(refused) => refused.header.suppressed,
        _ => 0,
    });
    assert!(suppressed.sum::<u64>() > 0);
}

#[test]
fn a_full_ring_is_counted() {
    let Some(mut eyes) = Eyes::open(&[(DENY, 1)]) else {
        return;
    };
    let frame = tcp(4, false, 80, Syn, b"");
    // A rule with `log` may fill more than the ring holds while nobody reads.
    for _ in 0..200 {
        eyes.run(Hook::Ingress, &frame, 1000);
        if eyes.plane.event_counts().unwrap()[&Kind::Drop].full > 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let count = eyes.plane.event_counts().unwrap()[&Kind::Drop];
    assert!(count.full > 0, "{count:?}");
    assert!(!eyes.seen().is_empty());
    // Time for another token: packets are judged by the time of the last tick.
    std::thread::sleep(std::time::Duration::from_millis(50));
    eyes.comes(&frame);
    assert!(!eyes.seen().is_empty(), "there is room again");
}

#[test]
fn a_sample_is_one_in_so_many_and_the_rest_is_counted() {
    let Some(mut eyes) = Eyes::open(&[(DENY, 100)]) else {
        return;
    };
    eyes.run(Hook::Ingress, &tcp(4, false, 80, Syn, b""), 50_000);
    let count = eyes.plane.event_counts().unwrap()[&Kind::Drop];
    assert!((300..800).contains(&count.recorded), "{count:?}");
    assert!(count.sampled > 49_000, "{count:?}");
    assert_eq!(count.limited + count.full, 0, "{count:?}");
}
