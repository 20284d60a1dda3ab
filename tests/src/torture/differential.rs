//! The same packets of every kind through us, at both hooks, and through nftables with the same policy.

use anyhow::Result;

use super::{Effort, Figure};
use crate::differential::{Hosts, Plan, Report};

/// Causes of difference that there may be.
const CAUSES: usize = 8;

pub(super) fn run(effort: &Effort) -> Result<Vec<Figure>> {
    let packets = effort.pick(20_000, 4_000);
    let mut report = Report::default();
    for seed in effort.seed..effort.seed + effort.seeds {
        // Fresh hosts: what sessions an earlier seed left would end at different times.
        report.join(Hosts::new(true)?.run(Plan { seed, packets })?);
    }
    eprintln!("{}", report.text());
    let wanted = packets as u64 * effort.seeds;
    let drops = report.wrong.len() - report.more();
    Ok(vec![
        Figure::at_least("packets to each of three hosts", wanted, report.packets()),
        Figure::exactly("let in that nftables drops", 0, report.more()),
        Figure::exactly(
            "dropped that nftables lets in, without a known cause",
            0,
            drops,
        ),
        Figure::new(
            "segments of connections that a guess cut behind nftables alone",
            "any",
            report.kept,
            true,
        ),
        Figure::at_most("known causes that occurred", CAUSES, report.causes.len()),
    ])
}
