use super::*;
use crate::policy::frame::Concrete;
use crate::policy::model::{Mode, Policy};
use crate::policy::oracle::Way;

fn drawn(dice: &mut Dice) -> (Policy, World, Memory, Compiled) {
    let mut judge = Memory::default();
    let (clock, world) = (judge.clock(), judge.world());
    let mut policy = policies::policy(dice, clock.wall, judge.margin());
    policy.mode = Mode::Enforce;
    let compiled = compile(&policy, &mut Numbers::default(), &clock).unwrap();
    judge.load(&compiled).unwrap();
    judge.enter(&world).unwrap();
    (policy, world, judge, compiled)
}

fn seen(plan: &Plan) -> Seen {
    let seen = run(&mut Memory::default(), plan);
    seen.unwrap_or_else(|difference| panic!("{difference}"))
}

#[test]
fn compiled_policies_decide_as_the_interpreter_does() {
    let seen = seen(&Plan {
        seed: 1,
        policies: wanted() / 250,
        scenes: 200,
        pieces: false,
    });
    println!("{} packets, {} passed", seen.packets, seen.allowed);
    println!("{:?}", seen.reasons);
    assert!(
        seen.allowed * 3 >= seen.packets,
        "too few allowed: {seen:?}"
    );
}

#[test]
fn sources_are_held_against_the_way_back_as_the_interpreter_does() {
    let plan = Plan {
        seed: 4,
        policies: wanted() / 500,
        scenes: 200,
        pieces: false,
    };
    let mut judge = Memory::with_ways_back();
    let seen = run(&mut judge, &plan).unwrap_or_else(|difference| panic!("{difference}"));
    let count = |reason| seen.reasons.get(&reason).copied().unwrap_or(0);
    assert!(count(Reason::Martian) * 20 > seen.packets, "{seen:?}");
    assert!(count(Reason::RuleAllow) * 40 > seen.packets, "{seen:?}");
}

#[test]
fn compiled_policies_decide_so_by_thin_trees_too() {
    let plan = Plan {
        seed: 77,
        policies: wanted() / 500,
        scenes: 200,
        pieces: false,
    };
    let seen = tuned(THIN, || seen(&plan));
    println!("{} packets, {} passed", seen.packets, seen.allowed);
}

#[test]
fn every_rule_that_can_be_hit_is_hit() {
    let seen = seen(&Plan {
        seed: 0,
        policies: 60,
        scenes: 0,
        pieces: true,
    });
    println!("{} rules, {} pieces", seen.rules, seen.packets);
    assert!(seen.missed.is_empty(), "not hit: {:?}", seen.missed);
}

#[test]
fn every_broken_compiler_is_caught() {
    let plan = Plan {
        seed: 1,
        policies: 100,
        scenes: 100,
        pieces: false,
    };
    for mutation in Mutation::ALL {
        let compare = || tuned(THIN, || run(&mut Memory::default(), &plan));
        let result = with_mutation(Some(*mutation), compare);
        assert!(result.is_err(), "{mutation:?} was not noticed");
    }
}

#[test]
fn ipv4_addresses_in_ipv6_packets_are_never_believed() {
    let mut dice = Dice(5);
    let (policy, world, mut judge, compiled) = drawn(&mut dice);
    let now = judge.clock().wall;
    let mut pair = Pair::new(&policy, &compiled, &world, now, &mut judge);
    let pool = packets::Pool::new(&policy, &world);
    let (packet, _) = pool.draw(&mut dice);
    for (source, destination) in [
        ("::ffff:10.0.0.7", "fd00::1"),
        ("fd00::9", "::ffff:10.0.0.1"),
    ] {
        let packet = Concrete {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            ..packet.clone()
        };
        let ruling = pair.both(&packet, &Way::arriving(1)).unwrap();
        assert_eq!(ruling.reason, Reason::Martian);
    }
}

/// The pieces leave out what the kernel would never send or route.
fn is_ordinary(address: std::net::IpAddr) -> bool {
    let known = crate::policy::space::known(address);
    let odd = known.is_unspecified() || known.is_loopback() || known.is_class_e();
    !odd && !known.is_multicast()
}

#[test]
fn no_packet_hits_a_rule_that_no_piece_has() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let (policy, world, mut judge, compiled) = drawn(&mut dice);
        let clock = judge.clock();
        let deciding = lint::deciding(&policy, &compiled, clock.boot).unwrap();
        let can = compiled
            .listing
            .iter()
            .filter(|l| l.index.is_some_and(|index| deciding.contains(&index)));
        let ids: BTreeSet<&str> = can.map(|l| l.id.as_str()).collect();
        let pool = packets::Pool::new(&policy, &world);
        let mut pair = Pair::new(&policy, &compiled, &world, clock.wall, &mut judge);
        for _ in 0..200 {
            let (packet, way) = pool.draw(&mut dice);
            if !is_ordinary(packet.source) || !is_ordinary(packet.destination) {
                continue;
            }
            pair.forget().unwrap();
            let rule = pair.both(&packet, &way).unwrap().rule;
            let rule = rule.filter(|rule| !rule.starts_with("essentials/"));
            assert!(
                rule.iter().all(|rule| ids.contains(rule.as_str())),
                "{rule:?} by {packet:?} {way:?} in {policy:#?}"
            );
        }
    }
}
