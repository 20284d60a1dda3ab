//! Row 5: how long an apply takes, from the parsed file to the flip; proofs and lints apart.

use std::time::Instant;

use anyhow::Result;
use firewall_user::dataplane::clock;
use firewall_user::policy::compiled::Clock;
use firewall_user::policy::lint::lint;

use super::Plan;
use super::host::{Host, compiled, numbers, parsed, policy};
use super::numbers::{Line, Samples};

/// Rules, and what an apply of so many may take, in milliseconds.
const SIZES: [(usize, Option<f64>); 3] = [
    (1_000, None),
    (10_000, Some(150.0)),
    (100_000, Some(1500.0)),
];

fn since(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

/// The row.
pub(crate) fn row(plan: &Plan) -> Result<Vec<Line>> {
    let mut host = Host::new(1 << 16)?;
    let mut lines = Vec::new();
    for (size, goal) in SIZES {
        let text = policy(size, None);
        let begin = Instant::now();
        let first = parsed(&text)?;
        lines.push(Line::exact(
            format!("reading {size} rules"),
            "ms",
            since(begin),
        ));
        let begin = Instant::now();
        let clock = Clock {
            boot: clock::boot_now(),
            wall: jiff::Timestamp::now(),
        };
        let _warnings = lint(&first, &clock);
        lines.push(Line::exact(
            format!("lint of {size} rules"),
            "ms",
            since(begin),
        ));
        let (mut whole, mut one, mut compiling) =
            (Samples::default(), Samples::default(), Samples::default());
        let mut given = numbers();
        for round in 0..plan.rounds {
            let changed = parsed(&policy(size, Some(round * 7 % size)))?;
            let begin = Instant::now();
            host.apply(&compiled(&first, &mut numbers())?)?;
            whole.push(since(begin));
            compiled(&first, &mut given)?;
            let begin = Instant::now();
            let form = compiled(&changed, &mut given)?;
            compiling.push(since(begin));
            host.apply(&form)?;
            one.push(since(begin));
        }
        let line = Line::new(format!("apply of {size} rules"), "ms", whole);
        lines.push(match goal {
            Some(goal) => line.goal(goal),
            None => line,
        });
        lines.push(Line::new(
            format!("  of one rule changed among {size}: compiling"),
            "ms",
            compiling,
        ));
        let line = Line::new(format!("apply of one rule changed among {size}"), "ms", one);
        lines.push(if size == 10_000 {
            line.goal(20.0)
        } else {
            line
        });
    }
    Ok(lines)
}
