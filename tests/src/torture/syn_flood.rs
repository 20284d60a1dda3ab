//! SYNs from sources that never were, at a port that is open to everybody.

use std::time::Duration;

use anyhow::Result;

use super::siege::{Bill, Guard, Paid, Siege, Withstood, figures};
use super::{Effort, Figure};
use crate::scenario::flood::Flood;
use crate::scenario::{Worker, at_wan};

/// SYNs a second over each family.
const EACH: u64 = 10_250;

pub(super) fn run(effort: &Effort) -> Result<Vec<Figure>> {
    let time = Duration::from_secs(effort.pick(60, 3));
    let (ours, sent, paid) = flooded(&Guard::ringwall("")?, time)?;
    let (theirs, sent_to_theirs, they_paid) = flooded(&Guard::nftables()?, time)?;
    let rate = |sent: u64| sent / time.as_secs();
    let mut all = figures(&ours, &theirs, effort.long);
    let goal = effort.pick(20_000, 1);
    all.push(Figure::at_least("SYNs a second", goal, rate(sent)).beside(rate(sent_to_theirs)));
    all.extend(paid.figures(they_paid, effort.long));
    Ok(all)
}

fn flooded(guard: &Guard, time: Duration) -> Result<(Withstood, u64, Paid)> {
    let lab = guard.lab();
    let mut bill = Bill::prepare(guard)?;
    let siege = Siege::begin(lab)?;
    bill.open(guard, &siege)?;
    let mut floods = Vec::new();
    for v6 in [false, true] {
        floods.push(Flood::syns(at_wan(v6, 443), EACH).start(&lab.stranger, &lab.wan)?);
    }
    std::thread::sleep(time);
    let paid = bill.close(guard, &siege)?;
    let withstood = siege.end();
    let sent = floods.into_iter().map(Worker::finish).sum();
    Ok((withstood, sent, paid))
}
