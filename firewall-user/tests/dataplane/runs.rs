//! Single frames through the loaded programs (`BPF_PROG_TEST_RUN`).

use std::collections::BTreeSet;

use aya::maps::MapInfo;
use aya::programs::ProgramInfo;
use etherparse::{SlicedPacket, TransportSlice};
use firewall_common::flow::Hook;
use firewall_common::reason::Reason;
use firewall_common::session::State;
use firewall_common::tables::Table;
use firewall_common::verdict::Verdict;
use firewall_common::zone::ZoneId;
use firewall_user::dataplane::{Dataplane, Error, Failsafe, Fate, Options, Trial, clock};

use crate::frames::Kind::{Ack, Fin, Syn, SynAck};
use crate::frames::{FAR, PEER_BEGINS, tcp, udp};
use crate::lab::{Lab, index};
use crate::policy::{ALLOW, DENY, PEOPLE, REJECT};

const PASS: Fate = Fate::Passed;
const DROP: Fate = Fate::Dropped;
const ANSWER: Fate = Fate::Answered;
const VERSIONS: [u8; 2] = [4, 6];

struct Bench {
    plane: Dataplane,
    index: u32,
    lab: Lab,
}

fn bench() -> Option<Bench> {
    let lab = Lab::new()?;
    let mut plane = lab.open();
    lab.apply(&mut plane);
    Some(Bench {
        plane,
        index: index(),
        lab,
    })
}

impl Bench {
    fn run(&mut self, hook: Hook, frame: &[u8]) -> Fate {
        let trial = Trial::new(frame, hook, self.index);
        self.plane.test_run(&trial).unwrap().fate
    }

    fn comes(&mut self, frame: &[u8]) -> Fate {
        self.run(Hook::Ingress, frame)
    }

    fn leaves(&mut self, frame: &[u8]) -> Fate {
        self.run(Hook::Egress, frame)
    }

    fn run_at_xdp(&mut self, frame: &[u8]) -> Fate {
        let trial = Trial {
            xdp: true,
            ..Trial::new(frame, Hook::Ingress, self.index)
        };
        self.plane.test_run(&trial).unwrap().fate
    }

    /// Packets counted by the reason.
    fn counted(&self, reason: Reason) -> u64 {
        let counts = self.plane.packet_counts().unwrap();
        let these = counts.iter().filter(|count| count.reason == reason);
        these.map(|count| count.count.packets).sum()
    }

    fn handshake(&mut self, version: u8) {
        assert_eq!(self.comes(&tcp(version, false, 443, Syn, b"")), PASS);
        assert_eq!(self.leaves(&tcp(version, true, 443, SynAck, b"")), PASS);
        assert_eq!(self.comes(&tcp(version, false, 443, Ack, b"GET")), PASS);
    }

    /// Nanoseconds a run of a frame takes.
    fn cost(&mut self, frame: &[u8], xdp: bool) -> u128 {
        let trial = Trial {
            xdp,
            repeat: 200_000,
            ..Trial::new(frame, Hook::Ingress, self.index)
        };
        // A signal ends so long a run; only measuring runs that long.
        let mut attempts = (0..5).map(|_| self.plane.test_run(&trial));
        let outcome = attempts.find_map(Result::ok).unwrap();
        outcome.duration.as_nanos()
    }
}

