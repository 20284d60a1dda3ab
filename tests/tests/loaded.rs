//! The loaded programs against the naive interpreter: random policies, packets drawn at and beside the
//! borders of what each names, and replies and errors of the sessions that they open.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use firewall_user::policy::oracle::against::{self, Judge as _, Mutation, Plan, THIN, Tuning};
use ringwall_tests::loaded::{Loaded, plan};
use ringwall_tests::need_root;

#[test]
fn loaded_policies_decide_as_the_interpreter_does() {
    compare(false, Tuning::BEST);
}

#[test]
fn loaded_policies_decide_as_the_interpreter_does_at_xdp() {
    // Both hooks share the search, so other trees at the other hook show as much as both at each.
    compare(true, THIN);
}

fn compare(xdp: bool, tuning: Tuning) {
    need_root!();
    let wanted = against::wanted();
    let plan = plan(20_000, wanted);
    let begin = std::time::Instant::now();
    let seen = Loaded::new(xdp).run(&plan, tuning, None);
    let seen = seen.unwrap_or_else(|difference| panic!("{difference}"));
    let share = 100 * seen.allowed / seen.packets;
    println!(
        "{} policies, {} packets, {share}% allowed, {} of {} rules hit, in {:?}",
        plan.policies,
        seen.packets,
        seen.hit,
        seen.rules,
        begin.elapsed()
    );
    println!("{:?}", seen.reasons);
    assert!(seen.packets >= wanted, "only {} packets", seen.packets);
    assert!(seen.allowed * 3 >= seen.packets, "{share}% allowed");
    assert!(seen.missed.is_empty(), "not hit: {:?}", seen.missed);
}

#[test]
fn broken_compilers_are_caught_on_the_loaded_programs() {
    need_root!();
    let plan = Plan {
        seed: 1,
        policies: 100,
        scenes: 100,
        pieces: false,
    };
    let mut loaded = Loaded::new(false);
    for mutation in Mutation::ALL {
        let result = loaded.run(&plan, THIN, Some(*mutation));
        let difference = result.expect_err(&format!("{mutation:?} was not noticed"));
        let two_sides = difference.contains("compiled: ") && difference.contains("oracle: ");
        assert!(two_sides, "{mutation:?}: {difference}");
        loaded.forget().unwrap();
    }
}
