//! Faults made on purpose, round after round in random order, and healthy connections over a lossy path: how often the
//! agent names the cause, how soon, and whether it ever names a wrong one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program of the tests stops with a message"
)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ringwall_tests::faults::{Kind, Loss, World, healthy, inject, watch};
use ringwall_tests::scenario::Random;

/// A cause counts as named if it comes within this time of the first SYN.
const IN_TIME: Duration = Duration::from_secs(5);
/// So many in a hundred must be named rightly.
const ENOUGH: f64 = 95.0;

/// What one kind of fault came to.
#[derive(Default)]
struct Tally {
    made: u64,
    right: u64,
    late: u64,
    wrong: u64,
    slowest: Duration,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let mut words = std::env::args().skip(1);
    let mut number = |name: &str| -> Result<u64> {
        let word = words
            .next()
            .with_context(|| format!("usage: faults ROUNDS HEALTHY SEED; {name} is missing"))?;
        word.parse().with_context(|| format!("{name}: {word}"))
    };
    let (rounds, connections, seed) = (number("ROUNDS")?, number("HEALTHY")?, number("SEED")?);
    let mut random = Random::from_seed(seed);
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        one_round(&mut random, &mut tallies)?;
    }
    let told = print(&tallies);
    let loss = Loss {
        connections: connections as usize,
        workers: 48,
        percent: 5,
    };
    let (completed, reported) = healthy(&World::new()?, &loss)?;
    println!(
        "{completed} healthy connections, of whose packets 5 % were lost at each end: {} reported",
        reported.len()
    );
    for row in &reported {
        println!("{row:#}");
    }
    Ok(told && reported.is_empty() && completed == loss.connections)
}

/// Each kind in each family, once.
fn one_round(random: &mut Random, tallies: &mut BTreeMap<String, Tally>) -> Result<()> {
    let world = World::new()?;
    let faults = inject(&world, Kind::ALL, random)?;
    let named = watch(&world, &faults, 2 * IN_TIME)?;
    for (fault, named) in faults.iter().zip(&named) {
        let tally = tallies.entry(fault.kind.doc().to_owned()).or_default();
        let right = named.is_right(fault);
        tally.made += 1;
        tally.right += u64::from(right && named.after <= IN_TIME);
        tally.late += u64::from(right && named.after > IN_TIME);
        tally.wrong += u64::from(named.is_wrong(fault));
        tally.slowest = tally.slowest.max(named.after);
        if !right {
            eprintln!("{:?}, v6 {}: {:#}", fault.kind, fault.v6, named.row);
        }
    }
    Ok(())
}

/// Says what came of it; whether it is enough.
fn print(tallies: &BTreeMap<String, Tally>) -> bool {
    println!(
        "{:<66} {:>5} {:>6} {:>5} {:>6} {:>8}",
        "FAULT", "MADE", "RIGHT", "LATE", "WRONG", "SLOWEST"
    );
    let (mut made, mut right, mut wrong) = (0, 0, 0);
    for (name, tally) in tallies {
        let slowest = format!("{:.1} s", tally.slowest.as_secs_f64());
        println!(
            "{name:<66} {:>5} {:>6} {:>5} {:>6} {slowest:>8}",
            tally.made, tally.right, tally.late, tally.wrong
        );
        made += tally.made;
        right += tally.right;
        wrong += tally.wrong;
    }
    let share = 100.0 * right as f64 / made.max(1) as f64;
    println!("{made} faults, {share:.1} % named rightly within {IN_TIME:?}, {wrong} wrongly");
    wrong == 0 && share >= ENOUGH
}