#[test]
fn allows_denies_and_counts() {
    let Some(mut bench) = bench() else { return };
    for (round, version) in (1..).zip(VERSIONS) {
        assert_eq!(bench.comes(&tcp(version, false, 443, Syn, b"")), PASS);
        assert_eq!(bench.comes(&tcp(version, false, 80, Syn, b"")), DROP);
        // Strays: the rule that would allow an opening does not take one; a refusal decides for itself.
        assert_eq!(bench.comes(&tcp(version, false, 443, Ack, b"")), DROP);
        assert_eq!(bench.comes(&tcp(version, false, 81, Ack, b"")), DROP);
        assert_eq!(bench.counted(Reason::RuleAllow), round);
        assert_eq!(bench.counted(Reason::NoSession), round);
        assert_eq!(bench.counted(Reason::DefaultDeny), 2 * round);
    }
    let rules = bench.plane.rule_counts().unwrap();
    let packets = |counter| {
        let found = rules.iter().find(|(number, _)| *number == counter);
        found.unwrap().1.packets
    };
    assert_eq!((packets(ALLOW), packets(DENY)), (2, 4));
    assert_eq!(bench.plane.rule_names().unwrap()[&ALLOW], "in/web");
    let zones = bench.plane.zone_names().unwrap();
    assert_eq!(zones[&u32::from(PEOPLE.0)], "people");
    let counts = bench.plane.packet_counts().unwrap();
    let denied = counts.iter().find(|c| c.reason == Reason::DefaultDeny);
    let denied = denied.unwrap();
    assert_eq!((denied.verdict, denied.zone), (Verdict::Dropped, PEOPLE));
}

#[test]
fn a_session_opens_is_verified_closes_and_expires() {
    let Some(mut bench) = bench() else { return };
    for version in VERSIONS {
        assert_eq!(bench.comes(&tcp(version, false, 443, Syn, b"")), PASS);
        let [half_open] = bench.plane.sessions().unwrap()[..] else {
            panic!("one session");
        };
        assert_eq!(half_open.table, Table::HalfOpen);
        assert_eq!(half_open.entry.permit.rule, ALLOW);
        bench.handshake(version);
        let [live] = bench.plane.sessions().unwrap()[..] else {
            panic!("one session");
        };
        assert_eq!(live.table, Table::Sessions);
        assert_eq!(live.entry.track.state(), State::Established);
        let packets = live.entry.counts.map(|count| count.packets);
        assert_eq!(packets, [3, 1]);
        assert_eq!(live.entry.zones(), (PEOPLE, ZoneId::HOST));

        let now = clock::boot_now();
        assert_eq!(bench.plane.expire(now).unwrap().ended.len(), 0);
        assert_eq!(bench.leaves(&tcp(version, true, 443, Fin, b"")), PASS);
        assert_eq!(bench.comes(&tcp(version, false, 443, Fin, b"")), PASS);
        let minutes = |n: u64| now + n * 60_000_000_000;
        assert_eq!(bench.plane.expire(minutes(1)).unwrap().ended.len(), 0);
        assert_eq!(bench.plane.expire(minutes(3)).unwrap().ended.len(), 1);
        assert!(bench.plane.sessions().unwrap().is_empty());
    }
}

#[test]
fn refusals_are_answered_and_limited() {
    let Some(mut bench) = bench() else { return };
    for version in VERSIONS {
        let frame = tcp(version, false, 22, Syn, b"");
        let trial = Trial::new(&frame, Hook::Ingress, bench.index);
        let outcome = bench.plane.test_run(&trial).unwrap();
        assert_eq!(outcome.fate, ANSWER);
        let answer = SlicedPacket::from_ethernet(&outcome.frame).unwrap();
        let Some(TransportSlice::Tcp(reset)) = answer.transport else {
            panic!("not TCP");
        };
        assert!(reset.rst() && reset.ack());
        assert_eq!(reset.acknowledgment_number(), PEER_BEGINS + 1);
        assert_eq!((reset.source_port(), reset.destination_port()), (22, FAR));

        let frame = udp(version, 53, &[7; 600]);
        let trial = Trial::new(&frame, Hook::Ingress, bench.index);
        let outcome = bench.plane.test_run(&trial).unwrap();
        assert_eq!(outcome.fate, ANSWER);
        let lengths = if version == 4 { 70 } else { 110 };
        assert_eq!(outcome.frame.len(), lengths);
        let answer = SlicedPacket::from_ethernet(&outcome.frame).unwrap();
        let transport = answer.transport.unwrap();
        let icmp = matches!(
            transport,
            TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_)
        );
        assert!(icmp);
    }
    // Ten at once for each address, and two of each are used.
    let frame = tcp(4, false, 22, Syn, b"");
    let fates: Vec<Fate> = (0..20).map(|_| bench.comes(&frame)).collect();
    let answers = fates.iter().filter(|fate| **fate == ANSWER).count();
    // On a slow machine a token or two come back meanwhile.
    assert!((8..=12).contains(&answers), "{answers} answers");
    assert_eq!(bench.counted(Reason::RuleReject), 24);
}

