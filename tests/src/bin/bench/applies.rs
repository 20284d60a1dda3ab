//! Row 5: how long an apply takes, from the parsed file to the flip; proofs and lints apart.

use std::time::Instant;

use anyhow::Result;
use firewall_user::dataplane::clock;
use firewall_user::policy::compiled::Clock;
use firewall_user::policy::lint::lint;
use firewall_user::policy::model::{Policy, Service};

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
        lines.extend(of_size(plan, &mut host, size, goal)?);
    }
    lines.extend(super::steady::lines(plan)?);
    Ok(lines)
}

/// Applies of policies of so many rules.
fn of_size(plan: &Plan, host: &mut Host, size: usize, goal: Option<f64>) -> Result<Vec<Line>> {
    let begin = Instant::now();
    let first = parsed(&policy(size, None))?;
    let reading = since(begin);
    let mut all: [Samples; 4] = Default::default();
    let mut given = numbers();
    for round in plan.rounds(SIZES.len() as u32) {
        let changed = changed(&first, round * 7 % size);
        let begin = Instant::now();
        let form = compiled(&first, &mut numbers())?;
        all[0].push(since(begin));
        host.apply(&form)?;
        all[1].push(since(begin));
        // The same again, as the agent has it in force; then with one rule changed.
        host.apply(&compiled(&first, &mut given)?)?;
        let begin = Instant::now();
        let form = compiled(&changed, &mut given)?;
        all[2].push(since(begin));
        host.apply(&form)?;
        all[3].push(since(begin));
    }
    let [compiling, whole, compiling_one, one] = all;
    let one = Line::new(format!("apply of one rule changed among {size}"), "ms", one);
    let whole = Line::new(format!("apply of {size} rules"), "ms", whole);
    let mut lines = vec![
        Line::exact(format!("reading {size} rules"), "ms", reading),
        Line::new(format!("  compiling {size} rules"), "ms", compiling),
        match goal {
            Some(goal) => whole.goal(goal),
            None => whole,
        },
        Line::new(
            format!("  compiling one rule changed among {size}"),
            "ms",
            compiling_one,
        ),
        if size == 10_000 { one.goal(20.0) } else { one },
    ];
    if !plan.quick || size <= 10_000 {
        lines.push(linting(&first, size));
    }
    Ok(lines)
}

/// A policy with another port in one of its rules.
fn changed(policy: &Policy, place: usize) -> Policy {
    let mut policy = policy.clone();
    let rule = policy
        .blocks
        .first_mut()
        .and_then(|block| block.rules.get_mut(place));
    if let Some(rule) = rule {
        let (low, high) = (65_000, 65_000);
        rule.services = Some(vec![Service::Ports {
            protocol: 6,
            low,
            high,
        }]);
        rule.service_words = vec!["tcp/65000".to_owned()];
    }
    policy
}

fn linting(policy: &Policy, size: usize) -> Line {
    let clock = Clock {
        boot: clock::boot_now(),
        wall: jiff::Timestamp::now(),
    };
    let begin = Instant::now();
    let _warnings = lint(policy, &clock);
    Line::exact(format!("warnings of {size} rules"), "ms", since(begin))
}
