//! The loaded programs, at both hooks, and the naive interpreter: random policies, packets at and beside their borders.

use anyhow::{Result, ensure};
use firewall_user::policy::oracle::against::{THIN, Tuning};

use super::{Effort, Figure};
use crate::loaded::{Loaded, plan};

/// Another seed's policies begin as far on.
const APART: u64 = 100_000;

pub(super) fn run(effort: &Effort) -> Result<Vec<Figure>> {
    let wanted = effort.pick(1_000_000, 4_000);
    let (mut packets, mut different) = (0, 0);
    // Both hooks share the search, so other trees at the other hook show as much as both at each.
    for (xdp, tuning) in [(false, Tuning::BEST), (true, THIN)] {
        let plan = plan(effort.seed * APART, wanted / 2);
        match Loaded::new(xdp).run(&plan, tuning, None) {
            Ok(seen) => {
                eprintln!("{} packets, {} allowed", seen.packets, seen.allowed);
                ensure!(seen.allowed * 3 >= seen.packets, "hardly any is allowed");
                packets += seen.packets;
            }
            Err(difference) => {
                eprintln!("{difference}");
                different += 1;
            }
        }
    }
    Ok(vec![
        Figure::at_least(
            "packets to the loaded programs and to the interpreter",
            wanted,
            packets,
        ),
        Figure::exactly("decided differently", 0, different),
    ])
}