#[test]
fn explaining_leaves_no_trace() {
    let Some(mut bench) = bench() else { return };
    for version in VERSIONS {
        bench.handshake(version);
    }
    let before = (
        bench.plane.packet_counts().unwrap(),
        bench.plane.rule_counts().unwrap(),
        bench.plane.sessions().unwrap(),
    );
    for version in VERSIONS {
        for (frame, reason, verdict, rule) in [
            (
                tcp(version, false, 443, Ack, b"x"),
                Reason::Session,
                Verdict::Forwarded,
                ALLOW,
            ),
            (
                tcp(version, false, 80, Syn, b""),
                Reason::DefaultDeny,
                Verdict::Dropped,
                DENY,
            ),
            (
                tcp(version, false, 22, Syn, b""),
                Reason::RuleReject,
                Verdict::Rejected,
                REJECT,
            ),
            (
                tcp(version, false, 443, Fin, b""),
                Reason::Session,
                Verdict::Forwarded,
                ALLOW,
            ),
        ] {
            let trial = Trial::new(&frame, Hook::Ingress, bench.index);
            let decision = bench.plane.explain(&trial).unwrap();
            let found = (decision.reason, decision.verdict, decision.rule);
            assert_eq!(found, (reason, verdict, rule));
            assert_eq!(decision.source_zone, PEOPLE);
        }
    }
    let after = (
        bench.plane.packet_counts().unwrap(),
        bench.plane.rule_counts().unwrap(),
        bench.plane.sessions().unwrap(),
    );
    assert_eq!(before, after);
}

#[test]
fn a_swap_judges_sessions_anew_and_cuts_what_is_revoked() {
    let Some(mut bench) = bench() else { return };
    let first = bench.plane.generation_in_force().unwrap().unwrap();
    assert_eq!((first.slot, first.head.epoch), (1, 1));
    assert_eq!((first.info.name.as_str(), first.info.revision), ("test", 7));
    bench.handshake(4);
    bench.lab.apply(&mut bench.plane);
    let second = bench.plane.generation_in_force().unwrap().unwrap();
    assert_eq!((second.slot, second.head.epoch), (2, 2));
    assert_eq!(bench.comes(&tcp(4, false, 443, Ack, b"")), PASS);
    assert_eq!(bench.plane.sessions().unwrap()[0].entry.permit.epoch, 2);
    bench.lab.apply_with(&mut bench.plane, |compiled| {
        compiled.rules[0].action = 1;
    });
    assert_eq!(bench.comes(&tcp(4, false, 443, Ack, b"")), DROP);
    assert_eq!(bench.counted(Reason::Revoked), 1);
    assert!(bench.plane.sessions().unwrap().is_empty());
    for round in 4..10 {
        bench.lab.apply(&mut bench.plane);
        let force = bench.plane.generation_in_force().unwrap().unwrap();
        assert_eq!((force.slot, force.head.epoch), ((round - 1) % 4 + 1, round));
    }
    assert_eq!(bench.comes(&tcp(4, false, 443, Syn, b"")), PASS);
}

/// The kernel's numbers of the pinned tables of rules.
fn tables_of_rules(lab: &Lab) -> BTreeSet<u32> {
    let pins = lab.maps().read_dir().unwrap().map(|entry| entry.unwrap());
    let rules = pins.filter(|pin| pin.file_name().to_str().unwrap().starts_with("RULES_"));
    let numbers = rules.map(|pin| MapInfo::from_pin(pin.path()).unwrap().id());
    numbers.collect()
}

