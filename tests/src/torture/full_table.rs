//! Flows without end, each from a source of its own and each answered, thrown at a table that is full of them soon.

use anyhow::{Context as _, Result};

use super::siege::{Bill, Guard, Paid, Siege, Withstood, figures};
use super::{Effort, Figure};
use crate::scenario::flood::{Flood, From};
use crate::scenario::{Worker, at_wan, metric};

pub(super) fn run(effort: &Effort) -> Result<Vec<Figure>> {
    // At length also a table of the default size, which half a million flows fill.
    let tables: &[Option<u32>] = effort.pick(&[Some(1024), None], &[Some(1024)]);
    let flows = effort.pick(500_000, 20_000);
    let (theirs, _, they_paid) = stormed(&Guard::nftables()?, flows)?;
    let mut all = Vec::new();
    for max in tables {
        let config = max.map_or_else(String::new, |max| format!("sessions: {{max: {max}}}\n"));
        let guard = Guard::ringwall(&config)?;
        let (ours, sent, paid) = stormed(&guard, flows)?;
        let of = max.map_or_else(|| "262144".to_owned(), |max| max.to_string());
        let named = |figure: Figure| Figure {
            what: format!("{} (table of {of})", figure.what),
            ..figure
        };
        let mut found = figures(&ours, &theirs, effort.long);
        found.push(Figure::exactly("flows", flows, sent));
        found.extend(paid.figures(they_paid, effort.long));
        found.extend(table(&guard, max.unwrap_or(262_144))?);
        all.extend(found.into_iter().map(named));
    }
    Ok(all)
}

/// That the table was full indeed, and stayed within its size.
fn table(guard: &Guard, max: u32) -> Result<Vec<Figure>> {
    let Guard::Ringwall(scene) = guard else {
        return Ok(Vec::new());
    };
    let metrics = scene.host.metrics()?;
    let refused = |reason: &str| {
        let reason = format!("reason=\"{reason}\"");
        metric(&metrics, "ringwall_sessions_refused_total", &[&reason]) as u64
    };
    let status = scene.status()?;
    let half_open = status["sessions"]["half_open_capacity"].as_u64();
    let half_open = half_open.context("a capacity")?;
    let entries = metric(&metrics, "ringwall_session_table_entries", &["sessions"]) as u64;
    let most = u64::from(max) + half_open;
    Ok(vec![
        Figure::at_least(
            "openings refused, session-table-full",
            1,
            refused("session-table-full"),
        ),
        Figure::at_most("entries", most, entries),
    ])
}

fn stormed(guard: &Guard, flows: u64) -> Result<(Withstood, u64, Paid)> {
    let lab = guard.lab();
    let mut bill = Bill::prepare(guard)?;
    let siege = Siege::begin(lab)?;
    bill.open(guard, &siege)?;
    let mut storms = Vec::new();
    for v6 in [false, true] {
        let storm = Flood::burst(From::Anybody, at_wan(v6, 53), false, flows / 2);
        storms.push(storm.start(&lab.stranger, &lab.wan)?);
    }
    storms.iter().for_each(Worker::wait);
    let paid = bill.close(guard, &siege)?;
    let withstood = siege.end();
    let sent = storms.into_iter().map(Worker::finish).sum();
    Ok((withstood, sent, paid))
}
