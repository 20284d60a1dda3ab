//! The table of cases, three ways, two of them with either hook. Each case, family and way is a test of its own.
#![allow(
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::collections::BTreeSet;

use firewall_common::reason::{Outcome, Reason};
use libtest_mimic::{Arguments, Failed, Trial};
use ringwall_tests::case::{Case, Family, Step, Way, families};
use ringwall_tests::run::host::HostBench;
use ringwall_tests::run::kernel;
use ringwall_tests::{cases, run, skip};

fn main() {
    let arguments = Arguments::from_args();
    let mut trials: Vec<_> = cases::all().into_iter().flat_map(trials).collect();
    trials.push(Trial::test("table::is-what-it-promises", || {
        promises();
        Ok(())
    }));
    trials.push(Trial::test("table::hits-every-reason-for-a-drop", || {
        every_drop_is_hit();
        Ok(())
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

fn over(case: &Case) -> impl Iterator<Item = Family> {
    families()
        .into_iter()
        .filter(|family| case.runs_over(family))
}

fn trials(case: Case) -> Vec<Trial> {
    let all = over(&case).flat_map(|family| Way::ALL.map(|way| (family, way)));
    all.filter(|(_, (way, _))| !case.left_out.iter().any(|(out, _)| out == way))
        .map(|(family, (way, word))| trial(case.clone(), family, way, word))
        .collect()
}

fn trial(case: Case, family: Family, way: Way, word: &str) -> Trial {
    let name = format!(
        "{word}::{}::{}",
        case.name,
        if family.v6 { "v6" } else { "v4" }
    );
    let own = name.clone();
    Trial::test(name, move || {
        if way != Way::Host && !skip::is_root() {
            skip::report(&own, "needs root");
            return Ok(());
        }
        let result = match way {
            Way::Host => run::run(&mut HostBench::default(), &case, &family),
            _ => kernel::run(way, &case, &family),
        };
        result.map_err(|error| Failed::from(format!("{error:#}")))
    })
}

/// At least 150 cases, nine in ten of which run every way, and no name twice.
fn promises() {
    let cases = cases::all();
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases of one name");
    let count = |wanted: fn(&Case) -> bool| -> usize {
        cases
            .iter()
            .filter(|case| wanted(case))
            .map(|case| over(case).count())
            .sum()
    };
    let (all, whole) = (count(|_| true), count(|case| case.left_out.is_empty()));
    assert!(all >= 150, "{all} cases");
    assert!(whole * 10 >= all * 9, "{whole} of {all} run every way");
}

/// Drops that no case of the table can show, and the tests that do: each counts packets of the reason.
const ELSEWHERE: [(Reason, &str); 6] = [
    (Reason::SessionTableFull, include_str!("full_tables.rs")),
    (Reason::HalfOpenLimit, include_str!("full_tables.rs")),
    (Reason::RateLimited, include_str!("limits.rs")),
    (Reason::SourceLimit, include_str!("limits.rs")),
    (Reason::SessionLimit, include_str!("limits.rs")),
    (Reason::SynCookieFailed, include_str!("cookies.rs")),
];

/// Every reason for a drop is hit by a case, or by a test that is named.
fn every_drop_is_hit() {
    let steps = cases::all()
        .into_iter()
        .flat_map(|case| {
            over(&case)
                .map(|family| (case.steps)(&family))
                .collect::<Vec<_>>()
        })
        .flatten();
    let hit: BTreeSet<_> = steps
        .filter_map(|step| match step {
            Step::Packet { expect, .. } => Some(expect.reason.word()),
            _ => None,
        })
        .collect();
    let drops = Reason::ALL
        .iter()
        .filter(|reason| reason.outcome() != Outcome::Pass);
    // What a decision is before anything was decided: nothing gives it.
    for reason in drops.filter(|reason| **reason != Reason::InternalError) {
        let word = reason.word();
        let elsewhere = |(other, test): &(Reason, &str)| other == reason && test.contains(word);
        let shown = hit.contains(word) || ELSEWHERE.iter().any(elsewhere);
        assert!(shown, "no case and no test is refused as {word}");
    }
}