#[test]
fn tables_take_turns_and_are_made_anew_only_where_they_must_be() {
    let Some(mut bench) = bench() else { return };
    let mut seen = BTreeSet::new();
    let mut judged = |bench: &mut Bench, action: u8, more: usize| {
        bench.lab.apply_with(&mut bench.plane, |compiled| {
            compiled.rules[0].action = action;
            let last = *compiled.rules.last().unwrap();
            compiled.rules.extend(std::iter::repeat_n(last, more));
            compiled.head.rules += more as u32;
        });
        let wanted = if action == 0 { PASS } else { DROP };
        assert_eq!(bench.comes(&tcp(4, false, 443, Syn, b"")), wanted);
        let there = tables_of_rules(&bench.lab);
        assert!(there.len() <= 2, "{there:?}");
        seen.extend(there);
        seen.len()
    };
    for round in 0..6 {
        assert_eq!(judged(&mut bench, u8::from(round % 2 == 0), 0), 2);
    }
    // Two larger ones, each where it is needed; then they take turns, too.
    for round in 0..6 {
        judged(&mut bench, u8::from(round % 2 == 0), 500);
    }
    assert_eq!(judged(&mut bench, 0, 490), 4);
    // A table that would be mostly idle is not kept.
    judged(&mut bench, 1, 0);
    assert_eq!(judged(&mut bench, 0, 0), 6);
}

#[test]
fn a_full_table_of_half_open_sessions_refuses_more() {
    let Some(mut bench) = bench() else { return };
    let mut frame = tcp(4, false, 443, Syn, b"");
    let mut passed = 0;
    for port in 1..=200_u16 {
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        passed += u64::from(bench.comes(&frame) == PASS);
    }
    assert_eq!(passed, 128);
    assert_eq!(bench.counted(Reason::HalfOpenLimit), 72);
}

#[test]
fn later_fragments_pass_where_their_first_one_did() {
    let Some(mut bench) = bench() else { return };
    let fragment = |port, more: bool, offset: u16, id: u16| {
        let mut frame = tcp(4, false, port, Syn, &[0; 12]);
        frame[18..20].copy_from_slice(&id.to_be_bytes());
        let field = (u16::from(more) << 13) | (offset / 8);
        frame[20..22].copy_from_slice(&field.to_be_bytes());
        frame
    };
    assert_eq!(bench.comes(&fragment(443, false, 32, 5)), DROP);
    assert_eq!(bench.comes(&fragment(443, true, 0, 5)), PASS);
    assert_eq!(bench.comes(&fragment(443, false, 32, 5)), PASS);
    assert_eq!(bench.comes(&fragment(443, false, 32, 6)), DROP);
    assert_eq!(bench.comes(&fragment(80, true, 0, 7)), DROP);
    assert_eq!(bench.comes(&fragment(80, false, 32, 7)), DROP);
    assert_eq!(bench.counted(Reason::FragmentWithoutFirst), 3);
}

#[test]
fn the_kernels_routing_tells_this_host_from_routed() {
    let Some(mut bench) = bench() else { return };
    let reason = |bench: &mut Bench, frame: &[u8]| {
        let trial = Trial::new(frame, Hook::Ingress, bench.index);
        bench.plane.explain(&trial).unwrap().reason
    };
    for version in VERSIONS {
        let mut frame = tcp(version, false, 80, Syn, b"");
        // Not one of this host's addresses, but routed back out of the interface.
        let last = if version == 4 { 33 } else { 53 };
        frame[last] = 77;
        assert_eq!(reason(&mut bench, &frame), Reason::DefaultDeny);
        bench.lab.forward(version);
        assert_eq!(reason(&mut bench, &frame), Reason::Routed);
        let here = tcp(version, false, 80, Syn, b"");
        assert_eq!(reason(&mut bench, &here), Reason::DefaultDeny);
    }
}

#[test]
fn failsafe_rules_come_before_the_policy() {
    let Some(mut bench) = bench() else { return };
    let prefix = crate::lab::addr("192.0.2.0").to_bytes();
    let failsafe = Failsafe {
        rules: 2,
        addresses: vec![(96, [0; 16], 2), (120, prefix, 1)],
        services: vec![(32, [6, 0, 0, 22], 1), (32, [6, 0, 0, 80], 2)],
    };
    bench.plane.set_failsafe(&failsafe).unwrap();
    assert_eq!(bench.comes(&tcp(4, false, 22, Syn, b"")), PASS);
    assert_eq!(bench.leaves(&tcp(4, true, 22, SynAck, b"")), PASS);
    assert_eq!(bench.comes(&tcp(6, false, 22, Syn, b"")), ANSWER);
    assert_eq!(bench.counted(Reason::Failsafe), 2);
    assert!(bench.plane.sessions().unwrap().is_empty());
}

#[test]
fn without_a_policy_everything_passes_and_is_counted_as_that() {
    let Some(lab) = Lab::new() else { return };
    let plane = lab.open();
    let mut bench = Bench {
        plane,
        index: index(),
        lab,
    };
    assert_eq!(bench.comes(&tcp(6, false, 80, Syn, b"")), PASS);
    assert_eq!(bench.counted(Reason::NoPolicyLoaded), 1);
    assert_eq!(bench.plane.generation_in_force().unwrap(), None);
}

#[test]
fn tables_survive_the_agent_and_other_shapes_are_refused() {
    let Some(mut bench) = bench() else { return };
    bench.handshake(4);
    let held = Dataplane::open(&bench.lab.options());
    assert!(matches!(held, Err(Error::Held(_))));
    let mut looked = Dataplane::from_pins(&bench.lab.pins()).unwrap();
    assert_eq!(looked.sessions().unwrap().len(), 1);
    let frame = tcp(4, false, 80, Syn, b"");
    let decision = looked.explain(&Trial::new(&frame, Hook::Ingress, bench.index));
    assert_eq!(decision.unwrap().reason, Reason::DefaultDeny);

    let Bench { plane, lab, index } = bench;
    drop(plane);
    let maps = lab.maps();
    let swap = |a: &str, b: &str| std::fs::rename(maps.join(a), maps.join(b)).unwrap();
    swap("LOCALS", "away");
    swap("GUARDED", "LOCALS");
    let refused = Dataplane::open(&lab.options()).unwrap_err();
    assert!(refused.to_string().contains("LOCALS"), "{refused}");
    swap("LOCALS", "GUARDED");
    swap("away", "LOCALS");
    // Sessions move into tables of another size, and back.
    let options = Options {
        sessions_max: 2048,
        ..lab.options()
    };
    drop(Dataplane::open(&options).unwrap());
    let mut bench = Bench {
        plane: lab.open(),
        index,
        lab,
    };
    assert_eq!(bench.comes(&tcp(4, false, 443, Ack, b"still here")), PASS);
    let sizes = bench.plane.table_sizes().unwrap();
    assert_eq!((sizes.sessions, sizes.half_open), (1024, 128));
}

/// The kernel's numbers of the pinned programs.
fn programs(lab: &Lab) -> Vec<(String, u32)> {
    let directory = lab.maps().with_file_name("programs");
    let number = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        path.is_file()
            .then(|| (name, ProgramInfo::from_pin(&path).unwrap().id()))
    };
    let mut found: Vec<_> = directory.read_dir().unwrap().filter_map(number).collect();
    found.sort();
    found
}

#[test]
fn programs_are_taken_up_where_they_are_the_same() {
    let Some(mut bench) = bench() else { return };
    let frame = tcp(4, false, 443, Syn, b"");
    assert_eq!(bench.run_at_xdp(&frame), PASS);
    let Bench { plane, lab, index } = bench;
    let first = programs(&lab);
    assert_eq!(first.len(), 6, "{first:?}");
    drop(plane);
    let mut bench = Bench {
        plane: lab.open(),
        index,
        lab,
    };
    assert_eq!(bench.run_at_xdp(&frame), PASS);
    bench.handshake(4);
    assert_eq!(programs(&bench.lab), first);
    // Over a table of another size they are others.
    let Bench { plane, lab, index } = bench;
    drop(plane);
    let options = Options {
        sessions_max: 2048,
        ..lab.options()
    };
    drop(lab.open_with(&options));
    let second = programs(&lab);
    let changed = |name: &str| !name.ends_with("xdp");
    for ((name, before), (_, after)) in first.iter().zip(&second) {
        assert_eq!(before != after, changed(name), "{name}");
    }
    // Those at XDP are looked at when they are needed.
    let mut bench = Bench {
        plane: lab.open_with(&options),
        index,
        lab,
    };
    assert_eq!(bench.comes(&tcp(4, false, 443, Ack, b"still here")), PASS);
    assert_eq!(bench.run_at_xdp(&tcp(4, false, 443, Ack, b"here")), PASS);
    for ((name, before), (_, after)) in second.iter().zip(&programs(&bench.lab)) {
        assert_eq!(before != after, !changed(name), "{name}");
    }
}

#[test]
fn sessions_outlive_their_marks() {
    let Some(mut bench) = bench() else { return };
    let still = |bench: &mut Bench, when: &str| {
        for version in VERSIONS {
            let frame = tcp(version, false, 443, Ack, b"still here");
            assert_eq!(bench.comes(&frame), PASS, "IPv{version}, {when}");
        }
    };
    let look = |bench: &mut Bench| bench.plane.expire(clock::boot_now()).unwrap();
    look(&mut bench);
    for version in VERSIONS {
        bench.handshake(version);
    }
    // Some sweeps make a set of marks anew, and packets go by the one and the other in turn.
    for sweep in 0..40 {
        look(&mut bench);
        still(&mut bench, &format!("after sweep {sweep}"));
    }
    let sessions = bench.plane.sessions().unwrap();
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        assert!(bench.plane.close_session(&session.key).unwrap());
    }
    // Enough of them for every mark of the two to be gone.
    for _ in 0..40 {
        look(&mut bench);
    }
    let stray = tcp(4, false, 443, Ack, b"gone");
    assert_eq!(bench.comes(&stray), DROP);
    assert_eq!(bench.plane.adopt(&sessions, false).unwrap(), 2);
    still(&mut bench, "put in by the agent");
    // The next agent knows nothing of what was marked before it.
    let Bench { plane, lab, index } = bench;
    drop(plane);
    let plane = lab.open();
    let mut bench = Bench { plane, lab, index };
    still(&mut bench, "before the next agent has swept");
    look(&mut bench);
    still(&mut bench, "after it has");
}

#[test]
fn what_a_packet_costs() {
    let Some(mut bench) = bench() else { return };
    // XDP's programs are loaded when they are first needed.
    bench.cost(&tcp(4, false, 443, Syn, b""), true);
    for (name, count) in bench.plane.verified_instructions().unwrap() {
        println!("{name}: {count} instructions verified");
        // Linux 6.1 looks at about twice as many, and at a million at most.
        assert!(count < 400_000);
    }
    for (version, xdp) in VERSIONS.into_iter().flat_map(|v| [(v, false), (v, true)]) {
        bench.handshake(version);
        let established = bench.cost(&tcp(version, false, 443, Ack, b"x"), xdp);
        let denied = bench.cost(&tcp(version, false, 80, Syn, b""), xdp);
        let opening = bench.cost(&tcp(version, false, 443, Syn, b""), xdp);
        let hook = if xdp { "XDP" } else { "TC" };
        println!(
            "{hook}, IPv{version}: established {established} ns, denied {denied} ns, SYN in its session {opening} ns"
        );
    }
}
